# SPDX-License-Identifier: LGPL-2.1-or-later
"""Requests that change something, with each of their calls of libvirt refused in turn: all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import libvirt
import pytest

from libvirtcim import composition
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import Given, GivenInstance, InstancePath, RequestContext
from libvirtcim.virt.host import Hosts
from libvirtcim.virt.settings import HostSettings
from tests import hypervisor
from tests.faults import Faults, faults, refuse_each_call
from tests.recorded.real import plain

__all__ = ["faults"]

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]

CONTEXT = RequestContext()
NS = "root/virt"
NAME = "refuser"
UUID = "5e0f3a10-0c5b-4a54-9a05-0000000000aa"
MACS = ("52:54:00:aa:00:01", "52:54:00:aa:00:02")
SECURE_INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
WEIGHT = "<cputune><shares>512</shares></cputune>"
"""Stated, since libvirt can't take a weight back to none."""
CHILD = "<filter name='rf-child'><uuid>5e0f3a10-0c5b-4a54-9a05-0000000000ab</uuid></filter>"
FILTER = (
    "<filter name='rf-parent' chain='root'><uuid>5e0f3a10-0c5b-4a54-9a05-0000000000ac</uuid>"
    "<rule action='drop' direction='in'><tcp dstportstart='25'/>"
    "</rule></filter>"
)


class World:
    """A broker over a QEMU host with one guest, which runs."""

    def __init__(self, raw: Any, broker: Broker, image: Path) -> None:
        self.raw = raw
        self.broker = broker
        self.image = image

    def reset(self) -> None:
        """Has the guest, the filters and pools be as at first."""
        for domain in self.raw.listAllDomains():
            if domain.isActive():
                domain.destroy()
            domain.undefine()
        for pool in self.raw.listAllStoragePools():
            if pool.isActive():
                pool.destroy()
            pool.undefine()
        for name in ("rf-new", "rf-parent", "rf-child"):
            if name in self.filters():
                self.raw.nwfilterLookupByName(name).undefine()
        self.raw.nwfilterDefineXML(CHILD)
        self.raw.nwfilterDefineXML(FILTER)
        nics = "".join(
            f"<interface type='network'><mac address='{mac}'/><source network='rf-net'/>"
            "<model type='e1000'/></interface>"
            for mac in MACS[:1]
        )
        disk = (
            f"<disk type='file' device='disk'><source file='{self.image.parent}/rf-a.img'/>"
            "<target dev='vdb' bus='virtio'/></disk>"
        )
        text = hypervisor.qemu_guest(NAME, self.image, extra=WEIGHT, devices=disk + nics)
        text = text.replace("</name>", f"</name><uuid>{UUID}</uuid>", 1)
        domain = self.raw.defineXML(text.replace(">2</memory>", ">32</memory>"))
        domain.create()
        hypervisor.wait_until(
            lambda: hypervisor.READY in hypervisor.serial_output(self.image, NAME), "boot", 30
        )

    def filters(self) -> dict[str, str]:
        """The definitions of all filters by name."""
        return {found.name(): found.XMLDesc(0) for found in self.raw.listAllNWFilters()}

    def state(self) -> Any:
        """All that requests here can change."""
        guests = {
            domain.name(): (
                _text(domain, SECURE_INACTIVE),
                _text(domain, libvirt.VIR_DOMAIN_XML_SECURE),
                domain.isActive(),
                domain.autostart(),
            )
            for domain in self.raw.listAllDomains()
        }
        pools = {
            pool.name(): sorted(volume.name() for volume in pool.listAllVolumes())
            for pool in self.raw.listAllStoragePools()
        }
        networks = {net.name(): net.isActive() for net in self.raw.listAllNetworks()}
        return guests, self.filters(), pools, networks

    def call(self, service: str, method: str, **arguments: Any) -> None:
        """Calls a method of a service."""
        path = InstancePath(f"KVM_{service}Service", (("Name", "x"),), NS)
        given = {name: Given(value) for name, value in arguments.items()}
        self.broker.invoke_method(CONTEXT, path, method, given)

    def manage(self, method: str, **arguments: Any) -> None:
        """Calls a method of the service that manages guests."""
        self.call("VirtualSystemManagement", method, **arguments)

    def create(self, base: str, **values: Any) -> None:
        """Makes an instance."""
        given = {name: Given(value) for name, value in values.items()}
        self.broker.create_instance(CONTEXT, NS, GivenInstance(f"KVM_{base}", given))


def _text(domain: Any, flags: int) -> list[str]:
    return [line for line in map(plain, domain.XMLDesc(flags).splitlines()) if line]


@pytest.fixture
def world(box: hypervisor.PrivateLibvirtd, guest_image: Path, faults: Faults) -> Iterator[World]:
    for name in ("rf-a.img", "rf-b.img"):
        (guest_image.parent / name).write_bytes(bytes(1 << 20))
    with ExitStack() as undo:
        raw = libvirt.open(box.qemu_uri)
        undo.callback(raw.close)
        settings = HostSettings(side_file_dir=None)
        hosts = Hosts({"KVM": box.qemu_uri}, settings=settings)
        undo.callback(hosts.close)
        network = raw.networkDefineXML(
            "<network><name>rf-net</name><bridge name='rfbr0'/></network>"
        )
        undo.callback(network.undefine)
        network.create()
        undo.callback(network.destroy)
        found = World(raw, composition.broker(hosts), guest_image)
        undo.callback(_clear, found)
        found.reset()
        yield found


def _clear(world: World) -> None:
    world.reset()
    domain = world.raw.lookupByName(NAME)
    domain.destroy()
    domain.undefine()
    for name in ("rf-parent", "rf-child"):
        world.raw.nwfilterLookupByName(name).undefine()


def setting(kind: str, text: str) -> str:
    """A RASD as text."""
    return f"instance of KVM_{kind}ResourceAllocationSettingData {{ {text} }};"


def rasd(kind: str, devid: str) -> InstancePath:
    """The path of a resource of the guest."""
    keys = (("InstanceID", f"{NAME}/{devid}"),)
    return InstancePath(f"KVM_{kind}ResourceAllocationSettingData", keys, NS)


def named(base: str, **keys: str) -> InstancePath:
    """A path."""
    return InstancePath(f"KVM_{base}", tuple(keys.items()), NS)


GUARDED = {
    "Antecedent": named("NetworkPort", DeviceID=f"{NAME}/{MACS[0]}"),
    "Dependent": named("FilterList", Name="rf-parent"),
}
NESTED = {
    "Antecedent": named("FilterList", Name="rf-parent"),
    "Dependent": named("FilterList", Name="rf-child"),
}
REQUESTS: dict[str, Callable[[World], object]] = {
    "define": lambda w: w.manage(
        "DefineSystem",
        SystemSettings='instance of KVM_VirtualSystemSettingData { VirtualSystemIdentifier = "other"; '
        "AutoStart = 1; };",
        ResourceSettings=[
            setting("Mem", 'VirtualQuantity = 32; AllocationUnits = "MegaBytes";'),
            setting("Proc", "VirtualQuantity = 1;"),
            setting("Net", 'NetworkType = "network"; PoolID = "NetworkPool/rf-net";'),
        ],
    ),
    "modify the system": lambda w: w.manage(
        "ModifySystemSettings",
        SystemSettings=f'instance of KVM_VirtualSystemSettingData {{ VirtualSystemIdentifier = "{NAME}"; '
        "AutoStart = 1; AutomaticRecoveryAction = 3; };",
    ),
    "add": lambda w: w.manage(
        "AddResourceSettings",
        AffectedConfiguration=named("VirtualSystemSettingData", InstanceID=f"KVM:{NAME}"),
        ResourceSettings=[
            setting(
                "Disk",
                f'VirtualDevice = "vdc"; Address = "{w.image.parent}/rf-b.img"; BusType = "virtio";',
            ),
            setting(
                "Net",
                f'NetworkType = "network"; PoolID = "NetworkPool/rf-net"; Address = "{MACS[1]}";',
            ),
        ],
    ),
    "modify": lambda w: w.manage(
        "ModifyResourceSettings",
        ResourceSettings=[
            setting("Proc", f'InstanceID = "{NAME}/proc"; Weight = 700;'),
            setting("Net", f'InstanceID = "{NAME}/{MACS[0]}"; FilterRef = "rf-child";'),
        ],
    ),
    "remove": lambda w: w.manage(
        "RemoveResourceSettings",
        ResourceSettings=[rasd("Disk", "vdb"), rasd("Net", MACS[0])],
    ),
    "make a filter": lambda w: w.create("FilterList", Name="rf-new"),
    "delete a filter": lambda w: w.broker.delete_instance(
        CONTEXT, named("FilterList", Name="rf-child")
    ),
    "add a rule": lambda w: w.create(
        "IPHeadersFilter",
        Name="rf-parent:1",
        Action=1,
        Direction=1,
        HdrDestPortStart=80,
        HdrProtocolID=6,
    ),
    "include a filter": lambda w: w.create("NestedFilterList", **NESTED),
    "guard a port": lambda w: w.create("AppliedFilterList", **GUARDED),
    "make a pool": lambda w: w.call(
        "ResourcePoolConfiguration",
        "CreateChildResourcePool",
        ElementName="rf-pool",
        Settings=[
            setting(
                "DiskPool",
                f'Type = 1; Path = "{w.image.parent}/rf-pool"; Build = TRUE; Autostart = 1;',
            )
        ],
    ),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_all_or_nothing(world: World, faults: Faults, what: str) -> None:
    refused = refuse_each_call(faults, lambda: REQUESTS[what](world), world.state, world.reset)
    print(f"{what}: {', '.join(refused)}")
    assert len(refused) >= 2
