# SPDX-License-Identifier: LGPL-2.1-or-later
"""Inheritance as `Schema` resolves it is inheritance as pywbem's repository resolves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pywbem import CIMClass
from pywbem_mock import FakedWBEMConnection  # type: ignore[import-untyped]

from libvirtcim.cim import base, mof
from libvirtcim.cim.declare import VIRT, ClassDecl, expand_all
from libvirtcim.cim.schema import ClassInfo, ParameterInfo, PropertyInfo, Schema
from tests.schema.conftest import compile_strictly
from tests.schema.sample import SAMPLE


def qualifiers_of(item: PropertyInfo | ParameterInfo) -> dict[str, Any]:
    """Qualifiers with those that have fields of their own."""
    own: dict[str, Any] = dict(item.qualifiers)
    if isinstance(item, PropertyInfo):
        own |= {"Key": True} if item.key else {}
    else:
        own |= {} if item.is_in else {"In": False}
        own |= {"Out": True} if item.is_out else {}
        own |= {"Required": True} if item.required else {}
    if item.embedded is not None:
        own |= {"EmbeddedInstance": item.embedded} if item.embedded else {"EmbeddedObject": True}
    return own


def theirs_of(qualifiers: Mapping[str, Any]) -> dict[str, Any]:
    """pywbem's qualifiers as plain values; In is left out where it says the default."""
    plain = {q.name: base._plain(q.value) for q in qualifiers.values()}
    return {name: value for name, value in plain.items() if (name, value) != ("In", True)}


def described(info: ClassInfo) -> dict[str, Any]:
    """Our view."""
    return {
        "superclass": info.superclass,
        "qualifiers": dict(info.qualifiers),
        "keys": {p.name for p in info.keys},
        "properties": {
            p.name: (p.type, p.array, p.reference_class, p.default, p.origin, qualifiers_of(p))
            for p in info.properties
        },
        "methods": {
            m.name: (
                m.type,
                m.origin,
                dict(m.qualifiers),
                {
                    p.name: (p.type, p.array, p.reference_class, qualifiers_of(p))
                    for p in m.parameters
                },
            )
            for m in info.methods
        },
    }


def described_there(cls: CIMClass) -> dict[str, Any]:
    """pywbem's view."""
    return {
        "superclass": cls.superclass,
        "qualifiers": theirs_of(cls.qualifiers),
        "keys": {p.name for p in cls.properties.values() if "Key" in p.qualifiers},
        "properties": {
            p.name: (
                p.type,
                bool(p.is_array),
                p.reference_class,
                base._plain(p.value),
                p.class_origin,
                theirs_of(p.qualifiers),
            )
            for p in cls.properties.values()
        },
        "methods": {
            m.name: (
                m.return_type,
                m.class_origin,
                theirs_of(m.qualifiers),
                {
                    p.name: (p.type, bool(p.is_array), p.reference_class, theirs_of(p.qualifiers))
                    for p in m.parameters.values()
                },
            )
            for m in cls.methods.values()
        },
    }


def whole_schema(declarations: list[ClassDecl]) -> Schema:
    """Every class in one namespace, as strict MOF has it."""
    declared = mof.declared_schema(declarations)
    classes, types = base.load()
    expanded = [
        mof.strict(local, *mof.resolved(declared, local)) for local in expand_all(declarations)
    ]
    everywhere = [
        type(c)(c.name, c.superclass, c.properties, c.methods, c.qualifiers, (VIRT,))
        for c in (*classes, *expanded)
    ]
    return Schema(everywhere, types, (VIRT,))


def compare(schema: Schema, connection: FakedWBEMConnection) -> int:
    """Compares every class; returns how many."""
    names = connection.EnumerateClassNames(namespace=VIRT, DeepInheritance=True)
    there = {
        name: connection.GetClass(
            name, VIRT, LocalOnly=False, IncludeQualifiers=True, IncludeClassOrigin=True
        )
        for name in names
    }
    ours = {cls.name: cls for cls in schema.subclasses(VIRT, None, deep=True)}
    assert set(ours) == set(there)
    for name, info in ours.items():
        assert described(info) == described_there(there[name]), name
    return len(ours)


def test_sample(tmp_path: Path) -> None:
    declarations = list(SAMPLE)
    assert compare(whole_schema(declarations), compile_strictly(declarations, tmp_path)) > 100


def test_all_declared_classes(declarations: list[ClassDecl], tmp_path: Path) -> None:
    in_one = [replace(decl, namespaces=(VIRT,)) for decl in declarations]
    compared = compare(whole_schema(in_one), compile_strictly(in_one, tmp_path))
    print(f"{compared} classes resolved alike")


@pytest.mark.parametrize(
    ("name", "prop", "origin"),
    [
        ("CIM_ComputerSystem", "Name", "CIM_ManagedSystemElement"),
        ("CIM_ComputerSystem", "ElementName", "CIM_ManagedElement"),
        ("CIM_SystemDevice", "GroupComponent", "CIM_AbstractComponent"),
    ],
)
def test_origin_is_the_introducing_class(name: str, prop: str, origin: str) -> None:
    assert whole_schema([]).get(VIRT, name).by_name[prop.lower()].origin == origin
