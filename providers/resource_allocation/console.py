# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_ConsoleResourceAllocationSettingData: text consoles of guests."""

from __future__ import annotations

from collections.abc import Callable

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.providers.device import DeviceItem
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided
from libvirtcim.virt.host import Hosts

SOURCE_TYPES = (
    "null",
    "vc",
    "pty",
    "dev",
    "file",
    "pipe",
    "stdio",
    "udp",
    "tcp",
    "unix",
    "spicevmc",
)
"""Kinds of character sources; the place in the list is the SourceType."""

CHARACTER = ClassDecl(
    "CharacterResourceAllocationSettingData",
    SUPERCLASS,
    "A character device of a guest: where its other end is.",
    ALL,
    (
        Property(
            "SourceType",
            "uint16",
            "Kind of the other end.",
            values={str(number): name for number, name in enumerate(SOURCE_TYPES)},
        ),
        Property("SourcePath", "string", "Path of a pty, device, file or pipe."),
        Property("ConnectURL", "string", "Where the device connects to."),
        Property("BindURL", "string", "Where the device listens."),
    ),
)

CONSOLE = ClassDecl(
    "ConsoleResourceAllocationSettingData",
    "{P}_CharacterResourceAllocationSettingData",
    "A text console of a guest.",
    ALL,
    (Property("TargetType", "string", "What the guest sees: serial, virtio, xen, lxc ..."),),
    registration=registered("Virt_RASD"),
)

_PATH_SOURCES = frozenset({"pty", "dev", "file", "pipe"})


def _source_type(item: DeviceItem) -> int | None:
    kind = (item.device.type or "").lower()
    return SOURCE_TYPES.index(kind) if kind in SOURCE_TYPES else None


def _source_path(item: DeviceItem) -> str | None:
    path: str | None = item.device.path
    return path if (item.device.type or "").lower() in _PATH_SOURCES else None


def _url(scheme: str, host: str | None, service: str | None) -> str | None:
    if host is None:
        return None
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{service}" if service else f"{scheme}://{shown}"


def _end(mode: str) -> Callable[[DeviceItem], str | None]:
    """The URL of the end that binds or connects."""

    def url(item: DeviceItem) -> str | None:
        device = item.device
        kind = (device.type or "").lower()
        if kind == "unix":
            path = device.path
            if path is None or (device.mode or "connect") != mode:
                return None
            return f"file://{path}" if path.startswith("/") else f"file:///{path}"
        if kind not in ("udp", "tcp"):
            return None
        if kind == "tcp" and (device.mode or "connect") != mode:
            return None
        if kind == "tcp":
            return _url(device.protocol or "raw", device.host, device.service)
        if mode == "bind":
            return _url("udp", device.bind_host, device.bind_service)
        return _url("udp", device.connect_host, device.connect_service)

    return url


SETTING = Setting(
    CONSOLE,
    "console",
    1,
    {
        "OtherResourceType": lambda i: "console",
        "SourceType": _source_type,
        "TargetType": lambda i: i.device.target_type,
        "SourcePath": _source_path,
        "BindURL": _end("bind"),
        "ConnectURL": _end("connect"),
    },
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts, CHARACTER)
