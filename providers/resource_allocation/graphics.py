# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_GraphicsResourceAllocationSettingData: displays of guests."""

from __future__ import annotations

from collections.abc import Mapping

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.cim.objects import Value
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.providers.device import DeviceItem, graphics_address, graphics_kind
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided
from libvirtcim.providers.resource_allocation.target import SettingError, Target
from libvirtcim.virt.devices.chardev import CharDevice, Console, Serial
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


NETWORK_DISPLAYS = ("vnc", "spice")
DEFAULT_KEY_MAP = "en-us"
TERMINALS: Mapping[str, type[CharDevice]] = {"console": Console, "serial": Serial}
LOOPBACK, LOOPBACK_6 = "127.0.0.1", "::1"
_AUTO = -1
_INVALID_ADDRESS = "GraphicsRASD field Address not valid"


def _make(values: Mapping[str, Value], target: Target) -> Graphics | CharDevice:
    kind = values.get("ResourceSubType")
    if kind is None:
        raise SettingError("GraphicsRASD ResourceSubType field not valid")
    if kind.lower() in TERMINALS:
        return TERMINALS[kind.lower()].new(type="pty")
    display = Graphics.new()
    _become(display, kind, values)
    return display


_OF_A_TYPE = (
    *("port", "tls_port", "websocket", "autoport", "listen_attribute", "listen_type", "socket"),
    *("listen_address", "listen_network", "listen_socket", "keymap", "passwd"),
    *("display", "xauth", "fullscreen"),
)
"""What a display of one type has, and perhaps not one of another."""


def _become(display: Graphics, kind: str, values: Mapping[str, Value]) -> None:
    """Makes a display one of another type, as new ones are; one of that type stays as it is.

    Raises SettingError for types that can't be asked for.
    """
    if kind.lower() not in (*NETWORK_DISPLAYS, "sdl"):
        raise SettingError("Unsupported graphics type")
    if (display.type or "").lower() == kind.lower():
        return
    for attribute in _OF_A_TYPE:
        setattr(display, attribute, None)
    display.type = kind
    if kind.lower() in NETWORK_DISPLAYS:
        _set_listen(display, LOOPBACK_6 if values.get("IsIPv6Only") else LOOPBACK, _AUTO)
    if kind.lower() == "vnc":
        display.keymap = DEFAULT_KEY_MAP


def _write(device: Graphics | CharDevice, values: Mapping[str, Value], target: Target) -> None:
    if isinstance(device, CharDevice):
        _write_terminal(device, values)
        return
    kind = (device.type or "").lower()
    if values.get("ResourceSubType") is not None and not target.new:
        kind = values["ResourceSubType"].lower()
        _become(device, kind, values)
    address = values.get("Address")
    if kind in NETWORK_DISPLAYS:
        if address is not None:
            _set_listen(device, *_host_and_port(address))
        if values.get("KeyMap") is not None:
            device.keymap = values["KeyMap"]
        if values.get("Password") is not None:
            device.passwd = values["Password"]
        return
    if address is not None:
        device.xauth, device.display = _xauth_and_display(address)
    if values.get("IsIPv6Only") is not None:
        device.fullscreen = values["IsIPv6Only"]


def _write_terminal(device: CharDevice, values: Mapping[str, Value]) -> None:
    """Of `<path>:<port>` the port counts: libvirt chooses the path."""
    if values.get("Address") is not None:
        device.target_port = _host_and_port(values["Address"])[1]


def _set_listen(display: Graphics, host: str, port: int) -> None:
    display.port = port
    display.autoport = port == _AUTO
    display.listen_attribute = host
    if display.listen_type is not None or display.listen_address is not None:
        display.listen_type, display.listen_address = "address", host


def _host_and_port(address: str) -> tuple[str, int]:
    """Of `<host>:<port>` or `[<IPv6 address>]:<port>`; port -1: libvirt chooses."""
    host, colon, port = address.rpartition(":")
    if not (host and colon and port):
        raise SettingError(_INVALID_ADDRESS)
    try:
        return host.removeprefix("[").removesuffix("]"), int(port)
    except ValueError:
        raise SettingError(_INVALID_ADDRESS, f"{port} is no port") from None


def _xauth_and_display(address: str) -> tuple[str | None, str | None]:
    """Of `<xauth>:<display>`; the display may begin with a colon of its own."""
    xauth, _colon, display = address.partition(":")
    return xauth or None, display or None


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
    write=_write,
    make=_make,
    place="graphics_like",
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
