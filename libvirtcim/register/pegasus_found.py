# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an OpenPegasus server holds of a registration, and what was recorded about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from libvirtcim.cim import registration
from libvirtcim.cim.declare import INTEROP, INTEROP_NAMES, ClassDecl
from libvirtcim.register import record, schema
from libvirtcim.register.doors import DOORS
from libvirtcim.register.pegasus_tools import Instance, Tools
from libvirtcim.register.plan import RegistrationError

MODULE = registration.LIBRARY
"""Name of our provider module."""
"""Where a build of OpenPegasus may keep its registrations; each build has one of them."""
MODULE_CLASS, CAPABILITIES_CLASS = "PG_ProviderModule", "PG_ProviderCapabilities"
PACKAGED_RECORD = Path("/var/lib/libvirtcim/pegasus.json")
"""Record for a server that doesn't tell where its repository is."""
STOPPED = "10"
"""PG_ProviderModule.OperationalStatus of a module that was disabled."""


@dataclass(frozen=True, slots=True)
class Added:
    """What a registration added to the server, its module aside; kept as JSON."""

    version: str = ""
    library: str = ""
    fingerprint: str = ""
    namespaces: Sequence[str] = ()
    """Those that were not there before."""
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Namespace → our classes, and those of the DMTF schema that were not there."""
    qualifiers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Namespace → qualifiers that were not declared there."""
    link: str | None = None
    """Path of a link to the library."""

    def as_json(self) -> dict[str, Any]:
        """The form in which it is kept."""
        return asdict(self)

    @classmethod
    def read(cls, path: Path) -> Added | None:
        """What was recorded; None: nothing. Raises RegistrationError."""
        kept = record.read(path)
        if kept is None:
            return None
        try:
            return cls(**kept)
        except TypeError as error:
            raise RegistrationError(
                f"{path} is of another version of libvirtcim ({error}): unregister with that one"
            ) from error


@dataclass(frozen=True, slots=True)
class Found:
    """What a server holds that matters to a registration."""

    interop: str
    """Its interop namespace."""
    module: Instance | None
    """Our provider module."""
    capabilities: Sequence[Instance]
    """The registered classes of all modules."""
    declared: Mapping[str, schema.Declared | None]
    """Namespace → what is declared there; None: there is no such namespace."""
    directories: Sequence[Path]
    """Where the server looks for providers' libraries, in its order."""
    record: Path
    added: Added | None

    @property
    def registered(self) -> bool:
        """Whether there is anything of a registration."""
        return self.module is not None or self.added is not None

    @property
    def disabled(self) -> bool:
        """Whether our module is there and switched off."""
        return self.module is not None and STOPPED in self.module.get("OperationalStatus", ())

    @property
    def version(self) -> str | None:
        """Version of libvirtcim that is registered; None: none."""
        return str(self.module["Version"]) if self.module else None

    @property
    def door(self) -> str | None:
        """Name of the door through which we are registered."""
        location = self.module.get("Location") if self.module else None
        return next((door.name for door in DOORS.values() if door.location == location), None)

    def named(self, namespace: str) -> str:
        """A namespace of the declarations as this server calls it."""
        return self.interop if namespace == INTEROP else namespace

    def served(self, namespace: str) -> set[str]:
        """The classes of a namespace that are registered for our module."""
        return {
            str(one["ClassName"])
            for one in self.capabilities
            if one["ProviderModuleName"] == MODULE and namespace in one["Namespaces"]
        }

    def present(self, namespace: str, names: Iterable[str]) -> list[str]:
        """Those of the classes that the namespace has, as it spells them, in the given order."""
        there = self.declared.get(namespace)
        spelled = {name.lower(): name for name in there.classes} if there else {}
        return [spelled[name] for name in dict.fromkeys(map(str.lower, names)) if name in spelled]

    def library(self, file: str) -> Path | None:
        """The library of that name that the server loads; None: it finds none."""
        return next((d / file for d in self.directories if (d / file).is_file()), None)

    def problems(self) -> Iterator[str]:
        """What keeps the registered classes from being served, in words."""
        if not self.registered:
            return
        if self.module is None:
            yield f"the provider module is not registered in {self.interop}; register again"
            return
        if self.disabled:
            yield f"the provider module is disabled; `cimprovider -e -m {MODULE}` enables it"
        file = f"lib{self.module['Location']}.so"
        if self.library(file) is None:
            yield f"{file} is in none of {', '.join(map(str, self.directories))}"
        for namespace, there in self.declared.items():
            has = there.classes if there else ()
            absent = sorted(self.served(namespace) - set(has))
            if absent:
                yield f"{namespace} lacks {', '.join(absent)}; register again"


def look(tools: Tools, declarations: Sequence[ClassDecl]) -> Found:
    """Asks a server that can be reached. Raises RegistrationError."""
    interop = _interop(tools)
    settings = tools.settings()
    kept = _record(tools, settings)
    added = Added.read(kept)
    capabilities = tools.instances(interop, CAPABILITIES_CLASS)
    modules = tools.instances(interop, MODULE_CLASS)
    namespaces = dict.fromkeys(
        interop if namespace == INTEROP else namespace
        for namespace in (*schema.namespaces(declarations), *(added.classes if added else ()))
    )
    return Found(
        interop,
        next((module for module in modules if module["Name"] == MODULE), None),
        capabilities,
        {namespace: _declared(tools, namespace) for namespace in namespaces},
        _directories(tools, settings),
        kept,
        added,
    )


def _interop(tools: Tools) -> str:
    for namespace in INTEROP_NAMES:
        if MODULE_CLASS in (tools.class_names(namespace) or ()):
            return namespace
    raise RegistrationError(
        f"no class {MODULE_CLASS} in {', '.join(INTEROP_NAMES)}: "
        "this OpenPegasus has no repository that providers can be registered in"
    )


def _record(tools: Tools, settings: Mapping[str, str]) -> Path:
    """Beside the repository, where the server tells where that is."""
    if tools.home is None or "repositoryDir" not in settings:
        return PACKAGED_RECORD
    return (tools.home / settings["repositoryDir"]).parent / record.FILE


def _directories(tools: Tools, settings: Mapping[str, str]) -> list[Path]:
    """Where the server looks for providers' libraries; packaged ones look where they are made to."""
    if tools.home is not None and "providerDir" in settings:
        return [tools.home / part for part in settings["providerDir"].split(":")]
    prefix = tools.programs.parent
    library = "lib64" if (prefix / "lib64" / "Pegasus").is_dir() else "lib"
    return [prefix / library / "Pegasus" / "providers", Path("/usr") / library / "cmpi"]


def _declared(tools: Tools, namespace: str) -> schema.Declared | None:
    classes = tools.class_names(namespace)
    if classes is None:
        return None
    return schema.Declared(frozenset(classes), frozenset(tools.qualifier_names(namespace) or ()))
