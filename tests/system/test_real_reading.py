# SPDX-License-Identifier: LGPL-2.1-or-later
"""Everything that is shown of a real QEMU and of a real LXC, compared with what libvirt says itself.

The host has storage pools of two kinds, networks and bridges, filters with rules of many protocols,
and guests that use them; of each, one that runs and one that does not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
import psutil
import pytest
import pywbem

from tests import hypervisor
from tests.system import reading
from tests.system.conftest import Served

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]

NETWORKS = {
    "rd-nat": "<forward mode='nat'/><bridge name='rdbr0'/><ip address='10.88.1.1' netmask='255.255.255.0'/>",
    "rd-alone": "<bridge name='rdbr1'/><ip address='10.88.2.1' netmask='255.255.255.0'/>",
    "rd-bridged": "<forward mode='bridge'/><bridge name='rdown'/>",
    "rd-off": "<bridge name='rdbr3'/><ip address='10.88.4.1' netmask='255.255.255.0'/>",
}
FILTERS = (
    "<filter name='rd-base'><rule action='accept' direction='inout'><all/></rule></filter>",
    "<filter name='rd-guard' chain='root' priority='-700'>"
    "<rule action='drop' direction='out' priority='-500'>"
    "<mac match='no' srcmacaddr='52:54:00:00:00:01' protocolid='arp'/></rule>"
    "<rule action='continue' direction='in'>"
    "<arp dstmacaddr='52:54:00:00:00:02' dstmacmask='ff:ff:ff:ff:ff:ff'/></rule>"
    "<rule action='accept' direction='in' priority='100'><ip srcipaddr='10.0.0.0' srcipmask='8'/></rule>"
    "<rule action='reject' direction='inout'>"
    "<tcp-ipv6 dstipaddr='2001:db8::1' dstipmask='64' dstportstart='80' dstportend='90'/></rule>"
    "<rule action='return' direction='out'>"
    "<udp srcipfrom='10.1.0.1' srcipto='10.1.0.9' srcportstart='53'/></rule>"
    "<filterref filter='rd-base'/></filter>",
    "<filter name='rd-tags' chain='vlan'>"
    "<rule action='drop' direction='inout'><vlan vlanid='7'/></rule></filter>",
)
PORT_OF_SLEEPER = 5999


def dir_pool(name: str, folder: Path) -> str:
    return f"<pool type='dir'><name>{name}</name><target><path>{folder}</path></target></pool>"


def nic(last: int, kind: str, source: str, guard: str = "") -> str:
    reference = guard and f"<filterref filter='{guard}'/>"
    return (
        f"<interface type='{kind}'><mac address='52:54:00:88:00:0{last}'/>"
        f"<source {kind}='{source}'/><model type='e1000'/>{reference}</interface>"
    )


def disk(path: Path, target: str, kind: str = "raw") -> str:
    return (
        f"<disk type='file' device='disk'><driver name='qemu' type='{kind}'/>"
        f"<source file='{path}'/><target dev='{target}' bus='virtio'/></disk>"
    )


@dataclass
class Host:
    """The hypervisor with all that it has, seen by a CIM client and by libvirt."""

    served: Served
    client: pywbem.WBEMConnection
    raw: Any
    folder: Path

    def pool_of(self, base: str, device_id: str, association: str) -> list[str]:
        """InstanceIDs of the pools that a device or its setting comes from."""
        key = "InstanceID" if base.endswith("SettingData") else "DeviceID"
        (path,) = [
            p for p in self.client.EnumerateInstanceNames(f"KVM_{base}") if p[key] == device_id
        ]
        found = self.client.AssociatorNames(path, AssocClass=f"KVM_{association}")
        return [pool["InstanceID"] for pool in found]

    def named(self, base: str, key: str, value: str) -> pywbem.CIMInstance:
        """The one instance of a class with a key's value."""
        (found,) = [i for i in self.client.EnumerateInstances(f"KVM_{base}") if i[key] == value]
        return found


@pytest.fixture(scope="module")
def host(real: Served, box: hypervisor.PrivateLibvirtd) -> Iterator[Host]:
    raw = libvirt.open(box.qemu_uri)
    with ExitStack() as undo, tempfile.TemporaryDirectory(prefix="rd-") as directory:
        undo.callback(raw.close)
        folder = Path(directory)
        box.run("ip", "link", "add", "rdown", "type", "bridge")
        undo.callback(box.run, "ip", "link", "del", "rdown")
        for name in ("images", "spare"):
            (folder / name).mkdir()
            pool = raw.storagePoolDefineXML(dir_pool(f"rd-{name}", folder / name))
            undo.callback(pool.undefine)
        images = raw.storagePoolLookupByName("rd-images")
        images.create()
        undo.callback(images.destroy)
        for name, kind, size in (("a.raw", "raw", 4), ("b.qcow2", "qcow2", 8)):
            images.createXML(
                f"<volume><name>{name}</name><capacity unit='MiB'>{size}</capacity>"
                f"<target><format type='{kind}'/></target></volume>"
            )
        (folder / "outside.img").write_bytes(bytes(1 << 20))
        for name, inside in NETWORKS.items():
            network = raw.networkDefineXML(f"<network><name>{name}</name>{inside}</network>")
            undo.callback(network.undefine)
            if name != "rd-off":
                network.create()
                undo.callback(network.destroy)
        for text in FILTERS:
            undo.callback(raw.nwfilterDefineXML(text).undefine)
        _define_guests(raw, folder, undo)
        yield Host(real, real.client(), raw, folder)


def _define_guests(raw: Any, folder: Path, undo: ExitStack) -> None:
    awake = raw.defineXML(
        hypervisor.qemu_guest(
            "rd-awake",
            devices=disk(folder / "images/a.raw", "vda")
            + disk(folder / "outside.img", "vdb")
            + nic(1, "network", "rd-nat", "rd-guard")
            + nic(2, "network", "rd-alone")
            + nic(3, "bridge", "rdbr1")
            + nic(4, "network", "rd-bridged")
            + "<controller type='usb' index='0' model='piix3-uhci'/><input type='tablet' bus='usb'/>"
            "<graphics type='vnc' autoport='yes'/>",
        )
    )
    undo.callback(awake.undefine)
    awake.create()
    undo.callback(awake.destroy)
    asleep = raw.defineXML(
        hypervisor.qemu_guest(
            "rd-asleep",
            devices=disk(folder / "images/b.qcow2", "vda", "qcow2")
            + nic(5, "network", "rd-off", "rd-tags")
            + f"<graphics type='vnc' port='{PORT_OF_SLEEPER}' autoport='no'/>",
        )
    )
    undo.callback(asleep.undefine)


HAS_ANY = """
    AllocationCapabilities ComputerSystem ConsoleRedirectionService Controller ControllerPool
    DiskPool DiskResourceAllocationSettingData DisplayController ElementAllocatedFromPool
    EnabledLogicalElementCapabilities EntriesInFilterList FilterEntry FilterList GraphicsPool
    HostSystem HostedFilterList HostedResourcePool HostedService Hdr8021Filter IPHeadersFilter
    InputPool KVMRedirectionSAP LogicalDisk Memory MemoryPool NestedFilterList AppliedFilterList
    NetworkPool NetworkPort PointingDevice Processor ProcessorPool ResourceAllocationFromPool
    ResourcePoolConfigurationService SettingsDefineCapabilities SwitchService
    VirtualSystemManagementService VirtualSystemMigrationService VirtualSystemSettingData
    VirtualSystemSnapshotService
"""


def test_all_that_is_listed_can_be_read(host: Host) -> None:
    counts, wrong = reading.unreadable(host.served, "KVM")
    assert wrong == []
    assert {base for base in HAS_ANY.split() if not counts.get(base)} == set()


@pytest.fixture
def snapshots(host: Host) -> Iterator[None]:
    """A snapshot of a guest and one that follows it, and the jobs that made them."""
    (service,) = host.client.EnumerateInstanceNames("KVM_VirtualSystemSnapshotService")
    guest = host.named("ComputerSystem", "Name", "rd-asleep").path

    def call(method: str, **arguments: Any) -> dict[str, Any]:
        value, outputs = host.client.InvokeMethod(method, service, **arguments)
        assert value == 0
        return dict(outputs)

    made = [
        call(
            "CreateSnapshot",
            AffectedSystem=guest,
            SnapshotSettings=pywbem.CIMInstance("KVM_VirtualSystemSettingData", {"ElementName": name}),
            SnapshotType=pywbem.Uint16(2),
        )["ResultingSnapshot"]
        for name in ("rd-first", "rd-second")
    ]  # fmt: skip
    yield
    for path in made:
        call("DestroySnapshot", AffectedSnapshot=path)


@pytest.mark.usefixtures("snapshots")
def test_associations_agree_in_all_ways(host: Host) -> None:
    counts = reading.walked(host.served, "KVM")
    assert {base for base, count in counts.items() if not count} == set()


def test_storage_pools(host: Host) -> None:
    shown = {pool["InstanceID"]: pool for pool in host.client.EnumerateInstances("KVM_DiskPool")}
    pools = host.raw.listAllStoragePools()
    assert set(shown) == {f"DiskPool/{pool.name()}" for pool in pools} | {"DiskPool/0"}
    for pool in pools:
        cim = shown[f"DiskPool/{pool.name()}"]
        _state, capacity, allocation, _available = pool.info()
        assert cim["OperationalStatus"] == [2 if pool.isActive() else 10]
        assert (cim["Capacity"], cim["Reserved"]) == (capacity >> 20, allocation >> 20)
        assert (cim["Autostart"], cim["Primordial"]) == (pool.autostart(), False)
    assert shown["DiskPool/rd-images"]["Capacity"] > 0
    assert shown["DiskPool/rd-spare"]["OperationalStatus"] == [10]
    assert shown["DiskPool/rd-images"]["Path"] == str(host.folder / "images")


def test_pool_on_a_device(host: Host, device: str, box: hypervisor.PrivateLibvirtd) -> None:
    mounted = host.folder / "mounted"
    mounted.mkdir()
    box.run("mkfs.ext4", "-q", device)
    pool = host.raw.storagePoolCreateXML(
        f"<pool type='fs'><name>rd-mounted</name><source><device path='{device}'/></source>"
        f"<target><path>{mounted}</path></target></pool>"
    )
    try:
        shown = host.named("DiskPool", "InstanceID", "DiskPool/rd-mounted")
        _state, capacity, allocation, _available = pool.info()
        assert (shown["Capacity"], shown["Reserved"]) == (capacity >> 20, allocation >> 20)
        assert 0 < shown["Capacity"] < 32
        assert (shown["OtherResourceType"], shown["Path"]) == ("fs", str(mounted))
    finally:
        pool.destroy()


def test_networks(host: Host) -> None:
    shown = {pool["InstanceID"]: pool for pool in host.client.EnumerateInstances("KVM_NetworkPool")}
    for name in NETWORKS:
        network = host.raw.networkLookupByName(name)
        pool = shown[f"NetworkPool/{name}"]
        assert pool["Caption"] == f"Bridge: {network.bridgeName()}"
        assert pool["OperationalStatus"] == [2 if network.isActive() else 10]


@pytest.mark.parametrize(
    ("device", "pools"),
    [
        ("rd-awake/vda", ["DiskPool/rd-images"]),
        ("rd-awake/vdb", []),
        ("rd-asleep/vda", ["DiskPool/rd-images"]),
        ("rd-awake/52:54:00:88:00:01", ["NetworkPool/rd-nat"]),
        ("rd-awake/52:54:00:88:00:02", ["NetworkPool/rd-alone"]),
        ("rd-awake/52:54:00:88:00:03", ["NetworkPool/rd-alone"]),
        ("rd-awake/52:54:00:88:00:04", ["NetworkPool/rd-bridged"]),
        ("rd-asleep/52:54:00:88:00:05", ["NetworkPool/rd-off"]),
    ],
)
def test_where_devices_come_from(host: Host, device: str, pools: list[str]) -> None:
    base, setting = ("LogicalDisk", "Disk") if "/vd" in device else ("NetworkPort", "Net")
    assert host.pool_of(base, device, "ElementAllocatedFromPool") == pools
    if pools:
        base = f"{setting}ResourceAllocationSettingData"
        assert host.pool_of(base, device, "ResourceAllocationFromPool") == pools


def test_size_of_disks(host: Host) -> None:
    for device, name in (("rd-awake/vda", "a.raw"), ("rd-asleep/vda", "b.qcow2")):
        pool = host.raw.storagePoolLookupByName("rd-images")
        setting = host.named("DiskResourceAllocationSettingData", "InstanceID", device)
        assert setting["VirtualQuantity"] == pool.storageVolLookupByName(name).info()[1]
        assert setting["PoolID"] == "DiskPool/rd-images"


RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "rd-guard:0": (
        "Hdr8021Filter",
        {
            "Action": 2,
            "Direction": 2,
            "Priority": -500,
            "IsNegated": True,
            "HdrSrcMACAddr8021": [0x52, 0x54, 0, 0, 0, 1],
            "HdrProtocolID8021": 0x0806,
        },
    ),
    "rd-guard:1": (
        "Hdr8021Filter",
        {
            "Action": 5,
            "Direction": 1,
            "HdrDestMACAddr8021": [0x52, 0x54, 0, 0, 0, 2],
            "HdrDestMACMask8021": [255] * 6,
        },
    ),
    "rd-guard:2": (
        "IPHeadersFilter",
        {
            "Action": 1,
            "Direction": 1,
            "Priority": 100,
            "HdrIPVersion": 4,
            "HdrSrcAddress": [10, 0, 0, 0],
            "HdrSrcMask": [255, 0, 0, 0],
        },
    ),
    "rd-guard:3": (
        "IPHeadersFilter",
        {
            "Action": 3,
            "Direction": 3,
            "HdrIPVersion": 6,
            "HdrDestAddress": [0x20, 0x01, 0x0D, 0xB8, *[0] * 11, 1],
            "HdrDestMask": [255] * 8 + [0] * 8,
            "HdrDestPortStart": 80,
            "HdrDestPortEnd": 90,
        },
    ),
    "rd-guard:4": (
        "IPHeadersFilter",
        {
            "Action": 4,
            "Direction": 2,
            "HdrSrcAddress": [10, 1, 0, 1],
            "HdrSrcAddressEndOfRange": [10, 1, 0, 9],
            "HdrSrcPortStart": 53,
        },
    ),
    "rd-tags:0": ("FilterEntry", {"Direction": 3}),
}


@pytest.mark.parametrize("name", RULES)
def test_rules(host: Host, name: str) -> None:
    base, values = RULES[name]
    shown = host.named(base, "Name", name)
    assert {key: shown[key] for key in values} == values
    (owner,) = host.client.AssociatorNames(shown.path, AssocClass="KVM_EntriesInFilterList")
    assert owner["Name"] == name.partition(":")[0]


def test_filters(host: Host) -> None:
    shown = {f["Name"]: f for f in host.client.EnumerateInstances("KVM_FilterList")}
    assert set(shown) == {f.name() for f in host.raw.listAllNWFilters()}
    guard = shown["rd-guard"]
    assert guard["InstanceID"] == host.raw.nwfilterLookupByName("rd-guard").UUIDString()
    assert guard["Priority"] == -700
    nested = host.client.AssociatorNames(guard.path, AssocClass="KVM_NestedFilterList")
    assert [f["Name"] for f in nested] == ["rd-base"]


@pytest.mark.parametrize(
    ("name", "ports"),
    [
        ("rd-guard", ["rd-awake/52:54:00:88:00:01"]),
        ("rd-tags", ["rd-asleep/52:54:00:88:00:05"]),
        ("rd-base", []),
    ],
)
def test_what_filters_guard(host: Host, name: str, ports: list[str]) -> None:
    path = host.named("FilterList", "Name", name).path
    found = host.client.AssociatorNames(path, AssocClass="KVM_AppliedFilterList")
    assert [port["DeviceID"] for port in found] == ports


def test_ports_of_displays(
    host: Host, box: hypervisor.PrivateLibvirtd, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the guests' sockets are in the box's network, not in that of the server
    monkeypatch.setattr(psutil, "PROCFS_PATH", f"/proc/{box.first_process}")
    xml = host.raw.lookupByName("rd-awake").XMLDesc()
    port = int(xml.partition("type='vnc' port='")[2].partition("'")[0])
    shown = {
        (sap["SystemName"], sap["Name"]): sap["EnabledState"]
        for sap in host.client.EnumerateInstances("KVM_KVMRedirectionSAP")
        if sap["SystemName"].startswith("rd-")
    }
    assert shown == {
        ("rd-awake", f"{port}:0"): 6,
        ("rd-asleep", f"{PORT_OF_SLEEPER}:-1"): 3,
    }


TEMPLATES = [
    ("DiskPool/rd-images", 4 * (2 + 2 + 2)),
    ("DiskPool/0", 28),
    ("NetworkPool/rd-nat", 40),
    ("NetworkPool/0", 20),
    ("MemoryPool/0", 4),
    ("ProcessorPool/0", 4),
]


@pytest.mark.parametrize(("pool", "count"), TEMPLATES)
def test_templates_of_pools(host: Host, pool: str, count: int) -> None:
    path = host.named("AllocationCapabilities", "InstanceID", pool).path
    found = host.client.Associators(path, AssocClass="KVM_SettingsDefineCapabilities")
    assert len(found) == count
    assert {template["PoolID"] for template in found} == {pool}
    if pool == "ProcessorPool/0":
        most = max(template["VirtualQuantity"] for template in found)
        assert most == host.raw.getMaxVcpus(None)


def test_memory_and_processors(host: Host) -> None:
    (memory,) = host.client.EnumerateInstances("KVM_MemoryPool")
    (processors,) = host.client.EnumerateInstances("KVM_ProcessorPool")
    info = host.raw.getInfo()
    running = host.raw.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
    assert memory["Capacity"] == info[1] * 1024
    assert memory["Reserved"] == sum(domain.info()[2] for domain in running)
    assert processors["Capacity"] == info[2]


@pytest.fixture
def container(box: hypervisor.PrivateLibvirtd, container_root: Path, host: Host) -> Iterator[Any]:
    connection = libvirt.open(box.lxc_uri)
    link = nic(9, "network", "rd-nat").replace("<model type='e1000'/>", "")
    text = hypervisor.lxc_guest("rd-contained", container_root)
    domain = connection.defineXML(text.replace("</devices>", f"{link}</devices>"))
    domain.create()
    yield connection
    domain.destroy()
    domain.undefine()
    connection.close()


def test_containers(container: Any, host: Host) -> None:
    counts = reading.walked(host.served, "LXC")
    for base in ("SystemDevice", "SettingsDefineState", "HostedResourcePool", "HostedDependency"):
        assert counts[base], base
    client = host.served.client()
    pools = {
        pool["InstanceID"]
        for base in ("Memory", "Processor", "Network", "Disk")
        for pool in client.EnumerateInstances(f"LXC_{base}Pool")
    }
    assert {"MemoryPool/0", "ProcessorPool/0", "NetworkPool/0", "DiskPool/0"} <= pools
    (port,) = client.EnumerateInstanceNames("LXC_NetworkPort")
    found = client.AssociatorNames(port, AssocClass="LXC_ElementAllocatedFromPool")
    assert [pool["InstanceID"] for pool in found] == ["NetworkPool/rd-nat"]
    (memory,) = client.EnumerateInstances("LXC_MemoryPool")
    assert memory["Capacity"] == container.getInfo()[1] * 1024
