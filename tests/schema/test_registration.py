# SPDX-License-Identifier: LGPL-2.1-or-later
"""Registration files: golden for the sample, and complete for everything that is declared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pywbem import MOFCompiler, MOFWBEMConnection

from libvirtcim.cim import base, mof, registration
from libvirtcim.cim.declare import INTEROP, PG_INTEROP, ClassDecl, ProviderType
from tests.schema.sample import COMPONENT, CREATED, DISK, RASD, SAMPLE, SERVICE

ROWS = """\
KVM_DiskResourceAllocationSettingData root/virt Virt_RASD libvirtcim instance
LXC_DiskResourceAllocationSettingData root/virt Virt_RASD libvirtcim instance
KVM_ConcreteComponent root/virt Virt_ConcreteComponent libvirtcim instance association
KVM_ConcreteComponent root/interop Virt_ConcreteComponent libvirtcim instance association
KVM_ConcreteComponent root/cimv2 Virt_ConcreteComponent libvirtcim instance association
LXC_ConcreteComponent root/virt Virt_ConcreteComponent libvirtcim instance association
LXC_ConcreteComponent root/interop Virt_ConcreteComponent libvirtcim instance association
LXC_ConcreteComponent root/cimv2 Virt_ConcreteComponent libvirtcim instance association
# -- OpenPegasus builds whose interop namespace is root/PG_InterOp
KVM_ConcreteComponent root/PG_InterOp Virt_ConcreteComponent libvirtcim instance association
LXC_ConcreteComponent root/PG_InterOp Virt_ConcreteComponent libvirtcim instance association
# --!
"""
STANZA = """\
[KVM_ResourcePoolConfigurationService]
   provider: libvirtcim
   location: libvirtcim
   type: instance method
   namespace: root/virt
   group: libvirtcim
   unload: never
#
"""
CAPABILITIES = """\
instance of PG_ProviderCapabilities {
   ProviderModuleName = "libvirtcim";
   ProviderName = "libvirtcim";
   CapabilityID = "LXC_ConcreteComponent";
   ClassName = "LXC_ConcreteComponent";
   Namespaces = { "root/virt", "root/interop", "root/cimv2" };
   ProviderType = { 2, 3 };
   SupportedProperties = NULL;
   SupportedMethods = NULL;
};
"""
PG_CLASSES = """
class PG_ProviderModule { [Key] string Name; string Location; string Vendor; string Version;
    string InterfaceType; string InterfaceVersion; string ModuleGroupName; };
class PG_Provider { [Key] string ProviderModuleName; [Key] string Name; };
class PG_ProviderCapabilities { [Key] string ProviderModuleName; [Key] string ProviderName;
    [Key] string CapabilityID; string ClassName; string Namespaces[]; uint16 ProviderType[];
    string SupportedProperties[]; string SupportedMethods[]; };
"""
"""The classes of OpenPegasus that a registration has instances of, cut down."""


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (("instance",), ("instance",)),
        (("method", "instance"), ("instance", "method")),
        (("association",), ("instance", "association")),
        (("indication", "method"), ("indication", "method")),
    ],
)
def test_kinds(types: tuple[ProviderType, ...], expected: tuple[ProviderType, ...]) -> None:
    assert registration.kinds(types) == expected


def test_rows() -> None:
    text = registration.render_rows([RASD, DISK, COMPONENT])
    assert text.split("\n", 2)[2] == ROWS


def test_rows_without_interop_have_no_pegasus_block() -> None:
    assert "# --" not in registration.render_rows([DISK])


def test_sfcb() -> None:
    text = registration.render_sfcb(SAMPLE)
    assert STANZA in text
    assert text.count("namespace: ") == len(registration.rows(SAMPLE)) == 10
    assert f"[KVM_{RASD.base}]" not in text


def test_pegasus() -> None:
    text = registration.render_pegasus(SAMPLE)
    assert CAPABILITIES in text
    assert 'InterfaceVersion = "2.0.0";' in text
    older = registration.render_pegasus(SAMPLE, PG_INTEROP)
    assert CAPABILITIES.replace("root/interop", "root/PG_InterOp") in older
    assert INTEROP not in older


@pytest.mark.parametrize("interop", [INTEROP, PG_INTEROP])
def test_pegasus_compiles(interop: str, declarations: list[ClassDecl]) -> None:
    for declared in (declarations, [SERVICE, CREATED]):
        repository = MOFWBEMConnection()
        compiler = MOFCompiler(repository, log_func=None)
        qualifiers = "".join(map(mof.qualifier_type_mof, base.load()[1]))
        compiler.compile_string(qualifiers + PG_CLASSES, interop)
        compiler.compile_string(registration.render_pegasus(declared, interop), interop)
        module, provider, *capabilities = repository.instances[interop]
        assert module["Name"] == provider["ProviderModuleName"] == registration.LIBRARY
        wanted = {row.classname for row in registration.rows(declared)}
        assert {found["ClassName"] for found in capabilities} == wanted
        assert len(capabilities) == len(wanted), "CapabilityID must be unique"


def test_everything_registered_is_in_every_file(declarations: list[ClassDecl]) -> None:
    rows = registration.rows(declarations)
    assert len({(row.classname, row.namespace) for row in rows}) == len(rows)
    stanzas = re.findall(
        r"^\[(\w+)\]$.*?namespace: (\S+)$", registration.render_sfcb(declarations), re.M | re.S
    )
    assert stanzas == [(row.classname, row.namespace) for row in rows]
    for row in rows:
        assert str(row) in registration.render_rows(declarations)


def test_registered_namespaces_hold_the_class(declarations: list[ClassDecl]) -> None:
    for decl in declarations:
        if decl.registration is not None:
            assert set(decl.registration.namespaces) <= set(decl.namespaces), decl.base


def test_writing_removes_what_is_gone(tmp_path: Path) -> None:
    (tmp_path / "libvirtcim-old.reg").write_text("gone")
    (tmp_path / "README").write_text("kept")
    registration.write_registration(SAMPLE, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        "README",
        registration.ROWS,
        registration.SFCB,
        registration.PEGASUS,
        registration.PEGASUS_PG_INTEROP,
    }
