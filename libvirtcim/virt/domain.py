# SPDX-License-Identifier: LGPL-2.1-or-later
"""`<domain>`: a guest's definition as a typed object, editable (`parse`) or frozen (`view`)."""

from __future__ import annotations

from libvirtcim.virt.devices.chardev import Channel, CharDevice, Console, Parallel, Serial
from libvirtcim.virt.devices.controller import Controller
from libvirtcim.virt.devices.disk import Disk
from libvirtcim.virt.devices.filesystem import Filesystem
from libvirtcim.virt.devices.graphics import Graphics
from libvirtcim.virt.devices.input import Input
from libvirtcim.virt.devices.interface import Interface
from libvirtcim.virt.devices.misc import (
    HostDevice,
    MemoryBalloon,
    Rng,
    Sound,
    Tpm,
    Watchdog,
)
from libvirtcim.virt.devices.video import Video
from libvirtcim.virt.guestxml import GUEST_TAG, GuestElement
from libvirtcim.virt.xmltree import (
    Attr,
    Child,
    Children,
    Flag,
    IntAttr,
    IntText,
    Memory,
    OnOff,
    Text,
    Values,
    XmlObject,
    YesNo,
    computed,
)

__all__ = ["CharDevice", "Domain"]


class Domain(XmlObject):
    """A guest's definition.

    `memory` (maximum) and `current_memory` are in KiB as far as stated; `memory_kib` and
    `current_kib` fill in for each other. `vcpus` is the maximum, `vcpu_current` what is plugged.
    `disk_like` and `graphics_like` list two kinds together in document order; a frozen view shares
    their objects with `disks`, `filesystems`, `graphics` and `consoles`.
    """

    TAG = "domain"

    type = Attr("type")
    id = IntAttr("id")
    name = Text("name")
    uuid = Text("uuid")
    title = Text("title")
    description = Text("description")
    guestdata = Child(f"metadata/{GUEST_TAG}", GuestElement)
    bootloader = Text("bootloader")
    bootloader_args = Text("bootloader_args")
    memory = Memory("memory")
    dump_core = OnOff("memory", "dumpCore")
    current_memory = Memory("currentMemory")
    vcpu_count = IntText("vcpu")
    vcpu_current = IntAttr("vcpu", "current")
    cpu_shares = IntText("cputune/shares")
    cpu_period = IntText("cputune/period")
    cpu_quota = IntText("cputune/quota")
    os_type = Text("os/type")
    arch = Attr("os/type", "arch")
    machine = Attr("os/type", "machine")
    firmware = Attr("os", "firmware")
    secure_boot = YesNo("os/firmware/feature[@name='secure-boot']", "enabled")
    enrolled_keys = YesNo("os/firmware/feature[@name='enrolled-keys']", "enabled")
    loader = Text("os/loader")
    loader_type = Attr("os/loader", "type")
    loader_secure = YesNo("os/loader", "secure")
    nvram = Text("os/nvram")
    kernel = Text("os/kernel")
    initrd = Text("os/initrd")
    cmdline = Text("os/cmdline")
    init = Text("os/init")
    init_args = Values("os/initarg")
    boot_devices = Values("os/boot", "dev")
    acpi = Flag("features/acpi")
    apic = Flag("features/apic")
    pae = Flag("features/pae")
    cpu_mode = Attr("cpu", "mode")
    cpu_match = Attr("cpu", "match")
    cpu_check = Attr("cpu", "check")
    cpu_model = Text("cpu/model")
    clock_offset = Attr("clock", "offset")
    on_poweroff = Text("on_poweroff")
    on_reboot = Text("on_reboot")
    on_crash = Text("on_crash")
    emulator = Text("devices/emulator")
    disk_like = Children[Disk | Filesystem]("devices", Disk, Filesystem)
    disks = Children("devices", Disk)
    filesystems = Children("devices", Filesystem)
    controllers = Children("devices", Controller)
    interfaces = Children("devices", Interface)
    serials = Children("devices", Serial)
    parallels = Children("devices", Parallel)
    graphics_like = Children[Graphics | Console]("devices", Console, Graphics)
    consoles = Children("devices", Console)
    channels = Children("devices", Channel)
    inputs = Children("devices", Input)
    tpms = Children("devices", Tpm)
    graphics = Children("devices", Graphics)
    sounds = Children("devices", Sound)
    videos = Children("devices", Video)
    hostdevs = Children("devices", HostDevice)
    watchdogs = Children("devices", Watchdog)
    memballoons = Children("devices", MemoryBalloon)
    rngs = Children("devices", Rng)

    @computed
    def memory_kib(self) -> int:
        """The maximum memory in KiB, 0 when the definition does not say."""
        return self.memory or self.current_memory or 0

    @computed
    def current_kib(self) -> int:
        """The current memory in KiB; the maximum unless stated."""
        return self.memory or 0 if self.current_memory is None else self.current_memory

    @computed
    def vcpus(self) -> int:
        """The maximum number of virtual CPUs; 1 when absent or unreadable."""
        return self.vcpu_count if self.vcpu_count and self.vcpu_count > 0 else 1
