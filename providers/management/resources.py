# SPDX-License-Identifier: LGPL-2.1-or-later
"""Resources that clients ask for, brought into guests' definitions and into guests that run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libvirtcim.cim.objects import Instance, InstancePath, Value
from libvirtcim.providers.common import GuestItem
from libvirtcim.providers.device import find_by_id, setting_items
from libvirtcim.providers.resource_allocation import console, disk, net, pool, processor
from libvirtcim.providers.resource_allocation.base import Setting
from libvirtcim.providers.resource_allocation.kinds import SETTINGS
from libvirtcim.providers.resource_allocation.target import SettingError, Target
from libvirtcim.virt import changes, devids
from libvirtcim.virt.changes import Edit
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.families import CONTROLLER, DISK, GRAPHICS, INPUT, MEM, NET, PROC, Family
from libvirtcim.virt.host import Guest, Host

SETTING_OF_BASE: Mapping[str, Setting] = {
    **{setting.decl.base: setting for setting in SETTINGS.values()},
    # clients send a pool's settings for a device of the kind
    pool.NET_POOL.base: net.SETTING,
    pool.DISK_POOL.base: disk.SETTING,
}
_LIVE = frozenset({NET, DISK, CONTROLLER})
"""Kinds of devices that come, go and change while guests run; others change with the next start."""
ADD, REMOVE, MODIFY = (f"Unable to change ({number}) device" for number in range(3))
"""What is said before libvirt's text; clients know the numbers."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A resource as a client asks for it; `setting` None: a storage volume, which is no guest's."""

    instance: Instance
    setting: Setting | None

    @property
    def values(self) -> Mapping[str, Value]:
        """What is given, by property."""
        return self.instance.values

    def known(self) -> Setting:
        """The setting of a resource that a guest can have."""
        if self.setting is None:
            raise SettingError("Resource type not supported on this platform")
        return self.setting


def setting_of(classname: str) -> Setting | None:
    """The setting that a class is, of whatever family; None for storage volumes.

    Raises SettingError for classes that are no resource of a guest.
    """
    base = classname.partition("_")[2]
    if base == pool.STORAGE_VOLUME.base:
        return None
    found = SETTING_OF_BASE.get(base)
    if found is None:
        raise SettingError("Unable to determine resource type", classname)
    return found


def type_number(setting: Setting | None) -> int:
    """CIM's number of a type of resources."""
    return pool.VOLUME if setting is None else setting.resource_type


def asked(instance: Instance, family: Family) -> Asked:
    """What an embedded instance asks for; raises SettingError where a family has no such thing."""
    setting = setting_of(instance.cls.name)
    if setting is not None and (
        setting.kind in family.unmakeable_kinds or setting.kind not in family.device_kinds
    ):
        raise SettingError("Resource type not supported on this platform", instance.cls.name)
    return Asked(instance, setting)


# --- new guests -------------------------------------------------------------------------------------


def give(domain: Domain, resources: Sequence[Asked], host: Host) -> None:
    """Gives a new guest its resources; raises SettingError."""
    target = Target(host, domain, new=True)
    for one in resources:
        setting = one.setting
        if setting is None:
            continue
        if setting.kind in (MEM, PROC):
            setting.apply(domain, one.values, target)
            continue
        device = setting.new(one.values, target)
        if setting.kind == INPUT:
            domain.inputs = ()
        elif setting.kind in (NET, GRAPHICS, CONTROLLER):
            _drop_same(domain, setting, device)
        elif setting.kind == DISK:
            _check_unique(domain, setting, device)
        _insert(domain, setting, device)
    if host.family.shape == "LXC" and all(
        one.setting is not processor.SETTING for one in resources
    ):
        processor.SETTING.apply(domain, {}, target)
    for nic in domain.interfaces:
        if nic.mac is None:
            nic.mac = target.fresh_mac()


_PLACE_OF_TAG = {"console": "consoles", "serial": "serials"}
"""Where devices stand that a kind has besides its own."""


def _insert(domain: Domain, setting: Setting, device: Any) -> None:
    place = _PLACE_OF_TAG.get(device.TAG, setting.place)
    setattr(domain, place, (*getattr(domain, place), device))


def _same(domain: Domain, setting: Setting, device: Any) -> list[Any]:
    wanted = devids.identify(setting.kind, device).lower()
    return [
        entry.device
        for entry in devids.devices(domain, setting.kind)
        if devids.identify(setting.kind, entry.device).lower() == wanted
    ]


def _drop_same(domain: Domain, setting: Setting, device: Any) -> None:
    for old in _same(domain, setting, device):
        _delete(domain, setting, old)


def _delete(domain: Domain, setting: Setting, device: Any) -> None:
    place = _PLACE_OF_TAG.get(device.TAG, setting.place)
    if setting is console.SETTING:
        twin = console.serial_twin(domain, device)
        if twin is not None:
            _take_out(domain, "serials", twin)
    _take_out(domain, place, device)


def _take_out(domain: Domain, place: str, device: Any) -> None:
    left = tuple(one for one in getattr(domain, place) if one.element is not device.element)
    setattr(domain, place, left)


def _check_unique(domain: Domain, setting: Setting, device: Any) -> None:
    if _same(domain, setting, device):
        raise SettingError(
            "VirtualDevice property must be unique for each DiskResourceAllocationSettingData in "
            "a single guest",
            f"Device {device.target}",
        )


# --- guests that are there ----------------------------------------------------------------------------


def add(edit: Edit, one: Asked) -> tuple[Setting, str]:
    """Adds a resource; returns what it is known by: setting and id. Raises SettingError."""
    setting = one.known()
    running = edit.live is not None
    device = setting.new(one.values, Target(edit.host, edit.config, running=running))
    _insert(edit.config, setting, device)
    devid = _devid(edit.config, setting, device)
    if running and setting.kind in _LIVE:
        edit.live_steps.append(changes.attach(ADD, edit, device.to_xml(), setting.kind, devid))
    return setting, devid


def _devid(domain: Domain, setting: Setting, device: Any) -> str:
    for kind in (setting.kind, console.SETTING.kind):
        for entry in devids.devices(domain, kind):
            found: Any = entry.device
            if getattr(found, "element", None) is device.element:
                return entry.devid
    return devids.identify(setting.kind, device)


def remove(edit: Edit, setting: Setting, devid: str) -> None:
    """Takes a resource away; raises LookupError where the guest has none of that id."""
    stored = devids.find(edit.config, setting.kind, devid)
    running = _running(edit, setting, devid)
    if stored is None and running is None:
        raise LookupError(devid)
    if running is not None and setting.kind in _LIVE:
        edit.live_steps.append(changes.detach(REMOVE, edit, running.to_xml(), setting.kind, devid))
    elif stored is None:
        raise SettingError(f"Device `{devid}' not found")
    if stored is not None:
        _delete(edit.config, setting, stored)


def _running(edit: Edit, setting: Setting, devid: str) -> Any:
    """The device in a guest that runs; None where it has none of that id, or is off."""
    return None if edit.live is None else devids.find(edit.live, setting.kind, devid)


def modify(edit: Edit, shown: GuestItem, one: Asked, devid: str) -> str:
    """Changes what is given and differs from what is shown; returns the id, which may be another.

    `shown`: the guest as it was read for this change, with all that settings need.

    Raises LookupError where the guest has no resource of that id, SettingError.
    """
    setting = one.known()
    values = _changed(shown, one, setting, devid)
    running = edit.live is not None
    if setting.kind in (MEM, PROC):
        setting.apply(edit.config, values, Target(edit.host, edit.config, running=running))
        if edit.live is not None:
            _modify_live_numbers(edit, shown.guest, setting, values)
        return devid
    stored: Any = devids.find(edit.config, setting.kind, devid)
    if stored is None:
        raise SettingError(f"Device `{devid}' not found")
    setting.apply(stored, values, Target(edit.host, edit.config, running=running))
    live = _running(edit, setting, devid)
    if edit.live is not None and live is not None and setting.kind in _LIVE:
        target = Target(edit.host, edit.live, running=True)
        edit.live_steps += changes.update(
            MODIFY, live, lambda device: setting.apply(device, values, target)
        )
    return _devid(edit.config, setting, stored)


def _changed(shown: GuestItem, one: Asked, setting: Setting, devid: str) -> Mapping[str, Value]:
    """What is given and isn't shown like that already: clients send back all that they have read."""
    item = find_by_id(setting_items, shown, setting.kind, devid)
    if item is None:
        raise LookupError(devid)
    columns = setting.all_columns()
    return {
        name: value
        for name, value in one.values.items()
        if name not in columns or columns[name](item) != value
    }


def _modify_live_numbers(
    edit: Edit, guest: Guest, setting: Setting, values: Mapping[str, Value]
) -> None:
    """Memory, processors and their weight of a guest that runs."""
    live = edit.live
    assert live is not None
    if setting.kind == MEM:
        wanted = edit.config.current_kib
        if wanted != live.current_kib and {"VirtualQuantity", "Reservation"} & values.keys():
            edit.live_steps.append(changes.set_memory(MODIFY, live.current_kib, wanted))
        return
    weight = values.get("Weight")
    if weight:
        name = edit.host.family.weight_parameter or "cpu_shares"
        edit.live_steps.append(changes.set_scheduler(MODIFY, {name: weight}))
    if values.get("VirtualQuantity") is not None:
        before = guest.vcpus_online or live.vcpus
        edit.live_steps.append(changes.set_vcpus(MODIFY, before, values["VirtualQuantity"]))


def path(prefix: str, setting: Setting, name: str, devid: str, namespace: str) -> InstancePath:
    """The path of a guest's resource."""
    classname = setting.decl.class_name(prefix)
    return InstancePath(classname, (("InstanceID", f"{name}/{devid}"),), namespace)
