# SPDX-License-Identifier: LGPL-2.1-or-later
"""The class reference says everything that is declared, once."""

from __future__ import annotations

import re

from libvirtcim import composition
from libvirtcim.cim import reference
from libvirtcim.cim.associations import Association, Handler
from libvirtcim.cim.declare import ClassDecl
from tests.schema.sample import COMPONENT, SAMPLE

CHAIN = " ← ".join(
    f"`CIM_{name}`" for name in ("ResourceAllocationSettingData", "SettingData", "ManagedElement")
)
DISK = rf"""
## DiskResourceAllocationSettingData

Settings of a disk: "quoted", with a back\slash | and a bar.

* Superclass: `P_ResourceAllocationSettingData` ← {CHAIN}
* Classes: `KVM_DiskResourceAllocationSettingData`, `LXC_DiskResourceAllocationSettingData`
* Namespaces: `root/virt`
* Keys: `InstanceID`
* Served: instance operations in `root/virt`

| property | type | meaning |
|---|---|---|
| `EmulatedType` | `uint16` | What the guest sees. 0 = Disk; 1 = CD, DVD. Only `KVM_`. |
| `Address` | `string` | Path of the image. Changes the inherited property. |
"""
SERVICE = """
### KVM_ResourcePoolConfigurationService.CreateResourceInPool

Makes a volume. Returns `uint32`.

| parameter | type |  | meaning |
|---|---|---|---|
| `Settings` | `string (CIM_ResourceAllocationSettingData)[]` | in, required | What to make. |
| `Pool` | `CIM_ResourcePool REF` | in | Where to make it. |
| `Resource` | `P_DiskResourceAllocationSettingData REF` | out | What was made. |
"""
ENDS = """
| end | class |  |
|---|---|---|
| `GroupComponent` | `CIM_ManagedElement` | key |
| `PartComponent` | `P_DiskResourceAllocationSettingData` | key |

| from | to |
|---|---|
| `P_DiskPool`, `P_NetworkPool` (`GroupComponent`) | `P_DiskResourceAllocationSettingData` (`PartComponent`) |
"""


def test_sample() -> None:
    handler = Handler(
        ("DiskPool", "NetworkPool"),
        "GroupComponent",
        ("DiskResourceAllocationSettingData",),
        "PartComponent",
        lambda *_: (),
    )
    text = reference.render(SAMPLE, [Association(COMPONENT, (handler,))])
    for part in (DISK, SERVICE, ENDS):
        assert part in text
    assert "**Indications**: [LXC_ComputerSystemCreatedIndication](#lxc_computersystem" in text


def test_everything_declared_is_described(declarations: list[ClassDecl]) -> None:
    text = reference.render(declarations, composition.associations())
    headings = re.findall(r"^## (.*)$", text, re.M)
    assert sorted(headings) == sorted(reference.title(decl) for decl in declarations)
    assert len(set(headings)) == len(headings)
    for decl in declarations:
        (section,) = re.findall(rf"^## {reference.title(decl)}$(.*?)(?=^## |\Z)", text, re.M | re.S)
        assert decl.description in section
        for prefix in decl.prefixes:
            assert f"`{decl.class_name(prefix)}`" in section
        for prop in decl.properties:
            assert f"| `{prop.name}` |" in section, (decl.base, prop.name)
        for method in decl.methods:
            assert f"### {reference.title(decl)}.{method.name}\n" in section


def test_links_lead_to_headings(declarations: list[ClassDecl]) -> None:
    text = reference.render(declarations)
    headings = {heading.lower() for heading in re.findall(r"^## (.*)$", text, re.M)}
    assert set(re.findall(r"\(#(.*?)\)", text)) == headings
