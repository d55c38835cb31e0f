# SPDX-License-Identifier: LGPL-2.1-or-later
"""What there is once per host, per pool, per filter: pools, services, capabilities, filters, profiles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from libvirtcim import __version__
from libvirtcim.cim import errors
from libvirtcim.providers import console
from libvirtcim.virt import vsi
from libvirtcim.virt.sessions import Socket
from libvirtcim.virt.settings import VsiSettings
from tests.providers.full_host import DEVICES, FILTERS, NETWORKS, POOLS
from tests.providers.wiring import (
    ALL,
    CONTEXT,
    HOST_NAME,
    KVM,
    LXC,
    NAME,
    NS,
    XEN,
    Case,
    Table,
    broker_of,
    case_id,
    check,
    guest,
    of_families,
    path,
)
from tests.standin import Managed, StandInConnection

INTEROP = "root/interop"
SHORT_NAME = "h1"
INTERFACE = "eth7"
VNC_PORT, VIEWER = 5999, 41000
UP: dict[str, Any] = {"live": DEVICES, "memory_kib": 524288, "vcpus": 3}
HOSTED = {"SystemCreationClassName": "{P}_HostSystem", "SystemName": HOST_NAME}


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The machine's own facts: a switch that knows 802.1Qbg behind eth7, a viewer of port 5999."""
    tool = tmp_path / "lldptool"
    announced = "\n".join(f"\t{line}" for line in vsi.announcements(VsiSettings()))
    tool.write_text(f'#!/bin/sh\n[ "$2" = {INTERFACE} ] && cat <<END\nEVB TLV\n{announced}\nEND\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(vsi, "ethernet_interfaces", lambda _sysfs: ["eth0", INTERFACE])
    sockets = [Socket("127.0.0.1"), Socket("127.0.0.1", VIEWER), Socket("10.0.0.1")]
    monkeypatch.setattr(console, "tcp_sockets", lambda: {VNC_PORT: sockets})
    monkeypatch.setattr("libvirtcim.virt.hostname.short_name", lambda: SHORT_NAME)
    yield


def _pool(
    pool_id: str, kind: int, name: str, *, child: bool = False, **more: Any
) -> dict[str, Any]:
    return {
        "InstanceID": pool_id,
        "PoolID": pool_id,
        "ResourceType": kind,
        "Primordial": not child,
        "ElementName": name,
        "OperationalStatus": [2],
        **more,
    }


def _only(base: str, kind: int, name: str, **more: Any) -> Case:
    return Case("the only one", [_pool(f"{base}/0", kind, name, **more)], more=UP)


def _same(value: Any, *names: str) -> dict[str, Any]:
    return dict.fromkeys(names, value)


_UNITS = ("AllocationUnits", "ConsumedResourceUnits")
_MIB = _same("Megabytes", *_UNITS)


def _service(base: str, name: str, **more: Any) -> Case:
    expected = {**HOSTED, "CreationClassName": f"{{P}}_{base}", "Name": name, **more}
    return Case("one per host", [expected])


def _rule(name: str, base: str, **more: Any) -> dict[str, Any]:
    return {**HOSTED, "CreationClassName": f"{{P}}_{base}", "Name": name, **more}


PROFILES = [
    ("CIM:DSP1042-SystemVirtualization-1.0.0", "System Virtualization", "1.0.0"),
    ("CIM:DSP1057-VirtualSystem-1.0.0a", "Virtual System Profile", "1.0.0a"),
    *(
        (
            f"CIM:DSP1059-GenericDeviceResourceVirtualization-1.0.0_{letter}",
            "Generic Device Resource Virtualization",
            "1.0.0",
        )
        for letter in "dnp"
    ),
    ("CIM:DSP1045-MemoryResourceVirtualization-1.0.0", "Memory Resource Virtualization", "1.0.0"),
    ("CIM:DSP1081-VirtualSystemMigration-0.8.1", "Virtual System Migration", "0.8.1"),
    ("CIM:DSP1076-KVMRedirection-1.0.0", "KVM Redirection", "1.0.0"),
    ("CIM:DSP1043-AllocationCapabilities-1.0.0a", "Allocation Capabilities", "1.0.0a"),
    *(
        (f"CIM:DSP1041-ResourceAllocation-1.1.0c_{letter}", "Resource Allocation", "1.1.0c")
        for letter in "dnpm"
    ),
]

TABLE: Table = {
    "MemoryPool": [
        _only(
            "MemoryPool",
            4,
            "Memory",
            Capacity=8192 * 1024,
            **_same("byte*2^10", *_UNITS),
            **_same(524288, "Reserved", "CurrentlyConsumedResource"),
        )
    ],
    "ProcessorPool": [
        _only(
            "ProcessorPool",
            3,
            "Processors",
            Capacity=4,
            Reserved=0,
            CurrentlyConsumedResource=3,
            **_same("Processors", *_UNITS),
        )
    ],
    "GraphicsPool": [_only("GraphicsPool", 24, "Displays", ConsumedResourceUnits="count")],
    "InputPool": [_only("InputPool", 13, "Input devices")],
    "ControllerPool": [
        Case(
            "the only one",
            [_pool("ControllerPool/0", 32771, "Bus controllers")],
            families=(KVM,),
        )
    ],
    "NetworkPool": [
        Case(
            "networks, those that are off too, and their parent",
            [
                _pool("NetworkPool/default", 10, "default", child=True, Caption="Bridge: virbr0"),
                _pool("NetworkPool/taps", 10, "taps", child=True, Caption=None),
                {
                    **_pool("NetworkPool/off", 10, "off", child=True, Caption="Bridge: virbr9"),
                    "OperationalStatus": [10],
                },
                _pool("NetworkPool/0", 10, "Networks", Caption=None, Capacity=None),
            ],
        )
    ],
    "DiskPool": [
        Case(
            "storage pools, those that are off too, and their parent; one is called like it",
            [
                _pool(
                    "DiskPool/images",
                    17,
                    "images",
                    child=True,
                    Caption="images",
                    Capacity=10240,
                    **_same(3072, "Reserved", "CurrentlyConsumedResource"),
                    Path="/images",
                    Host=None,
                    SourceDirectory=None,
                    OtherResourceType="dir",
                    Autostart=1,
                    **_MIB,
                ),
                _pool(
                    "DiskPool/exports",
                    17,
                    "exports",
                    child=True,
                    Capacity=0,
                    Path="/mnt/exp",
                    Host="nfs.example",
                    SourceDirectory="/exp",
                    OtherResourceType="netfs",
                    Autostart=0,
                ),
                {
                    **_pool("DiskPool//0", 17, "0", child=True, Capacity=None),
                    "OperationalStatus": [10],
                },
                _pool(
                    "DiskPool/0",
                    17,
                    "Disks",
                    Caption="0",
                    **_same(None, "Capacity", "Path", "OtherResourceType", "Autostart"),
                    **_MIB,
                ),
            ],
        )
    ],
    "AllocationCapabilities": [
        Case(
            "one for each pool",
            [
                {"InstanceID": pool_id, "ResourceType": kind}
                for pool_id, kind in (
                    ("ProcessorPool/0", 3),
                    ("MemoryPool/0", 4),
                    ("NetworkPool/default", 10),
                    ("NetworkPool/taps", 10),
                    ("NetworkPool/off", 10),
                    ("NetworkPool/0", 10),
                    ("DiskPool/images", 17),
                    ("DiskPool/exports", 17),
                    ("DiskPool//0", 17),
                    ("DiskPool/0", 17),
                    ("GraphicsPool/0", 24),
                    ("InputPool/0", 13),
                    *controllers,
                )
            ],
            families=prefixes,
        )
        for prefixes, controllers in (((XEN, LXC), ()), ((KVM,), (("ControllerPool/0", 32771),)))
    ],
    "VirtualSystemManagementService": [
        Case(
            "one per host",
            [
                {
                    **HOSTED,
                    "CreationClassName": "{P}_VirtualSystemManagementService",
                    "Name": "Management Service",
                    "Caption": f"{kind} 7.2.22",
                    "LibvirtVersion": "9.0.0",
                    "Changeset": "Unknown",
                    "Revision": "1347",
                    "Release": __version__,
                    "OperationalStatus": [2],
                    "EnabledState": 5,
                }
            ],
            families=(prefix,),
        )
        for prefix, kind in ((XEN, "Xen"), (KVM, "QEMU"), (LXC, "LXC"))
    ],
    "ResourcePoolConfigurationService": [_service("ResourcePoolConfigurationService", "RPCS")],
    "VirtualSystemMigrationService": [
        _service("VirtualSystemMigrationService", "MigrationService")
    ],
    "VirtualSystemSnapshotService": [_service("VirtualSystemSnapshotService", "SnapshotService")],
    "ConsoleRedirectionService": [
        _service(
            "ConsoleRedirectionService",
            "ConsoleRedirectionService",
            ElementName="ConsoleRedirectionService",
            RedirectionServiceType=[3],
            MaxCurrentEnabledSAPs=65535,
            SharingMode=3,
            EnabledState=2,
            RequestedState=12,
        )
    ],
    "SwitchService": [
        _service(
            "SwitchService",
            "Switch Virtualization Capabilities",
            IsVSISupported=True,
            VSIInterface=INTERFACE,
        )
    ],
    "VirtualSystemManagementCapabilities": [
        Case(
            "one per host",
            [
                {
                    "InstanceID": "ManagementCapabilities",
                    "SynchronousMethodsSupported": [1, 2, 3, 5, 6, 7],
                    "VirtualSystemTypesSupported": ["{P}"],
                    "ElementName": None,
                }
            ],
        )
    ],
    "VirtualSystemMigrationCapabilities": [
        Case(
            "one per host",
            [
                {
                    "InstanceID": "MigrationCapabilities",
                    "AsynchronousMethodsSupported": [2, 3],
                    "SynchronousMethodsSupported": [4, 5],
                    "DestinationHostFormatsSupported": [2, 3, 4],
                }
            ],
        )
    ],
    "VirtualSystemSnapshotServiceCapabilities": [
        Case(
            what,
            [
                {
                    "InstanceID": "SnapshotCapabilities",
                    "AynchronousMethodsSupported": [2, 4],
                    "SynchronousMethodsSupported": [3],
                    "SnapshotTypesSupported": kinds,
                }
            ],
            families=prefixes,
        )
        for what, kinds, prefixes in (
            ("one per host", [32768, 32769], ("Xen", "LXC")),
            ("with snapshots of its own", [32768, 32769, 2, 3], ("KVM",)),
        )
    ],
    "ResourcePoolConfigurationCapabilities": [
        Case("one per host", [{"InstanceID": "RPCC", "SynchronousMethodsSupported": [3, 4]}])
    ],
    "ConsoleRedirectionServiceCapabilities": [
        Case(
            "one per host",
            [
                {
                    **_same("ConsoleRedirectionCapabilities", "InstanceID", "ElementName"),
                    "ElementNameEditSupported": False,
                    "SharingModeSupported": [3],
                }
            ],
        )
    ],
    "VirtualSystemMigrationSettingData": [
        Case(
            "one per host",
            [
                {
                    "InstanceID": "MigrationSettingData",
                    "MigrationType": 2,
                    "Priority": 0,
                    "TransportType": 2,
                    "CheckParameters": None,
                }
            ],
        )
    ],
    "NetPoolResourceAllocationSettingData": [
        Case(
            "networks, those that are off too",
            [
                {
                    **_same("NetworkPool/default", "InstanceID", "PoolID"),
                    "ElementName": "default",
                    "ResourceType": 10,
                    "Autostart": 1,
                    "ForwardMode": 1,
                    "ForwardDevice": "eth0",
                    "BridgeName": "virbr0",
                    "Address": "192.168.122.1",
                    "Netmask": "255.255.255.0",
                    "IPRangeStart": "192.168.122.2",
                    "IPRangeEnd": "192.168.122.254",
                },
                {
                    "InstanceID": "NetworkPool/taps",
                    "Autostart": 0,
                    "ForwardMode": 3,
                    "BridgeName": None,
                    "Address": None,
                },
                {"InstanceID": "NetworkPool/off", "ForwardMode": 0, "BridgeName": "virbr9"},
            ],
        )
    ],
    "DiskPoolResourceAllocationSettingData": [
        Case(
            "storage pools, those that are off too",
            [
                {
                    **_same("DiskPool/images", "InstanceID", "PoolID"),
                    "ElementName": "images",
                    "ResourceType": 17,
                    "Type": 1,
                    "Autostart": 1,
                    "Path": "/images",
                    "DevicePaths": None,
                },
                {
                    "InstanceID": "DiskPool/exports",
                    "Type": 3,
                    "Host": "nfs.example",
                    "SourceDirectory": "/exp",
                    "SourceFormat": "nfs",
                },
                {
                    "InstanceID": "DiskPool//0",
                    "Type": 7,
                    "SourceName": "vg",
                    "DevicePaths": ["/dev/sdx"],
                    "AdapterName": "host0",
                    "PortName": "01",
                    "NodeName": "02",
                },
            ],
        )
    ],
    "StorageVolumeResourceAllocationSettingData": [
        Case(
            "sizes in the least unit that has room for them",
            [
                {
                    **_same("/images/a.img", "InstanceID", "Address", "Path"),
                    "ResourceType": 32768,
                    "PoolID": "DiskPool/images",
                    **_same("a.img", "ElementName", "VolumeName"),
                    "FormatType": 1,
                    "VirtualQuantity": 10 << 20,
                    "VirtualQuantityUnits": "byte",
                    "Reservation": 3 << 20,
                    "AllocationUnits": "KiloBytes",
                    "Capacity": 10 << 10,
                    "AllocationQuantity": None,
                },
                {
                    "InstanceID": "/images/tiny",
                    "FormatType": 2,
                    "AllocationUnits": "Bytes",
                    "Capacity": 1000,
                    "AllocationQuantity": 512,
                },
            ],
            families=(XEN, KVM),
        )
    ],
    "KVMRedirectionSAP": [
        Case(
            "the port in use and its viewer",
            [
                {
                    "SystemCreationClassName": "{P}_ComputerSystem",
                    "SystemName": NAME,
                    "CreationClassName": "{P}_KVMRedirectionSAP",
                    **_same(f"{VNC_PORT}:{peer}", "Name", "ElementName"),
                    "KVMProtocol": 4,
                    "EnabledState": state,
                }
                for peer, state in ((0, 6), (VIEWER, 2))
            ],
            more=UP,
        ),
        Case("off", [{"Name": f"{VNC_PORT}:-1", "EnabledState": 3}], DEVICES),
        Case(
            "port yet to be chosen",
            [{"Name": "-1:-1", "EnabledState": 3}],
            "<graphics type='vnc'/>",
        ),
        Case("another display", [], "<graphics type='sdl'/>"),
        Case(
            "SPICE, at an address of its own",
            [
                {
                    "Name": f"{VNC_PORT}:{peer}",
                    "KVMProtocol": 1,
                    "OtherKVMProtocol": "SPICE",
                    "ListenAddress": "127.0.0.1",
                }
                for peer in (0, VIEWER)
            ],
            f"<graphics type='spice' port='{VNC_PORT}'><listen type='address' address='127.0.0.1'/>"
            "</graphics>",
            more={"number": 3, "state": 1},
        ),
        Case(
            "an address at which nobody listens",
            [{"Name": f"{VNC_PORT}:-1", "EnabledState": 3, "ListenAddress": "10.9.9.9"}],
            f"<graphics type='vnc' port='{VNC_PORT}' listen='10.9.9.9'/>",
            more={"number": 3, "state": 1},
        ),
    ],
    "FilterList": [
        Case(
            "filters in libvirt's order",
            [
                {**_rule("web", "FilterList"), "InstanceID": "f1", "Direction": 0, "Priority": -5},
                {**_rule("base", "FilterList"), "InstanceID": "f2", "Direction": 0, "Priority": 0},
                {**_rule("deep", "FilterList"), "InstanceID": "f3", "Direction": 0, "Priority": 0},
            ],
            families=(KVM,),
        )
    ],
    "FilterEntry": [
        Case(
            "a rule without protocol",
            [_rule("web:2", "FilterEntry", Action=3, Direction=2, Priority=0, IsNegated=False)],
            families=(KVM,),
        )
    ],
}
"""Over the host of `full_host`."""


def _filter(rule: str) -> Managed:
    return Managed(
        "f", f"<filter name='f'><rule action='accept' direction='in'>{rule}</rule></filter>"
    )


ETHERNET = [
    (
        "<mac srcmacaddr='52:54:00:0:0:1f' srcmacmask='ff:ff:ff:0:0:0' dstmacaddr='$MAC' "
        "dstmacmask='bad' protocolid='0x88a8' match='no'/>",
        {
            "HdrSrcMACAddr8021": [0x52, 0x54, 0, 0, 0, 0x1F],
            "HdrSrcMACMask8021": [255, 255, 255, 0, 0, 0],
            "HdrDestMACAddr8021": [ord(c) for c in "$MAC"],
            "HdrDestMACMask8021": [0] * 6,
            "HdrProtocolID8021": 0x88A8,
            "IsNegated": True,
            **HOSTED,
            "Name": "f:0",
            "Action": 1,
            "Direction": 1,
            "Priority": 0,
        },
    ),
    ("<mac protocolid='ipv6'/>", {"HdrProtocolID8021": 0x86DD, "HdrSrcMACAddr8021": None}),
    ("<mac/>", {"HdrProtocolID8021": None, "IsNegated": False}),
    ("<arp srcmacaddr='1:2:3:4:5:6'/>", {"HdrProtocolID8021": 0x0806}),
    ("<rarp/>", {"HdrProtocolID8021": 0x8035}),
]
IP = [
    (
        "<tcp srcipaddr='10.1.2.3' srcipmask='12' dstipaddr='10.0.0.1' dstipmask='255.255.0.0' "
        "srcportstart='1' srcportend='$END' dstportstart='80' dstportend='81'/>",
        {
            "HdrIPVersion": 4,
            "HdrProtocolID": 6,
            "HdrSrcAddress": [10, 1, 2, 3],
            "HdrSrcMask": [255, 240, 0, 0],
            "HdrSrcAddressEndOfRange": None,
            "HdrDestAddress": [10, 0, 0, 1],
            "HdrDestMask": [255, 255, 0, 0],
            "HdrSrcPortStart": 1,
            "HdrSrcPortEnd": 0,
            "HdrDestPortStart": 80,
            "HdrDestPortEnd": 81,
            **HOSTED,
            "Name": "f:0",
            "Action": 1,
            "Direction": 1,
            "Priority": 0,
            "IsNegated": False,
        },
    ),
    (
        "<udp-ipv6 srcipfrom='fe80::1' srcipto='fe80::ff' dstipfrom='::1' dstipto='::2'/>",
        {
            "HdrIPVersion": 6,
            "HdrProtocolID": 17,
            "HdrSrcAddress": [0xFE, 0x80, *[0] * 13, 1],
            "HdrSrcAddressEndOfRange": [0xFE, 0x80, *[0] * 13, 255],
            "HdrSrcMask": None,
            "HdrDestAddress": [*[0] * 15, 1],
            "HdrDestAddressEndOfRange": [*[0] * 15, 2],
        },
    ),
    ("<ipv6 srcipaddr='fe80::' srcipmask='64'/>", {"HdrSrcMask": [*[255] * 8, *[0] * 8]}),
    ("<ip srcipaddr='$IP' srcipmask='33'/>", {"HdrSrcAddress": [36, 73, 80], "HdrSrcMask": None}),
    ("<ip srcipaddr='300.1.1.1'/>", {"HdrSrcAddress": [0] * 4, "HdrProtocolID": None}),
    ("<icmpv6/>", {"HdrIPVersion": 6, "HdrProtocolID": 58, "HdrSrcPortStart": None}),
    ("<all-ipv6/>", {"HdrIPVersion": 6, "HdrProtocolID": None}),
]


def _rules(base: str, table: list[tuple[str, dict[str, Any]]]) -> list[Case]:
    return [
        Case(rule, [{"CreationClassName": f"{{P}}_{base}", **values}], families=(KVM,))
        for rule, values in table
    ]


RULES: Table = {
    "Hdr8021Filter": _rules("Hdr8021Filter", ETHERNET),
    "IPHeadersFilter": _rules("IPHeadersFilter", IP),
    "FilterEntry": _rules("FilterEntry", [("<vlan vlanid='7'/>", {"Name": "f:0"}), ("", {})]),
}
PROFILE: Table = {
    "RegisteredProfile": [
        Case(
            "the same for every family",
            [
                {
                    "InstanceID": instance_id,
                    "RegisteredName": name,
                    "RegisteredVersion": version,
                    "RegisteredOrganization": 2,
                    "AdvertiseTypes": [3],
                }
                for instance_id, name, version in PROFILES
            ],
        )
    ]
}
HOST: Table = {
    "HostSystem": [
        Case(
            "what it is",
            [
                {
                    "Name": HOST_NAME,
                    "ElementName": SHORT_NAME,
                    "HealthState": 5,
                    "OperationalStatus": [2],
                }
            ],
        )
    ]
}
TABLES = (TABLE, RULES, PROFILE, HOST)


@pytest.mark.parametrize(
    ("prefix", "base", "case"), of_families(TABLE) + of_families(HOST), ids=case_id
)
def test_values(prefix: str, base: str, case: Case) -> None:
    check(
        prefix,
        base,
        case,
        POOLS,
        networks=NETWORKS,
        filters=FILTERS,
        version=7002022,
        memory_mib=8192,
        cpus=4,
    )


@pytest.mark.parametrize(("prefix", "base", "case"), of_families(RULES), ids=case_id)
def test_rules(prefix: str, base: str, case: Case) -> None:
    check(prefix, base, case, filters=[_filter(case.what)])


@pytest.mark.parametrize(("prefix", "base", "case"), of_families(PROFILE), ids=case_id)
def test_profiles(prefix: str, base: str, case: Case) -> None:
    check(prefix, base, case, ns=INTEROP)


@pytest.mark.parametrize("prefix", ALL)
def test_no_lldptool_is_an_honest_no(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    broker = broker_of({prefix: []})
    (found,) = broker.enumerate_instances(CONTEXT, NS, f"{prefix}_SwitchService")
    assert (found["IsVSISupported"], found["VSIInterface"]) == (False, None)


# (class, keys, error, text)
BAD: list[tuple[str, dict[str, Any], type[errors.CIMError], str]] = [
    ("MemoryPool", {}, errors.Failed, "Missing InstanceID"),
    ("MemoryPool", {"InstanceID": "MemoryPool/1"}, errors.NotFound, "No such instance (1)"),
    ("MemoryPool", {"InstanceID": "DiskPool/0"}, errors.NotFound, "type mismatch"),
    ("MemoryPool", {"InstanceID": "MemoryPool"}, errors.NotFound, "type mismatch"),
    ("DiskPool", {"InstanceID": "DiskPool/none"}, errors.NotFound, "No such instance (none)"),
    ("NetworkPool", {"InstanceID": "NetworkPool/none"}, errors.NotFound, "No such instance (none)"),
    ("AllocationCapabilities", {}, errors.Failed, "No InstanceID specified"),
    ("AllocationCapabilities", {"InstanceID": "x"}, errors.NotFound, "Instance not found."),
    (
        "VirtualSystemMigrationCapabilities",
        {"InstanceID": "x"},
        errors.NotFound,
        "No such instance (InstanceID)",
    ),
    (
        "SwitchService",
        {"Name": "x"},
        errors.NotFound,
        "No such instance (SystemCreationClassName)",
    ),
    ("KVMRedirectionSAP", {"Name": "1:1"}, errors.NotFound, "No such instance (SystemName)"),
    (
        "KVMRedirectionSAP",
        {"SystemName": "x", "Name": "1:1"},
        errors.NotFound,
        "No such instance (x): Domain not found",
    ),
    ("KVMRedirectionSAP", {"SystemName": NAME}, errors.NotFound, "No such instance (Name)"),
    (
        "KVMRedirectionSAP",
        {"SystemName": NAME, "Name": "x"},
        errors.Failed,
        "Unable to determine console port for guest",
    ),
    (
        "KVMRedirectionSAP",
        {"SystemName": NAME, "Name": "1:1"},
        errors.NotFound,
        "No such instance (Name)",
    ),
    (
        "KVMRedirectionSAP",
        {"SystemName": "bare", "Name": "1:1"},
        errors.Failed,
        "No console device for this guest: Error 0",
    ),
]
BAD_FILTERS: list[tuple[str, dict[str, Any], str]] = [
    ("FilterList", {}, "Unable to get Name from reference"),
    ("FilterList", {"Name": "none"}, "No such instance (Name)"),
    ("FilterEntry", {}, "Unable to get Name from reference"),
    ("FilterEntry", {"Name": "web"}, "Could not parse filter name"),
    ("FilterEntry", {"Name": "web:x"}, "Could not parse filter name"),
    ("FilterEntry", {"Name": "web:0"}, "No such instance (Name)"),
    ("Hdr8021Filter", {"Name": "web:9"}, "No such instance (Name)"),
    ("IPHeadersFilter", {"Name": "none:0"}, "No such instance (Name)"),
]


@pytest.mark.parametrize(
    ("prefix", "base", "keys", "error", "text"),
    [
        *((prefix, *row) for prefix in ALL for row in BAD),
        *((KVM, base, keys, errors.NotFound, text) for base, keys, text in BAD_FILTERS),
    ],
)
def test_wrong_keys(
    prefix: str, base: str, keys: dict[str, Any], error: type[errors.CIMError], text: str
) -> None:
    up = guest(prefix, devices=DEVICES, number=3, state=1)
    broker = broker_of(
        {prefix: [up, guest(prefix, "bare", uuid="b")]}, POOLS, networks=NETWORKS, filters=FILTERS
    )
    with pytest.raises(errors.CIMError) as raised:
        broker.get_instance(CONTEXT, path(prefix, base, **keys))
    assert type(raised.value) is error
    assert text in raised.value.message


def test_a_filter_is_known_by_its_name_alone() -> None:
    broker = broker_of({KVM: []}, filters=FILTERS)
    found = broker.get_instance(CONTEXT, path(KVM, "FilterList", Name="base"))
    assert found["InstanceID"] == "f2"


@pytest.mark.parametrize(
    ("prefix", "base"),
    sorted({(prefix, base) for prefix, base, _case in of_families(TABLE) + of_families(HOST)}),
)
def test_a_hypervisor_that_is_not_there_has_none(prefix: str, base: str) -> None:
    broker = broker_of({prefix: None})
    assert list(broker.enumerate_instances(CONTEXT, NS, f"{prefix}_{base}")) == []


def test_switches_of_another_machine_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vsi, "supporting_interface", lambda *_args: pytest.fail("asked"))
    monkeypatch.setattr(StandInConnection, "shares_files", False)
    (shown,) = broker_of({KVM: []}).enumerate_instances(CONTEXT, NS, "KVM_SwitchService")
    assert (shown["IsVSISupported"], shown["VSIInterface"]) == (False, None)
