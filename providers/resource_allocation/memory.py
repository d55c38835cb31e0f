# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_MemResourceAllocationSettingData: the main memory of guests."""

from __future__ import annotations

from libvirtcim.virt.host import Hosts

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.providers.device import DeviceItem
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided

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


def _dump_core(item: DeviceItem) -> bool | None:
    return {"on": True, "off": False}.get(item.guest.live.dump_core or "")


SETTING = Setting(
    MEM,
    "mem",
    4,
    {
        "AllocationUnits": lambda i: "KiloBytes",
        "VirtualQuantity": lambda i: i.guest.live.current_memory_kib,
        "Reservation": lambda i: i.guest.live.current_memory_kib,
        "Limit": lambda i: i.guest.live.memory_kib,
        "dumpCore": _dump_core,
    },
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
