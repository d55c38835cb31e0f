# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every declared property of every XML class is read, written, removed and frozen.

Two halves: a golden document per class says which XML a property stands for, and a generic round
trip writes each property into an empty element. A property missing in either fails the suite.
"""

from __future__ import annotations

import gc
import importlib
import pkgutil
import tracemalloc
from typing import Any

import pytest

import libvirtcim.virt
from libvirtcim.virt import xmlobject
from libvirtcim.virt.devices.address import Address
from libvirtcim.virt.devices.chardev import Channel, Console, Parallel, Serial
from libvirtcim.virt.devices.controller import Controller
from libvirtcim.virt.devices.disk import Disk, SourceHost
from libvirtcim.virt.devices.filesystem import Filesystem
from libvirtcim.virt.devices.graphics import Graphics
from libvirtcim.virt.devices.input import Input
from libvirtcim.virt.devices.interface import Interface, VirtualPort
from libvirtcim.virt.devices.misc import HostDevice, MemoryBalloon, Rng, Sound, Tpm, Watchdog
from libvirtcim.virt.devices.video import Video
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.errors import Invalid
from libvirtcim.virt.guestxml import NAMESPACE, GuestElement
from libvirtcim.virt.nwfilter import FilterDefinition, FilterReference, Rule
from libvirtcim.virt.pools import NetworkDefinition, StoragePoolDefinition, VolumeDefinition
from libvirtcim.virt.snapshots import SnapshotDefinition
from libvirtcim.virt.xmltree import (
    Attr,
    Child,
    Children,
    Choice,
    Flag,
    IntAttr,
    IntText,
    Memory,
    OnOff,
    Pairs,
    Property,
    Size,
    Text,
    Values,
    XmlObject,
    YesNo,
)

for module in pkgutil.walk_packages(libvirtcim.virt.__path__, "libvirtcim.virt."):
    importlib.import_module(module.name)


def _classes(base: type[XmlObject] = XmlObject) -> list[type[XmlObject]]:
    found = []
    for cls in base.__subclasses__():
        if not cls.__doc__ or not cls.__doc__.startswith("Frozen form"):
            found += [cls, *_classes(cls)]
    return [cls for cls in dict.fromkeys(found) if cls.TAG and "virt" in cls.__module__.split(".")]


CLASSES = _classes()

PCI = (("type", "pci"), ("domain", "0x0000"), ("bus", "0x01"), ("slot", "0x02"))
PCI_XML = "<address type='pci' domain='0x0000' bus='0x01' slot='0x02'/>"
_ALIAS_XML = "<alias name='ua-1'/>" + PCI_XML
_ALIAS: dict[str, Any] = {"alias": "ua-1", "address": {"type": "pci", "attributes": PCI}}
_CHAR_XML = (
    "<source mode='bind' host='0.0.0.0' service='2445' path='/dev/pts/3' channel='org.x'/>"
    "<source mode='connect' host='h' service='2446'/><protocol type='telnet'/>"
    "<target type='virtio' port='1' name='org.q'/>" + _ALIAS_XML
)
_CHAR: dict[str, Any] = {
    **_ALIAS,
    "type": "udp",
    "tty": "/dev/pts/3",
    "path": "/dev/pts/3",
    "mode": "bind",
    "host": "0.0.0.0",
    "service": "2445",
    "channel": "org.x",
    "bind_host": "0.0.0.0",
    "bind_service": "2445",
    "connect_host": "h",
    "connect_service": "2446",
    "protocol": "telnet",
    "target_type": "virtio",
    "target_port": 1,
    "target_name": "org.q",
}

# Class, XML, and what every one of its declared properties reads. Child objects as dicts.
GOLDEN: list[tuple[type[XmlObject], str, dict[str, Any]]] = [
    (Address, PCI_XML, {"type": "pci", "attributes": PCI}),
    (
        SourceHost,
        "<host name='h' port='6789' transport='unix' socket='/s'/>",
        {"name": "h", "port": "6789", "transport": "unix", "socket": "/s"},
    ),
    (
        Disk,
        "<disk type='network' device='lun' rawio='yes' sgio='filtered'><driver name='qemu' "
        "type='raw' cache='none' io='native' discard='unmap'/><source file='/f' dev='/d' dir='/r' "
        "protocol='rbd' name='pool/image' pool='p' volume='v' path='/s' namespace='1' managed='yes'"
        " startupPolicy='optional'><host name='h'/>" + PCI_XML + "</source><target dev='vda' "
        "bus='virtio'/><serial>S1</serial><wwn>5000</wwn><boot order='2'/><readonly/><shareable/>"
        "<transient/>" + _ALIAS_XML + "</disk>",
        {
            **_ALIAS,
            "type": "network",
            "device": "lun",
            "rawio": "yes",
            "sgio": "filtered",
            "driver_name": "qemu",
            "driver_type": "raw",
            "driver_cache": "none",
            "driver_io": "native",
            "driver_discard": "unmap",
            "source_file": "/f",
            "source_dev": "/d",
            "source_dir": "/r",
            "source_protocol": "rbd",
            "source_name": "pool/image",
            "source_pool": "p",
            "source_volume": "v",
            "source_path": "/s",
            "source_namespace": "1",
            "source_managed": True,
            "source_startup_policy": "optional",
            "source_hosts": ({"name": "h", "port": None, "transport": None, "socket": None},),
            "source_address": {"type": "pci", "attributes": PCI},
            "target": "vda",
            "bus": "virtio",
            "serial": "S1",
            "wwn": "5000",
            "readonly": True,
            "shareable": True,
            "transient": True,
            "boot_order": 2,
        },
    ),
    (
        Filesystem,
        "<filesystem type='mount' accessmode='mapped'><driver type='path' name='n' format='raw'/>"
        "<source dir='/d' file='/f' dev='/b' name='t' pool='p' volume='v' socket='/s' usage='1' "
        "units='KiB'/><target dir='/mnt'/><readonly/>" + _ALIAS_XML + "</filesystem>",
        {
            **_ALIAS,
            "type": "mount",
            "accessmode": "mapped",
            "driver_type": "path",
            "driver_name": "n",
            "driver_format": "raw",
            "source_dir": "/d",
            "source_file": "/f",
            "source_dev": "/b",
            "source_name": "t",
            "source_pool": "p",
            "source_volume": "v",
            "source_socket": "/s",
            "source_usage": "1",
            "source_units": "KiB",
            "target": "/mnt",
            "readonly": True,
        },
    ),
    (
        VirtualPort,
        "<virtualport type='802.1Qbg'><parameters managerid='1' typeid='2' typeidversion='3' "
        "instanceid='4' profileid='5' interfaceid='6'/></virtualport>",
        {
            "type": "802.1Qbg",
            "managerid": "1",
            "typeid": "2",
            "typeidversion": "3",
            "instanceid": "4",
            "profileid": "5",
            "interfaceid": "6",
        },
    ),
    (
        Interface,
        "<interface type='network'><mac address='52:54:00:00:00:01'/><source network='default' "
        "bridge='virbr0' dev='eth0' mode='private' path='/s' portgroup='g'/><script path='/x'/>"
        "<target dev='vnet0'/><model type='virtio'/><filterref filter='clean'/><virtualport "
        "type='openvswitch'/><bandwidth><inbound average='1' peak='2' burst='3'/><outbound "
        "average='4' peak='5' burst='6'/></bandwidth><link state='down'/><boot order='1'/>"
        + _ALIAS_XML
        + "</interface>",
        {
            **_ALIAS,
            "type": "network",
            "mac": "52:54:00:00:00:01",
            "source_network": "default",
            "source_bridge": "virbr0",
            "source_dev": "eth0",
            "source_mode": "private",
            "source_path": "/s",
            "source_portgroup": "g",
            "script": "/x",
            "target": "vnet0",
            "model": "virtio",
            "filter": "clean",
            "virtualport": {
                "type": "openvswitch",
                **dict.fromkeys(
                    [
                        "managerid",
                        "typeid",
                        "typeidversion",
                        "instanceid",
                        "profileid",
                        "interfaceid",
                    ]
                ),
            },
            "inbound_average": 1,
            "inbound_peak": 2,
            "inbound_burst": 3,
            "outbound_average": 4,
            "outbound_peak": 5,
            "outbound_burst": 6,
            "link_state": "down",
            "boot_order": 1,
        },
    ),
    (
        Graphics,
        "<graphics type='vnc' port='5901' tlsPort='5902' websocket='5700' autoport='no' "
        "listen='127.0.0.1' socket='/s' keymap='de' passwd='geheim' display=':0' xauth='/x' "
        "fullscreen='yes'><listen type='address' address='127.0.0.1' network='n' socket='/l'/>"
        + _ALIAS_XML
        + "</graphics>",
        {
            **_ALIAS,
            "type": "vnc",
            "port": 5901,
            "tls_port": 5902,
            "websocket": 5700,
            "autoport": False,
            "listen_attribute": "127.0.0.1",
            "listen_type": "address",
            "listen_address": "127.0.0.1",
            "listen_network": "n",
            "listen_socket": "/l",
            "socket": "/s",
            "keymap": "de",
            "passwd": "geheim",
            "display": ":0",
            "xauth": "/x",
            "fullscreen": True,
        },
    ),
    *(
        (cls, f"<{cls.TAG} type='udp' tty='/dev/pts/3'>{_CHAR_XML}</{cls.TAG}>", _CHAR)
        for cls in (Console, Serial, Parallel, Channel)
    ),
    (
        Input,
        f"<input type='tablet' bus='usb' model='virtio'>{_ALIAS_XML}</input>",
        {**_ALIAS, "type": "tablet", "bus": "usb", "model": "virtio"},
    ),
    (
        Controller,
        "<controller type='virtio-serial' index='0' model='m' ports='16' vectors='4'><driver "
        f"queues='2'/>{_ALIAS_XML}</controller>",
        {
            **_ALIAS,
            "type": "virtio-serial",
            "index": 0,
            "model": "m",
            "ports": "16",
            "vectors": "4",
            "queues": "2",
        },
    ),
    (
        Video,
        f"<video><model type='qxl' vram='65536' heads='2'/>{_ALIAS_XML}</video>",
        {**_ALIAS, "model": "qxl", "vram": 65536, "heads": 2},
    ),
    (
        HostDevice,
        "<hostdev mode='subsystem' type='pci' managed='yes'><source><vendor id='0x8086'/>"
        f"<product id='0x10ca'/>{PCI_XML}</source>{_ALIAS_XML}</hostdev>",
        {
            **_ALIAS,
            "mode": "subsystem",
            "type": "pci",
            "managed": True,
            "source_address": PCI,
            "vendor": "0x8086",
            "product": "0x10ca",
        },
    ),
    (
        Tpm,
        "<tpm model='tpm-crb'><backend type='emulator' version='2.0'><device path='/dev/tpm0'/>"
        f"</backend>{_ALIAS_XML}</tpm>",
        {
            **_ALIAS,
            "model": "tpm-crb",
            "backend": "emulator",
            "version": "2.0",
            "device_path": "/dev/tpm0",
        },
    ),
    (
        Rng,
        "<rng model='virtio'><rate bytes='1024' period='2000'/><backend model='random'>/dev/urandom"
        f"</backend>{_ALIAS_XML}</rng>",
        {
            **_ALIAS,
            "model": "virtio",
            "rate_bytes": 1024,
            "rate_period": 2000,
            "backend": "random",
            "source": "/dev/urandom",
        },
    ),
    (Sound, f"<sound model='ich9'>{_ALIAS_XML}</sound>", {**_ALIAS, "model": "ich9"}),
    (
        Watchdog,
        f"<watchdog model='i6300esb' action='reset'>{_ALIAS_XML}</watchdog>",
        {**_ALIAS, "model": "i6300esb", "action": "reset"},
    ),
    (
        MemoryBalloon,
        f"<memballoon model='virtio'>{_ALIAS_XML}</memballoon>",
        {**_ALIAS, "model": "virtio"},
    ),
    (
        GuestElement,
        f"<l:guest xmlns:l='{NAMESPACE}' weight='512' limit='50' reqstate='2' migrating='true'/>",
        {"weight": 512, "limit": 50, "reqstate": 2, "migrating": "true"},
    ),
]

GOLDEN += [
    (
        SnapshotDefinition,
        "<domainsnapshot><name>s</name><description>d</description><state>shutoff</state><parent>"
        "<name>p</name></parent><creationTime>17</creationTime></domainsnapshot>",
        {"name": "s", "description": "d", "state": "shutoff", "parent": "p", "created": 17},
    ),
    (
        StoragePoolDefinition,
        "<pool type='iscsi'><name>p</name><uuid>u</uuid><capacity unit='KiB'>4</capacity>"
        "<allocation>512</allocation><available unit='bytes'>3584</available><source>"
        "<host name='a'/><host name='b'/><device path='/dev/x'/><dir path='/exp'/><name>vg</name>"
        "<format type='lvm2'/><adapter type='fc_host' parent='host1' name='host0' wwpn='1' wwnn='2'/>"
        "</source><target><path>/t</path></target></pool>",
        {
            "type": "iscsi",
            "name": "p",
            "uuid": "u",
            "capacity": 4096,
            "allocation": 512,
            "available": 3584,
            "source_hosts": ("a", "b"),
            "source_dir": "/exp",
            "source_devices": ("/dev/x",),
            "source_name": "vg",
            "source_format": "lvm2",
            "adapter_type": "fc_host",
            "adapter_parent": "host1",
            "adapter_name": "host0",
            "adapter_port": "1",
            "adapter_node": "2",
            "target_path": "/t",
        },
    ),
    (
        VolumeDefinition,
        "<volume><name>v</name><allocation>512</allocation><capacity unit='G'>5</capacity><target>"
        "<path>/p/v</path><format type='qcow2'/></target></volume>",
        {
            "name": "v",
            "allocation": 512,
            "capacity": 5,
            "capacity_unit": "G",
            "path": "/p/v",
            "format": "qcow2",
        },
    ),
    (
        NetworkDefinition,
        "<network><name>n</name><uuid>u</uuid><forward mode='route' dev='eth0'/><bridge name='br0'/>"
        "<ip address='10.0.0.1' netmask='255.0.0.0'><dhcp><range start='10.0.0.2' end='10.0.0.9'/>"
        "</dhcp></ip></network>",
        {
            "name": "n",
            "uuid": "u",
            "has_bridge": True,
            "bridge": "br0",
            "forward_mode": "route",
            "forward_device": "eth0",
            "address": "10.0.0.1",
            "netmask": "255.0.0.0",
            "range_start": "10.0.0.2",
            "range_end": "10.0.0.9",
        },
    ),
    (
        FilterDefinition,
        "<filter name='f' chain='ipv4' priority='-700'><uuid>u</uuid><rule/>"
        "<filterref filter='a'/><filterref filter='b'/></filter>",
        {
            "name": "f",
            "chain": "ipv4",
            "priority": -700,
            "uuid": "u",
            "references": ({"filter": "a"}, {"filter": "b"}),
            "rules": ({"action": None, "direction": None, "priority": None, "matches": ()},),
        },
    ),
    (FilterReference, "<filterref filter='a'><parameter/></filterref>", {"filter": "a"}),
    (
        Rule,
        "<rule action='drop' direction='in' priority='500'><tcp dstportstart='22'/></rule>",
        {
            "action": "drop",
            "direction": "in",
            "priority": 500,
            "matches": (("tcp", (("dstportstart", "22"),)),),
        },
    ),
]

# Device lists of the domain: property, tags of its members in the golden document.
DEVICE_LISTS: dict[str, list[str]] = {
    "disk_like": ["disk", "filesystem", "disk"],
    "disks": ["disk", "disk"],
    "filesystems": ["filesystem"],
    "controllers": ["controller"],
    "interfaces": ["interface"],
    "serials": ["serial"],
    "parallels": ["parallel"],
    "graphics_like": ["console", "graphics", "console"],
    "consoles": ["console", "console"],
    "channels": ["channel"],
    "inputs": ["input"],
    "tpms": ["tpm"],
    "graphics": ["graphics"],
    "sounds": ["sound"],
    "videos": ["video"],
    "hostdevs": ["hostdev"],
    "watchdogs": ["watchdog"],
    "memballoons": ["memballoon"],
    "rngs": ["rng"],
}
_DEVICES = (
    "disk filesystem disk controller interface serial parallel console channel input tpm graphics "
    "sound video hostdev watchdog memballoon rng console"
)
DOMAIN_XML = (
    f"<domain type='kvm' id='7'><name>n</name><uuid>u</uuid><title>t</title><description>d"
    f"</description><metadata><l:guest xmlns:l='{NAMESPACE}' weight='1'/></metadata><bootloader>b"
    "</bootloader><bootloader_args>-q</bootloader_args><memory unit='MiB' dumpCore='off'>4"
    "</memory><currentMemory unit='KiB'>2048</currentMemory><vcpu current='2'>4</vcpu><cputune>"
    "<shares>2048</shares><period>100</period><quota>-1</quota></cputune><os firmware='efi'><type "
    "arch='x86_64' machine='q35'>hvm</type><firmware><feature enabled='yes' "
    "name='secure-boot'/><feature enabled='no' name='enrolled-keys'/></firmware>"
    "<loader type='pflash' secure='yes'>/l</loader><kernel>/k</kernel><initrd>/i"
    "</initrd><cmdline>c</cmdline><nvram>/n</nvram><init>/sbin/init</init><initarg>a</initarg><initarg>b</initarg>"
    "<boot dev='hd'/><boot dev='cdrom'/></os><features><acpi/><apic/><pae/></features>"
    "<cpu mode='custom' match='exact' check='partial'><model>Penryn</model></cpu><clock "
    "offset='utc'/><on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>"
    "preserve</on_crash><devices><emulator>/usr/bin/qemu</emulator>"
    + "".join(f"<{tag}/>" for tag in _DEVICES.split())
    + "</devices></domain>"
)
DOMAIN: dict[str, Any] = {
    "type": "kvm",
    "id": 7,
    "name": "n",
    "uuid": "u",
    "title": "t",
    "description": "d",
    "guestdata": {"weight": 1, "limit": None, "reqstate": None, "migrating": None},
    "bootloader": "b",
    "bootloader_args": "-q",
    "memory": 4096,
    "dump_core": False,
    "current_memory": 2048,
    "vcpu_count": 4,
    "vcpu_current": 2,
    "cpu_shares": 2048,
    "cpu_period": 100,
    "cpu_quota": -1,
    "os_type": "hvm",
    "arch": "x86_64",
    "machine": "q35",
    "firmware": "efi",
    "secure_boot": True,
    "enrolled_keys": False,
    "loader": "/l",
    "loader_type": "pflash",
    "loader_secure": True,
    "kernel": "/k",
    "initrd": "/i",
    "cmdline": "c",
    "init": "/sbin/init",
    "nvram": "/n",
    "init_args": ("a", "b"),
    "boot_devices": ("hd", "cdrom"),
    "acpi": True,
    "apic": True,
    "pae": True,
    "cpu_mode": "custom",
    "cpu_match": "exact",
    "cpu_check": "partial",
    "cpu_model": "Penryn",
    "clock_offset": "utc",
    "on_poweroff": "destroy",
    "on_reboot": "restart",
    "on_crash": "preserve",
    "emulator": "/usr/bin/qemu",
}


def _plain(value: Any) -> Any:
    """Child objects as dicts of their properties."""
    if isinstance(value, XmlObject):
        return {name: _plain(inner) for name, inner in value.values().items()}
    if isinstance(value, tuple):
        return tuple(_plain(inner) for inner in value)
    return value


def _ids(case: Any) -> str:
    return case.__name__ if isinstance(case, type) else ""


@pytest.mark.parametrize(("cls", "text", "expected"), GOLDEN, ids=_ids)
def test_golden(cls: type[XmlObject], text: str, expected: dict[str, Any]) -> None:
    live = cls.parse(text)
    assert _plain(live) == expected
    assert set(expected) == set(cls.properties), "a declared property has no golden value"
    frozen = live.freeze()
    assert _plain(frozen) == expected
    assert frozen == cls.view(text)
    assert hash(frozen) == hash(cls.view(text))
    assert isinstance(frozen, cls)
    for name in cls.computed_properties:
        assert getattr(frozen, name) == getattr(live, name)


def test_golden_domain() -> None:
    live = Domain.parse(DOMAIN_XML)
    frozen = live.freeze()
    for obj in (live, frozen):
        values = obj.values()
        assert {name: _plain(value) for name, value in values.items() if name in DOMAIN} == DOMAIN
        for name, tags in DEVICE_LISTS.items():
            assert [item.TAG for item in values[name]] == tags, name
    assert set(DOMAIN) | set(DEVICE_LISTS) == set(Domain.properties)
    assert frozen.disks[1] is frozen.disk_like[2]


def test_every_class_has_a_golden_document() -> None:
    covered = {case[0] for case in GOLDEN} | {Domain}
    assert set(CLASSES) == covered


_CHILD_XML = {
    Address: PCI_XML,
    VirtualPort: "<virtualport type='midonet'/>",
    GuestElement: f"<l:guest xmlns:l='{NAMESPACE}' limit='3'/>",
}


def _samples(prop: Property[Any]) -> list[Any]:
    """Values to write, one after the other."""
    if isinstance(prop, Choice):
        return list(prop.known)
    if isinstance(prop, IntAttr | IntText | Memory | Size):
        return [0, 7, 123456789]
    if isinstance(prop, YesNo | OnOff):
        return [True, False]
    if isinstance(prop, Flag):
        return [True]
    if isinstance(prop, Values):
        return [("a",), ("a", "b", "c"), ("c", "ü<&>")]
    if isinstance(prop, Pairs):
        return [(("type", "pci"),), (("b", "1"), ("a", "'\"<&\n>"))]
    if isinstance(prop, type(Rule.properties["matches"])):
        return [(("tcp", (("dstportstart", "22"),)),), (("ip", ()), ("all", (("x", "ü"),)))]
    if isinstance(prop, Attr | Text):
        return ["x", "ü <&> \" '", "/a/b"]
    raise AssertionError(f"no sample for {type(prop).__name__}")


CASES = [(cls, name) for cls in CLASSES for name in cls.properties]


@pytest.mark.parametrize(("cls", "name"), CASES, ids=lambda v: v if isinstance(v, str) else v.TAG)
def test_written_value_is_read_and_removed(cls: type[XmlObject], name: str) -> None:
    prop = cls.properties[name]
    empty = cls.new().to_xml()
    obj = cls.parse(empty)
    nothing = getattr(obj, name)
    assert nothing in (None, False, ())
    if isinstance(prop, Child):
        samples: list[Any] = [prop.kind.parse(_CHILD_XML[prop.kind]) for _ in range(2)]
    elif isinstance(prop, Children):
        samples = [tuple(kind.new() for kind in prop.kinds.values() for _ in range(2))]
    else:
        samples = _samples(prop)
    for value in samples:
        setattr(obj, name, value)
        again = cls.parse(obj.to_xml())
        for seen in (obj, again, again.freeze()):
            assert _plain(getattr(seen, name)) == _plain(value)
        assert again.to_xml() == obj.to_xml()
        # Writing what is there already changes nothing.
        setattr(obj, name, getattr(obj, name))
        assert obj.to_xml() == again.to_xml()
    setattr(obj, name, nothing)
    assert getattr(obj, name) == nothing
    assert obj.to_xml() == empty


def test_frozen_objects_refuse_changes() -> None:
    view = Domain.view(DOMAIN_XML)
    with pytest.raises(AttributeError):
        view.name = "x"
    with pytest.raises(AttributeError):
        view.disks[0].target = "vdb"
    with pytest.raises(AttributeError):
        del view.name
    assert view.freeze() is view
    assert not hasattr(view, "__dict__")
    with pytest.raises(AttributeError):
        Disk.new().taget = "vdb"  # type: ignore[attr-defined]


def test_choice_refuses_unknown_values() -> None:
    disk = Disk.new(device="cdrom")
    with pytest.raises(Invalid, match="floppy"):
        disk.device = "tape"
    assert disk.device == "cdrom"


def test_computed_properties_cannot_be_written() -> None:
    with pytest.raises(AttributeError):
        Domain.parse(DOMAIN_XML).vcpus = 3


def test_foreign_children_are_refused() -> None:
    domain = Domain.parse(DOMAIN_XML)
    with pytest.raises(Invalid):
        domain.disks = (Input.new(),)  # type: ignore[assignment]
    with pytest.raises(TypeError):
        Disk.new(nonsense=1)


def test_secrets_are_not_shown() -> None:
    graphics = Graphics.view("<graphics type='vnc' passwd='geheim'/>")
    assert "geheim" not in repr(graphics)
    assert graphics.passwd == "geheim"


_TWO = "<domain><name>{}</name><devices><input type='{}' bus='ps2'/><input type='tablet'/></devices></domain>"


def test_devices_that_say_the_same_are_one_object() -> None:
    first, second = (
        Domain.view(_TWO.format("a", "mouse")),
        Domain.view(_TWO.format("b", "keyboard")),
    )
    assert first.inputs[1] is second.inputs[1]
    assert [one.type for one in second.inputs] == ["keyboard", "tablet"]
    assert Input.view("<input type='tablet'/>") == first.inputs[1]


def test_shared_devices_go_with_the_last_guest() -> None:
    gc.collect()
    before = len(xmlobject._SHARED)
    views = [Domain.view(_TWO.format(name, f"new-{name}")) for name in "ab"]
    assert len(xmlobject._SHARED) >= before + 2
    del views
    gc.collect()
    assert len(xmlobject._SHARED) <= before


def test_a_frozen_guest_is_small() -> None:
    texts = [
        DOMAIN_XML.replace("<name>n<", f"<name>guest-{n}<").replace("<disk ", f"<disk own='{n}' ")
        for n in range(100)
    ]
    Domain.view(DOMAIN_XML)
    tracemalloc.start()
    try:
        views = [Domain.view(text) for text in texts]
        used, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / len(views) < 10_000
