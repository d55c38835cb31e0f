# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_MemResourceAllocationSettingData: the main memory of guests."""

from __future__ import annotations

from collections.abc import Mapping

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.cim.objects import Value
from libvirtcim.providers.byte_units import WORDS
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided
from libvirtcim.providers.resource_allocation.target import SettingError, Target
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.host import Hosts

MEM = ClassDecl(
    "MemResourceAllocationSettingData",
    SUPERCLASS,
    "The memory of a guest in KiB: VirtualQuantity and Reservation now, Limit at most.",
    ALL,
    (
        Property(
            "dumpCore",
            "boolean",
            "Whether a dump of the guest holds its memory.",
            prefixes=("KVM",),
        ),
    ),
    registration=registered("Virt_RASD"),
)

BYTES_OF_UNIT = {word.lower(): 1 << 10 * n for n, word in enumerate(WORDS[:4])}
"""AllocationUnits in lower case → bytes. `byte*2^n` of DSP0004 Annex C is read besides."""
DEFAULT_UNIT, SHOWN_UNIT = WORDS[:2]
"""Of new guests; a change without unit is in the unit that is shown."""
_KIB = 1 << 10


def _unit(text: str) -> int:
    known = BYTES_OF_UNIT.get(text.lower())
    if known is not None:
        return known
    base, star, exponent = text.replace(" ", "").lower().partition("*2^")
    if base == "byte" and (not star or exponent in ("10", "20", "30")):
        return 1 << int(exponent or 0)
    raise SettingError("Unknown AllocationUnits in Memory RASD", f"AllocationUnits {text}")


def _kib(given: int | None, unit: int) -> int | None:
    return None if given is None else given * unit // _KIB


def _write(domain: Domain, values: Mapping[str, Value], target: Target) -> None:
    """A size that exceeds the maximum moves it along."""
    unit = _unit(values.get("AllocationUnits", DEFAULT_UNIT if target.new else SHOWN_UNIT))
    size = _kib(values.get("VirtualQuantity", values.get("Reservation")), unit)
    limit = _kib(values.get("Limit"), unit)
    if size is None and limit is None and not domain.memory:
        raise SettingError("Missing `VirtualQuantity' field in Memory RASD")
    if size is not None:
        if limit is None and size > domain.memory_kib:
            limit = size
        domain.current_memory = size
    if limit is not None:
        domain.memory = limit
    if values.get("dumpCore") is not None:
        domain.dump_core = values["dumpCore"]


SETTING = Setting(
    MEM,
    "mem",
    4,
    {
        "AllocationUnits": lambda i: SHOWN_UNIT,
        "VirtualQuantity": lambda i: i.device.current_kib,
        "Reservation": lambda i: i.device.current_kib,
        "Limit": lambda i: i.device.memory_kib,
        "dumpCore": lambda i: i.device.dump_core,
    },
    write=_write,
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
