# SPDX-License-Identifier: LGPL-2.1-or-later
"""`<input>`: keyboards, mice and tablets."""

from __future__ import annotations

from libvirtcim.virt.devices.address import Device
from libvirtcim.virt.xmltree import Attr


class Input(Device):
    """An input device."""

    TAG = "input"

    type = Attr("type")
    bus = Attr("bus")
    model = Attr("model")
