# SPDX-License-Identifier: LGPL-2.1-or-later
"""Methods of ResourcePoolConfigurationService against libvirt's test hypervisor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lxml import etree

from libvirtcim import composition
from libvirtcim.cim.arguments import instance_of
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.errors import CIMError
from libvirtcim.cim.objects import Given, Instance, InstancePath
from libvirtcim.methods import pool_requests
from libvirtcim.virt.host import Hosts
from libvirtcim.virt.xmltree import XmlObject
from tests.providers.wiring import CONTEXT, NS

FAILED, INVALID_PARAMETER, NOT_SUPPORTED = 1, 4, 7
DIR = 'Type = 1; Path = "/p";'
VOLUME = 'VolumeName = "v"; FormatType = 2; Path = "/p/v"; '


class Service:
    """The service over a test hypervisor of its own."""

    def __init__(self, hosts: Hosts) -> None:
        self.broker: Broker = composition.broker(hosts)
        self.raw: Any = hosts.host("KVM").connection.call(lambda raw: raw)
        names = self.broker.enumerate_instance_names(
            CONTEXT, NS, "KVM_ResourcePoolConfigurationService"
        )
        (self.path,) = names

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        given = {name: Given(value) for name, value in arguments.items()}
        value, outputs = self.broker.invoke_method(CONTEXT, self.path, method, given)
        assert value == 0
        return outputs

    def create(self, kind: str, text: str, name: str = "made") -> Instance:
        made = self.call("CreateChildResourcePool", ElementName=name, Settings=[of(kind, text)])
        return self.broker.get_instance(CONTEXT, made["Pool"])

    def settings(self, kind: str, name: str = "made") -> Instance:
        base = "NetworkPool" if kind == "NetPool" else "DiskPool"
        keys = (("InstanceID", f"{base}/{name}"),)
        classname = f"KVM_{kind}ResourceAllocationSettingData"
        return self.broker.get_instance(CONTEXT, InstancePath(classname, keys, NS))

    def names(self) -> set[str]:
        found = [*self.raw.listAllNetworks(), *self.raw.listAllStoragePools()]
        return {handle.name() for handle in found}


def of(kind: str, text: str) -> str:
    return f"instance of KVM_{kind}ResourceAllocationSettingData {{ {text} }};"


def pool(pool_id: str, base: str = "DiskPool") -> InstancePath:
    return InstancePath(f"KVM_{base}", (("InstanceID", pool_id),), NS)


@pytest.fixture
def service() -> Iterator[Service]:
    hosts = Hosts({"KVM": "test:///default"})
    found = Service(hosts)
    yield found
    for handle in [*found.raw.listAllNetworks(), *found.raw.listAllStoragePools()]:
        if handle.name() not in ("default", "default-pool"):
            if handle.isActive():
                handle.destroy()
            handle.undefine()
    hosts.close()


READ_BACK = [
    ("NetPool", "ForwardMode = 0;", {"ForwardMode": 0, "IPRangeEnd": "192.168.122.254"}),
    (
        "NetPool",
        'ForwardMode = 2; ForwardDevice = "eth0"; Address = "10.0.0.1"; Netmask = "255.0.0.0"; '
        'IPRangeStart = "10.0.0.10"; IPRangeEnd = "10.0.0.99"; BridgeName = "br7"; Autostart = 1;',
        {
            "ForwardMode": 2,
            "ForwardDevice": "eth0",
            "Address": "10.0.0.1",
            "Netmask": "255.0.0.0",
            "IPRangeStart": "10.0.0.10",
            "IPRangeEnd": "10.0.0.99",
            "BridgeName": "br7",
            "Autostart": 1,
        },
    ),
    (
        "NetPool",
        'Address = "10.1.0.254";',
        {"ForwardMode": 1, "IPRangeStart": "10.1.0.1", "IPRangeEnd": "10.1.0.253"},
    ),
    (
        "NetPool",
        'IPRangeStart = ""; IPRangeEnd = "";',
        {"Netmask": "255.255.255.0", "IPRangeStart": None},
    ),
    ("NetPool", 'ForwardMode = 0; Address = "";', {"Address": None, "IPRangeStart": None}),
    ("NetPool", 'ForwardMode = 3; BridgeName = "br0";', {"ForwardMode": 3, "BridgeName": "br0"}),
    (
        "NetPool",
        'ForwardMode = 3; ForwardDevice = "eth1";',
        {"ForwardMode": 3, "ForwardDevice": "eth1"},
    ),
    ("DiskPool", DIR + "Autostart = 1;", {"Type": 1, "Path": "/p", "Autostart": 1}),
    ("DiskPool", DIR + "Autostart = 2;", {"Type": 1, "Autostart": 0}),
    (
        "DiskPool",
        'Type = 2; Path = "/p"; DevicePaths = {"/dev/x"}; SourceFormat = "ext4";',
        {"Type": 2, "DevicePaths": ["/dev/x"], "SourceFormat": "ext4"},
    ),
    (
        "DiskPool",
        'Type = 3; Path = "/p&<"; Host = "h"; SourceDirectory = "/exp";',
        {"Type": 3, "Host": "h", "SourceDirectory": "/exp", "Path": "/p&<"},
    ),
    ("DiskPool", 'Type = 4; DevicePaths = {"/dev/x"};', {"Type": 4, "Path": "/dev"}),
    ("DiskPool", 'Type = 5; DevicePaths = {"iqn"}; Host = "h";', {"Type": 5, "Host": "h"}),
    (
        "DiskPool",
        'Type = 6; DevicePaths = {"/dev/a", "/dev/b"}; SourceName = "vg";',
        {"Type": 6, "DevicePaths": ["/dev/a", "/dev/b"], "SourceName": "vg", "Path": "/dev/vg"},
    ),
    ("DiskPool", 'Type = 7; AdapterName = "host0";', {"Type": 7, "AdapterName": "host0"}),
]


@pytest.mark.parametrize(("kind", "text", "expected"), READ_BACK)
def test_what_was_asked_for_is_read_back(
    service: Service, kind: str, text: str, expected: dict[str, Any]
) -> None:
    assert service.create(kind, text)["OperationalStatus"] == [2]
    found = service.settings(kind)
    assert {name: found[name] for name in expected} == expected
    base = "NetworkPool" if kind == "NetPool" else "DiskPool"
    service.call("DeleteResourcePool", Pool=pool(f"{base}/made", base))
    assert "made" not in service.names()


SETTINGS = "CreateChildResourcePool"
REFUSED = [
    ([], FAILED, "Settings Error: No resources specified"),
    (["rubbish"], FAILED, "Unable to parse embedded object"),
    ([of("Mem", "")], FAILED, "Settings Error: Resource type not supported on this platform"),
    (
        ["instance of KVM_VirtualSystemSettingData { };"],
        FAILED,
        "Settings Error: Unable to determine",
    ),
    (
        [of("NetPool", "ForwardMode = 9;")],
        FAILED,
        "Settings Error: Storage pool type not supported",
    ),
    ([of("NetPool", "ForwardMode = 3;")], FAILED, "Settings Error: Missing `BridgeName' property"),
    ([of("NetPool", 'Address = "x";')], FAILED, "Unable to create resource pool: "),
    ([of("NetPool", 'BridgeName = "\\x1";')], FAILED, "Unable to generate XML for resource pool: "),
    ([of("DiskPool", "")], FAILED, "Settings Error: Missing `Type' property"),
    ([of("DiskPool", "Type = 1;")], FAILED, "Settings Error: Missing `Path' property"),
    ([of("DiskPool", "Type = 8;")], FAILED, "Settings Error: Storage pool type not supported"),
    ([of("DiskPool", "Type = 4;")], FAILED, "Settings Error: Missing `DevicePaths' property"),
    (
        [of("DiskPool", 'Type = 4; DevicePaths = {"a", "b"};')],
        FAILED,
        "Settings Error: Specified pool type only takes one device path",
    ),
    ([of("DiskPool", 'Type = 5; DevicePaths = {"a"};')], FAILED, "Missing `Host' property"),
    ([of("DiskPool", "Type = 7;")], FAILED, "Missing `AdapterName' property"),
    (
        [of("DiskPool", 'Type = 7; AdapterName = "a"; PortName = "1";')],
        FAILED,
        "Missing `NodeName' property",
    ),
    (None, INVALID_PARAMETER, "Settings"),
]


@pytest.mark.parametrize(("settings", "status", "text"), REFUSED)
def test_pools_that_cannot_be_made(
    service: Service, settings: list[str] | None, status: int, text: str
) -> None:
    before = service.names()
    refused(service, status, text, SETTINGS, ElementName="made", Settings=settings)
    assert service.names() == before


def refused(service: Service, status: int, text: str, method: str, **arguments: Any) -> None:
    with pytest.raises(CIMError) as raised:
        service.call(method, **arguments)
    assert (raised.value.status, text in raised.value.message) == (status, True), raised.value


def test_names(service: Service) -> None:
    made = service.call(SETTINGS, Settings=[of("DiskPool", DIR)])["Pool"]
    assert made == pool("DiskPool/libvirt-cim-pool")
    exists = "Pool with that name already exists"
    refused(service, FAILED, exists, SETTINGS, Settings=[of("DiskPool", DIR)])
    service.raw.storagePoolLookupByName("libvirt-cim-pool").destroy()
    refused(service, FAILED, exists, SETTINGS, Settings=[of("DiskPool", DIR)])
    service.call("DeleteResourcePool", Pool=made)
    gone = "Resource pool instance does not exist"
    refused(service, FAILED, gone, "DeleteResourcePool", Pool=made)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (pool("MemoryPool/0", "MemoryPool"), "Storage pool deletion error: Unable to destroy"),
        (pool("DiskPool/0"), "Storage pool deletion error: Unable to destroy"),
        (pool("DiskPool/default-pool", "NetworkPool"), "Resource pool instance does not exist"),
        (pool("default-pool"), "Resource pool instance does not exist"),
        (InstancePath("KVM_DiskPool", (), NS), "Resource pool instance does not exist"),
    ],
)
def test_pools_that_cannot_be_deleted(service: Service, path: InstancePath, text: str) -> None:
    before = service.names()
    refused(service, FAILED, text, "DeleteResourcePool", Pool=path)
    assert service.names() == before


VOLUMES = [
    ('Capacity = 5; AllocationUnits = "G";', 5 << 30, 0),
    ('Capacity = 5; AllocationUnits = "MegaBytes"; AllocationQuantity = 4096;', 5 << 20, 4096),
    ("VirtualQuantity = 5000000000;", 5000000000, 0),
    ('VirtualQuantity = 70000; VirtualQuantityUnits = "byte*2^20"; Capacity = 0;', 70000 << 20, 0),
    ("VirtualQuantity = 99999; Reservation = 77777;", 99999, 77777),
]


@pytest.mark.parametrize(("text", "capacity", "allocation"), VOLUMES)
def test_volumes(service: Service, text: str, capacity: int, allocation: int) -> None:
    service.create("DiskPool", DIR)
    made = service.call(
        "CreateResourceInPool",
        Settings=of("StorageVolume", VOLUME + text),
        Pool=pool("DiskPool/made"),
    )["Resource"]
    found = service.broker.get_instance(CONTEXT, made)
    assert (found["InstanceID"], found["FormatType"]) == ("/p/v", 2)
    assert (found["VirtualQuantity"], found["Reservation"]) == (capacity, allocation)
    resource = of("StorageVolume", 'Address = "/p/v";')
    service.call("RefreshResourcesInPool", Pool=pool("DiskPool/made"))
    service.call("DeleteResourceInPool", Resource=resource, Pool=pool("DiskPool/made"))
    gone = "Unable to delete resource: "
    refused(
        service, FAILED, gone, "DeleteResourceInPool", Resource=resource, Pool=pool("DiskPool/made")
    )


GOOD = of("StorageVolume", VOLUME + "Capacity = 1;")
POOL = pool("DiskPool/default-pool")
ADDRESS = of("StorageVolume", 'Address = "/x";')
RESOURCES = [
    ("CreateResourceInPool", {"Pool": POOL}, INVALID_PARAMETER, "Missing argument `Settings'"),
    ("CreateResourceInPool", {"Settings": GOOD}, INVALID_PARAMETER, "Missing argument `Pool'"),
    *(
        ("CreateResourceInPool", {"Settings": settings, "Pool": path}, status, text)
        for settings, path, status, text in (
            (
                of("Mem", ""),
                POOL,
                FAILED,
                "Unable to get attributes for resource: This function does not ",
            ),
            (
                of("StorageVolume", VOLUME),
                POOL,
                FAILED,
                "StorageVolumeRASD Capacity field not valid",
            ),
            (of("StorageVolume", "Capacity = 1;"), POOL, FAILED, "FormatType field not valid"),
            (
                of("StorageVolume", "FormatType = 3; VolumeName = 'v'; Path = 'p'; Capacity = 1;"),
                POOL,
                FAILED,
                "Unable to generate XML ",
            ),
            (
                of("StorageVolume", VOLUME + "Capacity = 1; VirtualQuantity = 7;"),
                POOL,
                FAILED,
                "different sizes",
            ),
            (
                of(
                    "StorageVolume",
                    VOLUME + "VirtualQuantity = 7; Reservation = 7; AllocationQuantity = 1;",
                ),
                POOL,
                FAILED,
                "different sizes",
            ),
            (
                of("StorageVolume", VOLUME + "VirtualQuantity = 7; VirtualQuantityUnits = 'ells';"),
                POOL,
                FAILED,
                "no unit of sizes",
            ),
            (
                of("StorageVolume", VOLUME + "Capacity = 1; AllocationUnits = 'ells';"),
                POOL,
                FAILED,
                "Unable to create storage volume: ",
            ),
            (of("StorageVolume", VOLUME + "Capacity = 70000;"), POOL, FAILED, "outside uint16"),
            (GOOD, pool("DiskPool/nosuch"), FAILED, "Unable to create storage volume: "),
            (GOOD, pool("p1"), INVALID_PARAMETER, "Pool has invalid InstanceID"),
            (
                GOOD,
                InstancePath("KVM_DiskPool", (), NS),
                FAILED,
                "Missing InstanceID in resource pool",
            ),
        )
    ),
    ("DeleteResourceInPool", {"Pool": POOL}, INVALID_PARAMETER, "Missing argument `Resource'"),
    ("DeleteResourceInPool", {"Resource": ADDRESS}, INVALID_PARAMETER, "Missing argument `Pool'"),
    (
        "DeleteResourceInPool",
        {"Resource": of("StorageVolume", ""), "Pool": POOL},
        FAILED,
        "Missing Address in ",
    ),
    (
        "DeleteResourceInPool",
        {"Resource": of("Mem", ""), "Pool": POOL},
        FAILED,
        "Unable to delete resource: ",
    ),
    ("RefreshResourcesInPool", {}, INVALID_PARAMETER, "Missing argument `Pool'"),
    (
        "RefreshResourcesInPool",
        {"Pool": pool("x")},
        INVALID_PARAMETER,
        "Pool has invalid InstanceID",
    ),
    (
        "RefreshResourcesInPool",
        {"Pool": pool("DiskPool/x")},
        FAILED,
        "Unable to refresh resource pool: ",
    ),
    ("CreateResourcePool", {}, NOT_SUPPORTED, ""),
    ("RemoveResourcesFromResourcePool", {}, NOT_SUPPORTED, ""),
    ("AddResourcesToResourcePool", {}, FAILED, "Unknown Method"),
    ("ChangeParentResourcePool", {}, FAILED, "Unknown Method"),
    ("DeleteResourcePool", {}, INVALID_PARAMETER, "Pool"),
]


@pytest.mark.parametrize(("method", "arguments", "status", "text"), RESOURCES)
def test_calls_that_are_refused(
    service: Service, method: str, arguments: dict[str, Any], status: int, text: str
) -> None:
    refused(service, status, text, method, **arguments)


def test_volumes_that_are_devices_have_no_format(service: Service) -> None:
    service.create("DiskPool", 'Type = 6; SourceName = "vg";')
    raw = 'VolumeName = "v"; FormatType = 1; Path = "x"; Capacity = 1;'
    arguments = {"Settings": GOOD, "Pool": pool("DiskPool/made")}
    refused(service, FAILED, "no image format", "CreateResourceInPool", **arguments)
    arguments["Settings"] = of("StorageVolume", raw)
    made = service.call("CreateResourceInPool", **arguments)["Resource"]
    assert service.broker.get_instance(CONTEXT, made)["FormatType"] is None


def test_nothing_is_left_of_a_pool_that_cannot_be_built(service: Service) -> None:
    # the test hypervisor builds nothing that takes a format
    text = 'Type = 2; Path = "/p"; DevicePaths = {"/dev/x"}; Build = true;'
    failed = "Unable to create resource pool: "
    refused(service, FAILED, failed, SETTINGS, ElementName="made", Settings=[of("DiskPool", text)])
    assert "made" not in service.names()


GIVEN: list[tuple[str, str, str]] = [
    (
        "NetPool",
        'ForwardMode = 2; ForwardDevice = "eth0"; Address = "10.0.0.1"; Netmask = "255.255.255.0"; '
        'IPRangeStart = "10.0.0.10"; IPRangeEnd = "10.0.0.99";',
        '<network><name>n</name><bridge/><forward mode="route" dev="eth0"/>'
        '<ip address="10.0.0.1" netmask="255.255.255.0"><dhcp>'
        '<range start="10.0.0.10" end="10.0.0.99"/></dhcp></ip></network>',
    ),
    (
        "DiskPool",
        'Type = 3; Host = "h"; SourceDirectory = "/exp"; Path = "/mnt/p";',
        '<pool type="netfs"><name>n</name><source><host name="h"/><dir path="/exp"/></source>'
        "<target><path>/mnt/p</path></target></pool>",
    ),
    (
        "DiskPool",
        'Type = 7; AdapterName = "host0"; PortName = "01"; NodeName = "02";',
        '<pool type="scsi"><name>n</name><source><adapter type="fc_host" parent="host0" wwpn="01" '
        'wwnn="02"/></source><target><path>/dev/disk/by-path</path></target></pool>',
    ),
    (
        "StorageVolume",
        'VolumeName = "v.qcow2"; FormatType = 2; Path = "/p/v.qcow2"; Capacity = 5; '
        'AllocationUnits = "G";',
        '<volume><name>v.qcow2</name><allocation>0</allocation><capacity unit="G">5</capacity>'
        '<target><path>/p/v.qcow2</path><format type="qcow2"/></target></volume>',
    ),
]


@pytest.mark.parametrize(("kind", "text", "xml"), GIVEN)
def test_what_libvirt_is_given(service: Service, kind: str, text: str, xml: str) -> None:
    settings = instance_of(service.broker.schema, NS, of(kind, text))
    definition: XmlObject
    if kind == "NetPool":
        definition = pool_requests.network("n", settings)
    elif kind == "DiskPool":
        definition = pool_requests.storage_pool("n", settings)
    else:
        definition = pool_requests.volume(settings)
    assert canonical(definition.to_xml()) == canonical(xml)


def canonical(xml: str) -> str:
    return str(etree.canonicalize(xml, strip_text=True))
