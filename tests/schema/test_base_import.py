# SPDX-License-Identifier: LGPL-2.1-or-later
"""The import takes what is needed out of an archive, and nothing but facts."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from libvirtcim.cim import base, base_import
from libvirtcim.cim.declare import VIRT

QUALIFIERS = """
Qualifier Key : boolean = false, Scope(property, reference), Flavor(DisableOverride, ToSubclass);
Qualifier Association : boolean = false, Scope(association), Flavor(DisableOverride, ToSubclass);
Qualifier Description : string = null, Scope(any), Flavor(EnableOverride, ToSubclass, Translatable);
Qualifier Deprecated : string[], Scope(any), Flavor(EnableOverride, Restricted);
Qualifier ValueMap : string[], Scope(property, method, parameter);
Qualifier In : boolean = true, Scope(parameter), Flavor(DisableOverride, ToSubclass);
Qualifier Out : boolean = false, Scope(parameter), Flavor(DisableOverride, ToSubclass);
Qualifier Required : boolean = false, Scope(property, parameter);
Qualifier EmbeddedInstance : string = null, Scope(property, method, parameter);
"""
OPTIONAL = "Qualifier UMLPackagePath : string = null, Scope(class, association);\n"
CLASSES = {
    "Core/CIM_Top.mof": """[Description("Copied?"), UMLPackagePath("CIM::Core")]
        class CIM_Top { [Key, Description("Copied?")] string ID; };""",
    "Core/CIM_Thing.mof": """class CIM_Thing : CIM_Top {
        [ValueMap { "1", "2" }, Deprecated { "Other" }] uint16 Kind = 2;
        [Description("Copied?")] uint32 Act(
            [Required, EmbeddedInstance("CIM_Inner")] string What,
            [In(false), Out] CIM_Far REF Made[]); };""",
    "Core/CIM_Inner.mof": "class CIM_Inner { uint8 Numbers[4]; };",
    "Device/CIM_Far.mof": "class CIM_Far : CIM_Top { datetime When; };",
    "Device/CIM_Unused.mof": "class CIM_Unused : CIM_Top { };",
}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A small archive laid out as the DMTF's are."""
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("qualifiers.mof", QUALIFIERS)
        packed.writestr("qualifiers_optional.mof", OPTIONAL)
        for name, text in CLASSES.items():
            packed.writestr(name, text)
    return path


def test_writes_the_class_and_all_it_needs(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_import, "ROOTS", {"test": "CIM_Thing"})
    target = tmp_path / "base"
    (target / "Old").mkdir(parents=True)
    (target / "Old/CIM_Gone.mof").write_text("class CIM_Gone {};")
    assert base_import.import_base(archive, target) == 4
    assert {str(p.relative_to(target)) for p in target.rglob("*.mof")} == {
        "Core/CIM_Inner.mof",
        "Core/CIM_Thing.mof",
        "Core/CIM_Top.mof",
        "Device/CIM_Far.mof",
        "cim_schema.mof",
        "qualifiers.mof",
    }
    text = "".join(path.read_text() for path in target.rglob("CIM_*.mof"))
    assert "Copied" not in text
    assert "Deprecated" not in text
    classes = {c.name: c for c in base.compile_mof(target)[0]}
    (kind,), (act,) = classes["CIM_Thing"].properties, classes["CIM_Thing"].methods
    assert (kind.type, kind.default, kind.qualifiers) == ("uint16", 2, {"ValueMap": ["1", "2"]})
    what, made = act.parameters
    assert (what.required, what.embedded, what.is_in, what.is_out) == (
        True,
        "CIM_Inner",
        True,
        False,
    )
    assert (made.reference_class, made.array, made.is_in, made.is_out) == (
        "CIM_Far",
        True,
        False,
        True,
    )
    (numbers,) = classes["CIM_Inner"].properties
    assert (numbers.array, numbers.array_size) == (True, 4)
    assert classes["CIM_Top"].properties[0].key


def test_a_class_that_the_archive_lacks(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path / "unpacked")
    with pytest.raises(LookupError, match="CIM_Missing"):
        base_import.compile_archive(tmp_path / "unpacked", ["CIM_Missing"])


def test_command(
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(base_import, "ROOTS", {"test": "CIM_Far"})
    monkeypatch.setattr(base, "__file__", str(tmp_path / "base.py"))
    assert base_import.main([str(archive), str(tmp_path / "base")]) == 0
    assert "2 classes" in capsys.readouterr().out
    classes, types = base.loads((tmp_path / base.TABLE).read_text())
    assert [c.name for c in classes] == ["CIM_Top", "CIM_Far"]
    assert "UMLPackagePath" in {q.name for q in types}


def test_every_root_is_named_once() -> None:
    names = base_import.root_names()
    assert len(names) == len(set(names))
    assert VIRT not in names
