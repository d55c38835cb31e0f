# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where an SFCB keeps what: its programs, `sfcb.cfg`, staging area, repository and DMTF schema."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from libvirtcim.register import schema
from libvirtcim.register.plan import NotInstalled, RegistrationError, run_tool

DAEMON = "sfcbd"
TOOLS = ("sfcbstage", "sfcbunstage", "sfcbrepos", "sfcbmof")
SCHEMA_INDEX = "CIM_Schema.mof"
"""File of the schema directory that includes all others."""
DEFAULT_REGISTRATION = "default.reg"
"""File of the staging area with SFCB's own providers; without it there is no staging area."""
SYSTEM_PATH = ("/usr/sbin", "/usr/local/sbin", "/sbin")
"""Searched besides PATH: the daemon is where only root's shell looks."""
TOOL_SECONDS = 300.0
"""How long one of SFCB's programs may take; building a repository takes a second or two."""

_STANZA = re.compile(r"^\[(?P<name>\w+)\][^\n]*\n(?P<body>(?:(?![\[#])[^\n]*\n?)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Stanza:
    """One class in a registration file of SFCB."""

    classname: str
    provider: str
    location: str
    namespaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of one SFCB."""

    programs: Path
    """Directory of its tools."""
    daemon: Path
    """Its server, no symbolic link."""
    config: Path
    default_config: Path
    """The configuration that the server takes where it is named none."""
    settings: Mapping[str, str]
    """What `config` sets."""
    staging: Path
    registration: Path
    """Directory of its repository and of `providerRegister`."""
    schema_directory: Path
    """Directory of its DMTF schema."""
    provider_directories: tuple[Path, ...]
    """Where it looks for libraries, in this order."""

    def tool(self, name: str, *arguments: str | Path) -> str:
        """Runs one of its programs; returns what it printed. Raises RegistrationError."""
        path = f"{self.programs}:{self.daemon.parent}:{os.environ.get('PATH', '')}"
        # DESTDIR would move the directories that its scripts have as defaults
        environment = {k: v for k, v in os.environ.items() if k != "DESTDIR"} | {"PATH": path}
        command = [str(self.programs / name), *map(str, arguments)]
        return run_tool(command, environment, TOOL_SECONDS)

    def flag(self, name: str, default: bool) -> bool:
        """A setting that is true or false."""
        return self.settings.get(name, str(default)).lower() == "true"

    @property
    def register_file(self) -> Path:
        """The registrations that the server reads when it starts."""
        return self.registration / "providerRegister"

    def registrations(self) -> dict[Path, list[Stanza]]:
        """The staged registration files → what they register."""
        files = sorted((self.staging / "regs").glob("*.reg"))
        return {file: stanzas(read(file)) for file in files}

    def mof_files(self, namespace: str) -> list[Path]:
        """The staged MOF files of a namespace, those of every namespace included."""
        mofs = self.staging / "mofs"
        return [*sorted((mofs / namespace).glob("*.mof")), *sorted(mofs.glob("*.mof"))]

    def schema_declared(self) -> schema.Declared:
        """What its DMTF schema declares. Raises RegistrationError where the schema is not there."""
        index = self.schema_directory / SCHEMA_INDEX
        if not index.is_file():
            raise RegistrationError(
                f"SFCB's DMTF schema is not in {self.schema_directory}: there is no {SCHEMA_INDEX}. "
                f"Install it (package cim-schema, or unpack an archive of dmtf.org there and name "
                f"its main file {SCHEMA_INDEX}), or name its directory with --schema DIR"
            )
        found = schema.Declared()
        for text in _with_included(index, self.schema_directory):
            found |= schema.declared(text)
        return found


def find(
    prefix: Path | None = None,
    config: Path | None = None,
    staging: Path | None = None,
    schema_directory: Path | None = None,
) -> Layout:
    """The SFCB below `prefix`, or the one on PATH; the others take the place of its defaults.

    Raises NotInstalled, or RegistrationError where a part of it is not where it must be.
    """
    daemon = _daemon(prefix)
    root = daemon.parent.parent
    default_config = _local(root, "etc/sfcb/sfcb.cfg")
    config = config or default_config
    if not config.is_file():
        raise RegistrationError(f"{config}: there is no such file; name SFCB's with --config FILE")
    programs = root / "bin"
    absent = [tool for tool in TOOLS if not (programs / tool).is_file()]
    if absent:
        raise RegistrationError(f"SFCB's {', '.join(absent)} not in {programs}; reinstall SFCB")
    settings = parse_config(read(config))
    registration = Path(
        settings.get("registrationDir") or _local(root, "var/lib/sfcb/registration")
    )
    staging = staging or registration.with_name("stage")
    if not (staging / DEFAULT_REGISTRATION).is_file():
        raise RegistrationError(
            f"SFCB's staging area is not in {staging}: there is no {DEFAULT_REGISTRATION}; "
            f"name it with --staging DIR"
        )
    return Layout(
        programs,
        daemon,
        config.resolve(),
        default_config.resolve(),
        settings,
        staging.resolve(),
        registration.resolve(),
        (schema_directory or root / "share/sfcb/CIM").resolve(),
        tuple(map(Path, settings.get("providerDirs", "").split()))
        or (root / "lib64/sfcb", root / "lib/sfcb", root / "lib64/cmpi", root / "lib/cmpi"),
    )


def parse_config(text: str) -> dict[str, str]:
    """The settings in an `sfcb.cfg`: lines `name: value`; the last of a name counts."""
    found = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and not name.lstrip().startswith("#"):
            found[name.strip()] = value.strip()
    return found


def stanzas(text: str) -> list[Stanza]:
    """What a registration file registers."""
    found = []
    for match in _STANZA.finditer(text):
        values = parse_config(match["body"])
        found.append(
            Stanza(
                match["name"],
                values.get("provider", ""),
                values.get("location", ""),
                tuple(values.get("namespace", "").split()),
            )
        )
    return found


def read(path: Path) -> str:
    """A text file of SFCB's. Raises RegistrationError."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise RegistrationError(f"{path}: {error.strerror}") from error


def _daemon(prefix: Path | None) -> Path:
    if prefix is not None:
        for place in (prefix / "sbin" / DAEMON, prefix / "bin" / DAEMON):
            if place.is_file():
                return place.resolve()
        raise NotInstalled(f"SFCB is not in {prefix}: there is no sbin/{DAEMON}")
    path = os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_PATH])
    found = shutil.which(DAEMON, path=path)
    if found is None:
        raise NotInstalled(
            f"SFCB is not installed: there is no {DAEMON} on PATH; install it (package "
            "sblim-sfcb), or name the directory that holds its sbin with --prefix DIR"
        )
    return Path(found).resolve()


def _local(root: Path, path: str) -> Path:
    """A file or directory of this machine's, for an installation below `root`."""
    return Path("/") / path if root == Path("/usr") else root / path


def _with_included(index: Path, directory: Path) -> Iterator[str]:
    """The texts of a MOF file and of all that it includes, directly or not."""
    seen = {index}
    queue = [index]
    while queue:
        file = queue.pop()
        text = read(file)
        yield text
        for name in schema.includes(text):
            beside = file.parent / name
            included = beside if beside.is_file() else directory / name
            if included not in seen:
                seen.add(included)
                queue.append(included)
