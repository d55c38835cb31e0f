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
from libvirtcim.virt.families import (
    CHANNEL,
    CONTROLLER,
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
    Family,
)
from libvirtcim.virt.host import Guest, Host

SETTING_OF_BASE: Mapping[str, Setting] = {
    **{setting.decl.base: setting for setting in SETTINGS.values()},
    # clients send a pool's settings for a device of the kind
    pool.NET_POOL.base: net.SETTING,
    pool.DISK_POOL.base: disk.SETTING,
}
_LIVE = frozenset({NET, DISK, CONTROLLER, CHANNEL, RNG, WATCHDOG, HOSTDEV})
"""Kinds of devices that come, go and change while guests run; others change with the next start."""
ADD, REMOVE, MODIFY = (f"Unable to change ({number}) device" for number in range(3))
"""What is said before libvirt's text; clients know the numbers."""


_INSTEAD = frozenset({VIDEO, TPM, WATCHDOG})
"""Kinds of which those asked for take the place of all that a reference has."""
_ONE_OF_ID = frozenset({NET, GRAPHICS, CONTROLLER, CHANNEL, HOSTDEV})
"""Kinds of which one asked for takes the place of one of the same id."""


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
        if one.setting is not None and one.setting.kind in _INSTEAD:
            setattr(domain, one.setting.place, ())
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
        elif setting.kind in _ONE_OF_ID:
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


@dataclass(frozen=True, slots=True)
class Found:
    """A resource of a guest as it is before the request changes anything.

    `stored`, `running`: the device in the stored definition and in the guest that runs; None where
    there is none.
    """

    setting: Setting
    devid: str
    stored: Any
    running: Any

    def of_definition(self) -> Any:
        """The device in the stored definition; raises SettingError where only the guest has it."""
        if self.stored is None:
            raise SettingError(f"Device `{self.devid}' not found")
        return self.stored


def find(edit: Edit, setting: Setting, devid: str) -> Found:
    """The resource of that id; raises LookupError where the guest has none.

    Ids follow from what a guest has, so all that a request names is to be found before it is changed.
    """
    stored = devids.find(edit.config, setting.kind, devid)
    running = None if edit.live is None else devids.find(edit.live, setting.kind, devid)
    if stored is None and running is None:
        raise LookupError(devid)
    return Found(setting, devid, stored, running)


def remove(edit: Edit, found: Found) -> None:
    """Takes a resource away; raises SettingError where that can't be done to a guest that runs."""
    kind = found.setting.kind
    if found.running is not None and kind in _LIVE:
        xml = found.running.to_xml()
        edit.live_steps.append(changes.detach(REMOVE, edit, xml, kind, found.devid))
        if found.stored is None:
            return
    _delete(edit.config, found.setting, found.of_definition())


def modify(edit: Edit, shown: GuestItem, one: Asked, found: Found) -> str:
    """Changes what is given and differs from what is shown; returns the id, which may be another.

    `shown`: the guest as it was read for this change, with all that settings need.

    Raises LookupError where the guest is not shown with the resource, SettingError.
    """
    setting = found.setting
    values = _changed(shown, one, setting, found.devid)
    target = Target(edit.host, edit.config, running=edit.live is not None)
    if setting.kind in (MEM, PROC):
        setting.apply(edit.config, values, target)
        if edit.live is not None:
            _modify_live_numbers(edit, shown.guest, setting, values)
        return found.devid
    stored = found.of_definition()
    setting.apply(stored, values, target)
    if edit.live is not None and found.running is not None and setting.kind in _LIVE:
        live = Target(edit.host, edit.live, running=True)
        edit.live_steps += changes.update(
            MODIFY, found.running, lambda device: setting.apply(device, values, live)
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
    shares = _scheduler_values(edit.host.family, values)
    if shares:
        edit.live_steps.append(changes.set_scheduler(MODIFY, shares))
    edit.live_steps += changes.keep_data(MODIFY, edit)
    if values.get("VirtualQuantity") is not None:
        before = guest.vcpus_online or live.vcpus
        edit.live_steps.append(changes.set_vcpus(MODIFY, before, values["VirtualQuantity"]))


def _scheduler_values(family: Family, values: Mapping[str, Value]) -> dict[str, int]:
    """Scheduler parameters of what is given; a weight of 0 is none, a limit of 0 lifts it."""
    found: dict[str, int] = {}
    if values.get("Weight"):
        found[family.weight_parameter or "cpu_shares"] = values["Weight"]
    if family.limit_parameter and values.get("Limit") is not None:
        found[family.limit_parameter] = values["Limit"]
    return found


def path(prefix: str, setting: Setting, name: str, devid: str, namespace: str) -> InstancePath:
    """The path of a guest's resource."""
    classname = setting.decl.class_name(prefix)
    return InstancePath(classname, (("InstanceID", f"{name}/{devid}"),), namespace)
