# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_CharacterResourceAllocationSettingData: what consoles and channels of guests have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.cim.objects import Value
from libvirtcim.cim.provider import Columns
from libvirtcim.providers.common import ALL, Provided
from libvirtcim.providers.device import DeviceItem
from libvirtcim.providers.resource_allocation.base import SUPERCLASS
from libvirtcim.providers.resource_allocation.target import SettingError
from libvirtcim.virt.devices.chardev import CharDevice
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


SOURCE_COLUMNS: Columns = {
    "SourceType": _source_type,
    "SourcePath": _source_path,
    "BindURL": _end("bind"),
    "ConnectURL": _end("connect"),
}


class SourceError(SettingError):
    """Another end that can't be made: what is wrong with it."""


_NEEDS_PATH = ("dev", "file", "pipe")
_SOURCE = tuple(SOURCE_COLUMNS)


def write_source(
    device: CharDevice, values: Mapping[str, Value], *, chosen: frozenset[str] = frozenset()
) -> None:
    """Writes what is given of the other end; raises SourceError where that makes none.

    `chosen`: kinds of which libvirt chooses the end where none is given.
    """
    if all(values.get(name) is None for name in _SOURCE):
        return
    number = values.get("SourceType")
    if number is not None and number >= len(SOURCE_TYPES):
        raise SourceError(f"Invalid SourceType value: {number}.")
    kind = (device.type or "").lower() if number is None else SOURCE_TYPES[number]
    if kind != device.type:
        _clear_source(device)
        device.type = kind
    if kind in _PATH_SOURCES:
        _write_path(device, kind, values)
    elif kind in _WRITE_SOURCE:
        bind, connect = values.get("BindURL"), values.get("ConnectURL")
        if bind is not None or connect is not None or kind not in chosen:
            _WRITE_SOURCE[kind](device, bind, connect)


def _clear_source(device: CharDevice) -> None:
    for attribute in (
        *("path", "mode", "host", "service", "channel", "protocol", "tty"),
        *("bind_host", "bind_service", "connect_host", "connect_service"),
    ):
        setattr(device, attribute, None)


def _write_path(device: CharDevice, kind: str, values: Mapping[str, Value]) -> None:
    path = values.get("SourcePath")
    if path is not None:
        device.path = path
    elif kind in _NEEDS_PATH and device.path is None:
        raise SourceError(f"SourcePath not specified for '{kind}' source.")


def _parts(url: str, what: str) -> tuple[str, str, str, str]:
    """Protocol, host, port and path of a URL; raises SourceError where it is none."""
    try:
        found = urlsplit(url)
        port = found.port
    except ValueError:
        raise SourceError(f"Invalid {what}.") from None
    if not found.scheme or not (found.netloc or found.path):
        raise SourceError(f"Invalid {what}.")
    return found.scheme, found.hostname or "", "" if port is None else str(port), found.path


def _one_end(bind: str | None, connect: str | None, what: str) -> tuple[str, str, str]:
    """Mode, URL and its name of a source that has one end."""
    if bind is not None and connect is not None:
        raise SourceError(f"Only one of ConnectURL or BindURL is allowed for {what}.")
    if bind is not None:
        return "bind", bind, "BindURL"
    if connect is not None:
        return "connect", connect, "ConnectURL"
    raise SourceError(f"Neither ConnectURL nor BindURL specified for {what}.")


def _write_unix(device: CharDevice, bind: str | None, connect: str | None) -> None:
    mode, url, name = _one_end(bind, connect, "UNIX domain sockets")
    scheme, _host, _port, path = _parts(url, f"{name} for UNIX domain socket")
    if scheme != "file":
        raise SourceError(
            "Protocol 'file' was not specified for ConnectURL or BindURL for UNIX domain socket "
            "client/server."
        )
    device.mode, device.path = mode, path


def _write_udp(device: CharDevice, bind: str | None, connect: str | None) -> None:
    """Two ends; one that is there stays where only the other is given."""
    for half, name, url in (("bind", "BindURL", bind), ("connect", "ConnectURL", connect)):
        if url is None:
            if getattr(device, f"{half}_host") is None:
                raise SourceError(f"{name} not specified for UDP network connection.")
            continue
        scheme, host, port, _path = _parts(url, f"{name} for UDP network connection")
        if scheme != "udp":
            raise SourceError(f"Protocol 'udp' was not specified for {name}.")
        setattr(device, f"{half}_host", host)
        setattr(device, f"{half}_service", port or None)


def _write_tcp(device: CharDevice, bind: str | None, connect: str | None) -> None:
    mode, url, name = _one_end(bind, connect, "TCP sockets")
    scheme, host, port, _path = _parts(url, f"{name} for TCP sockets")
    if not port:
        raise SourceError(f"Missing port in {name} for TCP network connection.")
    if scheme in ("udp", "file"):
        raise SourceError(f"Protocol '{scheme}' is not allowed for TCP sockets.")
    device.mode, device.host, device.service = mode, host, port
    device.protocol = scheme


_WRITE_SOURCE: Mapping[str, Callable[[CharDevice, str | None, str | None], None]] = {
    "unix": _write_unix,
    "udp": _write_udp,
    "tcp": _write_tcp,
}


def provide(hosts: Hosts) -> Provided:
    """The superclass; it has no instances of its own."""
    return Provided((CHARACTER,))
