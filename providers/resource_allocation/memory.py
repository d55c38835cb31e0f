# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_MemResourceAllocationSettingData: the main memory of guests."""

from __future__ import annotations

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided
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


SETTING = Setting(
    MEM,
    "mem",
    4,
    {
        "AllocationUnits": lambda i: "KiloBytes",
        "VirtualQuantity": lambda i: i.device.current_kib,
        "Reservation": lambda i: i.device.current_kib,
        "Limit": lambda i: i.device.memory_kib,
        "dumpCore": lambda i: i.device.dump_core,
    },
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
