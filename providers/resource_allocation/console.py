# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_ConsoleResourceAllocationSettingData: text consoles of guests."""

from __future__ import annotations

from collections.abc import Mapping

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.cim.objects import Value
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.providers.resource_allocation.base import Setting, provided
from libvirtcim.providers.resource_allocation.character import (
    SOURCE_COLUMNS,
    SourceError,
    write_source,
)
from libvirtcim.providers.resource_allocation.target import SettingError, Target
from libvirtcim.virt.devices.chardev import Console, Serial
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.host import Hosts

CONSOLE = ClassDecl(
    "ConsoleResourceAllocationSettingData",
    "{P}_CharacterResourceAllocationSettingData",
    "A text console of a guest.",
    ALL,
    (Property("TargetType", "string", "What the guest sees: serial, virtio, xen, lxc ..."),),
    registration=registered("Virt_RASD"),
)


def _make(values: Mapping[str, Value], target: Target) -> Console:
    if values.get("SourceType") is None:
        raise SettingError("ConsoleRASD: SourceType field not specified.")
    return Console.new()


def serial_twin(domain: Domain, console: Console) -> Serial | None:
    """The serial port that libvirt lists as a console too; what is said there counts."""
    if console.target_type != "serial":
        return None
    port = console.target_port or 0
    return next((serial for serial in domain.serials if (serial.target_port or 0) == port), None)


def _write(console: Console, values: Mapping[str, Value], target: Target) -> None:
    twin = _write_target(console, values, target.domain)
    try:
        for device in (console, twin) if twin is not None else (console,):
            write_source(device, values)
    except SourceError as error:
        raise SettingError(f"ConsoleRASD: {error}") from error


def _write_target(console: Console, values: Mapping[str, Value], domain: Domain) -> Serial | None:
    """Makes it the kind of console that is asked for; returns the serial port that it then is.

    One that was a serial port and becomes something else takes the port along.
    """
    before = serial_twin(domain, console)
    if values.get("TargetType") is not None:
        console.target_type = values["TargetType"]
    twin = serial_twin(domain, console)
    if before is not None and twin is None:
        domain.serials = tuple(s for s in domain.serials if s.element is not before.element)
    return twin


SETTING = Setting(
    CONSOLE,
    "console",
    1,
    {
        "OtherResourceType": lambda i: "console",
        "TargetType": lambda i: i.device.target_type,
        **SOURCE_COLUMNS,
    },
    write=_write,
    make=_make,
    place="consoles",
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
