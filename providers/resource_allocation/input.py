# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_InputResourceAllocationSettingData: input devices of guests."""

from __future__ import annotations

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.providers.device import input_caption
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided
from libvirtcim.virt.host import Hosts

INPUT = ClassDecl(
    "InputResourceAllocationSettingData",
    SUPERCLASS,
    "An input device of a guest: ResourceSubType mouse, tablet, keyboard ...",
    ALL,
    (Property("BusType", "string", "Bus of the device: usb, ps2, xen, virtio."),),
    registration=registered("Virt_RASD"),
)

SETTING = Setting(
    INPUT,
    "input",
    13,
    {
        "ResourceSubType": lambda i: i.device.type,
        "BusType": lambda i: i.device.bus,
        "Caption": lambda i: input_caption(i.device),
    },
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
