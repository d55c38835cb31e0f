# SPDX-License-Identifier: LGPL-2.1-or-later
"""`<video>`: graphics adapters."""

from __future__ import annotations

from libvirtcim.virt.devices.address import Device
from libvirtcim.virt.xmltree import Attr, IntAttr


class Video(Device):
    """A graphics adapter; memory sizes are in KiB."""

    TAG = "video"

    model = Attr("model", "type")
    vram = IntAttr("model", "vram")
    heads = IntAttr("model", "heads")
