# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_GraphicsResourceAllocationSettingData: displays of guests."""

from __future__ import annotations

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.providers.device import DeviceItem, graphics_address, graphics_kind
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided
from libvirtcim.virt.devices.graphics import Graphics
from libvirtcim.virt.host import Hosts

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


def _display(item: DeviceItem) -> Graphics | None:
    """The display, None for a console."""
    return item.device if isinstance(item.device, Graphics) else None


def _key_map(item: DeviceItem) -> str | None:
    display = _display(item)
    return display.keymap if display is not None else None


def _password(item: DeviceItem) -> str | None:
    display = _display(item)
    return PASSWORD_SHOWN if display is not None and display.passwd else None


def _is_ipv6_only(item: DeviceItem) -> bool | None:
    display = _display(item)
    if display is None or display.type == "sdl":
        return None
    return ":" in (display.listen or "")


SETTING = Setting(
    GRAPHICS,
    "graphics",
    24,
    {
        "ResourceSubType": lambda i: graphics_kind(i.device),
        "Address": lambda i: graphics_address(i.device),
        "KeyMap": _key_map,
        "Password": _password,
        "IsIPv6Only": _is_ipv6_only,
    },
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
