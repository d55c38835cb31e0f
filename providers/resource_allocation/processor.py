# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_ProcResourceAllocationSettingData: the virtual processors of guests, one setting per guest."""

from __future__ import annotations

from collections.abc import Mapping

from libvirtcim.cim.declare import ClassDecl
from libvirtcim.cim.objects import Value
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.providers.device import DeviceItem
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided
from libvirtcim.providers.resource_allocation.target import SettingError, Target
from libvirtcim.virt.domain import Domain
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


def _check(domain: Domain, values: Mapping[str, Value], target: Target) -> None:
    if target.family.shape == "LXC":
        for name in ("VirtualQuantity", "Limit"):
            if values.get(name) is not None:
                raise SettingError(f"ProcRASD field {name} not valid for LXC")
    elif values.get("VirtualQuantity") is None and domain.vcpu_count is None:
        raise SettingError("Missing `VirtualQuantity' field in Processor RASD")


def _write(domain: Domain, values: Mapping[str, Value], target: Target) -> None:
    _check(domain, values, target)
    if values.get("VirtualQuantity") is not None:
        _set_vcpus(domain, values["VirtualQuantity"], target.running)
    weight = values.get("Weight", target.family.default_weight if target.new else None)
    if weight is not None and target.family.weight_parameter in (None, "cpu_shares"):
        domain.cpu_shares = weight or None
    stored = {"limit": values.get("Limit")}
    if target.family.weight_parameter is not None:
        stored["weight"] = weight
    target.store({name: value for name, value in stored.items() if value is not None})


def _set_vcpus(domain: Domain, quantity: int, running: bool) -> None:
    """How many are online of a guest that runs and has so many; else how many it has."""
    if running and quantity <= domain.vcpus:
        domain.vcpu_current = quantity if quantity < domain.vcpus else None
        return
    if domain.vcpu_current is not None and domain.vcpu_current >= quantity:
        domain.vcpu_current = None
    domain.vcpu_count = quantity


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
    write=_write,
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
