# SPDX-License-Identifier: LGPL-2.1-or-later
"""One guest, worked through by hand: every instance and association that clients see of it.

The guest `web1` runs on a KVM host h1.example.org; its definition is `tests/data/web1.*.xml`. Where the
original program would answer otherwise, the mended value stands here (see docs/differences.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from libvirtcim import composition
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import InstancePath, RequestContext
from libvirtcim.virt import hostname
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.host import Host, Hosts
from libvirtcim.virt.settings import HostSettings
from tests.standin import Domain, Pool, RecordedHost, StandInConnection, Volume

CONTEXT = RequestContext()
NS = "root/virt"
DATA = Path(__file__).parent.parent / "data"
UUID = "7d2f3a10-0c5b-4a54-9a05-6d1b4c3e2f01"
IMAGE = "/var/lib/libvirt/images/web1.qcow2"
MAC = "52:54:00:aa:bb:01"


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    guest = Domain(
        "web1",
        UUID,
        1,
        (DATA / "web1.inactive.xml").read_text(),
        (DATA / "web1.live.xml").read_text(),
        3,
        vcpus=2,
        vcpus_online=2,
        memory_kib=1048576,
        scheduler={"cpu_shares": 1024},
    )
    pool = Pool(
        "default",
        "<pool type='dir'><name>default</name></pool>",
        volumes=[Volume(IMAGE, [0, 10 << 30, 1 << 20])],
    )
    connection = StandInConnection("qemu:///system", RecordedHost("QEMU", [guest], [pool]))
    hosts = Hosts({})
    settings = HostSettings(side_file_dir=None, host_name="h1.example.org")
    hosts._hosts["KVM"] = Host(connection, FAMILIES["KVM"], settings)
    monkeypatch.setattr(hostname, "short_name", lambda: "h1")
    return composition.broker(hosts)


COMMON_DEVICE = {"SystemCreationClassName": "KVM_ComputerSystem", "SystemName": "web1"}

EXPECTED: dict[str, list[dict[str, Any]]] = {
    "HostSystem": [{"CreationClassName": "KVM_HostSystem", "Name": "h1.example.org"}],
    "ComputerSystem": [
        {
            "CreationClassName": "KVM_ComputerSystem",
            "Name": "web1",
            "ElementName": "web1",
            "EnabledState": 2,
            "HealthState": 5,
            "OperationalStatus": [2],
            "OperatingStatus": 32768,
            "RequestedState": 0,
            "UUID": UUID,
            "Caption": "Virtual System (Console on vnc://h1:5900)",
            "Description": "Virtual System",
            "OtherIdentifyingInfo": ["Virtual System", "KVM Virtual System", UUID],
            "IdentifyingDescriptions": ["Type", "Model", "UUID"],
        }
    ],
    "EnabledLogicalElementCapabilities": [
        {
            "InstanceID": "web1",
            "RequestedStatesSupported": [2, 3, 9, 10, 11],
            "ElementNameEditSupported": False,
        }
    ],
    "NetworkPort": [
        {
            **COMMON_DEVICE,
            "CreationClassName": "KVM_NetworkPort",
            "DeviceID": f"web1/{MAC}",
            "LinkTechnology": 2,
            "NetworkAddresses": [MAC],
        }
    ],
    "LogicalDisk": [
        {**COMMON_DEVICE, "DeviceID": "web1/vda", "Name": "vda", "HealthState": 5},
        {**COMMON_DEVICE, "DeviceID": "web1/sda", "Name": "sda", "HealthState": 5},
    ],
    "Memory": [
        {
            **COMMON_DEVICE,
            "DeviceID": "web1/mem",
            "BlockSize": 4096,
            "ConsumableBlocks": 262144,
            "NumberOfBlocks": 524288,
        }
    ],
    "DisplayController": [
        {"DeviceID": "web1/console:0", "VideoProcessor": "console//dev/pts/3:0"},
        {"DeviceID": "web1/vnc", "VideoProcessor": "vnc/127.0.0.1:5900"},
    ],
    "PointingDevice": [
        {"DeviceID": "web1/tablet:usb", "PointingType": 3, "Caption": "USB Tablet"},
        {
            "DeviceID": "web1/keyboard:ps2",
            "PointingType": 2,
            "Caption": "PS2 Unknown device type",
        },
    ],
    "ConsoleDisplayController": [{"DeviceID": "web1/charconsole:0", "VideoProcessor": "pty"}],
    "Controller": [
        {
            "DeviceID": "web1/controller:usb:0",
            "ProtocolSupported": 16,
            "ProtocolDescription": "qemu-xhci",
        }
    ],
    "Processor": [{"DeviceID": "web1/0"}, {"DeviceID": "web1/1"}],
    "VirtualSystemSettingData": [
        {
            "InstanceID": "KVM:web1",
            "VirtualSystemIdentifier": "web1",
            "ElementName": "web1",
            "VirtualSystemType": "KVM",
            "UUID": UUID,
            "Caption": "Virtual System",
            "Description": "Virtual System",
            "AutomaticShutdownAction": 2,
            "AutomaticRecoveryAction": 3,
            "EnableACPI": True,
            "EnableAPIC": True,
            "EnablePAE": False,
            "ClockOffset": 0,
            "BootDevices": ["hd", "network"],
            "Arch": "x86_64",
            "Machine": "pc-q35-8.0",
            "Emulator": "/usr/bin/qemu-system-x86_64",
            "AutoStart": 0,
        }
    ],
    "DiskResourceAllocationSettingData": [
        {
            "InstanceID": "web1/vda",
            "ResourceType": 17,
            "VirtualQuantity": 10737418240,
            "AllocationUnits": "Bytes",
            "Address": IMAGE,
            "VirtualDevice": "vda",
            "BusType": "virtio",
            "EmulatedType": 0,
            "readonly": None,
            "shareable": None,
            "DriverName": "qemu",
            "DriverType": "qcow2",
            "DriverCache": "none",
            "PoolID": "DiskPool/default",
        },
        {
            "InstanceID": "web1/sda",
            "Address": "",
            "EmulatedType": 1,
            "readonly": True,
            "VirtualQuantity": 0,
            "PoolID": None,
        },
    ],
    "NetResourceAllocationSettingData": [
        {
            "InstanceID": f"web1/{MAC}",
            "ResourceType": 10,
            "NetworkType": "network",
            "NetworkName": "default",
            "Address": MAC,
            "ResourceSubType": "virtio",
            "Reservation": 1000,
            "Limit": 2000,
            "AllocationUnits": "KiloBytes per Second",
            "PoolID": "NetworkPool/default",
            "VirtualDevice": "vnet0",
            "SourceDevice": None,
        }
    ],
    "MemResourceAllocationSettingData": [
        {
            "InstanceID": "web1/mem",
            "ResourceType": 4,
            "VirtualQuantity": 1048576,
            "Reservation": 1048576,
            "Limit": 2097152,
            "AllocationUnits": "KiloBytes",
        }
    ],
    "ProcResourceAllocationSettingData": [
        {
            "InstanceID": "web1/proc",
            "ResourceType": 3,
            "VirtualQuantity": 2,
            "Weight": 1024,
            "Limit": 0,
        }
    ],
    "GraphicsResourceAllocationSettingData": [
        {
            "InstanceID": "web1/console:0",
            "ResourceType": 24,
            "ResourceSubType": "console",
            "Address": "/dev/pts/3:0",
        },
        {
            "InstanceID": "web1/vnc",
            "ResourceSubType": "vnc",
            "Address": "127.0.0.1:5900",
            "KeyMap": None,
            "Password": None,
            "IsIPv6Only": False,
        },
    ],
    "ConsoleResourceAllocationSettingData": [
        {
            "InstanceID": "web1/charconsole:0",
            "ResourceType": 1,
            "OtherResourceType": "console",
            "SourceType": 2,
            "SourcePath": "/dev/pts/3",
            "TargetType": "serial",
        }
    ],
    "InputResourceAllocationSettingData": [
        {"InstanceID": "web1/tablet:usb", "ResourceType": 13, "BusType": "usb"},
        {"InstanceID": "web1/keyboard:ps2", "BusType": "ps2", "ResourceSubType": "keyboard"},
    ],
    "ControllerResourceAllocationSettingData": [
        {
            "InstanceID": "web1/controller:usb:0",
            "ResourceType": 1,
            "OtherResourceType": "controller",
            "ResourceSubType": "usb",
            "Index": 0,
            "Model": "qemu-xhci",
        }
    ],
}
"""Class → its instances in order, with the properties that matter; None: NULL."""

SETTING_ORDER = [
    f"web1/{MAC}",
    "web1/vda",
    "web1/sda",
    "web1/mem",
    "web1/proc",
    "web1/console:0",
    "web1/vnc",
    "web1/tablet:usb",
    "web1/keyboard:ps2",
    "web1/charconsole:0",
    "web1/controller:usb:0",
]


@pytest.mark.parametrize("base", sorted(EXPECTED))
def test_instances(broker: Broker, base: str) -> None:
    rows = list(broker.enumerate_instances(CONTEXT, NS, f"KVM_{base}"))
    shown = [
        {name: row[name] for name in expected}
        for row, expected in zip(rows, EXPECTED[base], strict=True)
    ]
    assert shown == EXPECTED[base]
    for row in rows:
        assert row.path is not None
        assert row.path in list(broker.enumerate_instance_names(CONTEXT, NS, f"KVM_{base}"))
        assert broker.get_instance(CONTEXT, row.path).values == row.values


def names(broker: Broker, source: InstancePath, association: str) -> list[str]:
    found = broker.associator_names(CONTEXT, source, f"KVM_{association}")
    return [p.text("DeviceID") or p.text("InstanceID") or p.text("Name") for p in found]


SYSTEM = InstancePath(
    "KVM_ComputerSystem", (("CreationClassName", "KVM_ComputerSystem"), ("Name", "web1")), NS
)
VSSD = InstancePath("KVM_VirtualSystemSettingData", (("InstanceID", "KVM:web1"),), NS)
HOST = InstancePath(
    "KVM_HostSystem", (("CreationClassName", "KVM_HostSystem"), ("Name", "h1.example.org")), NS
)


def device(kind: str, devid: str) -> InstancePath:
    keys = {**COMMON_DEVICE, "CreationClassName": f"KVM_{kind}", "DeviceID": f"web1/{devid}"}
    return InstancePath(f"KVM_{kind}", tuple(keys.items()), NS)


def setting(kind: str, devid: str) -> InstancePath:
    name = f"KVM_{kind}ResourceAllocationSettingData"
    return InstancePath(name, (("InstanceID", f"web1/{devid}"),), NS)


DEVICES = [d.replace("web1/proc", "web1/0") for d in SETTING_ORDER]
DEVICES.insert(DEVICES.index("web1/0") + 1, "web1/1")


@pytest.mark.parametrize(
    ("source", "association", "found"),
    [
        (SYSTEM, "SystemDevice", DEVICES),
        (device("Processor", "1"), "SystemDevice", ["web1"]),
        (VSSD, "VirtualSystemSettingDataComponent", SETTING_ORDER),
        (setting("Disk", "sda"), "VirtualSystemSettingDataComponent", ["KVM:web1"]),
        (device("Processor", "1"), "SettingsDefineState", ["web1/proc"]),
        (device("LogicalDisk", "vda"), "SettingsDefineState", ["web1/vda"]),
        (setting("Proc", "proc"), "SettingsDefineState", ["web1/0", "web1/1"]),
        (setting("Graphics", "vnc"), "SettingsDefineState", ["web1/vnc"]),
        (SYSTEM, "SettingsDefineState", ["KVM:web1"]),
        (VSSD, "SettingsDefineState", ["web1"]),
        (VSSD, "ElementSettingData", ["KVM:web1"]),
        (setting("Net", MAC), "ElementSettingData", [f"web1/{MAC}"]),
        (SYSTEM, "HostedDependency", ["h1.example.org"]),
        (HOST, "HostedDependency", ["web1"]),
    ],
    ids=str,
)
def test_associations(
    broker: Broker, source: InstancePath, association: str, found: list[str]
) -> None:
    assert names(broker, source, association) == found


def test_element_setting_data_says_that_settings_are_in_force(broker: Broker) -> None:
    (row,) = broker.references(CONTEXT, VSSD, "KVM_ElementSettingData")
    assert (row["ManagedElement"], row["SettingData"]) == (VSSD, VSSD)
    assert [row[f"Is{what}"] for what in ("Default", "Next", "Minimum", "Maximum")] == [1] * 4


def test_roles_of_hosted_dependency_are_those_that_clients_rely_on(broker: Broker) -> None:
    (row,) = broker.references(CONTEXT, SYSTEM, "KVM_HostedDependency")
    assert (row["Antecedent"], row["Dependent"]) == (SYSTEM, HOST)


def test_every_class_of_guests_is_in_the_example(broker: Broker) -> None:
    schema = broker.schema
    served = {
        cls.name.partition("_")[2]
        for base in ("CIM_LogicalDevice", "CIM_SettingData", "CIM_ComputerSystem")
        for cls in schema.subclasses(NS, base, deep=True)
        if cls.name.startswith("KVM_") and cls.name.lower() in broker._providers
    }
    others = {
        "VirtualSystemMigrationSettingData",
        "DiskPoolResourceAllocationSettingData",
        "NetPoolResourceAllocationSettingData",
        "StorageVolumeResourceAllocationSettingData",
        "SnapshotSettingData",
        *(
            f"{kind}ResourceAllocationSettingData"
            for kind in ("Video", "Channel", "TPM", "RNG", "Watchdog", "HostDevice")
        ),
    }
    assert served - others == set(EXPECTED) - {"EnabledLogicalElementCapabilities"}
