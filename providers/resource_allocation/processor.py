# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_ProcResourceAllocationSettingData: the virtual processors of guests, one setting per guest."""

from __future__ import annotations

from libvirtcim.cim.declare import ClassDecl
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.providers.device import DeviceItem
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided
from libvirtcim.virt.host import Hosts, Needs

PROC = ClassDecl(
    "ProcResourceAllocationSettingData",
    SUPERCLASS,
    "The virtual processors of a guest: VirtualQuantity their number (of a running guest: those online), "
    "Weight its share of processor time against other guests.",
    ALL,
    registration=registered("Virt_RASD"),
)


def _quantity(item: DeviceItem) -> int | None:
    if item.owner.host.is_online(item.guest):
        return item.guest.vcpus_online
    vcpus: int = item.device.vcpus
    return vcpus


def _weight(item: DeviceItem) -> int | None:
    if item.owner.host.family.weight_parameter is None:
        return item.guest.shares
    return item.owner.data.weight or 0


SETTING = Setting(
    PROC,
    "proc",
    3,
    {
        "VirtualQuantity": _quantity,
        "Weight": _weight,
        "Limit": lambda i: i.owner.data.limit or 0,
    },
    Needs.LIVE | Needs.VCPUS | Needs.SCHEDULER,
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
