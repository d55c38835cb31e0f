# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_ProcResourceAllocationSettingData: the virtual processors of guests, one setting per guest."""

from __future__ import annotations

from libvirtcim.virt.host import Hosts, Needs, is_online

from libvirtcim.cim.declare import ClassDecl
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.providers.device import DeviceItem
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided
from libvirtcim.virt.families import FAMILIES

PROC = ClassDecl(
    "ProcResourceAllocationSettingData",
    SUPERCLASS,
    "The virtual processors of a guest: VirtualQuantity their number (of a running guest: those online), "
    "Weight its share of processor time against other guests.",
    ALL,
    registration=registered("Virt_RASD"),
)


def _quantity(item: DeviceItem) -> int | None:
    if is_online(item.guest, FAMILIES[item.prefix]):
        return item.guest.vcpus_online
    return item.guest.live.vcpus or None


def _weight(item: DeviceItem) -> int | None:
    if item.host.weight_is_libvirts:
        return item.guest.shares
    return item.host.data(item.guest).weight or 0


SETTING = Setting(
    PROC,
    "proc",
    3,
    {
        "VirtualQuantity": _quantity,
        "Weight": _weight,
        "Limit": lambda i: i.host.data(i.guest).limit or 0,
    },
    Needs.LIVE | Needs.VCPUS | Needs.SCHEDULER,
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
