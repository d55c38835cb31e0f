# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests of a real Xen defined, switched, changed and destroyed through CIM.

Runs only where LIBVIRTCIM_XEN_URI names a Xen (see CONTRIBUTING.md).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import libvirt
import pytest
import pywbem
from pywbem import Uint16, Uint32, Uint64

from tests import hypervisor, xen
from tests.management import Manager
from tests.system.conftest import running

pytestmark = xen.MARKS

PV, HVM, SAVED = "libvirtcim-managed-pv", "libvirtcim-managed-hvm", "libvirtcim-saved"
MEMORY_MIB, SMALLER_MIB = 256, 224
SMALL_KIB = 98304
NIC, OTHER_NIC = "00:16:3e:00:00:01", "00:16:3e:00:00:02"
ON, OFF, SHUTDOWN, PAUSED, REBOOT, RESET = 2, 3, 4, 9, 10, 11
PTY = Uint16(2)


@dataclass
class World:
    """A client of the Xen's management service, disks and a bridge on it."""

    manager: Manager
    disks: list[str]
    bridge: str

    def path(self, name: str) -> pywbem.CIMInstanceName:
        keys = {"CreationClassName": "Xen_ComputerSystem", "Name": name}
        return pywbem.CIMInstanceName("Xen_ComputerSystem", keys, namespace="root/virt")

    def request(self, name: str, state: int) -> None:
        value, _out = self.manager.client.InvokeMethod(
            "RequestStateChange", self.path(name), RequestedState=Uint16(state)
        )
        assert value == 0

    def shown(self, name: str) -> int:
        """EnabledState."""
        state: int = self.manager.client.GetInstance(self.path(name))["EnabledState"]
        return state

    def domain(self, name: str) -> Any:
        """libvirt's handle; its number is that of now."""
        return self.manager.raw.lookupByName(name)

    def read(self, base: str, name: str, devid: str) -> pywbem.CIMInstance:
        """The resource of a guest."""
        return self.manager.client.GetInstance(
            pywbem.CIMInstanceName(
                f"Xen_{base}ResourceAllocationSettingData",
                {"InstanceID": f"{name}/{devid}"},
                namespace="root/virt",
            )
        )

    def check(self, base: str, name: str, devid: str, **wanted: Any) -> None:
        """The resource is shown with what is wanted."""
        found = self.read(base, name, devid)
        assert {key: found[key] for key in wanted} == wanted

    def configured(self, name: str, **wanted: Any) -> None:
        """The guest's settings are shown with what is wanted."""
        found = self.manager.client.GetInstance(self.manager.configuration(name))
        assert {key: found[key] for key in wanted} == wanted

    def change(self, name: str, base: str, devid: str, **values: Any) -> None:
        """Asks for other values of a resource."""
        self.manager.modify(self.manager.setting(base, InstanceID=f"{name}/{devid}", **values))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    uri, _kernel, _initrd = xen.settings()
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(contextlib.contextmanager(running)({"Xen": uri}))
        client = pywbem.WBEMConnection(
            served.url, default_namespace="root/virt", timeout=2 * xen.ANSWER
        )
        manager = Manager(client, "Xen", uri)
        stack.callback(manager.raw.close)
        for name in (PV, HVM, SAVED):
            xen.forget(manager.raw, name)
            stack.callback(xen.forget, manager.raw, name)
        disks = stack.enter_context(xen.volumes(manager.raw, "first", "second"))
        yield World(manager, disks, stack.enter_context(xen.bridge(manager.raw)))


def common(manager: Manager) -> list[pywbem.CIMInstance | str]:
    """Resources that each guest here has."""
    return [
        manager.setting("Mem", VirtualQuantity=Uint64(MEMORY_MIB), AllocationUnits="MegaBytes"),
        manager.setting(
            "Proc", VirtualQuantity=Uint64(2), Weight=Uint32(512), Limit=Uint64(150)
        ),
        manager.setting("Console", SourceType=PTY),
    ]  # fmt: skip


PV_SETTINGS = {
    "IsFullVirt": False,
    "CommandLine": "console=hvc0",
    "AutomaticShutdownAction": 2,
    "AutomaticRecoveryAction": 3,
}
HVM_SETTINGS = {
    "IsFullVirt": True,
    "BootDevices": ["cdrom", "hd"],
    "EnableACPI": True,
    "EnableAPIC": True,
    "EnablePAE": True,
    "ClockOffset": 1,
}


def sent(settings: dict[str, Any]) -> dict[str, Any]:
    """With the CIM types of what is to be sent."""
    return {
        name: Uint16(value) if type(value) is int else value for name, value in settings.items()
    }


@pytest.fixture
def pv(world: World) -> str:
    """A paravirtual guest that was defined through CIM."""
    manager = world.manager
    if PV not in [domain.name() for domain in manager.raw.listAllDomains()]:
        _uri, kernel, initrd = xen.settings()
        manager.define(
            PV,
            *common(manager),
            manager.setting("Disk", VirtualDevice="xvda", Address=world.disks[0], BusType="xen"),
            manager.setting(
                "Net", NetworkType="bridge", NetworkName=world.bridge, Address=NIC
            ),
            manager.setting("Graphics", ResourceSubType="vnc", Address="127.0.0.1:5907", KeyMap="de"),
            Kernel=kernel,
            Ramdisk=initrd,
            **sent(PV_SETTINGS),
        )  # fmt: skip
    return PV


@pytest.fixture
def up(world: World, pv: str) -> str:
    """The paravirtual guest, running."""
    if not world.domain(pv).isActive():
        world.request(pv, ON)
    return pv


def check_common(world: World, name: str) -> None:
    kib = MEMORY_MIB * 1024
    world.check("Mem", name, "mem", VirtualQuantity=kib, Limit=kib, AllocationUnits="KiloBytes")
    world.check("Proc", name, "proc", VirtualQuantity=2, Weight=512, Limit=150)
    world.check("Console", name, "charconsole:0", SourceType=2)


def test_a_paravirtual_guest_is_defined_as_asked(world: World, pv: str) -> None:
    _uri, kernel, initrd = xen.settings()
    world.configured(pv, Kernel=kernel, Ramdisk=initrd, **PV_SETTINGS)
    check_common(world, pv)
    world.check(
        "Disk",
        pv,
        "xvda",
        Address=world.disks[0],
        BusType="xen",
        EmulatedType=0,
        PoolID=f"DiskPool/{xen.POOL}",
        VirtualQuantity=xen.VOLUME_MIB << 20,
    )
    world.check("Net", pv, NIC, NetworkType="bridge", NetworkName=world.bridge, Address=NIC)
    world.check("Graphics", pv, "vnc", Address="127.0.0.1:5907", KeyMap="de")
    world.check("Input", pv, "mouse:xen", BusType="xen")
    assert world.shown(pv) == OFF


def test_a_full_guest_is_defined_as_asked(world: World) -> None:
    """Whether it can run is the processor's matter: it is not started."""
    manager = world.manager
    path = manager.define(
        HVM,
        *common(manager),
        manager.setting("Disk", VirtualDevice="hda", Address=world.disks[0], BusType="ide"),
        manager.setting("Disk", VirtualDevice="hdb", Address="/dev/xvdz", readonly=True),
        manager.setting("Disk", VirtualDevice="hdc", EmulatedType=Uint16(1), BusType="ide"),
        manager.setting(
            "Net", NetworkType="bridge", NetworkName=world.bridge, ResourceSubType="rtl8139",
            Address=OTHER_NIC,
        ),
        manager.setting("Graphics", ResourceSubType="vnc", Address="127.0.0.1:5908"),
        manager.setting("Input", ResourceSubType="tablet", BusType="usb"),
        Emulator="/usr/bin/true",
        **sent(HVM_SETTINGS),
    )  # fmt: skip
    world.configured(HVM, Emulator="/usr/bin/true", **HVM_SETTINGS)
    check_common(world, HVM)
    world.check("Disk", HVM, "hda", Address=world.disks[0], BusType="ide", EmulatedType=0)
    world.check("Disk", HVM, "hdb", Address="/dev/xvdz", readonly=True)
    world.check("Disk", HVM, "hdc", EmulatedType=1)
    world.check("Net", HVM, OTHER_NIC, NetworkName=world.bridge, ResourceSubType="rtl8139")
    world.check("Graphics", HVM, "vnc", Address="127.0.0.1:5908", KeyMap="en-us")
    world.check("Input", HVM, "tablet:usb", BusType="usb")
    manager.call(
        "ModifySystemSettings",
        SystemSettings=manager.setting(
            "VirtualSystem", VirtualSystemIdentifier=HVM, BootDevices=["network"],
            ClockOffset=Uint16(0),
        ),
    )  # fmt: skip
    world.configured(HVM, **{**HVM_SETTINGS, "BootDevices": ["network"], "ClockOffset": 0})
    manager.destroy(path)
    assert HVM not in [domain.name() for domain in manager.raw.listAllDomains()]


def test_a_guest_that_is_off_is_changed(world: World, pv: str) -> None:
    """All is as before in the end."""
    manager = world.manager
    before = world.domain(pv).XMLDesc()
    manager.call(
        "ModifySystemSettings",
        SystemSettings=manager.setting(
            "VirtualSystem",
            VirtualSystemIdentifier=pv,
            CommandLine="console=hvc0 quiet",
            AutoStart=Uint16(1),
        ),
    )
    world.configured(pv, **{**PV_SETTINGS, "CommandLine": "console=hvc0 quiet"}, AutoStart=1)
    manager.call(
        "ModifySystemSettings",
        SystemSettings=manager.setting(
            "VirtualSystem",
            VirtualSystemIdentifier=pv,
            CommandLine=PV_SETTINGS["CommandLine"],
            AutoStart=Uint16(0),
        ),
    )
    added = manager.add(
        pv,
        manager.setting("Disk", VirtualDevice="xvdb", Address=world.disks[1], BusType="xen"),
        manager.setting("Net", NetworkType="bridge", NetworkName=world.bridge, Address=OTHER_NIC),
    )
    world.change(pv, "Disk", "xvdb", readonly=True)
    world.check("Disk", pv, "xvdb", Address=world.disks[1], readonly=True)
    world.change(pv, "Net", OTHER_NIC, NetworkName="elsewhere")
    world.check("Net", pv, OTHER_NIC, NetworkName="elsewhere")
    manager.remove(*added)
    world.change(pv, "Mem", "mem", VirtualQuantity=Uint64(300), AllocationUnits="MegaBytes")
    world.check("Mem", pv, "mem", VirtualQuantity=300 * 1024)
    world.change(
        pv, "Mem", "mem", VirtualQuantity=Uint64(MEMORY_MIB), Limit=Uint64(MEMORY_MIB),
        AllocationUnits="MegaBytes",
    )  # fmt: skip
    world.change(pv, "Proc", "proc", VirtualQuantity=Uint64(3), Weight=Uint32(300))
    world.check("Proc", pv, "proc", VirtualQuantity=3, Weight=300, Limit=150)
    world.change(pv, "Proc", "proc", VirtualQuantity=Uint64(2), Weight=Uint32(512))
    assert world.domain(pv).XMLDesc() == before


def test_life(world: World, up: str) -> None:
    domain = world.domain(up)
    assert world.shown(up) == ON
    assert domain.schedulerParameters() == {"weight": 512, "cap": 150}
    world.request(up, PAUSED)
    assert (domain.state()[0], world.shown(up)) == (libvirt.VIR_DOMAIN_PAUSED, PAUSED)
    world.request(up, ON)
    assert world.shown(up) == ON
    for state in (REBOOT, RESET):
        before = world.domain(up).ID()
        world.request(up, state)
        hypervisor.wait_until(
            lambda number=before: world.domain(up).ID() not in (-1, number),
            "a new start",
            xen.ANSWER,
        )
        assert world.shown(up) == ON
    world.request(up, SHUTDOWN)
    hypervisor.wait_until(lambda: not domain.isActive(), "the guest's end", xen.ANSWER)
    assert world.shown(up) == OFF
    world.request(up, ON)
    world.request(up, OFF)
    assert world.shown(up) == OFF


def test_a_running_guest_is_changed(world: World, up: str) -> None:
    """What runs and what is stored change together, and change back."""
    manager, domain = world.manager, world.domain(up)
    disk, nic = manager.add(
        up,
        manager.setting("Disk", VirtualDevice="xvdb", Address=world.disks[1], BusType="xen"),
        manager.setting("Net", NetworkType="bridge", NetworkName=world.bridge, Address=OTHER_NIC),
    )
    source = "string(//disk[target/@dev='xvdb']/source/@file)"
    assert manager.both(up, source) == (world.disks[1],) * 2
    assert manager.both(up, f"count(//interface/mac[@address='{OTHER_NIC}'])") == (1, 1)
    world.check("Disk", up, "xvdb", Address=world.disks[1])
    world.change(up, "Proc", "proc", Weight=Uint32(300), Limit=Uint64(0))
    assert domain.schedulerParameters() == {"weight": 300, "cap": 0}
    world.check("Proc", up, "proc", Weight=300, Limit=0)
    world.change(up, "Proc", "proc", VirtualQuantity=Uint64(1))
    assert (domain.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE), domain.maxVcpus()) == (1, 2)
    world.change(up, "Mem", "mem", VirtualQuantity=Uint64(SMALLER_MIB), AllocationUnits="MegaBytes")
    hypervisor.wait_until(
        lambda: domain.info()[2] == SMALLER_MIB * 1024, "the balloon", xen.ANSWER
    )  # fmt: skip
    world.check("Mem", up, "mem", VirtualQuantity=SMALLER_MIB * 1024, Limit=MEMORY_MIB * 1024)
    manager.remove(nic, disk)
    assert manager.both(up, "count(//disk)") == (1, 1)
    assert manager.both(up, "count(//interface)") == (1, 1)
    world.change(up, "Proc", "proc", Weight=Uint32(512), Limit=Uint64(150))
    world.change(up, "Mem", "mem", VirtualQuantity=Uint64(MEMORY_MIB), AllocationUnits="MegaBytes")
    assert manager.xml(up, stored=True).findtext("currentMemory") == str(MEMORY_MIB * 1024)


def test_what_xen_refuses_changes_nothing(world: World, up: str) -> None:
    """Of a guest that runs it can't change an interface, nor give back processors that were taken."""
    world.change(up, "Proc", "proc", VirtualQuantity=Uint64(1))
    before = world.domain(up).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    with pytest.raises(pywbem.CIMError, match="cannot be updated"):
        world.change(up, "Net", NIC, NetworkName="elsewhere")
    with pytest.raises(pywbem.CIMError, match="greater than max allowable"):
        world.change(up, "Proc", "proc", VirtualQuantity=Uint64(2))
    assert world.domain(up).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE) == before


def test_a_saved_guest_is_destroyed(world: World) -> None:
    """It has one processor: in emulation a guest with two takes longer to save than libvirt waits."""
    raw = world.manager.raw
    domain = raw.defineXML(xen.definition(SAVED, SMALL_KIB))
    domain.create()
    xen.wait_until_up(domain)
    domain.managedSave()
    assert world.shown(SAVED) == 6
    world.manager.destroy(world.path(SAVED))
    assert SAVED not in [domain.name() for domain in raw.listAllDomains()]


def test_a_running_guest_is_destroyed(world: World, up: str) -> None:
    world.manager.destroy(world.path(up))
    assert up not in [domain.name() for domain in world.manager.raw.listAllDomains()]
