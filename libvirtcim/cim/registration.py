# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes what tells a CIMOM which classes the plugin serves: for SFCB, for OpenPegasus, and plain.

All classes are served by one library under one provider name, in one group: so a CIMOM keeps them
in one process, with one interpreter and one libvirt connection per hypervisor family. The plain
rows keep the provider names by which existing configurations and tools know the classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from libvirtcim import __version__
from libvirtcim.cim.declare import INTEROP, PG_INTEROP, ClassDecl, ProviderType
from libvirtcim.cim.mof import LICENSE, text_literal, value_literal, write_files

LIBRARY = "libvirtcim"
"""Library location (`liblibvirtcim.so`), provider name, module name and group, all in one."""

"""Interop namespace of OpenPegasus builds that do not use root/interop (the one or the other)."""

ROWS, SFCB, PEGASUS, PEGASUS_PG_INTEROP = (
    "libvirtcim.registration",
    "libvirtcim.reg",
    "libvirtcim-pegasus.mof",
    "libvirtcim-pegasus-pg_interop.mof",
)
"""File names that `write_registration` writes."""

PEGASUS_TYPES: Mapping[ProviderType, int] = {
    "instance": 2,
    "association": 3,
    "indication": 4,
    "method": 5,
}
"""Values of PG_ProviderCapabilities.ProviderType."""

_NOTE = "Written by `libvirtcim generate` from the provider modules: change those."


@dataclass(frozen=True, slots=True)
class Row:
    """One class in one namespace."""

    classname: str
    namespace: str
    provider: str
    types: tuple[ProviderType, ...]

    def __str__(self) -> str:
        return f"{self.classname} {self.namespace} {self.provider} {LIBRARY} {' '.join(self.types)}"


def rows(declarations: Iterable[ClassDecl], interop: str = INTEROP) -> list[Row]:
    """All rows, classes in order of declaration; `interop` is the name of that namespace."""
    return [
        Row(
            decl.class_name(prefix),
            interop if namespace == INTEROP else namespace,
            decl.registration.provider,
            kinds(decl.registration.types),
        )
        for decl in declarations
        if decl.registration is not None
        for prefix in decl.prefixes
        for namespace in decl.registration.namespaces
    ]


def kinds(types: Sequence[ProviderType]) -> tuple[ProviderType, ...]:
    """The provider types to register, in a fixed order.

    An association class is registered for instances too: CIMOMs answer EnumerateInstances of it
    with nothing, silently, where it is registered as an association alone.
    """
    wanted = {*types, "instance"} if "association" in types else set(types)
    return tuple(kind for kind in PEGASUS_TYPES if kind in wanted)


def render_rows(declarations: Sequence[ClassDecl]) -> str:
    """`Class Namespace ProviderName Module types…`; Pegasus-only rows between `# --` and `# --!`."""
    usual = rows(declarations)
    older = [row for row in rows(declarations, PG_INTEROP) if row.namespace == PG_INTEROP]
    text = f"# {_NOTE}\n# Classname Namespace ProviderName ProviderModule ProviderTypes\n"
    text += "".join(f"{row}\n" for row in usual)
    if older:
        text += "# -- OpenPegasus builds whose interop namespace is root/PG_InterOp\n"
        text += "".join(f"{row}\n" for row in older) + "# --!\n"
    return text


def render_sfcb(declarations: Iterable[ClassDecl], location: str = LIBRARY) -> str:
    """The stanzas of one `sfcbstage -r` file; `location`: the library to load."""
    stanzas = (
        f"[{row.classname}]\n"
        f"   provider: {LIBRARY}\n"
        f"   location: {location}\n"
        f"   type: {' '.join(row.types)}\n"
        f"   namespace: {row.namespace}\n"
        f"   group: {LIBRARY}\n"
        "   unload: never\n"
        "#\n"
        for row in rows(declarations)
    )
    return f"# {_NOTE}\n" + "".join(stanzas)


def render_pegasus(
    declarations: Iterable[ClassDecl], interop: str = INTEROP, location: str = LIBRARY
) -> str:
    """PG_ProviderModule, PG_Provider and PG_ProviderCapabilities, to compile into `interop`.

    `location`: the library to load. InterfaceVersion must be "2.0.0": OpenPegasus refuses every
    other for CMPI.
    """
    by_class: dict[str, list[Row]] = {}
    for row in rows(declarations, interop):
        by_class.setdefault(row.classname, []).append(row)
    instances = [
        _instance(
            "PG_ProviderModule",
            Name=LIBRARY,
            Location=location,
            Vendor=LIBRARY,
            Version=__version__,
            InterfaceType="CMPI",
            InterfaceVersion="2.0.0",
            ModuleGroupName=LIBRARY,
        ),
        _instance("PG_Provider", ProviderModuleName=LIBRARY, Name=LIBRARY),
    ]
    for classname, found in by_class.items():
        instances.append(
            _instance(
                "PG_ProviderCapabilities",
                ProviderModuleName=LIBRARY,
                ProviderName=LIBRARY,
                CapabilityID=classname,
                ClassName=classname,
                Namespaces=[row.namespace for row in found],
                ProviderType=[PEGASUS_TYPES[kind] for kind in found[0].types],
                SupportedProperties=None,
                SupportedMethods=None,
            )
        )
    return f"{LICENSE}// {_NOTE}\n// Compile into {interop}.\n\n" + "\n".join(instances)


def _instance(classname: str, **values: str | list[str] | list[int] | None) -> str:
    lines = (
        f"   {name} = {text_literal(value) if isinstance(value, str) else value_literal(value)};\n"
        for name, value in values.items()
    )
    return f"instance of {classname} {{\n{''.join(lines)}}};\n"


def render_registration(declarations: Sequence[ClassDecl]) -> dict[str, str]:
    """File name → content of all registration files."""
    return {
        ROWS: render_rows(declarations),
        SFCB: render_sfcb(declarations),
        PEGASUS: render_pegasus(declarations),
        PEGASUS_PG_INTEROP: render_pegasus(declarations, PG_INTEROP),
    }


def write_registration(declarations: Sequence[ClassDecl], directory: Path) -> None:
    """Brings `directory` up to date; other `libvirtcim*` files directly in it are removed."""
    write_files(render_registration(declarations), directory, "libvirtcim*")
