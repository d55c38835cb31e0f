# SPDX-License-Identifier: LGPL-2.1-or-later
"""KVM_VideoResourceAllocationSettingData: video adapters of guests."""

from __future__ import annotations

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.providers.common import Provided, prefixes_with, registered
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided
from libvirtcim.virt.devices.video import Video
from libvirtcim.virt.families import VIDEO
from libvirtcim.virt.host import Hosts

VIDEO_ADAPTER = ClassDecl(
    "VideoResourceAllocationSettingData",
    SUPERCLASS,
    "A video adapter of a guest, whose picture its displays show.",
    prefixes_with(VIDEO),
    (
        Property("Model", "string", "Model: virtio, vga, qxl, bochs, none ..."),
        Property("Heads", "uint32", "Number of screens."),
        Property("VideoMemory", "uint64", "Memory of the adapter in KiB."),
    ),
    registration=registered("Virt_RASD"),
)

SETTING = Setting(
    VIDEO_ADAPTER,
    VIDEO,
    1,
    {"OtherResourceType": lambda i: VIDEO},
    attributes={"Model": "model", "Heads": "heads", "VideoMemory": "vram"},
    make=lambda values, target: Video.new(),
    place="videos",
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
