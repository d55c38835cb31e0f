# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications of what changes on a hypervisor, from what its watchers tell (`virt/events.py`).

The instances in them are those that a read shows, made in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias

from libvirtcim.cim.indications import Publish
from libvirtcim.cim.objects import Embedded, Instance, Value
from libvirtcim.providers.common import HostReading, Item
from libvirtcim.virt.host import Host

if TYPE_CHECKING:
    from libvirtcim.virt.events import Change, Watcher

Watches: TypeAlias = "Sequence[tuple[Watcher[Any], Callable[[HostReading, Any], Item]]]"
"""What tells of changes of some objects, and what makes an item of an object that has changed."""
Kind = Literal["Created", "Modified", "Deleted"]


class ChangeSource(Generic[Item]):
    """Tells of changes on one host: what they are is a subclass's."""

    subject: str
    """Base name of the class that the indications are named after."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.prefix = host.family.prefix
        self._publish: Publish | None = None
        self._listening: list[tuple[Watcher[Any], Callable[[Sequence[Change[Any]]], None]]] = []

    @property
    def classes(self) -> Collection[str]:
        """The three classes of the host's family."""
        return [self._class(kind) for kind in ("Created", "Modified", "Deleted")]

    def _class(self, kind: Kind) -> str:
        return f"{self.prefix}_{self.subject}{kind}Indication"

    def start(self, publish: Publish) -> None:
        """Tells of what changes from now on; returns when all that is watched has been read."""
        self._publish = publish
        self._listening = [
            (watcher, partial(self._changed, make_item)) for watcher, make_item in self.watched()
        ]
        for watcher, listener in self._listening:
            watcher.watch(listener)

    def watched(self) -> Watches[Item]:
        """What the source is told by; asked for when it starts."""
        raise NotImplementedError

    def stop(self) -> None:
        """Tells nothing more."""
        for watcher, listener in self._listening:
            watcher.unwatch(listener)

    def _changed(
        self, make_item: Callable[[HostReading, Any], Item], changes: Sequence[Change[Any]]
    ) -> None:
        assert self._publish is not None
        # read after the changes; all of them share it
        reading = HostReading(self.host)
        for change in changes:
            before, after = (
                None if one is None else make_item(reading, one)
                for one in (change.before, change.after)
            )
            self.tell(self._publish, before, after)

    def tell(self, publish: Publish, before: Item | None, after: Item | None) -> None:
        """Publishes what is to be told of a change; None: the object did not exist."""
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


class InstanceSource(ChangeSource[Item]):
    """Tells of objects that are one instance each."""

    gone: Mapping[str, Value] = MappingProxyType({})
    """What an instance shows otherwise when it is gone."""

    def tell(self, publish: Publish, before: Item | None, after: Item | None) -> None:
        """One indication, unless nothing has changed that is the instance's own."""
        if after is None:
            assert before is not None
            row = self.row(publish, before)
            row.values.update(self.gone)
            self._send(publish, "Deleted", before, row, None)
            return
        row = self.row(publish, after)
        if before is None:
            self._send(publish, "Created", after, row, None)
            return
        previous = self.row(publish, before)
        if row != previous or self.has_changed(publish, before, after):
            self._send(publish, "Modified", after, row, previous)

    def row(self, publish: Publish, item: Item) -> Instance:
        """What a read shows of the item."""
        raise NotImplementedError

    def uuid(self, item: Item) -> str:
        """libvirt's UUID of the object: IndicationIdentifier of what is told of it."""
        raise NotImplementedError

    def has_changed(self, publish: Publish, before: Item, after: Item) -> bool:
        """Whether its definition, or what its settings show, has changed."""
        raise NotImplementedError

    def _send(
        self, publish: Publish, kind: Kind, item: Item, row: Instance, previous: Instance | None
    ) -> None:
        self.send(publish, kind, row, previous, IndicationIdentifier=self.uuid(item))
