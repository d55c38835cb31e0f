# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications of guests and their resources, from what libvirt tells (`virt/events.py`).

The instances in them are those that a read shows, made in the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

from libvirtcim.cim.declare import VIRT
from libvirtcim.cim.indications import Publish
from libvirtcim.cim.objects import Embedded, Instance, Value
from libvirtcim.providers.common import GuestItem, HostReading, Provided, has_class
from libvirtcim.providers.computer_system import COMPUTER_SYSTEM
from libvirtcim.providers.device import DeviceItem, setting_items
from libvirtcim.providers.resource_allocation.base import RESOURCE_ALLOCATION_SETTING_DATA
from libvirtcim.providers.resource_allocation.kinds import SETTINGS
from libvirtcim.providers.virtual_system_setting_data import VIRTUAL_SYSTEM_SETTING_DATA
from libvirtcim.virt.events import Change
from libvirtcim.virt.families import PROC
from libvirtcim.virt.guest import Guest
from libvirtcim.virt.guest_history import state_class
from libvirtcim.virt.host import Host, Hosts

Kind = Literal["Created", "Modified", "Deleted"]

DESTROYED: Mapping[str, Value] = {
    "EnabledState": 1,
    "OtherEnabledState": "Guest destroyed",
    "HealthState": 0,
    "OperationalStatus": [17, 2],
    "OperatingStatus": 8,
    "RequestedState": 0,
}
"""What a ComputerSystem shows that is gone."""


class GuestSource:
    """Tells of changes of one host's guests: what they are is a subclass's."""

    subject: str
    """Base name of the class that the indications are named after."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.prefix = host.family.prefix
        self._publish: Publish | None = None

    @property
    def classes(self) -> Collection[str]:
        """The three classes of the host's family."""
        return [self._class(kind) for kind in ("Created", "Modified", "Deleted")]

    def _class(self, kind: Kind) -> str:
        return f"{self.prefix}_{self.subject}{kind}Indication"

    def start(self, publish: Publish) -> None:
        """Tells of what changes from now on; returns when the guests have been read."""
        self._publish = publish
        self.host.watcher.watch(self._changed)

    def stop(self) -> None:
        """Tells nothing more."""
        self.host.watcher.unwatch(self._changed)

    def _changed(self, changes: Sequence[Change[Guest]]) -> None:
        assert self._publish is not None
        # read after the changes; all of them share it
        reading = HostReading(self.host)
        for change in changes:
            before, after = (
                None if guest is None else GuestItem(self.prefix, reading, guest)
                for guest in (change.before, change.after)
            )
            self.tell(self._publish, before, after)

    def tell(self, publish: Publish, before: GuestItem | None, after: GuestItem | None) -> None:
        """Publishes what is to be told of a change; None: the guest did not exist."""
        raise NotImplementedError

    def send(
        self, publish: Publish, kind: Kind, row: Instance, previous: Instance | None, **more: Value
    ) -> None:
        """Publishes an indication of an instance; `previous`: the same before."""
        values: dict[str, Value] = {
            "SourceInstance": Embedded(row.cls.name, row.values),
            "SourceInstanceModelPath": str(row.path),
            "SourceInstanceHost": self.host.name(),
            **more,
        }
        if previous is not None:
            values["PreviousInstance"] = Embedded(previous.cls.name, previous.values)
        publish(self._class(kind), values)


class ComputerSystemSource(GuestSource):
    """Tells of guests."""

    subject = COMPUTER_SYSTEM.base

    def tell(self, publish: Publish, before: GuestItem | None, after: GuestItem | None) -> None:
        """One indication, unless nothing has changed but what the resources show."""
        if after is None:
            assert before is not None
            row = self._row(publish, before)
            row.values.update(DESTROYED)
            self._send(publish, "Deleted", before, row, None)
            return
        row = self._row(publish, after)
        if before is None:
            self._send(publish, "Created", after, row, None)
            return
        previous = self._row(publish, before)
        if row != previous or self._has_changed(publish, before, after):
            self._send(publish, "Modified", after, row, previous)

    def _has_changed(self, publish: Publish, before: GuestItem, after: GuestItem) -> bool:
        """Whether the guest's definition or what its settings show has changed."""
        if before.guest.definition != after.guest.definition:
            return True
        classname = VIRTUAL_SYSTEM_SETTING_DATA.class_name(self.prefix)
        was, now = (publish.row(VIRT, classname, item) for item in (before, after))
        return was != now

    def _row(self, publish: Publish, item: GuestItem) -> Instance:
        return publish.row(VIRT, COMPUTER_SYSTEM.class_name(self.prefix), item)

    def _send(
        self,
        publish: Publish,
        kind: Kind,
        item: GuestItem,
        row: Instance,
        previous: Instance | None,
    ) -> None:
        self.send(publish, kind, row, previous, IndicationIdentifier=item.guest.uuid)


class ResourceSource(GuestSource):
    """Tells of the resources of guests, as they are in force."""

    subject = RESOURCE_ALLOCATION_SETTING_DATA.base

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._kinds = {
            kind: setting.decl.class_name(self.prefix)
            for kind, setting in SETTINGS.items()
            if has_class(host.family, setting.decl)
        }

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
