# SPDX-License-Identifier: LGPL-2.1-or-later
"""ResourcePoolConfigurationService over libvirt's test hypervisor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from libvirtcim import composition
from libvirtcim.cim import errors
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import Given, Instance, InstancePath, RequestContext
from libvirtcim.virt.host import Host, Hosts, HostSettings
from tests.recorded.define import lines

CONTEXT = RequestContext()
NS = "root/virt"
SERVICE = InstancePath("KVM_ResourcePoolConfigurationService", (("Name", "RPCS"),), NS)


class World:
    """A broker over a test hypervisor of its own."""

    def __init__(self, broker: Broker, host: Host) -> None:
        self.broker = broker
        self.host = host

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Calls a method of the service; its outputs."""
        given = {name: Given(value) for name, value in arguments.items()}
        value, outputs = self.broker.invoke_method(CONTEXT, SERVICE, method, given)
        assert value == 0
        return outputs

    def create(self, name: str, settings: str) -> InstancePath:
        """Makes a pool; its path."""
        made: InstancePath = self.call(
            "CreateChildResourcePool", ElementName=name, Settings=[settings]
        )["Pool"]
        return made

    def get(self, path: InstancePath) -> Instance:
        """The instance at a path."""
        return self.broker.get_instance(CONTEXT, path)

    def defined(self, look_up: str, name: str) -> str:
        """libvirt's definition of a pool or network."""
        return self.host.connection.call(lambda raw: str(getattr(raw, look_up)(name).XMLDesc(0)))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Nothing but a storage pool `images`."""
    node = tmp_path / "node.xml"
    node.write_text(
        "<node><pool type='dir'><name>images</name><target><path>/images</path></target></pool></node>"
    )
    hosts = Hosts({"KVM": f"test://{node}"}, settings=HostSettings(side_file_dir=None))
    yield World(composition.broker(hosts), hosts.host("KVM"))
    hosts.close()


def net(properties: str = "") -> str:
    return f"instance of KVM_NetPoolResourceAllocationSettingData {{ {properties} }};"


def disk(properties: str) -> str:
    return f"instance of KVM_DiskPoolResourceAllocationSettingData {{ {properties} }};"


def volume(properties: str) -> str:
    return f"instance of KVM_StorageVolumeResourceAllocationSettingData {{ {properties} }};"


def pool(tag: str, kind: str = "DiskPool") -> InstancePath:
    return InstancePath(f"KVM_{kind}", (("InstanceID", f"{kind}/{tag}"),), NS)


WORKED_NETWORK = (
    'ForwardMode = 2; ForwardDevice = "eth0"; Address = "10.0.0.1"; Netmask = "255.255.255.0"; '
    'IPRangeStart = "10.0.0.10"; IPRangeEnd = "10.0.0.99";'
)


def test_a_network(world: World) -> None:
    """Made and started as asked, shown as asked, deleted."""
    made = world.create("n1", net(WORKED_NETWORK))
    assert made.text("InstanceID") == "NetworkPool/n1"
    assert world.get(made)["PoolID"] == "NetworkPool/n1"
    found = set(lines(world.defined("networkLookupByName", "n1")))
    assert {
        "network/forward[dev=eth0 mode=route]",
        "network/ip[address=10.0.0.1 netmask=255.255.255.0]",
        "network/ip/dhcp/range[end=10.0.0.99 start=10.0.0.10]",
    } <= found
    assert world.host.network("n1").active
    setting = world.get(
        InstancePath(
            "KVM_NetPoolResourceAllocationSettingData", (("InstanceID", "NetworkPool/n1"),), NS
        )
    )
    assert (setting["ForwardMode"], setting["Address"]) == (2, "10.0.0.1")
    world.call("DeleteResourcePool", Pool=made)
    with pytest.raises(errors.NotFound):
        world.get(made)


def test_a_network_by_default(world: World) -> None:
    world.create("n2", net())
    assert {
        "network/forward[mode=nat]",
        "network/ip[address=192.168.122.1 netmask=255.255.255.0]",
        "network/ip/dhcp/range[end=192.168.122.254 start=192.168.122.2]",
    } <= set(lines(world.defined("networkLookupByName", "n2")))


def test_a_storage_pool(world: World) -> None:
    made = world.create("p1", disk('Type = 1; Path = "/pool1"; Autostart = 1;'))
    assert made.text("InstanceID") == "DiskPool/p1"
    found = world.host.storage_pool("p1")
    assert (found.view.type, found.view.target_path) == ("dir", "/pool1")
    assert found.active and found.autostart
    world.call("RefreshResourcesInPool", Pool=made)
    world.call("DeleteResourcePool", Pool=made)
    with pytest.raises(errors.NotFound):
        world.get(made)


def test_a_pool_that_does_not_run_is_deleted(world: World) -> None:
    world.host.connection.call(lambda raw: raw.storagePoolLookupByName("images").destroy())
    world.call("DeleteResourcePool", Pool=pool("images"))
    assert world.host.storage_pools() == []


SIZES = [
    ('Capacity = 5; AllocationUnits = "GigaBytes";', 5 << 30, 0),
    ('Capacity = 3; AllocationUnits = "M"; AllocationQuantity = 512;', 3 << 20, 512),
    ("VirtualQuantity = 70000000000; Reservation = 65536;", 70000000000, 65536),
]


@pytest.mark.parametrize(("size", "capacity", "allocation"), SIZES)
def test_a_volume(world: World, size: str, capacity: int, allocation: int) -> None:
    """Made with the size that is asked for, found by the path that is returned, deleted."""
    settings = volume(f'VolumeName = "v"; FormatType = 2; Path = "/images/v"; {size}')
    made = world.call("CreateResourceInPool", Settings=settings, Pool=pool("images"))["Resource"]
    assert made.text("InstanceID") == "/images/v"
    shown = world.get(made)
    assert (shown["VirtualQuantity"], shown["Reservation"]) == (capacity, allocation)
    assert shown["PoolID"] == "DiskPool/images"
    resource = volume('Address = "/images/v";')
    world.call("DeleteResourceInPool", Resource=resource, Pool=pool("images"))
    assert world.host.volumes() == {}


GOOD = 'VolumeName = "v"; FormatType = 1; Path = "/images/v"; Capacity = 1;'
CALLS: list[tuple[str, dict[str, Any], type[errors.CIMError], str]] = [
    ("CreateChildResourcePool", {"Settings": []}, errors.Failed, "Settings Error: "),
    (
        "CreateChildResourcePool",
        {"Settings": ['instance of KVM_VirtualSystemSettingData { UUID = "x"; };']},
        errors.Failed,
        "Settings Error: Unable to determine resource type",
    ),
    (
        "CreateChildResourcePool",
        {"Settings": ["instance of KVM_MemResourceAllocationSettingData { };"]},
        errors.Failed,
        "Settings Error: Resource type not supported on this platform",
    ),
    ("CreateChildResourcePool", {"Settings": [net("ForwardMode = 9;")]}, errors.Failed,
     "Settings Error: Storage pool type not supported"),
    ("CreateChildResourcePool", {"Settings": [disk('Path = "/p";')]}, errors.Failed,
     "Settings Error: Missing `Type'"),
    ("CreateChildResourcePool", {"Settings": [disk("Type = 1;")]}, errors.Failed,
     "Settings Error: Missing `Path'"),
    ("CreateChildResourcePool", {"Settings": [disk('Type = 3; Path = "/p";')]}, errors.Failed,
     "Settings Error: Missing `Host'"),
    ("CreateChildResourcePool", {"Settings": [disk('Type = 9; Path = "/p";')]}, errors.Failed,
     "Settings Error: Storage pool type not supported"),
    (
        "CreateChildResourcePool",
        {"ElementName": "images", "Settings": [disk('Type = 1; Path = "/p";')]},
        errors.Failed,
        "Pool with that name already exists",
    ),
    (
        "CreateChildResourcePool",
        {"ElementName": "n", "Settings": [net('Address = "x";')]},
        errors.Failed,
        "Unable to create resource pool: ",
    ),
    ("DeleteResourcePool", {"Pool": pool("none")}, errors.Failed, "does not exist"),
    ("DeleteResourcePool", {"Pool": pool("0", "MemoryPool")}, errors.Failed,
     "Storage pool deletion error: Unable to destroy resource pool"),
    ("CreateResourceInPool", {"Pool": pool("images")}, errors.InvalidParameter,
     "Missing argument `Settings'"),
    ("CreateResourceInPool", {"Settings": volume(GOOD)}, errors.InvalidParameter, "Missing argument `Pool'"),
    (
        "CreateResourceInPool",
        {"Settings": "instance of KVM_MemResourceAllocationSettingData { };", "Pool": pool("images")},
        errors.Failed,
        "Unable to get attributes for resource: This function does not ",
    ),
    (
        "CreateResourceInPool",
        {"Settings": volume('FormatType = 1; Path = "/x"; Capacity = 1;'), "Pool": pool("images")},
        errors.Failed,
        "Unable to get attributes for resource: StorageVolumeRASD VolumeName field not valid",
    ),
    (
        "CreateResourceInPool",
        {"Settings": volume(GOOD.replace("FormatType = 1", "FormatType = 7")), "Pool": pool("images")},
        errors.Failed,
        "Unable to generate XML for new resource",
    ),
    ("CreateResourceInPool", {"Settings": volume(GOOD), "Pool": pool("none")}, errors.Failed,
     "Unable to create storage volume: "),
    (
        "CreateResourceInPool",
        {
            "Settings": volume(GOOD),
            "Pool": InstancePath("KVM_DiskPool", (("InstanceID", "images"),), NS),
        },
        errors.InvalidParameter,
        "Pool has invalid InstanceID",
    ),
    ("DeleteResourceInPool", {"Pool": pool("images")}, errors.InvalidParameter,
     "Missing argument `Resource'"),
    ("DeleteResourceInPool", {"Resource": volume("Capacity = 1;")}, errors.InvalidParameter,
     "Missing argument `Pool'"),
    (
        "DeleteResourceInPool",
        {"Resource": volume("Capacity = 1;"), "Pool": pool("images")},
        errors.Failed,
        "Missing Address in ",
    ),
    (
        "DeleteResourceInPool",
        {"Resource": volume('Address = "/nowhere";'), "Pool": pool("images")},
        errors.Failed,
        "Unable to delete resource: ",
    ),
    ("RefreshResourcesInPool", {}, errors.InvalidParameter, "Missing argument `Pool'"),
    ("CreateResourcePool", {}, errors.NotSupported, ""),
    ("ChangeParentResourcePool", {}, errors.Failed, "Unknown Method"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "arguments", "kind", "text"), CALLS)
def test_calls_that_fail(
    world: World, method: str, arguments: dict[str, Any], kind: type[errors.CIMError], text: str
) -> None:
    """With the status and words that clients know, and nothing half-made left behind."""
    with pytest.raises(errors.CIMError) as raised:
        world.call(method, **arguments)
    assert type(raised.value) is kind
    assert text in raised.value.message
    assert [found.name for found in world.host.storage_pools()] == ["images"]
    assert world.host.networks() == [] and world.host.volumes() == {}
