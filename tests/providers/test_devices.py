# SPDX-License-Identifier: LGPL-2.1-or-later
"""Logical devices: which of a definition's elements are devices, under which ids, with which values."""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers.wiring import (
    KVM,
    NAME,
    NS,
    Case,
    Table,
    broker_of,
    case_id,
    check,
    guest,
    of_families,
    rows,
)


def port(what: str, attributes: str, link: int, source: str = "") -> Case:
    mac = "52:54:00:AA:BB:0c"
    xml = f"<interface {attributes}><mac address='{mac}'/>{source}</interface>"
    shown = {
        "DeviceID": f"{NAME}/{mac}",
        "LinkTechnology": link,
        "NetworkAddresses": [mac],
        "PermanentAddress": mac,
    }
    return Case(what, [shown], xml)


def disk(what: str, xml: str, target: str) -> Case:
    return Case(what, [{"DeviceID": f"{NAME}/{target}", "Name": target, "HealthState": 5}], xml)


def display(what: str, xml: str, *shown: tuple[str, str]) -> Case:
    return Case(
        what,
        [{"DeviceID": f"{NAME}/{devid}", "VideoProcessor": text} for devid, text in shown],
        xml,
    )


def console(what: str, xml: str, *shown: tuple[str, str]) -> Case:
    return display(what, xml, *((f"charconsole:{number}", kind) for number, kind in shown))


def pointing(kind: str, bus: str, number: int, caption: str) -> Case:
    shown = {"DeviceID": f"{NAME}/{kind}:{bus}", "PointingType": number, "Caption": caption}
    return Case(f"{kind} on {bus}", [shown], f"<input type='{kind}' bus='{bus}'/>")


def controller(kind: str, number: int, model: str | None = None) -> Case:
    attribute = f" model='{model}'" if model else ""
    shown = {
        "DeviceID": f"{NAME}/controller:{kind}:0",
        "ProtocolSupported": number,
        "ProtocolDescription": model,
    }
    xml = f"<controller type='{kind}' index='0'{attribute}/>"
    return Case(f"{kind} controller", [shown], xml, families=(KVM,))


def memory(what: str, head: str, current: int, most: int) -> Case:
    shown = {
        "DeviceID": f"{NAME}/mem",
        "BlockSize": 4096,
        "ConsumableBlocks": current,
        "NumberOfBlocks": most,
    }
    return Case(what, [shown], head=head)


def processors(what: str, head: str, count: int, **more: Any) -> Case:
    return Case(what, [{"DeviceID": f"{NAME}/{n}"} for n in range(count)], head=head, more=more)


def keys(base: str, devid: str) -> dict[str, Any]:
    """What every device of a guest that is off shows."""
    return {
        "SystemCreationClassName": "{P}_ComputerSystem",
        "SystemName": NAME,
        "CreationClassName": f"{{P}}_{base}",
        "DeviceID": f"{NAME}/{devid}",
        "ElementName": devid,
        "OperationalStatus": [15],
        # the schema's default; no state is claimed
        "EnabledState": 5,
    }


FILE = "<source file='/img/a'/>"

TABLE: Table = {
    "NetworkPort": [
        Case(
            "keys",
            [keys("NetworkPort", "52:54:00:00:00:01")],
            "<interface type='user'><mac address='52:54:00:00:00:01'/></interface>",
        ),
        port("network", "type='network'", 2, "<source network='default'/>"),
        port("bridge", "type='bridge'", 2, "<source bridge='br0'/>"),
        port("ethernet, no source", "type='ethernet'", 2),
        port("type in capitals", "type='BRIDGE'", 2, "<source bridge='br0'/>"),
        port("user", "type='user'", 0),
        port("direct", "type='direct'", 0, "<source dev='eth0' mode='vepa'/>"),
        port("multicast is shown", "type='mcast'", 0, "<source address='230.0.0.1' port='5'/>"),
        Case(
            "no MAC address",
            [{"DeviceID": f"{NAME}/net", "NetworkAddresses": None, "PermanentAddress": None}],
            "<interface type='user'/>",
        ),
        Case(
            "its cable is out",
            [{"OperationalStatus": [10]}],
            "<interface type='user'><link state='down'/></interface>",
        ),
        Case(
            "document order, the second of the same address has a suffix",
            [
                {"DeviceID": f"{NAME}/52:54:00:00:00:02"},
                {"DeviceID": f"{NAME}/52:54:00:00:00:01"},
                {"DeviceID": f"{NAME}/52:54:00:00:00:02:1"},
            ],
            "".join(
                f"<interface type='user'><mac address='52:54:00:00:00:0{n}'/></interface>"
                for n in (2, 1, 2)
            ),
        ),
    ],
    "LogicalDisk": [
        Case(
            "keys",
            [keys("LogicalDisk", "vda")],
            f"<disk type='file' device='disk'>{FILE}<target dev='vda'/></disk>",
        ),
        disk(
            "block",
            "<disk type='block' device='disk'><source dev='/dev/sda'/><target dev='sda'/></disk>",
            "sda",
        ),
        disk("empty CD-ROM", "<disk type='file' device='cdrom'><target dev='hdc'/></disk>", "hdc"),
        disk("empty floppy", "<disk type='file' device='floppy'><target dev='fda'/></disk>", "fda"),
        disk(
            "network source",
            "<disk type='network' device='disk'><source protocol='rbd' name='p/i'/>"
            "<target dev='vdb'/></disk>",
            "vdb",
        ),
        disk(
            "volume",
            "<disk type='volume' device='disk'><source pool='p' volume='v'/>"
            "<target dev='vdc'/></disk>",
            "vdc",
        ),
        disk(
            "driver without name",
            f"<disk type='file' device='disk'><driver cache='none'/>{FILE}"
            "<target dev='vdd'/></disk>",
            "vdd",
        ),
        disk(
            "mounted directory",
            "<filesystem type='mount'><source dir='/srv'/><target dir='/mnt/a b'/></filesystem>",
            "/mnt/a b",
        ),
        disk(
            "memory file system",
            "<filesystem type='ram'><source usage='10' units='MiB'/><target dir='/tmp'/></filesystem>",
            "/tmp",
        ),
        Case(
            "disks and directories in document order",
            [{"Name": "vdb"}, {"Name": "/"}, {"Name": "vda"}],
            f"<disk type='file' device='disk'>{FILE}<target dev='vdb'/></disk>"
            "<filesystem type='mount'><source dir='/srv'/><target dir='/'/></filesystem>"
            f"<disk type='file' device='disk'>{FILE}<target dev='vda'/></disk>",
        ),
        Case(
            "devices of a running guest are those that run",
            [{"DeviceID": f"{NAME}/vdb", "Name": "vdb"}],
            f"<disk type='file' device='disk'>{FILE}<target dev='vda'/></disk>",
            more={"live": f"<disk type='file' device='disk'>{FILE}<target dev='vdb'/></disk>"},
        ),
    ],
    "Memory": [
        Case("keys", [keys("Memory", "mem")]),
        memory(
            "current and most",
            "<memory>2097152</memory><currentMemory>1048576</currentMemory>",
            262144,
            524288,
        ),
        memory("no current", "<memory>2097152</memory>", 524288, 524288),
        memory(
            "no memory element", "<currentMemory>1048576</currentMemory><memory/>", 262144, 262144
        ),
        memory(
            "not whole blocks", "<memory>1027</memory><currentMemory>1023</currentMemory>", 255, 256
        ),
        memory(
            "units",
            "<memory unit='GiB'>1</memory><currentMemory unit='MB'>512</currentMemory>",
            125000,
            262144,
        ),
    ],
    "Processor": [
        Case(
            "keys",
            [keys("Processor", "0")],
            head="<vcpu>1</vcpu>",
        ),
        processors("several", "<vcpu>3</vcpu>", 3),
        processors("in numerical order", "<vcpu>11</vcpu>", 11),
        processors("fewer plugged in", "<vcpu current='1'>2</vcpu>", 2),
        processors("running with fewer online", "<vcpu>4</vcpu>", 4, live="", vcpus=1),
        processors("hexadecimal", "<vcpu>0x2</vcpu>", 2),
        processors("octal", "<vcpu>010</vcpu>", 8),
        processors("white space", "<vcpu> 2 </vcpu>", 2),
        processors("no number", "<vcpu>many</vcpu>", 1),
        processors("empty", "<vcpu/>", 1),
        processors("zero", "<vcpu>0</vcpu>", 1),
        processors("not stated", "<memory>1024</memory>", 1),
    ],
    "DisplayController": [
        Case(
            "keys",
            [keys("DisplayController", "vnc")],
            "<graphics type='vnc'/>",
        ),
        display(
            "VNC",
            "<graphics type='vnc' port='5900' listen='0.0.0.0'/>",
            ("vnc", "vnc/0.0.0.0:5900"),
        ),
        display("VNC defaults", "<graphics type='vnc'/>", ("vnc", "vnc/127.0.0.1:-1")),
        display(
            "VNC on IPv6",
            "<graphics type='vnc' port='5900' listen='::1'/>",
            ("vnc", "vnc/::1:5900"),
        ),
        display("SDL with display", "<graphics type='sdl' display=':0'/>", ("sdl::0", "sdl")),
        display("SDL without display", "<graphics type='sdl'/>", ("sdl", "sdl")),
        display(
            "SPICE",
            "<graphics type='spice' port='5930' listen='127.0.0.1'/>",
            ("spice", "spice/127.0.0.1:5930"),
        ),
        display(
            "RDP",
            "<graphics type='rdp' port='3389' listen='127.0.0.1'/>",
            ("rdp", "rdp/127.0.0.1:3389"),
        ),
        display(
            "pty console",
            "<console type='pty'><source path='/dev/pts/3'/><target port='1'/></console>",
            ("console:1", "console//dev/pts/3:1"),
        ),
        display("pty console without parts", "<console type='pty'/>", ("console:0", "console/:0")),
        display("PTY in capitals", "<console type='PTY'/>", ("console:0", "console/:0")),
        display("a console that is no terminal", "<console type='tcp'/>"),
        display(
            "document order and second VNC",
            "<graphics type='vnc' port='1'/><console type='pty'/><graphics type='vnc' port='2'/>",
            ("vnc", "vnc/127.0.0.1:1"),
            ("console:0", "console/:0"),
            ("vnc:1", "vnc/127.0.0.1:2"),
        ),
    ],
    "ConsoleDisplayController": [
        Case(
            "keys",
            [keys("ConsoleDisplayController", "charconsole:0")],
            "<console type='pty'/>",
        ),
        *(
            console(
                f"{kind} console",
                f"<console type='{kind}'><target port='3'/></console>",
                ("3", kind),
            )
            for kind in (
                *("null", "vc", "pty", "dev", "file", "pipe", "stdio", "udp", "tcp", "unix"),
                *("spicevmc", "spiceport"),
            )
        ),
        console("no target", "<console type='pty'/>", ("0", "pty")),
        console(
            "two on one port",
            "<console type='pty'><target port='0'/></console>"
            "<console type='tcp'><target port='0'/></console>",
            ("0", "pty"),
            ("0:1", "tcp"),
        ),
    ],
    "PointingDevice": [
        Case(
            "keys",
            [keys("PointingDevice", "mouse:xen")],
            "<input type='mouse' bus='xen'/>",
        ),
        pointing("tablet", "usb", 3, "USB Tablet"),
        pointing("mouse", "usb", 3, "USB Mouse"),
        pointing("mouse", "ps2", 3, "PS2 Mouse"),
        pointing("mouse", "xen", 3, "Xen Mouse"),
        pointing("keyboard", "ps2", 2, "PS2 Unknown device type"),
        pointing("tablet", "virtio", 3, "Unknown bus Tablet"),
        pointing("passthrough", "virtio", 2, "Unknown bus Unknown device type"),
        Case(
            "second of the same type and bus",
            [{"DeviceID": f"{NAME}/mouse:usb"}, {"DeviceID": f"{NAME}/mouse:usb:1"}],
            "<input type='mouse' bus='usb'/>" * 2,
        ),
    ],
    "Controller": [
        Case(
            "keys",
            [keys("Controller", "controller:usb:2")],
            "<controller type='usb' index='2'/>",
            families=(KVM,),
        ),
        controller("ide", 37, "piix4"),
        controller("fdc", 7),
        controller("scsi", 13, "virtio-scsi"),
        controller("sata", 48),
        controller("ccid", 32678),
        controller("virtio-serial", 32769),
        controller("pci", 5, "pcie-root"),
        controller("usb", 16, "qemu-xhci"),
        controller("USB", 16),
        controller("xenbus", 1),
        controller("nvme", 1),
        Case(
            "second of the same type and index",
            [
                {"DeviceID": f"{NAME}/controller:usb:0"},
                {"DeviceID": f"{NAME}/controller:usb:1"},
                {"DeviceID": f"{NAME}/controller:usb:0:1"},
            ],
            "".join(f"<controller type='usb' index='{n}'/>" for n in (0, 1, 0)),
            families=(KVM,),
        ),
    ],
}


@pytest.mark.parametrize(("prefix", "base", "case"), of_families(TABLE), ids=case_id)
def test_values(prefix: str, base: str, case: Case) -> None:
    check(prefix, base, case)


UNMODELLED = (
    "<emulator>/usr/bin/qemu</emulator><serial type='pty'/><parallel type='pty'/>"
    "<channel type='unix'/><sound model='ich9'/><video><model type='vga'/></video>"
    "<watchdog model='i6300esb'/><tpm model='tpm-crb'/><rng model='virtio'/>"
    "<memballoon model='virtio'/><hostdev mode='subsystem' type='pci'/><hub type='usb'/>"
)


@pytest.mark.parametrize("base", sorted(TABLE.keys() - {"Memory", "Processor"}))
def test_other_elements_are_no_devices(base: str) -> None:
    broker = broker_of({KVM: [guest(KVM, devices=UNMODELLED)]})
    assert rows(broker, KVM, base) == []


def test_only_kvm_has_controllers() -> None:
    schema = broker_of({}).schema
    found = [p for p in ("Xen", "KVM", "LXC") if schema.find(NS, f"{p}_Controller") is not None]
    assert found == [KVM]


def test_devices_come_guest_by_guest() -> None:
    devices = "".join(
        f"<disk type='file' device='disk'>{FILE}<target dev='vd{n}'/></disk>" for n in "ba"
    )
    domains = [
        guest(KVM, "up", devices=devices, number=3, state=1, uuid="1"),
        guest(KVM, "down", devices=devices, uuid="2"),
    ]
    found = rows(broker_of({KVM: domains}), KVM, "LogicalDisk")
    assert [row["DeviceID"] for row in found] == ["down/vdb", "down/vda", "up/vdb", "up/vda"]
