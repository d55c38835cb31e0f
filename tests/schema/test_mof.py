# SPDX-License-Identifier: LGPL-2.1-or-later
"""MOF as written: literals, layout, order, and that strict compilers take it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pywbem import MOFCompiler, MOFWBEMConnection

from libvirtcim.cim import base, mof
from libvirtcim.cim.declare import CIMV2, INTEROP, VIRT, ClassDecl, Property, expand_all
from libvirtcim.cim.schema import LocalClass, PropertyInfo, QualifierType
from tests.schema.conftest import ROOT, Archive, compile_against, compile_strictly
from tests.schema.sample import COMPONENT, CREATED, DISK, RASD, SAMPLE, SERVICE

QUALIFIERS = "".join(map(mof.qualifier_type_mof, base.load()[1]))


@pytest.mark.parametrize(
    ("value", "cim_type", "literal"),
    [
        (None, "string", "NULL"),
        (True, "boolean", "true"),
        (False, "boolean", "false"),
        (-5, "sint16", "-5"),
        (1.5, "real32", "1.5"),
        ("a", "string", '"a"'),
        ('say "a\\b"', "string", r'"say \"a\\b\""'),
        ("a\n\tb\x01", "string", r'"a\n\tb\x0001"'),
        ("ü", "string", '"ü"'),
        ("'", "char16", r"'\''"),
        ('"', "char16", "'\"'"),
        ([], "string", "{ }"),
        (["a", "b"], "string", '{ "a", "b" }'),
        ([1, 2], "uint8", "{ 1, 2 }"),
    ],
)
def test_literals(value: Any, cim_type: str, literal: str) -> None:
    assert mof.value_literal(value, cim_type) == literal


def compiled(text: str) -> Any:
    """Value of the qualifier Description of the one class in `text`."""
    repository = MOFWBEMConnection()
    MOFCompiler(repository, log_func=None).compile_string(QUALIFIERS + text, VIRT)
    (cls,) = repository.classes[VIRT].values()
    return cls


@given(st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF), max_size=300))
def test_any_text_survives(text: str) -> None:
    cls = compiled(mof.class_mof(LocalClass("X_A", qualifiers={"Description": text})))
    assert cls.qualifiers["Description"].value == text


@given(st.lists(st.text(st.sampled_from('ab "\\,{}'), max_size=30), min_size=1, max_size=30))
def test_any_array_survives(texts: list[str]) -> None:
    prop = PropertyInfo("A", "string", array=True, default=texts, qualifiers={"Values": texts})
    found = compiled(mof.class_mof(LocalClass("X_A", properties=(prop,)))).properties["A"]
    assert found.value == texts
    assert found.qualifiers["Values"].value == texts


@pytest.mark.parametrize("declared", base.load()[1], ids=lambda q: q.name)
def test_qualifier_declarations_survive(declared: QualifierType) -> None:
    repository = MOFWBEMConnection()
    text = mof.qualifier_type_mof(declared)
    MOFCompiler(repository, log_func=None).compile_string(text, VIRT)
    assert base.type_from_pywbem(repository.qualifiers[VIRT][declared.name]) == declared


def test_base_classes_survive() -> None:
    """Writing what was compiled and compiling that gives the same again."""
    classes, _types = base.load()
    repository = MOFWBEMConnection()
    text = QUALIFIERS + "\n".join(map(mof.class_mof, classes))
    MOFCompiler(repository, log_func=None).compile_string(text, VIRT)
    assert [base.from_pywbem(c) for c in repository.classes[VIRT].values()] == classes


DISK_MOF = r"""
[Description ( "Settings of a disk: \"quoted\", with a back\\slash | and a bar." )]
class KVM_DiskResourceAllocationSettingData : KVM_ResourceAllocationSettingData {

   [Description ( "What the guest sees." ), ValueMap { "0", "1" }, Values { "Disk", "CD, DVD" }]
   uint16 EmulatedType;

   [Override ( "Address" ), Description ( "Path of the image." )]
   string Address;

   [Description ( "Words." )]
   string Tags[] = { "a", "b\"c" };

   [Description ( "Its share." ), MinValue ( -10 )]
   sint16 Weighting = -5;

   [Description ( "Whether it is shown." )]
   boolean Shown = true;

   [EmbeddedInstance ( "KVM_ResourceAllocationSettingData" ), Description ( "Its pool." )]
   string Inner;
};
"""
COMPONENT_MOF = """
[Association, Aggregation, Description ( "A pool and what it is made of." )]
class LXC_ConcreteComponent : CIM_ConcreteComponent {

   [Key, Override ( "PartComponent" ), Description ( "The part." )]
   LXC_DiskResourceAllocationSettingData REF PartComponent;
};
"""
CREATED_MOF = """
[Indication, Description ( "A guest has come into being." )]
class LXC_ComputerSystemCreatedIndication : CIM_InstCreation {
};
"""
SERVICE_MOF = """
[Description ( "Makes volumes." )]
class KVM_ResourcePoolConfigurationService : CIM_ResourcePoolConfigurationService {

   [Description ( "Makes a volume." )]
   uint32 CreateResourceInPool(
      [EmbeddedInstance ( "CIM_ResourceAllocationSettingData" ), Required,
       Description ( "What to make." )]
      string Settings[],
      [Description ( "Where to make it." )]
      CIM_ResourcePool REF Pool,
      [In ( false ), Out, Description ( "What was made." )]
      KVM_DiskResourceAllocationSettingData REF Resource);

   [Description ( "Looks again." )]
   uint32 RefreshAll();
};
"""


@pytest.mark.parametrize(
    ("base_name", "expected"),
    [
        (DISK.base, DISK_MOF),
        (COMPONENT.base, COMPONENT_MOF),
        (CREATED.base, CREATED_MOF),
        (SERVICE.base, SERVICE_MOF),
    ],
)
def test_layout(base_name: str, expected: str) -> None:
    text = mof.render_mof(SAMPLE)[f"{base_name}.mof"]
    assert text.startswith(mof.HEADER)
    assert expected in text


def test_long_texts_and_arrays_are_wrapped() -> None:
    words = "word " * 60
    prop = PropertyInfo(
        "A", "string", qualifiers={"Description": words, "Values": [f"v{n}" for n in range(60)]}
    )
    text = mof.class_mof(LocalClass("X_A", properties=(prop,)))
    assert max(map(len, text.splitlines())) <= mof.WIDTH + 4
    assert compiled(text).properties["A"].qualifiers["Description"].value == words


def test_redeclared_method_gets_override(base_table: Any) -> None:
    (service,) = expand_all([SERVICE])
    schema = mof.declared_schema([SERVICE])
    info, parent = mof.resolved(schema, service)
    again = LocalClass(service.name, service.superclass, methods=(info.methods[0],))
    (method,) = mof.strict(again, info, parent).methods
    assert method.qualifiers["Override"] == info.methods[0].name


def test_namespace_files_include_superclasses_first() -> None:
    rendered = mof.render_mof(SAMPLE)
    assert set(rendered) == {
        *(f"{decl.base}.mof" for decl in SAMPLE),
        *map(mof.namespace_file, (VIRT, INTEROP, CIMV2)),
    }
    virt = rendered[mof.namespace_file(VIRT)]
    order = [f'"{decl.base}.mof"' for decl in (RASD, DISK, COMPONENT)]
    assert sorted(order, key=virt.index) == order
    assert f'"{COMPONENT.base}.mof"' in rendered["root-interop.mof"]
    assert f'"{DISK.base}.mof"' not in rendered["root-interop.mof"]


def test_namespace_file_has_the_superclasses_of_its_classes() -> None:
    leaf = ClassDecl(
        "Leaf", "{P}_ResourceAllocationSettingData", "Leaf.", ("KVM",), namespaces=(CIMV2,)
    )
    assert '"ResourceAllocationSettingData.mof"' in mof.render_mof([leaf, RASD])["root-cimv2.mof"]


def test_references_in_a_circle_are_written_all_the_same() -> None:
    def pointing(name: str, to: str) -> ClassDecl:
        prop = Property("Other", "string", "The other.", embedded=f"{{P}}_{to}")
        return ClassDecl(name, "CIM_SettingData", "One of two.", ("KVM",), (prop,))

    rendered = mof.render_mof([pointing("A", "B"), pointing("B", "A")])
    assert '"A.mof"' in rendered["root-virt.mof"]


def test_writing_is_stable_and_removes_what_is_gone(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    for kept in ("base/CIM_A.mof", "notes.txt"):
        (tmp_path / kept).write_text("kept")
    (tmp_path / "Gone.mof").write_text("gone")
    mof.write_mof(SAMPLE, tmp_path)
    first = {p.name: p.read_text() for p in tmp_path.glob("*") if p.is_file()}
    mof.write_mof(SAMPLE, tmp_path)
    assert {p.name: p.read_text() for p in tmp_path.glob("*") if p.is_file()} == first
    assert "Gone.mof" not in first
    assert "notes.txt" in first
    assert (tmp_path / "base/CIM_A.mof").exists()


def test_order_does_not_depend_on_the_hash_seed() -> None:
    script = """if True:
        from libvirtcim.cim import base, mof
        from tests.schema.sample import SAMPLE
        print(list(mof.render_mof(SAMPLE).items()), base.in_order(base.load()[0]))
    """
    command = [sys.executable, "-c", script]
    written = {
        subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(written) == 1


def test_declared_classes_compile_strictly(declarations: list[ClassDecl], tmp_path: Path) -> None:
    there = compile_strictly(declarations, tmp_path).EnumerateClassNames(
        namespace=VIRT, DeepInheritance=True
    )
    assert {c.name for c in expand_all(declarations) if VIRT in c.namespaces} <= set(there)


def test_declared_classes_compile_against_releases(
    archive: Archive, declarations: list[ClassDecl], tmp_path: Path
) -> None:
    """What a release has no superclass for is named; it must be one of those that it lacks."""
    mof.write_mof(declarations, tmp_path)
    present = {path.stem for path in archive.unpacked.rglob("*.mof")}
    ours = {c.name for c in expand_all(declarations)}
    lacking = {
        decl.base: decl.superclass
        for decl in declarations
        if "{P}" not in decl.superclass and decl.superclass not in present | ours
    }
    print(f"{archive.version} lacks {sorted(lacking.values())}: {sorted(lacking)} not compiled")
    assert set(lacking.values()) <= set(archive.missing)
    index = (tmp_path / mof.namespace_file(VIRT)).read_text()
    files = [line.split('"')[1] for line in index.splitlines() if line.startswith("#pragma")]
    compile_against(archive, [tmp_path / f for f in files if Path(f).stem not in lacking])
