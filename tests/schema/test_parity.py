# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nothing of libvirt-cim's class model is lost: `tests/data/class-model.json` is the yardstick.

The yardstick holds facts of libvirt-cim 0.6.3's classes, with the value maps corrected that were
wrong there. Additions to it are fine; a class counts as soon as its base name is declared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from libvirtcim.cim import mof
from libvirtcim.cim.declare import CIMV2, INTEROP, PG_INTEROP, VIRT, ClassDecl
from libvirtcim.cim.registration import kinds
from libvirtcim.cim.schema import ClassInfo, MethodInfo, ParameterInfo, PropertyInfo, Schema

Model = dict[str, dict[str, Any]]

MODEL: Model = json.loads(
    (Path(__file__).parents[1] / "data/class-model.json").read_text(encoding="utf-8")
)
CLASSES, REGISTRATIONS = 226, 234

MUST_BE_COVERED = {
    "HostSystem",
    "ComputerSystem",
    "EnabledLogicalElementCapabilities",
    "Memory",
    "Processor",
    "LogicalDisk",
    "NetworkPort",
    "DisplayController",
    "ConsoleDisplayController",
    "PointingDevice",
    "Controller",
    "VirtualSystemSettingData",
    "ResourceAllocationSettingData",
    "CharacterResourceAllocationSettingData",
    "ConsoleResourceAllocationSettingData",
    "ControllerResourceAllocationSettingData",
    "DiskResourceAllocationSettingData",
    "DiskPoolResourceAllocationSettingData",
    "GraphicsResourceAllocationSettingData",
    "InputResourceAllocationSettingData",
    "MemResourceAllocationSettingData",
    "NetResourceAllocationSettingData",
    "NetPoolResourceAllocationSettingData",
    "ProcResourceAllocationSettingData",
    "StorageVolumeResourceAllocationSettingData",
    "SystemDevice",
    "VirtualSystemSettingDataComponent",
    "SettingsDefineState",
    "ElementSettingData",
    "HostedDependency",
}
"""Base names that are declared by now; the set grows until it holds all of the yardstick."""


NAMESPACES = {
    INTEROP: [
        "AllocationCapabilities",
        "ComputerSystem",
        "DiskPool",
        "ElementConformsToProfile",
        "HostSystem",
        "MemoryPool",
        "NetworkPool",
        "ProcessorPool",
        "ReferencedProfile",
        "RegisteredProfile",
        "VirtualSystemMigrationService",
    ],
    CIMV2: [
        "ComputerSystem",
        "ElementCapabilities",
        "ElementConformsToProfile",
        "HostedAccessPoint",
        "HostedDependency",
        "HostedResourcePool",
        "HostedService",
        "RegisteredProfile",
    ],
}
"""Base names of the classes that libvirt-cim installs in further namespaces than root/virt."""


def base_name(classname: str) -> str:
    """The class name after prefix and underscore."""
    return classname.partition("_")[2]


def type_of(item: PropertyInfo | ParameterInfo) -> str:
    """The type as the yardstick writes it."""
    kind = f"{item.reference_class} REF" if item.type == "reference" else item.type
    return f"{kind}[]" if item.array else kind


def losses(model: dict[str, Any], info: ClassInfo, schema: Schema) -> Iterator[str]:
    """What the class lacks of its model."""
    if not info.is_a(model["superclass"]):
        yield f"superclass {model['superclass']}, is {info.superclass}"
    if {key.name for key in info.keys} != set(model["keys"]):
        yield f"keys {model['keys']}, are {[key.name for key in info.keys]}"
    for flag, found in (
        ("association", info.is_association),
        ("indication", info.is_indication),
    ):
        if model.get(flag, False) != found:
            yield f"{flag} is {found}"
    for name, prop in model.get("properties", {}).items():
        yield from property_losses(name, prop, info, schema)
    for name, method in model.get("methods", {}).items():
        yield from method_losses(name, method, info.method(name))


def property_losses(
    name: str, model: dict[str, Any], info: ClassInfo, schema: Schema
) -> Iterator[str]:
    """What one property lacks."""
    found = info.by_name.get(name.lower())
    if found is None:
        yield f"property {name}"
        return
    if found.name != name:
        yield f"property {name}, is {found.name}"
    if type_of(found) != model["type"]:
        yield f"{name}: type {model['type']}, is {type_of(found)}"
    inherits = (
        info.superclass is not None
        and name.lower()
        in schema.get(
            VIRT if VIRT in info.local.namespaces else info.local.namespaces[0], info.superclass
        ).by_name
    )
    if model.get("override", False) and not inherits:
        yield f"{name}: overrides nothing"
    if "default" in model and found.default != model["default"]:
        yield f"{name}: default {model['default']}, is {found.default}"
    for qualifier in ("MinValue", "MaxValue", "Min", "Max"):
        if qualifier in model and found.qualifiers.get(qualifier) != model[qualifier]:
            yield f"{name}: {qualifier} {model[qualifier]}"
    values = dict(
        zip(found.qualifiers.get("ValueMap", ()), found.qualifiers.get("Values", ()), strict=True)
    )
    for number, meaning in model.get("values", {}).items():
        if values.get(number) != meaning:
            yield f"{name}: value {number} {meaning!r}, is {values.get(number)!r}"


def method_losses(name: str, model: dict[str, Any], found: MethodInfo | None) -> Iterator[str]:
    """What one method lacks; the parameters must be the same, in the same order."""
    if found is None:
        yield f"method {name}"
        return
    if found.type != model["type"]:
        yield f"{name}: returns {model['type']}, is {found.type}"
    described = []
    for parameter in found.parameters:
        row: dict[str, Any] = {"name": parameter.name, "type": type_of(parameter)}
        if parameter.embedded is not None:
            row["embedded"] = parameter.embedded
        if parameter.is_out:
            row["out"] = True
        if not parameter.is_in:
            row["in"] = False
        described.append(row)
    if described != model["parameters"]:
        yield f"{name}: parameters {model['parameters']}, are {described}"


def registered(decl: ClassDecl) -> set[tuple[str, str, str]]:
    """(namespace, provider, type) of what a CIMOM is told about each class of the declaration.

    A class in root/interop is in root/PG_InterOp for the CIMOMs that call it so.
    """
    if decl.registration is None:
        return set()
    namespaces = set(decl.registration.namespaces)
    if INTEROP in namespaces:
        namespaces.add(PG_INTEROP)
    provider = decl.registration.provider
    return {(n, provider, t) for n in namespaces for t in kinds(decl.registration.types)}


@pytest.fixture(scope="module")
def by_class(declarations: list[ClassDecl]) -> dict[str, ClassDecl]:
    """Class name → its declaration."""
    return {decl.class_name(prefix): decl for decl in declarations for prefix in decl.prefixes}


def test_yardstick_is_whole() -> None:
    assert len(MODEL) == CLASSES
    assert sum(len(model.get("registrations", ())) for model in MODEL.values()) == REGISTRATIONS
    assert {base_name(name) for name in MODEL} >= MUST_BE_COVERED


def test_everything_due_is_declared(declarations: list[ClassDecl]) -> None:
    assert MUST_BE_COVERED - {decl.base for decl in declarations} == set()


def test_no_class_is_lost(by_class: dict[str, ClassDecl]) -> None:
    bases = {decl.base for decl in by_class.values()}
    expected = {name for name in MODEL if base_name(name) in bases}
    assert expected - set(by_class) == set()
    print(f"classes covered: {len(expected)} of {CLASSES}")


def test_nothing_of_a_class_is_lost(
    declarations: list[ClassDecl], by_class: dict[str, ClassDecl]
) -> None:
    schema = mof.declared_schema(declarations)
    lost = [
        f"{name} lacks {loss}"
        for name, decl in by_class.items()
        if name in MODEL
        for loss in losses(MODEL[name], schema.get(decl.namespaces[0], name), schema)
    ]
    assert not lost, "\n".join(lost)


def test_no_namespace_is_lost(declarations: list[ClassDecl]) -> None:
    lost = [
        f"{decl.base} is not in {namespace}"
        for decl in declarations
        for namespace, bases in NAMESPACES.items()
        if decl.base in bases and namespace not in decl.namespaces
    ]
    assert not lost, "\n".join(lost)


def test_no_registration_is_lost(by_class: dict[str, ClassDecl]) -> None:
    lost, covered = [], 0
    for name, decl in by_class.items():
        for row in MODEL.get(name, {}).get("registrations", ()):
            wanted = {(row["namespace"], row["provider"], kind) for kind in row["types"]}
            missing = wanted - registered(decl)
            lost += [f"{name} lacks {' '.join(part)}" for part in sorted(missing)]
            covered += not missing
    print(f"registrations covered: {covered} of {REGISTRATIONS}")
    assert not lost, "\n".join(lost)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "uint8"},
        {"array": True},
        {"name": "Other"},
        {"values": {"0": "Disk"}},
        {"name": "emulatedtype"},
    ],
)
def test_a_loss_is_seen(declarations: list[ClassDecl], change: dict[str, Any]) -> None:
    name = "KVM_DiskResourceAllocationSettingData"
    changed = [
        replace(
            decl,
            properties=tuple(
                replace(p, **change) if p.name == "EmulatedType" else p for p in decl.properties
            ),
        )
        for decl in declarations
    ]
    schema = mof.declared_schema(changed)
    assert list(losses(MODEL[name], schema.get(VIRT, name), schema))
