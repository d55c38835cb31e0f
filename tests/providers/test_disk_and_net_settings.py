# SPDX-License-Identifier: LGPL-2.1-or-later
"""Resource allocation settings of disks, mounted directories and network interfaces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.providers.wiring import (
    ALL,
    KVM,
    LXC,
    NAME,
    XEN,
    Case,
    Table,
    broker_of,
    case_id,
    check,
    guest,
    of_families,
    rows,
)
from tests.standin import Pool, Volume

IMAGE = "/img/a.qcow2"
POOLS = [
    Pool("default", "<pool type='dir'/>", volumes=[Volume(IMAGE, [0, 10737418240, 1])]),
    Pool("lvm", "<pool type='logical'/>", volumes=[Volume("/dev/vg/b", [1, 1073741824, 1])]),
]
ADDRESS = "<address type='pci' domain='0x0000' bus='0x00' slot='0x05' function='0x0'/>"
ADDRESS_SHOWN = {
    "AddressProperties": ["type", "domain", "bus", "slot", "function"],
    "AddressValues": ["pci", "0x0000", "0x00", "0x05", "0x0"],
}
NO_ADDRESS: dict[str, Any] = dict.fromkeys(("AddressProperties", "AddressValues"))
UNSET: dict[str, Any] = dict.fromkeys(("ElementName", "Parent", "HostResource", "Connection"))


def disk(what: str, attributes: str, children: str = "", **shown: Any) -> Case:
    xml = f"<disk {attributes}>{children}<target dev='vda'/></disk>"
    return Case(what, [{"InstanceID": f"{NAME}/vda", "VirtualDevice": "vda", **shown}], xml)


def mounted(what: str, attributes: str, children: str = "", **shown: Any) -> Case:
    xml = f"<filesystem {attributes}>{children}<target dir='/m'/></filesystem>"
    return Case(what, [{"InstanceID": f"{NAME}//m", "VirtualDevice": "/m", **shown}], xml)


def mounted_on(family: str, what: str, children: str = "", **shown: Any) -> Case:
    case = mounted(what, "type='mount'", children, **shown)
    return Case(f"{what} ({family})", case.expected, case.devices, families=(family,))


MAC = "52:54:00:aa:bb:0c"


def nic(what: str, kind: str, children: str = "", **shown: Any) -> Case:
    xml = f"<interface type='{kind}'><mac address='{MAC}'/>{children}</interface>"
    return Case(what, [{"InstanceID": f"{NAME}/{MAC}", "NetworkType": kind, **shown}], xml)


def port(what: str, kind: str, parameters: str | None, **shown: str) -> Case:
    names = ("VSIType", "VSIManagerID", "VSITypeID", "VSITypeIDVersion", "VSIInstanceID")
    inner = "" if parameters is None else f"<parameters {parameters}/>"
    element = f"<virtualport type='{kind}'>{inner}</virtualport>"
    values = {**dict.fromkeys((*names, "ProfileID")), "VSIType": kind, **shown}
    return nic(what, "direct", f"<source dev='eth0' mode='vepa'/>{element}", **values)


TABLE: Table = {
    "DiskResourceAllocationSettingData": [
        Case(
            "everything",
            [
                {
                    "InstanceID": f"{NAME}/vda",
                    "ResourceType": 17,
                    "VirtualQuantity": 10737418240,
                    "AllocationUnits": "Bytes",
                    "VirtualDevice": "vda",
                    "Address": IMAGE,
                    "PoolID": "DiskPool/default",
                    "BusType": "virtio",
                    "EmulatedType": 0,
                    "readonly": True,
                    "shareable": True,
                    "DriverName": "qemu",
                    "DriverType": "qcow2",
                    "DriverCache": "none",
                    "rawio": "yes",
                    "sgio": "filtered",
                    "AccessMode": None,
                    "MountPoint": None,
                    **ADDRESS_SHOWN,
                    **UNSET,
                }
            ],
            "<disk type='file' device='disk' rawio='yes' sgio='filtered'>"
            f"<driver name='qemu' type='qcow2' cache='none'/><source file='{IMAGE}'/>"
            f"<target dev='vda' bus='virtio'/><readonly/><shareable/>{ADDRESS}</disk>",
        ),
        disk(
            "as little as there may be",
            "type='file' device='disk'",
            "<source file='/nosuch'/>",
            **dict.fromkeys(
                (
                    *(
                        "BusType",
                        "readonly",
                        "shareable",
                        "DriverName",
                        "DriverType",
                        "DriverCache",
                    ),
                    *("rawio", "sgio", "PoolID"),
                )
            ),
            Address="/nosuch",
            VirtualQuantity=0,
            AllocationUnits="Bytes",
            EmulatedType=0,
            **NO_ADDRESS,
        ),
        disk("disk", "type='file' device='disk'", EmulatedType=0),
        disk("CD-ROM", "type='file' device='cdrom'", EmulatedType=1),
        disk("floppy", "type='file' device='floppy'", EmulatedType=2),
        disk("LUN", "type='block' device='lun'", EmulatedType=4),
        disk("kind not stated", "type='file'", EmulatedType=0),
        disk(
            "empty CD-ROM",
            "type='file' device='cdrom'",
            Address="",
            VirtualQuantity=0,
            PoolID=None,
        ),
        disk("empty floppy", "type='file' device='floppy'", Address="", VirtualQuantity=0),
        disk(
            "block device in a pool",
            "type='block' device='disk'",
            "<source dev='/dev/vg/b'/>",
            Address="/dev/vg/b",
            PoolID="DiskPool/lvm",
            VirtualQuantity=1073741824,
        ),
        disk(
            "volume of a pool",
            "type='volume' device='disk'",
            "<source pool='default' volume='a.qcow2'/>",
            Address="default/a.qcow2",
            PoolID="DiskPool/default",
            VirtualQuantity=10737418240,
        ),
        disk(
            "volume that is not there",
            "type='volume' device='disk'",
            "<source pool='default' volume='nosuch'/>",
            Address="default/nosuch",
            PoolID=None,
            VirtualQuantity=0,
        ),
        disk(
            "network source",
            "type='network' device='disk'",
            "<source protocol='rbd' name='pool/image'/>",
            Address="rbd:pool/image",
            PoolID=None,
            VirtualQuantity=0,
        ),
        disk(
            "driver without name",
            "type='file' device='disk'",
            "<driver cache='none'/><source file='/x'/>",
            DriverName=None,
            DriverCache="none",
        ),
        mounted_on(
            KVM,
            "mounted directory",
            "<driver type='path'/><source dir='/nosuch'/>",
            ResourceType=17,
            EmulatedType=3,
            DriverType="path",
            BusType=None,
            DriverName=None,
            DriverCache=None,
            readonly=None,
            shareable=None,
            rawio=None,
            sgio=None,
        ),
        mounted_on(XEN, "mounted directory", "<source dir='/nosuch'/>", EmulatedType=0),
        mounted_on(
            LXC,
            "mounted directory",
            "<source dir='/nosuch'/>",
            MountPoint="/m",
            Address="/nosuch",
            AllocationUnits="Bytes",
            VirtualQuantity=0,
        ),
        mounted(
            "access mode",
            "type='mount' accessmode='mapped'",
            "<source dir='/nosuch'/>",
            AccessMode="mapped",
        ),
        mounted("access mode not stated", "type='mount'", AccessMode=None, Address=""),
        mounted("address", "type='mount'", f"<source dir='/nosuch'/>{ADDRESS}", **ADDRESS_SHOWN),
        Case(
            "running: what runs",
            [{"InstanceID": f"{NAME}/vda", "Address": "/live"}],
            "<disk type='file' device='disk'><source file='/off'/><target dev='vda'/></disk>",
            more={
                "live": "<disk type='file' device='disk'><source file='/live'/>"
                "<target dev='vda'/></disk>"
            },
        ),
    ],
    "NetResourceAllocationSettingData": [
        Case(
            "everything but a port",
            [
                {
                    "InstanceID": f"{NAME}/{MAC}",
                    "ResourceType": 10,
                    "NetworkType": "network",
                    "NetworkName": "default",
                    "Address": MAC,
                    "ResourceSubType": "virtio",
                    "VirtualDevice": "vnet0",
                    "Reservation": 1000,
                    "Limit": 2000,
                    "AllocationUnits": "KiloBytes per Second",
                    "PoolID": "NetworkPool/default",
                    "FilterRef": "clean-traffic",
                    "SourceDevice": None,
                    "NetworkMode": None,
                    "VSIType": None,
                    **ADDRESS_SHOWN,
                    **UNSET,
                }
            ],
            f"<interface type='network'><mac address='{MAC}'/><source network='default'/>"
            "<target dev='vnet0'/><model type='virtio'/><filterref filter='clean-traffic'/>"
            "<bandwidth><inbound average='1000' peak='2000' burst='5'/><outbound average='7'/>"
            f"</bandwidth>{ADDRESS}</interface>",
        ),
        nic(
            "as little as there may be",
            "user",
            **dict.fromkeys(
                (
                    *("NetworkName", "ResourceSubType", "VirtualDevice", "Reservation", "Limit"),
                    *("AllocationUnits", "PoolID", "FilterRef", "SourceDevice", "NetworkMode"),
                )
            ),
            Address=MAC,
            **NO_ADDRESS,
        ),
        nic(
            "network of a running guest, its bridge is no name",
            "network",
            "<source network='default' portid='x' bridge='virbr0'/>",
            NetworkName="default",
            PoolID="NetworkPool/default",
        ),
        nic("bridge", "bridge", "<source bridge='br0'/>", NetworkName="br0", PoolID=None),
        nic(
            "direct",
            "direct",
            "<source dev='eth0' mode='vepa'/>",
            NetworkName="eth0",
            SourceDevice="eth0",
            NetworkMode="vepa",
            PoolID=None,
        ),
        nic(
            "direct through a network",
            "direct",
            "<source network='macvtap' dev='eth0' mode='bridge'/>",
            NetworkName="macvtap",
            SourceDevice="eth0",
            NetworkMode="bridge",
            PoolID="NetworkPool/macvtap",
        ),
        nic("ethernet", "ethernet", NetworkName=None, SourceDevice=None, PoolID=None),
        nic(
            "average without peak",
            "user",
            "<bandwidth><inbound average='5'/></bandwidth>",
            Reservation=5,
            Limit=None,
            AllocationUnits="KiloBytes per Second",
        ),
        nic(
            "peak without average",
            "user",
            "<bandwidth><inbound peak='5'/></bandwidth>",
            Reservation=None,
            Limit=5,
            AllocationUnits="KiloBytes per Second",
        ),
        nic(
            "average of zero",
            "user",
            "<bandwidth><inbound average='0' peak='0'/></bandwidth>",
            Reservation=None,
            Limit=None,
            AllocationUnits=None,
        ),
        nic(
            "outbound alone",
            "user",
            "<bandwidth><outbound average='5' peak='6'/></bandwidth>",
            Reservation=None,
            Limit=None,
            AllocationUnits=None,
        ),
        port(
            "802.1Qbg",
            "802.1Qbg",
            "managerid='11' typeid='1193047' typeidversion='2' instanceid='09b1'",
            VSIManagerID="11",
            VSITypeID="1193047",
            VSITypeIDVersion="2",
            VSIInstanceID="09b1",
        ),
        port("802.1Qbh", "802.1Qbh", "profileid='finance'", ProfileID="finance"),
        port("Open vSwitch", "openvswitch", "interfaceid='09b1'"),
        port("port without parameters", "openvswitch", None),
        Case(
            "no MAC address",
            [{"InstanceID": f"{NAME}/net", "Address": None}],
            "<interface type='user'/>",
        ),
        Case(
            "MAC address as it is written",
            [{"InstanceID": f"{NAME}/52:54:00:AA:BB:0C", "Address": "52:54:00:AA:BB:0C"}],
            "<interface type='user'><mac address='52:54:00:AA:BB:0C'/></interface>",
        ),
    ],
}


@pytest.mark.parametrize(("prefix", "base", "case"), of_families(TABLE), ids=case_id)
def test_values(prefix: str, base: str, case: Case) -> None:
    check(prefix, base, case, POOLS)


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize("kind", ["file", "directory", "nothing"])
def test_size_of_what_is_in_no_pool(prefix: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    expected = 0
    if kind == "file":
        path.write_bytes(b"x" * 1234)
        expected = 1234
    elif kind == "directory":
        path.mkdir()
        expected = path.stat().st_size
    xml = (
        f"<filesystem type='mount'><source dir='{path}'/><target dir='/m'/></filesystem>"
        if kind == "directory"
        else f"<disk type='file' device='disk'><source file='{path}'/><target dev='vda'/></disk>"
    )
    broker = broker_of({prefix: [guest(prefix, devices=xml)]})
    (row,) = rows(broker, prefix, "DiskResourceAllocationSettingData")
    assert (row["VirtualQuantity"], row["PoolID"]) == (expected, None)


VALUE_MAPS: Mapping[tuple[str, str, str], Mapping[str, str]] = {
    (XEN, "Disk", "EmulatedType"): {"0": "Disk", "1": "CDROM", "2": "floppy", "4": "lun"},
    (KVM, "Disk", "EmulatedType"): {
        "0": "Disk",
        "1": "CDROM",
        "2": "floppy",
        "3": "filesystem",
        "4": "lun",
    },
    **{
        (prefix, "NetPool", "ForwardMode"): {
            "0": "None",
            "1": "NAT",
            "2": "Routed",
            "3": "Bridged",
        }
        for prefix in ALL
    },
    **{
        (prefix, "Character", "SourceType"): {
            "0": "null",
            "1": "vc",
            "2": "pty",
            "3": "dev",
            "4": "file",
            "5": "pipe",
            "6": "stdio",
            "7": "udp",
            "8": "tcp",
            "9": "unix",
            "10": "spicevmc",
        }
        for prefix in ALL
    },
}


@pytest.mark.parametrize(("prefix", "kind", "name"), VALUE_MAPS)
def test_numbers_mean_what_the_class_says(prefix: str, kind: str, name: str) -> None:
    cls = broker_of({}).schema.get("root/virt", f"{prefix}_{kind}ResourceAllocationSettingData")
    qualifiers = cls.by_name[name.lower()].qualifiers
    meanings = dict(zip(qualifiers["ValueMap"], qualifiers["Values"], strict=True))
    assert meanings == VALUE_MAPS[prefix, kind, name]
