# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which DMTF classes and qualifiers a namespace is given: those that it lacks and ours need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from pywbem import MOFCompiler, MOFWBEMConnection

from libvirtcim import composition
from libvirtcim.cim import base
from libvirtcim.cim.declare import ClassDecl
from libvirtcim.register import schema
from libvirtcim.register.schema import Declared

BASE = Path(__file__).parents[2] / "mof/base"


@pytest.fixture(scope="module")
def declarations() -> list[ClassDecl]:
    """What the provider modules declare."""
    return composition.declarations()


@pytest.fixture(scope="module")
def everything() -> Declared:
    """What `mof/base` declares."""
    found = Declared()
    for file in BASE.rglob("*.mof"):
        found |= schema.declared(file.read_text())
    return found


def compiled(namespace: str, *texts: str) -> set[str]:
    """Names of the classes that a strict compiler makes of the texts, one after the other."""
    repository = MOFWBEMConnection()
    compiler = MOFCompiler(repository, search_paths=[], log_func=None)
    for text in texts:
        compiler.compile_string(text, namespace)
    return set(repository.classes[namespace])


def test_the_base_is_read_completely(everything: Declared) -> None:
    classes, types = base.load()
    assert everything.classes == {c.name for c in classes}
    assert everything.qualifiers == {t.name for t in types}


def test_an_empty_namespace_is_given_all_it_needs(declarations: list[ClassDecl]) -> None:
    assert schema.namespaces(declarations) == ["root/virt", "root/interop", "root/cimv2"]
    for namespace in schema.namespaces(declarations):
        added = schema.additions(declarations, namespace, Declared())
        own = {c.name for c in schema.own_classes(declarations, namespace)}
        made = compiled(namespace, added.mof, schema.own_mof(declarations, namespace))
        assert made == own | {c.name for c in added.classes}
        assert len(added.classes) < len(base.load()[0]), "only what is needed"


def test_a_full_namespace_is_given_nothing(
    declarations: list[ClassDecl], everything: Declared
) -> None:
    added = schema.additions(declarations, "root/virt", everything)
    assert (added.classes, added.qualifiers, added.mof) == ((), (), "")


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        (["CIM_DisplayController"], ["CIM_DisplayController"]),
        # each after its superclass, and not what only others of the DMTF's derive from
        (
            ["CIM_DisplayController", "CIM_Controller", "CIM_StorageVolume"],
            ["CIM_Controller", "CIM_DisplayController"],
        ),
        # spelled as the server spells it
        (["CIM_displaycontroller"], []),
    ],
)
def test_what_is_missing_is_added(
    declarations: list[ClassDecl], everything: Declared, gone: list[str], expected: Sequence[str]
) -> None:
    respelled = {name for name in gone if name not in everything.classes}
    classes = {c for c in everything.classes if c.lower() not in {name.lower() for name in gone}}
    present = Declared(frozenset(classes | respelled), everything.qualifiers - {"PUnit"})
    added = schema.additions(declarations, "root/virt", present)
    assert [c.name for c in added.classes] == list(expected)
    assert [t.name for t in added.qualifiers] == (["PUnit"] if expected else []), "those in use"
    assert [name for name in expected if f"class {name} :" not in added.mof] == []


@pytest.mark.parametrize(
    ("text", "classes", "qualifiers"),
    [
        ("class A {\n};\nclass B : A { uint8 x; };", {"A", "B"}, set()),
        ('[Description ("class X : Y {")]\nclass A {};', {"A"}, set()),
        ("// class X {}\n/* class Y {} */ class A {};", {"A"}, set()),
        ('#pragma include ("x.mof")\nclass A\n{};', {"A"}, set()),
        ("Qualifier Key : boolean = false, Scope(property);\n[Key] class A {};", {"A"}, {"Key"}),
        ("QUALIFIER q : string;CLASS a{};", {"a"}, {"q"}),
        ('instance of A { Name = "class B {}"; };', set(), set()),
    ],
)
def test_declared(text: str, classes: set[str], qualifiers: set[str]) -> None:
    assert schema.declared(text) == Declared(frozenset(classes), frozenset(qualifiers))


def test_includes() -> None:
    text = '#pragma include ("a.mof")\n// #pragma include ("b.mof")\n#PRAGMA Include("c/d.mof")\n'
    assert schema.includes(text) == ["a.mof", "c/d.mof"]
