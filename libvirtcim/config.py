# SPDX-License-Identifier: LGPL-2.1-or-later
"""Configuration: command-line flags over `/etc/libvirtcim.toml` over `/etc/libvirt-cim.conf` over defaults.

Every setting is a field of `General` or of `ServerSettings`, with its description; flags, the keys of
the file and `docs/settings.md` are derived from them. In the file the settings of the server stand in a
table `[server]`, the libvirt URIs in `[connections]`, everything else at the top.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from libvirtcim.cim.declare import INTEROP
from libvirtcim.virt.families import FAMILIES, KNOWN, by_prefix
from libvirtcim.virt.settings import (
    CHECK_DIRECTORY,
    LLDPTOOL_OPTIONS,
    SIDE_FILE_DIRECTORY,
    SNAPSHOT_DIRECTORY,
    VSI_ANNOUNCEMENTS,
    EventSettings,
)

if TYPE_CHECKING:
    from libvirtcim.server.settings import ServerSettings

CONFIG_FILE = Path("/etc/libvirtcim.toml")
LEGACY_FILE = Path("/etc/libvirt-cim.conf")


_EVENTS = EventSettings()


class ConfigError(Exception):
    """A setting is unknown, of the wrong type or impossible; the message says which and where."""


def _setting(default: Any, text: str, *, unit: str = "", legacy: bool = False) -> Any:
    return field(default=default, metadata={"help": text, "unit": unit, "legacy": legacy})


@dataclass(frozen=True, slots=True, kw_only=True)
class General:
    """Settings that are not the server's."""

    readonly: bool = _setting(
        False, "Open libvirt read-only: guests can be seen, nothing can be changed", legacy=True
    )
    disable_kvm: bool = _setting(
        False, "Define guests for emulation although the machine has KVM", legacy=True
    )
    side_files: Path = _setting(
        Path(SIDE_FILE_DIRECTORY),
        "Directory of libvirt-cim's per-guest files, read until taken over",
    )
    indication_queue: int = _setting(
        10_000, "Most indications that wait for one receiver; then the oldest are dropped"
    )
    interop_namespace: str = _setting(
        INTEROP,
        "What the CIM server that loads the plugin calls its interop namespace, for paths that lead there",
    )
    job_retention: float = _setting(300.0, "How long a job is known after its end", unit="s")
    max_running_jobs: int = _setting(8, "Jobs that run at once; others wait")
    max_ended_jobs: int = _setting(1000, "Most ended jobs that are known; then the oldest goes")
    failed_jobs_completed: bool = _setting(
        True,
        "Show a failed job as Completed (JobState 7) with an ErrorCode, as libvirt-cim did; else as "
        "Exception (10)",
    )
    snapshot_wait: float = _setting(
        30.0, "How long a request for a snapshot waits for its end; then its job goes on", unit="s"
    )
    snapshot_directory: Path = _setting(
        Path(SNAPSHOT_DIRECTORY), "Where memory snapshots are kept, as the hypervisor sees it"
    )
    migration_connect_timeout: float = _setting(
        30.0, "How long the other host of a migration may take to answer", unit="s"
    )
    migration_shutdown_timeout: float = _setting(
        120.0, "How long a guest that is started on another host may take to shut down", unit="s"
    )
    migrate_check_dir: Path = _setting(
        CHECK_DIRECTORY,
        "Programs that say whether a guest may move: called with guest, libvirt URI, parameter file",
    )
    migrate_check_timeout: float = _setting(10.0, "How long each of them may take", unit="s")
    migrate_ssh_temp_key: str = _setting(
        "",
        "File, in a directory of root's, to which clients may have an ssh key copied for migrations",
        legacy=True,
    )
    event_queue: int = _setting(
        _EVENTS.most_waiting,
        "Most events of one hypervisor's guests, storage pools or networks that wait to be worked off; "
        "beyond, all of them are compared instead",
    )
    event_compare: float = _setting(
        _EVENTS.compare,
        "While indications of guests or pools are subscribed to: time between comparisons of all of them, "
        "for changes of which libvirt sends no event; 0: no such comparisons",
        unit="s",
    )
    event_settle: float = _setting(
        _EVENTS.settle,
        "How long libvirt's event of a change may take to come once the guest or pool shows the change",
        unit="s",
    )
    event_patience: float = _setting(
        _EVENTS.patience,
        "How long a change that libvirtcim itself makes may take before its guest or pool is looked at "
        "all the same",
        unit="s",
    )
    lldptool_query_options: str = _setting(
        LLDPTOOL_OPTIONS,
        "What `lldptool -i <interface>` is given, to learn whether a switch knows guests' interfaces",
        legacy=True,
    )
    vsi_support_key_string: str = _setting(
        VSI_ANNOUNCEMENTS,
        "Beginnings of lines that lldptool must all answer of such a switch: {first, second ...}",
        legacy=True,
    )
    log_level: str = _setting("info", "Least severity that is logged: debug, info, warning, error")


@dataclass(frozen=True, slots=True)
class HostConfig:
    """The settings of hosts: all that is needed inside a CIM server."""

    general: General
    connections: Mapping[str, str]
    """Family prefix → libvirt URI."""
    sources: tuple[Path, ...]
    """Files that were read."""


@dataclass(frozen=True, slots=True)
class Config(HostConfig):
    """All settings of one process."""

    server: ServerSettings


def option_fields(settings: type[Any]) -> Iterator[tuple[Field[Any], Any]]:
    """Every field of a settings class with its type."""
    hints = get_type_hints(settings)
    for item in fields(settings):
        yield item, hints[item.name]


def load(
    path: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    connections: Mapping[str, str] | None = None,
    legacy: Path = LEGACY_FILE,
) -> Config:
    """The configuration; `path` None: the default file, if there is one.

    `flags` are setting names to values (text or typed) and win over the files. Connections given as
    flags replace those of the file as a whole. Raises ConfigError.
    """
    from libvirtcim.server.settings import ServerSettings

    read = _read(path, legacy)
    if read.server:
        _check_names(read.sources[-1], "[server] ", read.server, ServerSettings)
    for name, value in (flags or {}).items():
        (read.general if name in _names(General) else read.server)[name] = value
    return Config(
        _settings(General, read.general),
        _connections(connections or read.connections),
        tuple(read.sources),
        _settings(ServerSettings, read.server),
    )


def load_hosts(path: Path | None = None, legacy: Path = LEGACY_FILE) -> HostConfig:
    """The configuration without the settings of the server, whose table is not looked at. As `load`."""
    read = _read(path, legacy)
    return HostConfig(
        _settings(General, read.general), _connections(read.connections), tuple(read.sources)
    )


@dataclass(slots=True)
class _Read:
    """What files say, checked as far as names go; later ones count.

    `server`: the settings of the server, unchecked, out of the last of the `sources`.
    """

    general: dict[str, Any] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)
    connections: Mapping[str, Any] = field(default_factory=dict)
    sources: list[Path] = field(default_factory=list)


def _read(path: Path | None, legacy: Path) -> _Read:
    read = _Read()
    if legacy.exists():
        read.general.update(_legacy(legacy))
        read.sources.append(legacy)
    file = path or (CONFIG_FILE if CONFIG_FILE.exists() else None)
    if file is not None:
        top, read.server, read.connections = _toml(file)
        read.general.update(top)
        read.sources.append(file)
    return read


def _names(settings: type[Any]) -> set[str]:
    return {item.name for item in fields(settings)}


def _toml(path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    import tomllib

    try:
        top = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    server = top.pop("server", {})
    connections = top.pop("connections", {})
    _check_names(path, "", top, General)
    if not isinstance(server, dict):
        raise ConfigError(f"{path}: [server] must be a table")
    if not isinstance(connections, dict):
        raise ConfigError(f"{path}: connections must be a table of family = URI")
    return top, server, connections


def _check_names(path: Path, where: str, given: Mapping[str, Any], known: type[Any]) -> None:
    names = _names(known)
    for name in given:
        if name not in names:
            raise ConfigError(
                f"{path}: unknown setting {where}{name}; known: {', '.join(sorted(names))}"
            )


def _legacy(path: Path) -> dict[str, Any]:
    """Settings out of libvirt-cim's own file; what nothing here uses is left alone."""
    import libconf

    try:
        with path.open() as stream:
            read = libconf.load(stream)
    except (OSError, UnicodeDecodeError, libconf.ConfigParseError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return {
        item.name: read[item.name]
        for item in fields(General)
        if item.metadata["legacy"] and item.name in read
    }


def _connections(given: Mapping[str, Any]) -> dict[str, str]:
    if not given:
        return {prefix: family.uri for prefix, family in FAMILIES.items()}
    chosen = {}
    for name, uri in given.items():
        family = by_prefix(name)
        if family is None:
            raise ConfigError(f"connection {name}={uri}: unknown family; known: {', '.join(KNOWN)}")
        if not isinstance(uri, str) or not uri:
            raise ConfigError(f"connection {name}: a libvirt URI must be given")
        chosen[family.prefix] = uri
    return chosen


def _settings(kind: type[Any], values: Mapping[str, Any]) -> Any:
    converted = {
        item.name: convert(item.name, values[item.name], hint)
        for item, hint in option_fields(kind)
        if item.name in values
    }
    try:
        return kind(**converted)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def endpoint(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `[IPv6]:PORT` or `PORT` as host and port."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ConfigError(f"{text!r} is no address: write HOST:PORT, e.g. 127.0.0.1:5988")
    return host.strip("[]") or "127.0.0.1", int(port)


def convert(name: str, value: Any, hint: Any) -> Any:
    """A value, as a file or a flag has it, in the type of its setting; raises ConfigError."""
    shown = str(hint)
    try:
        if hint is bool:
            if isinstance(value, bool):
                return value
            return {"true": True, "yes": True, "false": False, "no": False}[str(value).lower()]
        if hint in (int, float):
            return _number(value, hint)
        if "Path" in shown:
            if value == "":
                raise ValueError
            return Path(value)
        if shown.startswith("tuple"):
            many = value if isinstance(value, (list, tuple)) else [value]
            if "int" in shown:
                return tuple(v if isinstance(v, tuple) else endpoint(str(v)) for v in many)
            return tuple(str(v) for v in many if v != "")
        if "Literal" in shown and value not in hint.__args__:
            raise ConfigError(f"{name} must be one of {', '.join(hint.__args__)}, not {value!r}")
        if not isinstance(value, str):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        kinds = {bool: "true or false", int: "a whole number", float: "a number"}
        kind = kinds.get(hint, "a path" if "Path" in shown else "text")
        raise ConfigError(f"{name} must be {kind}, not {value!r}") from None
    return value


def _number(value: Any, kind: type[int] | type[float]) -> int | float:
    """A finite number of the kind, from itself or from text; raises ValueError."""
    if isinstance(value, bool) or (kind is int and isinstance(value, float)):
        raise ValueError
    number = kind(value)
    if not math.isfinite(number):
        raise ValueError
    return number
