# SPDX-License-Identifier: LGPL-2.1-or-later
"""The base schema: complete in itself, strict, compiled ahead, and quickly loaded."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pywbem import MOFCompileError

from libvirtcim.cim import base, base_import, mof
from libvirtcim.cim.declare import INTEROP, VIRT
from libvirtcim.cim.schema import (
    INTEGER_RANGES,
    LocalClass,
    MethodInfo,
    ParameterInfo,
    PropertyInfo,
    QualifierType,
    Schema,
)
from tests.schema.conftest import MOF_BASE

OTHER_TYPES = {"real32", "real64", "string", "boolean", "char16", "datetime", "reference"}

Table = tuple[list[LocalClass], list[QualifierType]]


def features(cls: LocalClass) -> list[PropertyInfo | ParameterInfo]:
    """Properties and parameters."""
    return [*cls.properties, *(p for m in cls.methods for p in m.parameters)]


def test_table_is_up_to_date_with_its_mof() -> None:
    table = Path(base.__file__).with_name(base.TABLE).read_text(encoding="utf-8")
    assert base.compile_base(MOF_BASE) == table


def test_round_trip(base_table: Table) -> None:
    assert base.loads(base.dumps(*base_table)) == base_table


def test_round_trip_keeps_every_field() -> None:
    parameter = ParameterInfo("P", "string", True, False, True, True, None, "", {"MaxLen": 4})
    reference = ParameterInfo("R", "reference", reference_class="X_A")
    cls = LocalClass(
        "X_B",
        "X_A",
        (
            PropertyInfo("A", "uint8", True, True, None, None, [1, 2], 2, {"Values": ["a"]}),
            PropertyInfo("B", "string", embedded="", default="é", origin="X_A"),
        ),
        (MethodInfo("M", "uint32", (parameter, reference), {"Static": True}, "X_A"),),
        {"Version": "1.0.0"},
        (VIRT, INTEROP),
    )
    types = [QualifierType("Q", "string", True, ["x"], ("CLASS", "METHOD"), False, False, True)]
    assert base.loads(base.dumps([cls], types)) == ([cls], types)


def test_loading_is_quick(base_table: Table) -> None:
    start = time.perf_counter()
    base.load()
    print(f"base schema of {len(base_table[0])} classes: {time.perf_counter() - start:.4f} s")


def test_superclasses_come_first(base_table: Table) -> None:
    seen: set[str | None] = {None}
    for cls in base_table[0]:
        assert cls.superclass in seen, cls.name
        seen.add(cls.name)


def test_holds_every_class_asked_for(base_table: Table) -> None:
    assert {c.name for c in base_table[0]} >= {*base_import.root_names(), *base.HELD}


def test_everything_named_exists(base_table: Table) -> None:
    classes, types = base_table
    names, qualifiers = {c.name for c in classes}, {q.name for q in types}
    for cls in classes:
        for item in features(cls):
            assert item.type in {*INTEGER_RANGES, *OTHER_TYPES}, (cls.name, item)
            assert (item.type == "reference") == (item.reference_class is not None), cls.name
            for named in (item.reference_class, item.embedded):
                assert not named or named in names, (cls.name, item.name)
            assert qualifiers >= set(item.qualifiers)
        assert qualifiers >= set(cls.qualifiers)


def test_value_maps_are_paired(base_table: Table) -> None:
    for cls in base_table[0]:
        for item in (*features(cls), *cls.methods):
            numbers, meanings = item.qualifiers.get("ValueMap"), item.qualifiers.get("Values")
            if numbers is not None and meanings is not None:
                assert len(numbers) == len(meanings), (cls.name, item.name)


def test_no_texts_are_copied(base_table: Table) -> None:
    for cls in base_table[0]:
        for item in (cls, *features(cls), *cls.methods):
            assert not {"Description", "MappingStrings"} & set(item.qualifiers), cls.name


def test_one_class_per_file(base_table: Table) -> None:
    files = {path.stem for path in MOF_BASE.rglob("CIM_*.mof")}
    assert files == {c.name for c in base_table[0]}
    for path in MOF_BASE.rglob("*.mof"):
        assert path.read_text(encoding="utf-8").startswith(mof.LICENSE), path


def test_namespaces(base_table: Table) -> None:
    classes, types = base_table
    schema = Schema(classes, types, (VIRT, INTEROP))
    assert schema.find(INTEROP, "CIM_Namespace")
    assert schema.find(VIRT, "CIM_Namespace") is None
    assert schema.find(VIRT, "CIM_Processor") is None, "comes with its subclasses"
    assert {c.name: c.namespaces for c in classes if c.namespaces} == base.HELD


def test_broken_mof_is_refused(tmp_path: Path) -> None:
    (tmp_path / base.INDEX).write_text("class X_A : X_Missing {};\n")
    with pytest.raises(MOFCompileError):
        base.compile_base(tmp_path)
