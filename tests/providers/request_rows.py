# SPDX-License-Identifier: LGPL-2.1-or-later
"""What clients can ask for, property by property: what libvirt then has of it, and what is shown.

A row serves both directions: its XML shows what the row says, and what the row asks for becomes that
XML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.providers.wiring import (
    ALL,
    FULL,
    KVM,
    LXC,
    NAME,
    XEN,
    Case,
    metadata,
)

VSSD = "VirtualSystem"
MAC = "00:16:3e:aa:bb:cc"
IMAGE, BLOCK = "{image}", "{block}"
"""Stand for a file and a block device that are there."""


@dataclass(frozen=True)
class Row:
    """A resource (of base `VirtualSystem`: a guest) of which some properties are asked for.

    `asked`: what is asked for, and shown; `shown`: what is shown otherwise, or besides.
    `xml`: what libvirt has: the device's element, or elements of the guest; empty: nothing to see.
    `only_new`: a resource that is there can't be changed so. `real`: QEMU's driver takes it on any
    machine.
    """

    base: str
    devid: str
    asked: Mapping[str, Any]
    xml: str = ""
    shown: Mapping[str, Any] = field(default_factory=dict)
    prefixes: tuple[str, ...] = (KVM,)
    only_new: bool = False
    real: bool = True

    @property
    def answer(self) -> dict[str, Any]:
        """What is shown."""
        return {**self.asked, **self.shown}

    def case(self) -> Case:
        """The row as one that is read."""
        place = "head" if self.base in WITHOUT_DEVICE else "devices"
        identity = {} if self.base == VSSD else {"InstanceID": f"{NAME}/{self.devid}"}
        return Case(
            str(self), [{**identity, **self.answer}], families=self.prefixes, **{place: self.xml}
        )

    def __str__(self) -> str:
        return f"{self.base} {' '.join(self.asked)}"


WITHOUT_DEVICE = (VSSD, "Mem", "Proc")
ADDRESS = {
    "AddressProperties": ["type", "domain", "bus", "slot", "function"],
    "AddressValues": ["pci", "0x0000", "0x00", "0x1a", "0x0"],
}
ADDRESS_XML = "<address type='pci' domain='0x0000' bus='0x00' slot='0x1a' function='0x0'/>"


def _other(kind: str) -> dict[str, Any]:
    return {"ResourceType": 1, "OtherResourceType": kind}


def _vssd(asked: Mapping[str, Any], xml: str = "", **more: Any) -> Row:
    return Row(VSSD, "", asked, xml, **more)


GUESTS = (
    _vssd(
        {"AutomaticShutdownAction": 3, "AutomaticRecoveryAction": 123},
        "<on_poweroff>restart</on_poweroff><on_crash>preserve</on_crash>",
        prefixes=ALL,
    ),
    _vssd({"ClockOffset": 1}, "<clock offset='localtime'/>", prefixes=ALL),
    _vssd(
        {"EnableACPI": True, "EnableAPIC": True, "EnablePAE": True},
        "<features><acpi/><apic/><pae/></features>",
        prefixes=ALL,
    ),
    _vssd({"EnableACPI": False, "EnableAPIC": False, "EnablePAE": False}, prefixes=ALL),
    _vssd({"UUID": "5e0f3a10-0c5b-4a54-9a05-0000000000ff"}, prefixes=ALL, only_new=True),
    _vssd({"AutoStart": 1}, prefixes=ALL),
    _vssd(
        {"BootDevices": ["cdrom", "network"]},
        "<os><type arch='i686'>hvm</type><boot dev='cdrom'/><boot dev='network'/></os>",
    ),
    _vssd({"Arch": "x86_64"}, "<os><type arch='x86_64'>hvm</type></os>"),
    _vssd(
        {"Machine": "pc-i440fx-7.2"},
        "<os><type arch='i686' machine='pc-i440fx-7.2'>hvm</type></os>",
        real=False,
    ),
    _vssd({"Emulator": IMAGE}, f"<devices><emulator>{IMAGE}</emulator></devices>", real=False),
    _vssd({"Firmware": "bios"}, "<os><type arch='i686'>hvm</type></os>"),
    _vssd({"Firmware": "efi"}, "<os firmware='efi'><type arch='i686'>hvm</type></os>"),
    _vssd(
        {"Firmware": "efi", "SecureBoot": True},
        "<os firmware='efi'><type arch='i686'>hvm</type><firmware>"
        "<feature enabled='yes' name='enrolled-keys'/>"
        "<feature enabled='yes' name='secure-boot'/></firmware></os>",
    ),
    _vssd({"CPUMode": "maximum"}, "<cpu mode='maximum'/>"),
    _vssd(
        {"CPUModel": "qemu64"},
        "<cpu mode='custom'><model>qemu64</model></cpu>",
        shown={"CPUMode": "custom"},
    ),
    _vssd(
        {"IsFullVirt": True, "BootDevices": ["network"], "Emulator": IMAGE},
        "<os><type arch='i686'>hvm</type><boot dev='network'/></os>"
        f"<devices><emulator>{IMAGE}</emulator></devices>",
        prefixes=(XEN,),
        only_new=True,
    ),
    _vssd(
        {"IsFullVirt": False, "Kernel": "/k", "Ramdisk": "/i", "CommandLine": "ro"},
        "<os><type arch='i686'>linux</type><kernel>/k</kernel><initrd>/i</initrd>"
        "<cmdline>ro</cmdline></os>",
        prefixes=(XEN,),
    ),
    _vssd(
        {"IsFullVirt": False, "Bootloader": "/usr/bin/pygrub", "BootloaderArgs": "-q"},
        "<os><type arch='i686'>linux</type></os><bootloader>/usr/bin/pygrub</bootloader>"
        "<bootloader_args>-q</bootloader_args>",
        prefixes=(XEN,),
    ),
    _vssd(
        {"InitPath": "/sbin/first"},
        "<os><type arch='i686'>exe</type><init>/sbin/first</init></os>",
        prefixes=(LXC,),
    ),
)

NUMBERS = (
    Row(
        "Mem",
        "mem",
        {"VirtualQuantity": 32768, "Limit": 65536, "AllocationUnits": "KiloBytes"},
        "<memory unit='KiB'>65536</memory><currentMemory unit='KiB'>32768</currentMemory>"
        "<vcpu>1</vcpu>",
        shown={"Reservation": 32768},
        prefixes=ALL,
    ),
    Row(
        "Mem",
        "mem",
        {"Reservation": 65536, "AllocationUnits": "KiloBytes"},
        shown={"VirtualQuantity": 65536, "Limit": 65536},
        prefixes=ALL,
    ),
    Row(
        "Mem",
        "mem",
        {"VirtualQuantity": 65536, "AllocationUnits": "KiloBytes", "dumpCore": False},
        "<memory unit='KiB' dumpCore='off'>65536</memory><vcpu>1</vcpu>",
    ),
    Row("Proc", "proc", {"VirtualQuantity": 3}, "<vcpu>3</vcpu>", prefixes=FULL),
    Row(
        "Proc",
        "proc",
        {"VirtualQuantity": 1, "Weight": 300, "Limit": 40},
        f"{metadata(limit=40)}<vcpu>1</vcpu><cputune><shares>300</shares></cputune>",
    ),
    Row(
        "Proc",
        "proc",
        {"VirtualQuantity": 1, "Weight": 300, "Limit": 40},
        f"{metadata(weight=300, limit=40)}<vcpu>1</vcpu>",
        prefixes=(XEN,),
    ),
    Row("Proc", "proc", {"Weight": 300}, f"{metadata(weight=300)}<vcpu>1</vcpu>", prefixes=(LXC,)),
)

DISKS = (
    Row(
        "Disk",
        "vdb",
        {
            "VirtualDevice": "vdb",
            "Address": IMAGE,
            "BusType": "virtio",
            "readonly": True,
            "shareable": True,
            "DriverName": "qemu",
            "DriverType": "raw",
            "DriverCache": "none",
        },
        f"<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/>"
        f"<source file='{IMAGE}'/><target dev='vdb' bus='virtio'/><readonly/><shareable/></disk>",
        prefixes=FULL,
    ),
    Row(
        "Disk",
        "vdb",
        {
            "VirtualDevice": "vdb",
            "Address": IMAGE,
            "BusType": "virtio",
            "DriverName": "qemu",
            "DriverType": "raw",
            "DriverCache": "none",
            "DriverIO": "native",
            "DriverDiscard": "unmap",
            "SerialNumber": "WD-42",
            **ADDRESS,
        },
        "<disk type='file' device='disk'>"
        "<driver name='qemu' type='raw' cache='none' io='native' discard='unmap'/>"
        f"<source file='{IMAGE}'/><target dev='vdb' bus='virtio'/><serial>WD-42</serial>"
        f"{ADDRESS_XML}</disk>",
    ),
    *(
        Row(
            "Disk",
            device,
            {"VirtualDevice": device, "Address": IMAGE, "BusType": bus},
            f"<disk type='file' device='disk'><source file='{IMAGE}'/>"
            f"<target dev='{device}' bus='{bus}'/></disk>",
        )
        for device, bus in (("sdb", "sata"), ("sdc", "scsi"), ("sdd", "usb"), ("hdb", "ide"))
    ),
    *(
        Row(
            "Disk",
            device,
            {"VirtualDevice": device, "Address": IMAGE, "EmulatedType": number, "BusType": bus},
            f"<disk type='file' device='{kind}'><source file='{IMAGE}'/>"
            f"<target dev='{device}' bus='{bus}'/></disk>",
            prefixes=FULL,
        )
        for device, number, kind, bus in (("hdd", 1, "cdrom", "ide"), ("fdb", 2, "floppy", "fdc"))
    ),
    Row(
        "Disk",
        "sdb",
        {
            "VirtualDevice": "sdb",
            "Address": BLOCK,
            "EmulatedType": 4,
            "BusType": "scsi",
            "rawio": "yes",
            "sgio": "filtered",
        },
        f"<disk type='block' device='lun' rawio='yes' sgio='filtered'><source dev='{BLOCK}'/>"
        "<target dev='sdb' bus='scsi'/></disk>",
        real=False,
    ),
    Row(
        "Disk",
        "share",
        {
            "VirtualDevice": "share",
            "Address": "/",
            "EmulatedType": 3,
            "AccessMode": "mapped",
            "DriverType": "path",
            "readonly": True,
        },
        "<filesystem type='mount' accessmode='mapped'><driver type='path'/><source dir='/'/>"
        "<target dir='share'/><readonly/></filesystem>",
        only_new=True,
    ),
    Row(
        "Disk",
        "/srv",
        {"MountPoint": "/srv", "Address": "/data"},
        "<filesystem type='mount'><source dir='/data'/><target dir='/srv'/></filesystem>",
        prefixes=(LXC,),
    ),
)

NETWORKS = (
    Row(
        "Net",
        MAC,
        {"NetworkType": "bridge", "NetworkName": "br7", "Address": MAC, "VirtualDevice": "tap7"},
        f"<interface type='bridge'><mac address='{MAC}'/><source bridge='br7'/>"
        "<target dev='tap7'/></interface>",
        prefixes=ALL,
    ),
    Row(
        "Net",
        MAC,
        {"NetworkType": "network", "PoolID": "NetworkPool/lan", "Address": MAC, "FilterRef": "web"},
        f"<interface type='network'><mac address='{MAC}'/><source network='lan'/>"
        "<filterref filter='web'/></interface>",
        shown={"NetworkName": "lan"},
        prefixes=ALL,
    ),
    Row(
        "Net",
        MAC,
        {
            "NetworkType": "user",
            "Address": MAC,
            "ResourceSubType": "virtio",
            "Reservation": 100,
            "Limit": 200,
        },
        f"<interface type='user'><mac address='{MAC}'/><model type='virtio'/>"
        "<bandwidth><inbound average='100' peak='200'/></bandwidth></interface>",
        prefixes=ALL,
    ),
    Row(
        "Net",
        MAC,
        {"NetworkType": "user", "Address": MAC, "ResourceSubType": "virtio", **ADDRESS},
        f"<interface type='user'><mac address='{MAC}'/><model type='virtio'/>{ADDRESS_XML}"
        "</interface>",
    ),
    Row(
        "Net",
        MAC,
        {
            "NetworkType": "direct",
            "SourceDevice": "eth7",
            "NetworkMode": "vepa",
            "Address": MAC,
            "VSIType": "802.1Qbg",
            "VSIManagerID": "12",
            "VSITypeID": "1193046",
            "VSITypeIDVersion": "1",
            "VSIInstanceID": "11111111-2222-3333-4444-555555555555",
        },
        f"<interface type='direct'><mac address='{MAC}'/><source dev='eth7' mode='vepa'/>"
        "<virtualport type='802.1Qbg'><parameters managerid='12' typeid='1193046' "
        "typeidversion='1' instanceid='11111111-2222-3333-4444-555555555555'/></virtualport>"
        "</interface>",
        prefixes=ALL,
    ),
    Row(
        "Net",
        MAC,
        {
            "NetworkType": "direct",
            "SourceDevice": "eth7",
            "Address": MAC,
            "VSIType": "802.1Qbh",
            "ProfileID": "gold",
        },
        f"<interface type='direct'><mac address='{MAC}'/><source dev='eth7'/>"
        "<virtualport type='802.1Qbh'><parameters profileid='gold'/></virtualport></interface>",
        prefixes=ALL,
    ),
)

DISPLAYS = (
    Row(
        "Graphics",
        "vnc",
        {"ResourceSubType": "vnc", "Address": "[::1]:5911", "KeyMap": "de", "Password": "x"},
        "<graphics type='vnc' port='5911' listen='::1' keymap='de' passwd='x'/>",
        shown={"Address": "::1:5911", "Password": "*" * 8, "IsIPv6Only": True},
        prefixes=FULL,
    ),
    Row(
        "Graphics",
        "vnc",
        {"ResourceSubType": "vnc", "IsIPv6Only": True},
        "<graphics type='vnc' port='-1' autoport='yes' listen='::1'/>",
        shown={"Address": "::1:-1"},
        prefixes=FULL,
        only_new=True,
    ),
    Row(
        "Graphics",
        "spice",
        {"ResourceSubType": "spice", "Address": "127.0.0.1:5930"},
        "<graphics type='spice' port='5930' listen='127.0.0.1'/>",
        prefixes=FULL,
        real=False,
    ),
    Row(
        "Input",
        "tablet:usb",
        {"ResourceSubType": "tablet", "BusType": "usb"},
        "<input type='tablet' bus='usb'/>",
        shown={"Caption": "USB Tablet"},
    ),
    Row(
        "Input",
        "mouse:xen",
        {"ResourceSubType": "mouse", "BusType": "xen"},
        "<input type='mouse' bus='xen'/>",
        prefixes=(XEN,),
    ),
    Row(
        "Console",
        "charconsole:0",
        {"SourceType": 4, "SourcePath": "/tmp/log", "TargetType": "virtio"},
        "<console type='file'><source path='/tmp/log'/><target type='virtio'/></console>",
        prefixes=FULL,
    ),
    Row(
        "Console",
        "charconsole:0",
        {"SourceType": 8, "BindURL": "telnet://0.0.0.0:4555"},
        "<console type='tcp'><source mode='bind' host='0.0.0.0' service='4555'/>"
        "<protocol type='telnet'/></console>",
        prefixes=FULL,
    ),
    Row(
        "Console",
        "charconsole:0",
        {"SourceType": 9, "ConnectURL": "file:///run/c"},
        "<console type='unix'><source mode='connect' path='/run/c'/></console>",
        prefixes=FULL,
    ),
    Row(
        "Controller",
        "controller:scsi:0",
        {"ResourceSubType": "scsi", "Index": 0, "Model": "virtio-scsi", "Queues": "4", **ADDRESS},
        "<controller type='scsi' index='0' model='virtio-scsi'><driver queues='4'/>"
        f"{ADDRESS_XML}</controller>",
    ),
    Row(
        "Controller",
        "controller:virtio-serial:0",
        {"ResourceSubType": "virtio-serial", "Index": 0, "Ports": "16", "Vectors": "4"},
        "<controller type='virtio-serial' index='0' ports='16' vectors='4'/>",
        only_new=True,
    ),
)

AGENT = "org.qemu.guest_agent.0"
MORE = (
    Row(
        "Video",
        "video",
        {"Model": "virtio", "Heads": 2},
        "<video><model type='virtio' heads='2'/></video>",
        shown=_other("video"),
    ),
    Row(
        "Video",
        "video",
        {"Model": "vga", "VideoMemory": 32768},
        "<video><model type='vga' vram='32768' heads='1'/></video>",
        shown={"Heads": 1},
    ),
    Row(
        "Channel",
        f"channel:{AGENT}",
        {"TargetName": AGENT},
        f"<channel type='unix'><target type='virtio' name='{AGENT}'/></channel>",
        shown={"SourceType": 9, "TargetType": "virtio", **_other("channel")},
    ),
    Row(
        "Channel",
        "channel:com.redhat.spice.0",
        {"SourceType": 10, "TargetType": "virtio", "TargetName": "com.redhat.spice.0"},
        "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>",
        real=False,
    ),
    Row(
        "Channel",
        "channel:org.example.log",
        {"SourceType": 4, "SourcePath": "/tmp/channel", "TargetName": "org.example.log"},
        "<channel type='file'><source path='/tmp/channel'/>"
        "<target type='virtio' name='org.example.log'/></channel>",
    ),
    Row(
        "Channel",
        "channel:org.example.in",
        {"SourceType": 9, "BindURL": "file:///run/in", "TargetName": "org.example.in"},
        "<channel type='unix'><source mode='bind' path='/run/in'/>"
        "<target type='virtio' name='org.example.in'/></channel>",
    ),
    Row(
        "Channel",
        "channel:org.example.out",
        {"SourceType": 8, "ConnectURL": "raw://127.0.0.1:4556", "TargetName": "org.example.out"},
        "<channel type='tcp'><source mode='connect' host='127.0.0.1' service='4556'/>"
        "<protocol type='raw'/><target type='virtio' name='org.example.out'/></channel>",
    ),
    Row(
        "TPM",
        "tpm",
        {"ResourceSubType": "emulator", "Model": "tpm-crb", "Version": "2.0"},
        "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>",
        shown=_other("tpm"),
        real=False,
    ),
    Row(
        "TPM",
        "tpm",
        {"ResourceSubType": "passthrough", "Model": "tpm-tis", "Address": "/dev/tpm0"},
        "<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>",
    ),
    Row(
        "RNG",
        "rng:/dev/random",
        {"Address": "/dev/random", "RateBytes": 1024, "RatePeriod": 2000},
        "<rng model='virtio'><rate bytes='1024' period='2000'/>"
        "<backend model='random'>/dev/random</backend></rng>",
        shown={"Model": "virtio", "ResourceSubType": "random", **_other("rng")},
    ),
    Row(
        "RNG",
        "rng",
        {"ResourceSubType": "builtin", "Model": "virtio"},
        "<rng model='virtio'><backend model='builtin'/></rng>",
        shown={"Address": None},
    ),
    Row(
        "Watchdog",
        "watchdog",
        {"Model": "ib700", "Action": "poweroff"},
        "<watchdog model='ib700' action='poweroff'/>",
        shown=_other("watchdog"),
    ),
    Row(
        "HostDevice",
        "hostdev:pci:0000:06:12.5",
        {"ResourceSubType": "pci", "Address": "0000:06:12.5", "Managed": True, **ADDRESS},
        "<hostdev mode='subsystem' type='pci' managed='yes'><source>"
        "<address domain='0x0000' bus='0x06' slot='0x12' function='0x5'/></source>"
        f"{ADDRESS_XML}</hostdev>",
        shown=_other("hostdev"),
        only_new=True,
    ),
    Row(
        "HostDevice",
        "hostdev:usb:046d:c077",
        {"ResourceSubType": "usb", "Address": "046d:c077"},
        "<hostdev mode='subsystem' type='usb'><source><vendor id='0x046d'/>"
        "<product id='0xc077'/></source></hostdev>",
    ),
    Row(
        "HostDevice",
        "hostdev:usb:3/7",
        {"ResourceSubType": "usb", "Address": "3/7"},
        "<hostdev mode='subsystem' type='usb'><source><address bus='3' device='7'/></source>"
        "</hostdev>",
    ),
)

ROWS = (*GUESTS, *NUMBERS, *DISKS, *NETWORKS, *DISPLAYS, *MORE)

PLAIN: Mapping[tuple[str, str], tuple[str, Mapping[str, Any]]] = {
    (prefix, base): (devid, values)
    for prefixes, base, devid, values in (
        (FULL, "Disk", "vda", {"VirtualDevice": "vda", "Address": IMAGE, "BusType": "virtio"}),
        ((LXC,), "Disk", "/old", {"MountPoint": "/old", "Address": "/"}),
        (ALL, "Net", "00:16:3e:00:00:99", {"NetworkType": "user", "Address": "00:16:3e:00:00:99"}),
        (FULL, "Graphics", "vnc", {"ResourceSubType": "vnc"}),
        ((KVM,), "Input", "mouse:ps2", {"ResourceSubType": "mouse"}),
        ((XEN,), "Input", "keyboard:xen", {"ResourceSubType": "keyboard", "BusType": "xen"}),
        (FULL, "Console", "charconsole:0", {"SourceType": 2}),
        ((KVM,), "Controller", "controller:scsi:0", {"ResourceSubType": "scsi", "Index": 0}),
        ((KVM,), "Video", "video", {"Model": "bochs"}),
        ((KVM,), "Channel", "channel:old", {"TargetName": "old"}),
        ((KVM,), "TPM", "tpm", {"Model": "tpm-tis"}),
        ((KVM,), "RNG", "rng:/dev/urandom", {}),
        ((KVM,), "Watchdog", "watchdog", {}),
        ((KVM,), "HostDevice", "hostdev:usb:1/2", {"ResourceSubType": "usb", "Address": "1/2"}),
    )
    for prefix in prefixes
}
"""A resource of each kind before it is changed: its id, and what it was asked for with."""


def plain(prefix: str, base: str) -> tuple[str, Mapping[str, Any] | None]:
    """The resource to change; None: every guest has it."""
    return PLAIN.get((prefix, base), (base.lower(), None))


def rows_of(prefix: str, *, changed: bool = False, real: bool = False) -> Sequence[Row]:
    """The rows that concern a family; those that can be asked for later; that any QEMU takes."""
    return [
        row
        for row in ROWS
        if prefix in row.prefixes and not (changed and row.only_new) and (row.real or not real)
    ]
