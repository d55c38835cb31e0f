# SPDX-License-Identifier: LGPL-2.1-or-later
"""The base schema agrees with the DMTF's releases: with its origin exactly, with others mostly."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from libvirtcim.cim.schema import LocalClass, QualifierType
from tests.schema.conftest import Archive

ORIGIN = "2.41"
FACTS = ("ValueMap", "Values", "Association", "Indication", "Override", "Abstract")

ONLY_EXPERIMENTAL = {
    "CIM_MostCurrentSnapshotInBranch",
    "CIM_VirtualSystemMigrationCapabilities",
    "CIM_VirtualSystemMigrationService",
}
"""Classes that no final release has."""
NOT_IN_CHAINS = {"CIM_AbstractComponent", "CIM_Message"}
"""Superclasses of other classes here, which 2.49 derives without them."""

CHANGED = {
    "CIM_Component",
    "CIM_ComputerSystem",
    "CIM_ConcreteJob",
    "CIM_Controller",
    "CIM_ElementSettingData",
    "CIM_Error",
    "CIM_LogicalDisk",
    "CIM_Processor",
    "CIM_ResourcePool",
    "CIM_StorageVolume",
}
"""Classes that 2.49 has with other values, properties or superclasses. It lacks properties that are
set here: IsMinimum, IsMaximum and IsPending of CIM_ElementSettingData."""


def facts(cls: LocalClass) -> dict[str, object]:
    """What must not differ, by a name that tells where it is."""
    found: dict[str, object] = {"superclass": cls.superclass}
    for name in FACTS:
        if name in cls.qualifiers:
            found[name] = cls.qualifiers[name]
    for prop in cls.properties:
        where = f"property {prop.name}"
        found[where] = (prop.type, prop.array, prop.key, prop.reference_class, prop.embedded)
        found[f"{where} default"] = prop.default
        found |= {f"{where} {n}": v for n, v in prop.qualifiers.items() if n in FACTS}
    for method in cls.methods:
        where = f"method {method.name}"
        found[where] = method.type
        found |= {f"{where} {n}": v for n, v in method.qualifiers.items() if n in FACTS}
        for p in method.parameters:
            found[f"{where} {p.name}"] = (
                (p.type, p.array, p.is_in, p.is_out, p.required),
                (p.reference_class, p.embedded),
            )
    return found


def shown(fact: object) -> str:
    """The fact, shortened."""
    return textwrap.shorten(repr(fact), 80)


def differences(ours: LocalClass, theirs: LocalClass) -> Iterator[str]:
    """Facts of one that are not those of the other."""
    mine, other = facts(ours), facts(theirs)
    for where in sorted({*mine, *other}):
        if mine.get(where) != other.get(where):
            yield f"{ours.name}: {where}: {shown(mine.get(where))} here, {shown(other.get(where))} there"


def test_classes(
    archive: Archive, base_table: tuple[list[LocalClass], list[QualifierType]]
) -> None:
    ours = {c.name: c for c in base_table[0]}
    if archive.version == ORIGIN:
        assert not archive.missing
        assert list(ours) == list(archive.classes)
        for name, cls in ours.items():
            theirs = archive.classes[name]
            assert not list(differences(cls, theirs)), name
            assert cls.qualifiers == theirs.qualifiers
            assert cls.properties == theirs.properties
            assert cls.methods == theirs.methods
        return
    lacks = set(ours) - set(archive.classes)
    assert set(archive.missing) == ONLY_EXPERIMENTAL
    assert lacks == ONLY_EXPERIMENTAL | NOT_IN_CHAINS
    found = [d for n in sorted(set(ours) - lacks) for d in differences(ours[n], archive.classes[n])]
    print(f"{archive.version} lacks {', '.join(sorted(lacks))}", *found, sep="\n")
    assert {text.split(":")[0] for text in found} == CHANGED


def test_types_of_shared_properties(
    archive: Archive, base_table: tuple[list[LocalClass], list[QualifierType]]
) -> None:
    """A provider fills the same types whichever release the CIMOM has."""
    for ours in base_table[0]:
        theirs = archive.classes.get(ours.name)
        others = {p.name: p for p in theirs.properties} if theirs else {}
        for prop in ours.properties:
            if prop.name in others:
                other = others[prop.name]
                assert (prop.type, prop.array) == (other.type, other.array), (ours.name, prop.name)


def test_qualifier_declarations(
    archive: Archive, base_table: tuple[list[LocalClass], list[QualifierType]]
) -> None:
    ours = {q.name: q for q in base_table[1]}
    if archive.version == ORIGIN:
        assert ours == archive.types
    else:
        shared = set(ours) & set(archive.types)
        print("qualifiers not there:", ", ".join(sorted(set(ours) - shared)))
        assert {n: ours[n].type for n in shared} == {n: archive.types[n].type for n in shared}
