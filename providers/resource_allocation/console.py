# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_ConsoleResourceAllocationSettingData: text consoles of guests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.cim.objects import Value
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.providers.device import DeviceItem
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided
from libvirtcim.providers.resource_allocation.target import SettingError, Target
from libvirtcim.virt.devices.chardev import CharDevice, Console, Serial
from libvirtcim.virt.domain import Domain
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


class ConsoleError(SettingError):
    """A console that can't be made: what is wrong with it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"ConsoleRASD: {reason}")


_NEEDS_PATH = ("dev", "file", "pipe")
_SOURCE = ("SourceType", "SourcePath", "BindURL", "ConnectURL")


def _make(values: Mapping[str, Value], target: Target) -> Console:
    if values.get("SourceType") is None:
        raise ConsoleError("SourceType field not specified.")
    return Console.new()


def serial_twin(domain: Domain, console: Console) -> Serial | None:
    """The serial port that libvirt lists as a console too; what is said there counts."""
    if console.target_type != "serial":
        return None
    port = console.target_port or 0
    return next((serial for serial in domain.serials if (serial.target_port or 0) == port), None)


def _write(console: Console, values: Mapping[str, Value], target: Target) -> None:
    if all(values.get(name) is None for name in _SOURCE):
        return
    twin = serial_twin(target.domain, console)
    for device in (console, twin) if twin is not None else (console,):
        _write_source(device, values)


def _write_source(console: CharDevice, values: Mapping[str, Value]) -> None:
    number = values.get("SourceType")
    if number is not None and number >= len(SOURCE_TYPES):
        raise ConsoleError(f"Invalid SourceType value: {number}.")
    kind = (console.type or "").lower() if number is None else SOURCE_TYPES[number]
    if kind != console.type:
        _clear_source(console)
        console.type = kind
    if kind in _PATH_SOURCES:
        _write_path(console, kind, values)
    elif kind in _WRITE_SOURCE:
        _WRITE_SOURCE[kind](console, values.get("BindURL"), values.get("ConnectURL"))


def _clear_source(console: CharDevice) -> None:
    for attribute in (
        *("path", "mode", "host", "service", "channel", "protocol", "tty"),
        *("bind_host", "bind_service", "connect_host", "connect_service"),
    ):
        setattr(console, attribute, None)


def _write_path(console: CharDevice, kind: str, values: Mapping[str, Value]) -> None:
    path = values.get("SourcePath")
    if path is not None:
        console.path = path
    elif kind in _NEEDS_PATH and console.path is None:
        raise ConsoleError(f"SourcePath not specified for '{kind}' console.")


def _parts(url: str, what: str) -> tuple[str, str, str, str]:
    """Protocol, host, port and path of a URL; raises ConsoleError where it is none."""
    try:
        found = urlsplit(url)
        port = found.port
    except ValueError:
        raise ConsoleError(f"Invalid {what}.") from None
    if not found.scheme or not (found.netloc or found.path):
        raise ConsoleError(f"Invalid {what}.")
    return found.scheme, found.hostname or "", "" if port is None else str(port), found.path


def _one_end(bind: str | None, connect: str | None, what: str) -> tuple[str, str, str]:
    """Mode, URL and its name of a source that has one end."""
    if bind is not None and connect is not None:
        raise ConsoleError(f"Only one of ConnectURL or BindURL is allowed for {what}.")
    if bind is not None:
        return "bind", bind, "BindURL"
    if connect is not None:
        return "connect", connect, "ConnectURL"
    raise ConsoleError(f"Neither ConnectURL nor BindURL specified for {what}.")


def _write_unix(console: CharDevice, bind: str | None, connect: str | None) -> None:
    mode, url, name = _one_end(bind, connect, "UNIX domain sockets")
    scheme, _host, _port, path = _parts(url, f"{name} for UNIX domain socket")
    if scheme != "file":
        raise ConsoleError(
            "Protocol 'file' was not specified for ConnectURL or BindURL for UNIX domain socket "
            "client/server."
        )
    console.mode, console.path = mode, path


def _write_udp(console: CharDevice, bind: str | None, connect: str | None) -> None:
    for name, url in (("BindURL", bind), ("ConnectURL", connect)):
        if url is None:
            raise ConsoleError(f"{name} not specified for UDP network console.")
        scheme, host, port, _path = _parts(url, f"{name} for UDP network console")
        if scheme != "udp":
            raise ConsoleError(f"Protocol 'udp' was not specified for {name}.")
        if name == "BindURL":
            console.bind_host, console.bind_service = host, port or None
        else:
            console.connect_host, console.connect_service = host, port or None


def _write_tcp(console: CharDevice, bind: str | None, connect: str | None) -> None:
    mode, url, name = _one_end(bind, connect, "TCP sockets")
    scheme, host, port, _path = _parts(url, f"{name} for TCP sockets")
    if not port:
        raise ConsoleError(f"Missing port in {name} for TCP network console.")
    if scheme in ("udp", "file"):
        raise ConsoleError(f"Protocol '{scheme}' is not allowed for TCP sockets.")
    console.mode, console.host, console.service = mode, host, port
    console.protocol = scheme


_WRITE_SOURCE: Mapping[str, Callable[[CharDevice, str | None, str | None], None]] = {
    "unix": _write_unix,
    "udp": _write_udp,
    "tcp": _write_tcp,
}

SETTING = Setting(
    CONSOLE,
    "console",
    1,
    {
        "OtherResourceType": lambda i: "console",
        "SourceType": _source_type,
        "SourcePath": _source_path,
        "BindURL": _end("bind"),
        "ConnectURL": _end("connect"),
    },
    attributes={"TargetType": "target_type"},
    write=_write,
    make=_make,
    place="consoles",
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts, CHARACTER)
