# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_GraphicsResourceAllocationSettingData: displays of guests."""

from __future__ import annotations

from libvirtcim.virt.host import Hosts

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.providers.device import DeviceItem, graphics_address
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided

PASSWORD_SHOWN = "*" * 8

GRAPHICS = ClassDecl(
    "GraphicsResourceAllocationSettingData",
    SUPERCLASS,
    "A display of a guest: ResourceSubType vnc, spice, sdl ..., or console for a pseudo-terminal.",
    ALL,
    (
        Property(
            "Address",
            "string",
            "<host>:<port> where the display listens; of a console <path>:<port>.",
            override=True,
        ),
        Property("KeyMap", "string", "Keyboard layout, e.g. en-us."),
        Property(
            "Password", "string", "Password for viewers; never shown, only that there is one."
        ),
        Property("IsIPv6Only", "boolean", "Whether the display listens on an IPv6 address."),
    ),
    registration=registered("Virt_RASD"),
)


def _address(item: DeviceItem) -> str:
    kind: str = item.device.kind
    return kind if kind == "sdl" else graphics_address(item.device)


def _is_ipv6_only(item: DeviceItem) -> bool | None:
    if item.device.kind in ("console", "sdl"):
        return None
    return ":" in (item.device.address_host or "")


SETTING = Setting(
    GRAPHICS,
    "graphics",
    24,
    {
        "ResourceSubType": lambda i: i.device.kind,
        "Address": _address,
        "KeyMap": lambda i: i.device.keymap if i.device.kind != "console" else None,
        "Password": lambda i: (
            PASSWORD_SHOWN if i.device.kind != "console" and i.device.passwd else None
        ),
        "IsIPv6Only": _is_ipv6_only,
    },
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
