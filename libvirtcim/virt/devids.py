# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ids under which a guest's devices are known, per device kind.

=========== ====================================== ==============================================
kind        devid                                  devices
=========== ====================================== ==============================================
net         MAC address                            interfaces
disk        target device, or target directory     disks and file systems, in document order
mem         ``mem``                                one `MemoryDevice`
proc        ``proc``                               one `ProcessorDevice`
graphics    ``vnc``, ``sdl:<display>``, ``spice``, graphics, and consoles of type pty (the
            the type of others, ``console:<port>`` predecessor's view of them), in document order
input       ``<type>:<bus>``                       inputs
console     ``charconsole:<port>``                 consoles
controller  ``controller:<type>:<index>``          controllers
video       ``video``                              video adapters
channel     ``channel:<name or type of target>``   channels
tpm         ``tpm``                                trusted platform modules
rng         ``rng:<source>``                       random number generators
watchdog    ``watchdog``                           watchdogs
hostdev     ``hostdev:<type>:<address on host>``   host devices
=========== ====================================== ==============================================

A part that the definition lacks is left out (``sdl``); the port of a console counts as 0. The first
device of an id has it plain, the next ones get ``:1``, ``:2``, ... behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from libvirtcim.virt.devices.chardev import Channel, Console
from libvirtcim.virt.devices.controller import Controller
from libvirtcim.virt.devices.disk import Disk
from libvirtcim.virt.devices.filesystem import Filesystem
from libvirtcim.virt.devices.graphics import Graphics
from libvirtcim.virt.devices.input import Input
from libvirtcim.virt.devices.interface import Interface
from libvirtcim.virt.devices.misc import HostDevice, Rng, Tpm, Watchdog
from libvirtcim.virt.devices.video import Video
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.families import (
    CHANNEL,
    CONSOLE,
    CONTROLLER,
    DEVICE_KINDS,
    DISK,
    GRAPHICS,
    HOSTDEV,
    INPUT,
    MEM,
    NET,
    PROC,
    RNG,
    TPM,
    VIDEO,
    WATCHDOG,
)


@dataclass(frozen=True, slots=True)
class MemoryDevice:
    """A guest's memory: current and maximum in KiB; `dump_core` None when not stated."""

    current_kib: int
    memory_kib: int
    dump_core: bool | None


@dataclass(frozen=True, slots=True)
class ProcessorDevice:
    """A guest's virtual CPUs: maximum, stated current count, and CPU shares."""

    vcpus: int
    vcpu_current: int | None
    cpu_shares: int | None


AnyDevice = (
    Interface
    | Disk
    | Filesystem
    | MemoryDevice
    | ProcessorDevice
    | Graphics
    | Console
    | Input
    | Controller
    | Video
    | Channel
    | Tpm
    | Rng
    | Watchdog
    | HostDevice
)


class Entry(NamedTuple):
    """A device with its id."""

    devid: str
    device: AnyDevice


def _joined(*parts: object) -> str:
    return ":".join(str(part) for part in parts if part is not None and part != "")


def _graphics_id(device: Graphics | Console) -> str:
    if isinstance(device, Console):
        return _joined("console", device.target_port or 0)
    if device.type == "sdl":
        return _joined("sdl", device.display)
    return device.type or "graphics"


def _displays(view: Domain) -> Iterable[AnyDevice]:
    for device in view.graphics_like:
        if isinstance(device, Graphics) or (device.type or "").lower() == "pty":
            yield device


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a definition's devices of one kind are listed, and what id each has by itself."""

    listed: Callable[[Domain], Iterable[AnyDevice]]
    identify: Callable[[Any], str]


_KINDS: dict[str, _Kind] = {
    NET: _Kind(lambda d: d.interfaces, lambda nic: nic.mac or "net"),
    DISK: _Kind(lambda d: d.disk_like, lambda disk: disk.target or disk.TAG),
    MEM: _Kind(
        lambda d: (MemoryDevice(d.current_kib, d.memory_kib, d.dump_core),), lambda _m: "mem"
    ),
    PROC: _Kind(
        lambda d: (ProcessorDevice(d.vcpus, d.vcpu_current, d.cpu_shares),), lambda _p: "proc"
    ),
    GRAPHICS: _Kind(_displays, _graphics_id),
    INPUT: _Kind(lambda d: d.inputs, lambda i: _joined(i.type, i.bus)),
    CONSOLE: _Kind(lambda d: d.consoles, lambda c: _joined("charconsole", c.target_port or 0)),
    CONTROLLER: _Kind(lambda d: d.controllers, lambda c: _joined("controller", c.type, c.index)),
    VIDEO: _Kind(lambda d: d.videos, lambda v: v.TAG),
    CHANNEL: _Kind(lambda d: d.channels, lambda c: _joined(c.TAG, c.target_name or c.target_type)),
    TPM: _Kind(lambda d: d.tpms, lambda t: t.TAG),
    RNG: _Kind(lambda d: d.rngs, lambda r: _joined(r.TAG, r.source_text)),
    WATCHDOG: _Kind(lambda d: d.watchdogs, lambda w: w.TAG),
    HOSTDEV: _Kind(lambda d: d.hostdevs, lambda h: _joined(h.TAG, h.type, h.source_text)),
}


def identify(kind: str, device: AnyDevice) -> str:
    """The id of a device that is the first of its id. KeyError: no such kind."""
    return _KINDS[kind].identify(device)


def devices(view: Domain, kind: str) -> list[Entry]:
    """The guest's devices of one kind with their ids, in document order. KeyError: no such kind."""
    entries: list[Entry] = []
    taken: set[str] = set()
    rules = _KINDS[kind]
    for device in rules.listed(view):
        devid = unique = rules.identify(device)
        number = 0
        while unique in taken:
            number += 1
            unique = f"{devid}:{number}"
        taken.add(unique)
        entries.append(Entry(unique, device))
    return entries


def all_devices(view: Domain, kinds: Iterable[str] = DEVICE_KINDS) -> list[tuple[str, Entry]]:
    """The guest's devices of the given kinds, kind by kind in the order of DEVICE_KINDS."""
    wanted = frozenset(kinds)
    return [
        (kind, entry) for kind in DEVICE_KINDS if kind in wanted for entry in devices(view, kind)
    ]


def find(view: Domain, kind: str, devid: str) -> AnyDevice | None:
    """The device of that kind and id, or None."""
    for entry in devices(view, kind):
        if entry.devid == devid:
            return entry.device
    return None
