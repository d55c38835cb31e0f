# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real guests defined, changed while they run and while they are off, and destroyed through CIM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import pywbem
from lxml import etree

from tests import hypervisor
from tests.management import Manager
from tests.system.conftest import Served

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]

MIB = 1024
"""KiB."""


@pytest.fixture
def kvm(real: Served, box: hypervisor.PrivateLibvirtd) -> Iterator[Manager]:
    manager = Manager(real.client(), "KVM", box.qemu_uri)
    yield manager
    manager.raw.close()


@pytest.fixture
def image(box: hypervisor.PrivateLibvirtd, tmp_path: Path) -> Path:
    """An empty disk of 1 MiB."""
    path = tmp_path / "second.img"
    path.write_bytes(bytes(1 << 20))
    return path


def wait_until_booted(guest_image: Path, name: str) -> None:
    hypervisor.wait_until(
        lambda: hypervisor.serial_output(guest_image, name).count(hypervisor.READY) >= 1, "boot", 30
    )


def request_state(kvm: Manager, path: pywbem.CIMInstanceName, state: int) -> None:
    value, _out = kvm.client.InvokeMethod(
        "RequestStateChange", path, RequestedState=pywbem.Uint16(state)
    )
    assert value == 0


@pytest.fixture
def managed(kvm: Manager, guest_image: Path) -> Iterator[pywbem.CIMInstanceName]:
    """A guest that was defined through CIM."""
    path = kvm.define(
        "managed",
        kvm.setting("Mem", VirtualQuantity=pywbem.Uint64(32), AllocationUnits="MegaBytes"),
        kvm.setting("Proc", VirtualQuantity=pywbem.Uint64(2), Weight=pywbem.Uint32(512)),
        kvm.setting("Disk", VirtualDevice="hda", Address=str(guest_image), BusType="ide"),
        kvm.setting("Disk", VirtualDevice="hdc", EmulatedType=pywbem.Uint16(1), BusType="ide"),
        kvm.setting("Net", NetworkType="user", ResourceSubType="virtio"),
    )
    yield path
    with_guest = [d for d in kvm.raw.listAllDomains() if d.name() == "managed"]
    for domain in with_guest:
        if domain.isActive():
            domain.destroy()
        domain.undefine()


def test_a_guest_is_defined_as_asked(kvm: Manager, managed: pywbem.CIMInstanceName) -> None:
    xml = kvm.xml("managed")
    assert managed["Name"] == "managed"
    assert (xml.findtext("memory"), xml.findtext("vcpu")) == (str(32 * MIB), "2")
    assert xml.findtext("cputune/shares") == "512"
    assert xml.xpath("count(devices/interface)") == 1
    shown = kvm.client.GetInstance(kvm.configuration("managed"))
    assert (shown["VirtualSystemIdentifier"], shown["EnableACPI"]) == ("managed", True)
    processors = pywbem.CIMInstanceName(
        "KVM_ProcResourceAllocationSettingData",
        {"InstanceID": "managed/proc"},
        namespace="root/virt",
    )
    assert kvm.client.GetInstance(processors)["Weight"] == 512


def test_a_running_guest_is_changed(
    kvm: Manager, managed: pywbem.CIMInstanceName, image: Path
) -> None:
    """Disk and NIC in and out, processors and memory: what runs and what is stored change together."""
    request_state(kvm, managed, 2)
    disk, nic = kvm.add(
        "managed",
        kvm.setting("Disk", VirtualDevice="vdb", Address=str(image), BusType="virtio"),
        kvm.setting("Net", NetworkType="user", Address="00:16:3e:00:11:22"),
    )
    assert kvm.both("managed", "string(//disk[target/@dev='vdb']/source/@file)") == (
        str(image),
        str(image),
    )
    assert kvm.client.GetInstance(disk)["Address"] == str(image)
    assert kvm.client.GetInstance(nic)["Address"] == "00:16:3e:00:11:22"
    kvm.modify(
        kvm.setting(
            "Mem",
            InstanceID="managed/mem",
            VirtualQuantity=pywbem.Uint64(24),
            AllocationUnits="MegaBytes",
        )
    )
    assert kvm.xml("managed", stored=True).findtext("currentMemory") == str(24 * MIB)
    assert kvm.xml("managed", stored=True).findtext("memory") == str(32 * MIB)
    request_state(kvm, managed, 3)


def test_media_are_changed(kvm: Manager, managed: pywbem.CIMInstanceName, image: Path) -> None:
    request_state(kvm, managed, 2)
    source = "string(//disk[target/@dev='hdc']/source/@file)"
    for address in (str(image), ""):
        kvm.modify(kvm.setting("Disk", InstanceID="managed/hdc", Address=address))
        assert kvm.both("managed", source) == (address, address)
    request_state(kvm, managed, 3)


def test_all_or_nothing(kvm: Manager, managed: pywbem.CIMInstanceName, image: Path) -> None:
    """A second resource that libvirt refuses takes the first one back, live and stored."""
    request_state(kvm, managed, 2)
    before = etree.tostring(kvm.xml("managed", stored=True))
    good = kvm.setting("Disk", VirtualDevice="vdb", Address=str(image), BusType="virtio")
    bad = kvm.setting("Disk", VirtualDevice="vdc", Address=str(image), BusType="nonsense")
    with pytest.raises(pywbem.CIMError) as raised:
        kvm.add("managed", good, bad)
    assert raised.value.status_code == pywbem.CIM_ERR_FAILED
    assert "Unable to change (0) device" in raised.value.status_description
    assert etree.tostring(kvm.xml("managed", stored=True)) == before
    assert kvm.both("managed", "count(//disk[target/@dev='vdb'])") == (0, 0)
    request_state(kvm, managed, 3)


def test_settings_are_merged(kvm: Manager, managed: pywbem.CIMInstanceName) -> None:
    """ModifySystemSettings changes what it names, and nothing else."""
    before = kvm.xml("managed", stored=True)
    kvm.call(
        "ModifySystemSettings",
        SystemSettings=kvm.setting(
            "VirtualSystem", VirtualSystemIdentifier="managed", EnableAPIC=True,
            AutoStart=pywbem.Uint16(1),
        ),
    )  # fmt: skip
    after = kvm.xml("managed", stored=True)
    assert after.find("features/apic") is not None
    for element in after.findall("features/apic"):
        element.getparent().remove(element)
    assert etree.tostring(after, method="c14n2", strip_text=True) == etree.tostring(
        before, method="c14n2", strip_text=True
    )
    assert kvm.raw.lookupByName("managed").autostart() == 1


def test_resources_of_a_guest_that_is_off(
    kvm: Manager, managed: pywbem.CIMInstanceName, image: Path
) -> None:
    (disk,) = kvm.add(
        "managed", kvm.setting("Disk", VirtualDevice="vdb", Address=str(image), BusType="virtio")
    )
    kvm.modify(kvm.setting("Disk", InstanceID="managed/vdb", readonly=True))
    assert kvm.xml("managed").xpath("count(//disk[target/@dev='vdb']/readonly)") == 1
    kvm.remove(disk)
    assert kvm.xml("managed").xpath("count(//disk[target/@dev='vdb'])") == 0
    with pytest.raises(pywbem.CIMError) as raised:
        kvm.remove(disk)
    assert raised.value.status_code == pywbem.CIM_ERR_NOT_FOUND


def test_a_guest_is_destroyed(kvm: Manager, managed: pywbem.CIMInstanceName) -> None:
    request_state(kvm, managed, 2)
    kvm.destroy(managed)
    assert "managed" not in [d.name() for d in kvm.raw.listAllDomains()]
    with pytest.raises(pywbem.CIMError) as raised:
        kvm.destroy(managed)
    assert raised.value.status_code == pywbem.CIM_ERR_NOT_FOUND
    assert "Referenced domain `managed' does not exist" in raised.value.status_description


def test_a_container(real: Served, box: hypervisor.PrivateLibvirtd, container_root: Path) -> None:
    """Defined, started, changed, destroyed."""
    lxc = Manager(real.client(), "LXC", box.lxc_uri)
    path = lxc.define(
        "vessel",
        lxc.setting("Mem", VirtualQuantity=pywbem.Uint64(64), AllocationUnits="MegaBytes"),
        lxc.setting("Proc", Weight=pywbem.Uint32(256)),
        lxc.setting("Disk", MountPoint="/", Address=str(container_root)),
        InitPath="/bin/sh",
    )
    xml = lxc.xml("vessel")
    assert (xml.get("type"), xml.findtext("os/type")) == ("lxc", "exe")
    assert xml.findtext("cputune/shares") == "256"
    request_state(lxc, path, 2)
    lxc.modify(
        lxc.setting("Proc", InstanceID="vessel/proc", Weight=pywbem.Uint32(512)),
    )
    assert lxc.both("vessel", "string(cputune/shares)") == ("512", "512")
    lxc.destroy(path)
    assert not lxc.raw.listAllDomains()
    lxc.raw.close()
