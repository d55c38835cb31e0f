# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_InputResourceAllocationSettingData: input devices of guests."""

from __future__ import annotations

from collections.abc import Mapping

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.cim.objects import Value
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.providers.device import input_caption
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided
from libvirtcim.providers.resource_allocation.target import Target
from libvirtcim.virt.devices.input import Input
from libvirtcim.virt.host import Hosts

INPUT = ClassDecl(
    "InputResourceAllocationSettingData",
    SUPERCLASS,
    "An input device of a guest: ResourceSubType mouse, tablet, keyboard ...",
    ALL,
    (Property("BusType", "string", "Bus of the device: usb, ps2, xen, virtio."),),
    registration=registered("Virt_RASD"),
)

DEFAULT_BUSES = {"mouse": "ps2", "tablet": "usb"}


def _make(values: Mapping[str, Value], target: Target) -> Input:
    return Input.new(bus=DEFAULT_BUSES.get((values.get("ResourceSubType") or "").lower()))


SETTING = Setting(
    INPUT,
    "input",
    13,
    {"Caption": lambda i: input_caption(i.device)},
    attributes={"ResourceSubType": "type", "BusType": "bus"},
    make=_make,
    place="inputs",
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
