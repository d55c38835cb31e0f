# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guests that are measured: ordinary ones, with three disks, a network interface and a display."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt

Progress = Callable[[str], None]

_TEST_NAMESPACE = "http://libvirt.org/schemas/domain/test/1.0"
_SHUT_OFF = 5
IMAGES = "/var/lib/libvirt/images"
"""Where the guests' disks are."""


def guest_name(number: int) -> str:
    """Name of the guest with that number."""
    return f"guest{number:05}"


def domain_xml(number: int, kind: str, extra: str = "") -> str:
    """A guest as an administrator would define it; `extra` goes below domain."""
    name = guest_name(number)
    mac = f"52:54:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    return f"""
<domain type='{kind}'>
  <name>{name}</name>
  <uuid>6f1d2c00-0000-4000-8000-{number:012x}</uuid>
  <memory unit='KiB'>2097152</memory>
  <currentMemory unit='KiB'>1048576</currentMemory>
  <vcpu current='1'>2</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/><boot dev='network'/></os>
  <features><acpi/><apic/><pae/></features>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  {extra}
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='{IMAGES}/{name}.qcow2'/><target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='{IMAGES}/{name}-data.img'/><target dev='vdb' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/><target dev='hdc' bus='ide'/><readonly/>
    </disk>
    <interface type='network'>
      <mac address='{mac}'/><source network='default'/><model type='virtio'/>
    </interface>
    <serial type='pty'><target port='0'/></serial>
    <console type='pty'><target type='serial' port='0'/></console>
    <input type='tablet' bus='usb'/>
    <graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>
    <video><model type='vga' vram='16384' heads='1'/></video>
    <memballoon model='virtio'/>
  </devices>
</domain>"""


def write_test_host(path: Path, count: int, *, pools: bool = False) -> str:
    """Writes a host for libvirt's test driver, every second guest running; returns its URI.

    With `pools` it has the guests' network, and a storage pool with their disks' images.
    """
    parts = ["<node>", *(_pools(count) if pools else ())]
    for number in range(count):
        off = f"<test:runstate xmlns:test='{_TEST_NAMESPACE}'>{_SHUT_OFF}</test:runstate>"
        parts.append(domain_xml(number, "test", off if number % 2 else ""))
    parts.append("</node>")
    path.write_text("\n".join(parts))
    return f"test://{path}"


def _pools(count: int) -> Iterator[str]:
    yield (
        "<network><name>default</name><bridge name='virbr0'/>"
        "<ip address='192.168.122.1' netmask='255.255.255.0'/></network>"
        f"<pool type='dir'><name>images</name><target><path>{IMAGES}</path></target>"
    )
    for number in range(count):
        for ending in (".qcow2", "-data.img"):
            yield (
                f"<volume><name>{guest_name(number)}{ending}</name>"
                "<capacity unit='GiB'>10</capacity></volume>"
            )
    yield "</pool>"


def define_all(uri: str, count: int, progress: Progress) -> None:
    """Defines the guests on a QEMU hypervisor; they stay off."""
    raw = libvirt.open(uri)
    try:
        for number in range(count):
            raw.defineXML(domain_xml(number, "qemu"))
            if number % 50 == 0:
                progress(f"defining guests: {number} of {count}")
    finally:
        raw.close()
