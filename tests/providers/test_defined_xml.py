# SPDX-License-Identifier: LGPL-2.1-or-later
"""What libvirt is given for new guests: whole definitions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from libvirtcim.virt import changes
from tests.providers.request_rows import IMAGE
from tests.providers.requests import served_by_test_hypervisor
from tests.providers.wiring import KVM, LXC, XEN

MAC = "00:16:3e:00:00:01"
MEMORY = ("Mem", {"VirtualQuantity": 512, "AllocationUnits": "MegaBytes"})
OF_512_MIB = "<memory>524288</memory><currentMemory>524288</currentMemory>"
ENDS = "<on_poweroff>destroy</on_poweroff><on_crash>destroy</on_crash>"
MACHINE = (
    f"{ENDS}<os><type arch='i686'>hvm</type><boot dev='hd'/></os><features><acpi/></features>"
    f"{OF_512_MIB}<vcpu>1</vcpu>"
)
MOUSE = "<input type='mouse' bus='ps2'/>"
VNC = "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1' keymap='en-us'/>"
EMULATOR = "<emulator>/usr/bin/test-hv</emulator>"

GOLDEN: list[tuple[str, str, Mapping[str, Any], list[tuple[str, Mapping[str, Any]]], str]] = [
    (
        "a machine with defaults",
        KVM,
        {},
        [
            MEMORY,
            ("Proc", {"VirtualQuantity": 1}),
            ("Disk", {"VirtualDevice": "vda", "Address": IMAGE, "BusType": "virtio"}),
            ("Net", {"NetworkType": "network", "PoolID": "NetworkPool/lan", "Address": MAC}),
        ],
        f"<domain type='test'><name>g1</name>{MACHINE}<devices>"
        f"<disk type='file' device='disk'><source file='{IMAGE}'/><target dev='vda' bus='virtio'/>"
        f"</disk><interface type='network'><mac address='{MAC}'/><source network='lan'/>"
        f"</interface>{MOUSE}{VNC}{EMULATOR}</devices></domain>",
    ),
    (
        "a container",
        LXC,
        {"InitPath": "/sbin/init"},
        [
            MEMORY,
            ("Proc", {"Weight": 512}),
            ("Disk", {"MountPoint": "/lxc", "Address": "/srv/c1"}),
        ],
        "<domain type='lxc'><name>g1</name><metadata><l:guest "
        "xmlns:l='http://libvirtcim.org/xmlns/guest/1' weight='512'/></metadata>"
        f"{ENDS}<os><type>exe</type><init>/sbin/init</init></os>{OF_512_MIB}"
        "<cputune><shares>512</shares></cputune><devices><filesystem><source dir='/srv/c1'/>"
        "<target dir='/lxc'/></filesystem><console type='pty'/></devices></domain>",
    ),
    (
        "a paravirtualised machine",
        XEN,
        {"Kernel": "/k", "Ramdisk": "/i", "CommandLine": "ro"},
        [
            MEMORY,
            ("Proc", {"VirtualQuantity": 1}),
            ("Net", {"NetworkType": "bridge", "NetworkName": "br0", "Address": MAC}),
        ],
        "<domain type='xen'><name>g1</name><metadata><l:guest "
        "xmlns:l='http://libvirtcim.org/xmlns/guest/1' weight='1024'/></metadata>"
        f"{ENDS}<os><type>linux</type><kernel>/k</kernel><initrd>/i</initrd><cmdline>ro</cmdline>"
        f"</os>{OF_512_MIB}<vcpu>1</vcpu><devices><interface type='bridge'><mac address='{MAC}'/>"
        f"<script path='vif-bridge'/><source bridge='br0'/></interface>"
        f"<input type='mouse' bus='xen'/>{VNC}</devices></domain>",
    ),
    (
        "a direct connection with a virtual port, bandwidth, and a console that listens",
        KVM,
        {},
        [
            MEMORY,
            ("Proc", {"VirtualQuantity": 1}),
            (
                "Net",
                {
                    "NetworkType": "direct",
                    "SourceDevice": "eth1",
                    "NetworkMode": "vepa",
                    "Address": MAC,
                    "VSIType": "802.1Qbg",
                    "VSIManagerID": "12",
                    "VSITypeID": "0x123456",
                    "VSITypeIDVersion": "1",
                    "Reservation": 100,
                    "Limit": 200,
                },
            ),
            (
                "Console",
                {"SourceType": 8, "BindURL": "telnet://0.0.0.0:4555", "TargetType": "serial"},
            ),
        ],
        f"<domain type='test'><name>g1</name>{MACHINE}<devices><interface type='direct'>"
        f"<mac address='{MAC}'/><source dev='eth1' mode='vepa'/><virtualport type='802.1Qbg'>"
        "<parameters managerid='12' typeid='0x123456' typeidversion='1'/></virtualport>"
        "<bandwidth><inbound average='100' peak='200'/></bandwidth></interface>"
        f"{MOUSE}<console type='tcp'><source mode='bind' host='0.0.0.0' service='4555'/>"
        f"<protocol type='telnet'/><target type='serial'/></console>{EMULATOR}</devices></domain>",
    ),
]


@pytest.mark.parametrize(
    ("prefix", "settings", "resources", "wanted"),
    [row[1:] for row in GOLDEN],
    ids=[row[0] for row in GOLDEN],
)
def test_what_libvirt_is_given(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    prefix: str,
    settings: Mapping[str, Any],
    resources: list[tuple[str, Mapping[str, Any]]],
    wanted: str,
) -> None:
    given: list[str] = []
    monkeypatch.setattr(changes, "define", lambda _host, xml, autostart: given.append(xml))
    with served_by_test_hypervisor(prefix, tmp_path) as requests:
        requests.define(settings, *resources)
        (xml,) = given
        assert canonical(xml) == canonical(wanted.replace(IMAGE, requests.files[IMAGE]))


def canonical(xml: str) -> list[str]:
    """The elements with their paths, in no order: libvirt knows none among siblings of other names."""
    root = etree.fromstring(xml)
    lines = []
    for element in root.iter():
        place = [str(parent.tag) for parent in reversed([element, *element.iterancestors()])]
        text = (element.text or "").strip()
        lines.append(f"{'/'.join(place)} {sorted(element.attrib.items())} {text}")
    return sorted(lines)
