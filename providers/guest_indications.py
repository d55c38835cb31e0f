# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications of guests and their resources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from libvirtcim.cim.declare import VIRT
from libvirtcim.cim.indications import Publish
from libvirtcim.cim.objects import Instance, Value
from libvirtcim.providers.change_source import ChangeSource, InstanceSource, Watches
from libvirtcim.providers.common import GuestItem, Provided, has_class
from libvirtcim.providers.computer_system import COMPUTER_SYSTEM
from libvirtcim.providers.device import DeviceItem, setting_items
from libvirtcim.providers.resource_allocation.base import RESOURCE_ALLOCATION_SETTING_DATA
from libvirtcim.providers.resource_allocation.kinds import SETTINGS
from libvirtcim.providers.virtual_system_setting_data import VIRTUAL_SYSTEM_SETTING_DATA
from libvirtcim.virt.families import PROC
from libvirtcim.virt.guest import Guest, state_class
from libvirtcim.virt.host import Host, Hosts

DESTROYED: Mapping[str, Value] = {
    "EnabledState": 1,
    "OtherEnabledState": "Guest destroyed",
    "HealthState": 0,
    "OperationalStatus": [17, 2],
    "OperatingStatus": 8,
    "RequestedState": 0,
}
"""What a ComputerSystem shows that is gone."""


def _watched_guests(host: Host) -> Watches[GuestItem]:
    return [(host.watchers.guests, partial(GuestItem, host.family.prefix))]


class ComputerSystemSource(InstanceSource[GuestItem]):
    """Tells of guests."""

    subject = COMPUTER_SYSTEM.base
    gone = DESTROYED

    def watched(self) -> Watches[GuestItem]:
        """The guests of the host."""
        return _watched_guests(self.host)

    def row(self, publish: Publish, item: GuestItem) -> Instance:
        """What a read shows of the guest."""
        return publish.row(VIRT, COMPUTER_SYSTEM.class_name(self.prefix), item)

    def uuid(self, item: GuestItem) -> str:
        """Of the guest."""
        return item.guest.uuid

    def has_changed(self, publish: Publish, before: GuestItem, after: GuestItem) -> bool:
        """Whether the guest's definition or what its settings show has changed."""
        if before.guest.definition != after.guest.definition:
            return True
        classname = VIRTUAL_SYSTEM_SETTING_DATA.class_name(self.prefix)
        was, now = (publish.row(VIRT, classname, item) for item in (before, after))
        return was != now


class ResourceSource(ChangeSource[GuestItem]):
    """Tells of the resources of guests, as they are in force."""

    subject = RESOURCE_ALLOCATION_SETTING_DATA.base

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._kinds = {
            kind: setting.decl.class_name(self.prefix)
            for kind, setting in SETTINGS.items()
            if has_class(host.family, setting.decl)
        }

    def watched(self) -> Watches[GuestItem]:
        """The guests of the host."""
        return _watched_guests(self.host)

    def tell(self, publish: Publish, before: GuestItem | None, after: GuestItem | None) -> None:
        """One indication for each resource that has come, gone or changed in what is shown."""
        had, has = dict(self._resources(before)), dict(self._resources(after))
        for key, item in had.items():
            if key not in has:
                self.send(publish, "Deleted", self._row(publish, item), None)
        for key, item in has.items():
            former = had.get(key)
            if former is None:
                self.send(publish, "Created", self._row(publish, item), None)
            elif _may_differ(former, item):
                row, previous = self._row(publish, item), self._row(publish, former)
                if row != previous:
                    self.send(publish, "Modified", row, previous)

    def _resources(self, item: GuestItem | None) -> Iterator[tuple[tuple[str, str], DeviceItem]]:
        """By kind and id within the guest; none of a guest of which no definition was ever seen."""
        if item is None or item.guest.stale:
            return
        for kind in self._kinds:
            for one in setting_items(item, kind):
                yield (kind, one.devid), one

    def _row(self, publish: Publish, item: DeviceItem) -> Instance:
        return publish.row(VIRT, self._kinds[item.kind], item)


def _may_differ(before: DeviceItem, after: DeviceItem) -> bool:
    """Whether the resource can be shown differently: what a device shows is in its definition."""
    if before.device != after.device or before.guest.name != after.guest.name:
        return True
    return after.kind == PROC and _processor_time(before.guest) != _processor_time(after.guest)


def _processor_time(guest: Guest) -> tuple[object, ...]:
    """What is shown of a guest's processors besides their definition."""
    return state_class(guest.state), guest.vcpus_online, guest.shares, guest.live.guestdata


def provide(hosts: Hosts) -> Provided:
    """What tells of the guests of each host."""
    sources = [source(host) for host in hosts for source in (ComputerSystemSource, ResourceSource)]
    return Provided((), indications=sources)
