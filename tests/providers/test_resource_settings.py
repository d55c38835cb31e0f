# SPDX-License-Identifier: LGPL-2.1-or-later
"""Resource allocation settings of memory, processors, displays, consoles, input and controllers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers.wiring import (
    ALL,
    KVM,
    LXC,
    NAME,
    XEN,
    Case,
    NoScheduler,
    Table,
    broker_of,
    case_id,
    check,
    guest,
    metadata,
    of_families,
    rows,
)

UNSET: dict[str, Any] = dict.fromkeys(("ElementName", "Parent", "HostResource", "Connection"))


def memory(what: str, head: str, current: int, most: int) -> Case:
    shown = {"VirtualQuantity": current, "Reservation": current, "Limit": most}
    return Case(what, [shown], head=head)


def processors(what: str, count: int | None, head: str = "", **more: Any) -> Case:
    return Case(what, [{"VirtualQuantity": count}], head=head, more=more)


def weight(
    what: str, families: tuple[str, ...], shown: int | None, head: str = "", **more: Any
) -> Case:
    return Case(what, [{"Weight": shown}], head=head, families=families, more=more)


def display(what: str, xml: str, devid: str, kind: str, address: str, **more: Any) -> Case:
    shown = {
        "InstanceID": f"{NAME}/{devid}",
        "ResourceType": 24,
        "ResourceSubType": kind,
        "Address": address,
        "KeyMap": None,
        "Password": None,
        "IsIPv6Only": False,
        **more,
    }
    return Case(what, [shown], xml)


def console(what: str, kind: str, number: int | None, xml: str = "", **urls: str) -> Case:
    shown = {
        "InstanceID": f"{NAME}/charconsole:0",
        "ResourceType": 1,
        "OtherResourceType": "console",
        "SourceType": number,
        "SourcePath": None,
        "BindURL": None,
        "ConnectURL": None,
        **urls,
    }
    return Case(f"{kind} console, {what}", [shown], f"<console type='{kind}'>{xml}</console>")


def pointing(kind: str, bus: str, caption: str) -> Case:
    shown = {
        "InstanceID": f"{NAME}/{kind}:{bus}",
        "ResourceType": 13,
        "ResourceSubType": kind,
        "BusType": bus,
        "Caption": caption,
    }
    return Case(f"{kind} on {bus}", [shown], f"<input type='{kind}' bus='{bus}'/>")


BIND, CONNECT = "<source mode='bind' {}/>", "<source mode='connect' {}/>"

TABLE: Table = {
    "MemResourceAllocationSettingData": [
        Case(
            "identity",
            [
                {
                    "InstanceID": f"{NAME}/mem",
                    "ResourceType": 4,
                    "AllocationUnits": "KiloBytes",
                    "VirtualQuantity": 1048576,
                    "Reservation": 1048576,
                    "Limit": 2097152,
                    "dumpCore": None,
                    **UNSET,
                }
            ],
        ),
        memory("no current", "<memory>1024</memory>", 1024, 1024),
        memory(
            "KiB stated",
            "<memory unit='KiB'>4096</memory><currentMemory>2</currentMemory>",
            2,
            4096,
        ),
        memory("GiB", "<memory unit='GiB'>1</memory>", 1048576, 1048576),
        memory("MB rounds up", "<memory unit='MB'>1</memory>", 977, 977),
        memory("bytes", "<memory unit='bytes'>1025</memory>", 2, 2),
        Case("dump with memory", [{"dumpCore": True}], head="<memory dumpCore='on'>1</memory>"),
        Case("dump without", [{"dumpCore": False}], head="<memory dumpCore='off'>1</memory>"),
    ],
    "ProcResourceAllocationSettingData": [
        Case(
            "identity",
            [
                {
                    "InstanceID": f"{NAME}/proc",
                    "ResourceType": 3,
                    "VirtualQuantity": 2,
                    "Weight": 0,
                    "Limit": 0,
                    **UNSET,
                }
            ],
        ),
        processors("off: the most", 8, "<vcpu current='3'>8</vcpu>"),
        processors("off: hexadecimal", 16, "<vcpu>0x10</vcpu>"),
        processors("off: no number", 1, "<vcpu>x</vcpu>"),
        processors("running: those online", 2, "<vcpu>4</vcpu>", live="", vcpus=2),
        processors("blocked: those online", 2, "<vcpu>4</vcpu>", live="", state=2, vcpus=2),
        processors("paused: the most", 4, "<vcpu>4</vcpu>", live="", state=3, vcpus=2),
        Case(
            "no state",
            [{"VirtualQuantity": 4}],
            head="<vcpu>4</vcpu>",
            families=(KVM, LXC),
            more={"number": 4, "state": 0, "vcpus": 2},
        ),
        Case(
            "no state, which is running for Xen",
            [{"VirtualQuantity": 2}],
            head="<vcpu>4</vcpu>",
            families=(XEN,),
            more={"number": 4, "state": 0, "vcpus": 2},
        ),
        weight("stored weight", (XEN, LXC), 512, metadata(weight=512)),
        weight("nothing stored", (XEN, LXC), 0, live="", scheduler={"cpu_shares": 7, "weight": 8}),
        weight("shares, off", (KVM,), 2048, "<cputune><shares>2048</shares></cputune>"),
        weight("stored weight does not count", (KVM,), 0, metadata(weight=512)),
        weight(
            "shares, running: the scheduler's",
            (KVM,),
            1024,
            "<cputune><shares>2048</shares></cputune>",
            live="",
            scheduler={"cpu_shares": 1024},
        ),
        weight(
            "running, scheduler without shares", (KVM,), 0, live="", scheduler={"vcpu_quota": 1}
        ),
        weight(
            "running, shares of another type", (KVM,), 0, live="", scheduler={"cpu_shares": 1.5}
        ),
        weight("running, scheduler unreadable", (KVM,), None, live="", kind=NoScheduler),
        Case("stored limit", [{"Limit": 50}], head=metadata(limit=50)),
        Case("stored limit is no number", [{"Limit": 0}], head=metadata(limit="x")),
    ],
    "GraphicsResourceAllocationSettingData": [
        Case(
            "unset",
            [{"InstanceID": f"{NAME}/vnc", "AllocationUnits": None, **UNSET}],
            "<graphics type='vnc'/>",
        ),
        display("VNC defaults", "<graphics type='vnc'/>", "vnc", "vnc", "127.0.0.1:-1"),
        display(
            "VNC",
            "<graphics type='vnc' port='5900' listen='0.0.0.0' keymap='de' passwd='secret'/>",
            *("vnc", "vnc", "0.0.0.0:5900"),
            KeyMap="de",
            Password="********",
        ),
        display("empty password", "<graphics type='vnc' passwd=''/>", "vnc", "vnc", "127.0.0.1:-1"),
        display(
            "IPv6, not in brackets",
            "<graphics type='vnc' port='5900'><listen type='address' address='::1'/></graphics>",
            *("vnc", "vnc", "::1:5900"),
            IsIPv6Only=True,
        ),
        display(
            "SDL", "<graphics type='sdl' display=':0'/>", "sdl::0", "sdl", "sdl", IsIPv6Only=None
        ),
        display(
            "SPICE",
            "<graphics type='spice' port='5930' listen='127.0.0.1'/>",
            *("spice", "spice", "127.0.0.1:5930"),
        ),
        display(
            "pty console",
            "<console type='pty'><source path='/dev/pts/3'/><target port='1'/></console>",
            *("console:1", "console", "/dev/pts/3:1"),
            IsIPv6Only=None,
        ),
        display(
            "pty console without parts",
            "<console type='pty'/>",
            *("console:0", "console", ":0"),
            IsIPv6Only=None,
        ),
        Case(
            "running: the port in use",
            [{"InstanceID": f"{NAME}/vnc", "Address": "127.0.0.1:5907"}],
            "<graphics type='vnc' port='-1'/>",
            more={"live": "<graphics type='vnc' port='5907' listen='127.0.0.1'/>"},
        ),
        Case(
            "second VNC has its own values",
            [
                {"InstanceID": f"{NAME}/vnc", "KeyMap": None},
                {"InstanceID": f"{NAME}/vnc:1", "KeyMap": "fr"},
            ],
            "<graphics type='vnc'/><graphics type='vnc' keymap='fr'/>",
        ),
    ],
    "ConsoleResourceAllocationSettingData": [
        Case("unset", [{"InstanceID": f"{NAME}/charconsole:0", **UNSET}], "<console type='null'/>"),
        *(
            console("no source", kind, number)
            for number, kind in enumerate(
                (
                    *("null", "vc", "pty", "dev", "file", "pipe", "stdio", "udp", "tcp", "unix"),
                    "spicevmc",
                )
            )
        ),
        console("in capitals", "STDIO", 6),
        console("another kind", "spiceport", None, "<source channel='org.example'/>"),
        *(
            console("path", kind, number, f"<source path='/x/{kind}'/>", SourcePath=f"/x/{kind}")
            for kind, number in {"pty": 2, "dev": 3, "file": 4, "pipe": 5}.items()
        ),
        Case(
            "target",
            [{"InstanceID": f"{NAME}/charconsole:4", "TargetType": "virtio"}],
            "<console type='null'><target type='virtio' port='4'/></console>",
        ),
        Case("no target", [{"TargetType": None}], "<console type='null'/>"),
        console("bind", "unix", 9, BIND.format("path='/s'"), BindURL="file:///s"),
        console("connect", "unix", 9, CONNECT.format("path='/s'"), ConnectURL="file:///s"),
        console("relative path", "unix", 9, BIND.format("path='run/s'"), BindURL="file:///run/s"),
        console(
            "both ends",
            "udp",
            7,
            BIND.format("host='10.0.0.1' service='5000'")
            + CONNECT.format("host='10.0.0.2' service='5001'"),
            BindURL="udp://10.0.0.1:5000",
            ConnectURL="udp://10.0.0.2:5001",
        ),
        console("bind, no service", "udp", 7, BIND.format("host='h'"), BindURL="udp://h"),
        console(
            "connect alone",
            "udp",
            7,
            CONNECT.format("host='h' service='1'"),
            ConnectURL="udp://h:1",
        ),
        console(
            "bind",
            "tcp",
            8,
            BIND.format("host='0.0.0.0' service='23'") + "<protocol type='telnet'/>",
            BindURL="telnet://0.0.0.0:23",
        ),
        console(
            "connect",
            "tcp",
            8,
            CONNECT.format("host='h'") + "<protocol type='raw'/>",
            ConnectURL="raw://h",
        ),
        console(
            "no protocol", "tcp", 8, CONNECT.format("host='h' service='1'"), ConnectURL="raw://h:1"
        ),
        console(
            "IPv6",
            "tcp",
            8,
            BIND.format("host='::1' service='23'") + "<protocol type='raw'/>",
            BindURL="raw://[::1]:23",
        ),
    ],
    "InputResourceAllocationSettingData": [
        Case(
            "unset",
            [{"InstanceID": f"{NAME}/mouse:ps2", **UNSET}],
            "<input type='mouse' bus='ps2'/>",
        ),
        pointing("tablet", "usb", "USB Tablet"),
        pointing("mouse", "ps2", "PS2 Mouse"),
        pointing("mouse", "xen", "Xen Mouse"),
        pointing("keyboard", "ps2", "PS2 Unknown device type"),
        pointing("tablet", "virtio", "Unknown bus Tablet"),
        pointing("keyboard", "virtio", "Unknown bus Unknown device type"),
        Case(
            "no bus",
            [{"InstanceID": f"{NAME}/mouse", "BusType": None, "Caption": "Unknown bus Mouse"}],
            "<input type='mouse'/>",
        ),
        Case(
            "second of the same type and bus",
            [{"InstanceID": f"{NAME}/tablet:usb"}, {"InstanceID": f"{NAME}/tablet:usb:1"}],
            "<input type='tablet' bus='usb'/>" * 2,
        ),
    ],
    "ControllerResourceAllocationSettingData": [
        Case(
            "all attributes",
            [
                {
                    "InstanceID": f"{NAME}/controller:scsi:3",
                    "ResourceType": 1,
                    "OtherResourceType": "controller",
                    "ResourceSubType": "scsi",
                    "Index": 3,
                    "Model": "virtio-scsi",
                    "Ports": "4",
                    "Vectors": "8",
                    "Queues": "2",
                    "AddressProperties": ["type", "domain", "bus", "slot", "function"],
                    "AddressValues": ["pci", "0x0000", "0x00", "0x05", "0x0"],
                    **UNSET,
                }
            ],
            "<controller type='scsi' index='3' model='virtio-scsi' ports='4' vectors='8'>"
            "<driver queues='2'/><address type='pci' domain='0x0000' bus='0x00' slot='0x05' "
            "function='0x0'/></controller>",
            families=(KVM,),
        ),
        Case(
            "type and index alone",
            [
                {
                    "InstanceID": f"{NAME}/controller:usb:0",
                    "ResourceSubType": "usb",
                    "Index": 0,
                    **dict.fromkeys(
                        (
                            *("Model", "Ports", "Vectors", "Queues"),
                            *("AddressProperties", "AddressValues"),
                        )
                    ),
                }
            ],
            "<controller type='usb' index='0'/>",
            families=(KVM,),
        ),
    ],
}


@pytest.mark.parametrize(("prefix", "base", "case"), of_families(TABLE), ids=case_id)
def test_values(prefix: str, base: str, case: Case) -> None:
    check(prefix, base, case)


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize(
    ("prefix_of", "families"), [("Xen_g1", (XEN,)), ("QEMU_g1", (KVM,)), ("LXC_g1", (LXC,))]
)
def test_weight_and_limit_from_a_side_file_of_old(
    tmp_path: Any, prefix: str, prefix_of: str, families: tuple[str, ...]
) -> None:
    domain = guest(prefix)
    content = f"<uuid>{domain.uuid}</uuid><weight>512</weight><limit>60</limit>"
    (tmp_path / prefix_of).write_text(f"<dominfo>{content}</dominfo>")
    broker = broker_of({prefix: [domain]}, side_file_dir=tmp_path)
    (row,) = rows(broker, prefix, "ProcResourceAllocationSettingData")
    expected = (512, 60) if prefix in families else (0, 0)
    if prefix == KVM:
        expected = (0, expected[1])
    assert (row["Weight"], row["Limit"]) == expected


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize("kind", ["DiskPool", "NetPool", "StorageVolume", "", "Character"])
def test_superclasses_and_settings_of_pools_show_nothing_of_guests(prefix: str, kind: str) -> None:
    base = f"{kind}ResourceAllocationSettingData"
    broker = broker_of({prefix: [guest(prefix, devices="<console type='pty'/>")]})
    if broker.schema.find("root/virt", f"{prefix}_{base}") is None:
        assert (prefix, kind) == (LXC, "StorageVolume")
        return
    found = rows(broker, prefix, base)
    # superclasses of others show theirs only
    assert {row.cls.name for row in found} <= {
        f"{prefix}_{k}ResourceAllocationSettingData" for k in ("Console", "Mem", "Proc", "Graphics")
    }
    assert bool(found) == (kind in ("", "Character"))
