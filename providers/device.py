# SPDX-License-Identifier: LGPL-2.1-or-later
"""Logical devices of guests: memory, processors, disks, network ports, displays, input, controllers.

::

    P_ComputerSystem --SystemDevice-- P_<device> --SettingsDefineState-- P_<kind>RASD
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from libvirtcim.cim.declare import ClassDecl
from libvirtcim.cim.errors import Failed, NotFound
from libvirtcim.cim.objects import InstancePath
from libvirtcim.cim.provider import Columns, ProviderRequest
from libvirtcim.providers.common import (
    ALL,
    FamilyProvider,
    GuestItem,
    Provided,
    prefixes_with,
    registered,
)
from libvirtcim.providers.guest_status import status
from libvirtcim.virt import devids
from libvirtcim.virt.devices.chardev import Console
from libvirtcim.virt.devices.graphics import Graphics
from libvirtcim.virt.host import Guest, Hosts, Needs

MEMORY_BLOCK = 4096
"""Bytes of a block in which P_Memory counts."""


@dataclass(frozen=True, slots=True)
class DeviceItem:
    """One device of a guest: its id within the guest, and its view in the definition."""

    owner: GuestItem
    kind: str
    devid: str
    device: Any

    @property
    def prefix(self) -> str:
        """Prefix of the guest's family."""
        return self.owner.prefix

    @property
    def guest(self) -> Guest:
        """The guest that has the device."""
        return self.owner.guest

    @property
    def full_id(self) -> str:
        """`<guest>/<devid>`, unique within the family."""
        return f"{self.guest.name}/{self.devid}"


def parts_of_id(full_id: str) -> tuple[str, str] | None:
    """Guest and device id of what `DeviceItem.full_id` makes; None where it is none."""
    name, slash, devid = full_id.partition("/")
    return (name, devid) if name and slash and devid else None


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """A device class: declaration, kind of device, what it shows of one."""

    decl: ClassDecl
    kind: str
    columns: Columns


def _device(
    base: str, superclass: str, kind: str, description: str, columns: Columns
) -> DeviceClass:
    prefixes = prefixes_with(kind) if kind == "controller" else ALL
    decl = ClassDecl(
        base, superclass, description, prefixes, registration=registered("Virt_Device")
    )
    return DeviceClass(decl, kind, columns)


def _blocks(kib: int) -> int:
    return kib * 1024 // MEMORY_BLOCK


LINK_ETHERNET, LINK_UNKNOWN = 2, 0
STOPPED = 10
"""OperationalStatus of an interface whose cable is out."""
_ETHERNET_TYPES = frozenset({"ethernet", "network", "bridge"})

INPUT_BUSES: Mapping[str, str] = {"usb": "USB", "ps2": "PS2", "xen": "Xen"}
INPUT_TYPES: Mapping[str, str] = {"mouse": "Mouse", "tablet": "Tablet"}
POINTING_MOUSE, POINTING_UNKNOWN = 3, 2

CONTROLLER_PROTOCOLS: Mapping[str, int] = {
    "ide": 37,
    "fdc": 7,
    "scsi": 13,
    "sata": 48,
    "ccid": 32678,
    "virtio-serial": 32769,
    "pci": 5,
    "usb": 16,
}
"""Controller type → CIM_Controller.ProtocolSupported; clients know these numbers."""
PROTOCOL_OTHER = 1


def input_caption(device: Any) -> str:
    """`<Bus> <Type>` in words, e.g. "USB Tablet"."""
    bus = INPUT_BUSES.get(device.bus or "", "Unknown bus")
    return f"{bus} {INPUT_TYPES.get(device.type or '', 'Unknown device type')}"


DEFAULT_LISTEN = "127.0.0.1"
UNCHOSEN_PORT = -1
"""libvirt's port of a display that has none yet."""


def graphics_kind(device: Graphics | Console) -> str:
    """`vnc`, `spice`, `sdl` ...; a pseudo-terminal is a `console`."""
    return "console" if isinstance(device, Console) else device.type or ""


def graphics_address(device: Graphics | Console) -> str:
    """`<host>:<port>` of a network display, `<path>:<port>` of a console, `sdl` of an SDL window.

    A part that libvirt does not tell is left out; a port that it has yet to choose is -1.
    """
    if isinstance(device, Console):
        return f"{device.path or device.tty or ''}:{device.target_port or 0}"
    if device.type == "sdl":
        return "sdl"
    if device.listen_socket or device.socket:
        return device.listen_socket or device.socket or ""
    port = UNCHOSEN_PORT if device.port is None else device.port
    return f"{device.listen or DEFAULT_LISTEN}:{port}"


def _video_processor(item: DeviceItem) -> str:
    kind = graphics_kind(item.device)
    return kind if kind == "sdl" else f"{kind}/{graphics_address(item.device)}"


CLASSES = (
    _device(
        "NetworkPort",
        "CIM_NetworkPort",
        "net",
        "A network interface of a guest.",
        {
            "LinkTechnology": lambda i: (
                LINK_ETHERNET if (i.device.type or "").lower() in _ETHERNET_TYPES else LINK_UNKNOWN
            ),
            "NetworkAddresses": lambda i: [i.device.mac] if i.device.mac else None,
            "PermanentAddress": lambda i: i.device.mac,
            "OperationalStatus": lambda i: [
                STOPPED if i.device.link_state == "down" else status(i.owner).operational
            ],
        },
    ),
    _device(
        "LogicalDisk",
        "CIM_LogicalDisk",
        "disk",
        "A disk of a guest, or a host directory mounted in it.",
        {"Name": lambda i: i.device.target, "HealthState": lambda i: 5},
    ),
    _device(
        "Memory",
        "CIM_Memory",
        "mem",
        "The main memory of a guest.",
        {
            "BlockSize": lambda i: MEMORY_BLOCK,
            "ConsumableBlocks": lambda i: _blocks(i.device.current_kib),
            "NumberOfBlocks": lambda i: _blocks(i.device.memory_kib),
        },
    ),
    _device("Processor", "CIM_Processor", "proc", "One virtual processor of a guest.", {}),
    _device(
        "DisplayController",
        "CIM_DisplayController",
        "graphics",
        "A display of a guest that can be viewed over the network or on the host.",
        {"VideoProcessor": _video_processor},
    ),
    _device(
        "PointingDevice",
        "CIM_PointingDevice",
        "input",
        "An input device of a guest; keyboards too.",
        {
            "PointingType": lambda i: (
                POINTING_MOUSE if i.device.type in INPUT_TYPES else POINTING_UNKNOWN
            ),
            "Caption": lambda i: input_caption(i.device),
        },
    ),
    _device(
        "ConsoleDisplayController",
        "CIM_DisplayController",
        "console",
        "A text console of a guest.",
        {"VideoProcessor": lambda i: i.device.type},
    ),
    _device(
        "Controller",
        "CIM_Controller",
        "controller",
        "A bus controller of a guest.",
        {
            "ProtocolSupported": lambda i: CONTROLLER_PROTOCOLS.get(
                (i.device.type or "").lower(), PROTOCOL_OTHER
            ),
            "ProtocolDescription": lambda i: i.device.model,
        },
    ),
)
"""In the order in which a guest's devices are listed."""

CLASS_OF_KIND: Mapping[str, DeviceClass] = {c.kind: c for c in CLASSES}

_COMMON: Columns = {
    "SystemCreationClassName": lambda i: f"{i.prefix}_ComputerSystem",
    "SystemName": lambda i: i.guest.name,
    "DeviceID": lambda i: i.full_id,
    "ElementName": lambda i: i.devid,
    "OperationalStatus": lambda i: [status(i.owner).operational],
}


def setting_items(item: GuestItem, kind: str) -> Iterator[DeviceItem]:
    """The devices of one kind as settings see them: processors are one."""
    for devid, device in devids.devices(item.guest.live, kind):
        yield DeviceItem(item, kind, devid, device)


def device_items(item: GuestItem, kind: str) -> Iterator[DeviceItem]:
    """The devices of one kind as the guest has them: every virtual processor is one."""
    if kind != "proc":
        yield from setting_items(item, kind)
        return
    for number in range(item.guest.live.vcpus):
        yield DeviceItem(item, kind, str(number), None)


def find_by_id(
    candidates: Callable[[GuestItem, str], Iterable[DeviceItem]],
    item: GuestItem,
    kind: str,
    devid: str,
) -> DeviceItem | None:
    """The device of that id (case counts), or None."""
    return next((d for d in candidates(item, kind) if d.devid == devid), None)


class DeviceProvider(FamilyProvider[DeviceItem]):
    """Serves one device class."""

    def __init__(self, device: DeviceClass, hosts: Hosts) -> None:
        super().__init__(device.decl, hosts, {**_COMMON, **device.columns})
        self._kind = device.kind

    def items(self, request: ProviderRequest) -> Iterable[DeviceItem]:
        """The devices of every guest, by guest, then in the order of its definition."""
        for item in self.guests(request, Needs.LIVE):
            yield from device_items(item, self._kind)

    def find(self, request: ProviderRequest, path: InstancePath) -> DeviceItem:
        """The device called `DeviceID`."""
        device_id = path.text("DeviceID")
        if not device_id:
            raise Failed("No DeviceID specified")
        parts = parts_of_id(device_id)
        if parts is None:
            raise NotFound(f"No such instance (bad id {device_id})")
        name, devid = parts
        item = self.guest(
            request, name, Needs.LIVE, f"No such instance (no domain for {device_id})"
        )
        found = find_by_id(device_items, item, self._kind, devid)
        if found is None:
            raise NotFound(f"No such instance (no device {device_id})")
        return found


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return Provided(
        tuple(c.decl for c in CLASSES), tuple(DeviceProvider(c, hosts) for c in CLASSES)
    )
