# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications: from the sources that watch something to the receivers that have subscribed.

A source runs only while somebody is subscribed to one of its classes. What it publishes is handed to
every matching receiver in the source's thread, so receivers only put it into an `IndicationQueue`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

from libvirtcim.cim import made
from libvirtcim.cim.errors import InvalidClass, NotSupported
from libvirtcim.cim.objects import Instance, Value
from libvirtcim.cim.schema import Schema
from libvirtcim.cim.values import timestamp, unique_id

_log = logging.getLogger(__name__)


class Publish(Protocol):
    """What a source is given to tell with."""

    def __call__(self, classname: str, values: Mapping[str, Value]) -> None:
        """Hands an indication to everybody who wants it; never raises, never waits."""

    def row(self, namespace: str, classname: str, item: object) -> Instance:
        """What a read of a class in a namespace shows of an item of its provider."""


@dataclass(frozen=True, slots=True)
class Indication:
    """One indication, and the namespace in which it was subscribed to."""

    namespace: str
    instance: Instance


Receive: TypeAlias = "Callable[[Indication], None]"


class IndicationSource(Protocol):
    """Where the indications of some classes come from. Started and stopped any number of times."""

    @property
    def classes(self) -> Collection[str]:
        """Names of the indication classes that it publishes."""

    def start(self, publish: Publish) -> None:
        """Begins to watch; returns at once. An outage is the source's to wait out, not an error."""

    def stop(self) -> None:
        """Ends watching; nothing is published once it has returned."""


@dataclass(frozen=True, slots=True, eq=False)
class Subscription:
    """What one receiver wants: the classes, in lower case, in one namespace."""

    namespace: str
    classes: frozenset[str]
    receive: Receive


class Indications:
    """Sources on one side, subscriptions on the other. Safe from any number of threads."""

    def __init__(
        self,
        schema: Schema,
        sources: Iterable[IndicationSource] = (),
        row: Callable[[str, str, object], Instance] | None = None,
    ) -> None:
        """`row`: see `Publish.row`; None: for sources that don't ask."""
        self._schema = schema
        self._publish = _Publish(self, row)
        self._sources = {name.lower(): source for source in sources for name in source.classes}
        self._lock = threading.Lock()
        self._subscriptions: tuple[Subscription, ...] = ()
        self._running: list[IndicationSource] = []

    def subscribe(self, namespace: str, classname: str, receive: Receive) -> Subscription:
        """Wants the indications of a class and its subclasses.

        A receiver with several matching subscriptions gets an indication once per namespace.
        Raises InvalidNamespace, InvalidClass, and NotSupported where nothing sends such indications.
        """
        namespace = self._schema.namespace(namespace)
        family = self._schema.family(namespace, classname)
        classes = frozenset(cls.name.lower() for cls in family) & self._sources.keys()
        if not self._schema.get(namespace, classname).is_indication:
            raise InvalidClass(f"{classname} is no class of indications")
        if not classes:
            raise NotSupported(f"No indications of class {classname} are sent from {namespace}")
        subscription = Subscription(namespace, classes, receive)
        with self._lock:
            self._subscriptions = (*self._subscriptions, subscription)
            self._adjust()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Ends a subscription; one that has ended already is left alone."""
        with self._lock:
            self._subscriptions = tuple(s for s in self._subscriptions if s is not subscription)
            self._adjust()

    def close(self) -> None:
        """Ends all subscriptions and stops the sources."""
        with self._lock:
            self._subscriptions = ()
            self._adjust()

    def publish(self, classname: str, values: Mapping[str, Value]) -> None:
        """Hands an indication to everybody who wants it; what `Publish` says."""
        lowered = classname.lower()
        wanting = {
            (s.namespace, s.receive): None for s in self._subscriptions if lowered in s.classes
        }
        shown = {**_common(), **values}
        for namespace, receive in wanting:
            try:
                receive(
                    Indication(namespace, made.instance(self._schema, namespace, classname, shown))
                )
            except Exception:
                _log.exception("an indication of %s is lost", classname)

    def _adjust(self) -> None:
        """Runs exactly the sources that somebody needs."""
        needed = [
            source
            for name, source in self._sources.items()
            if any(name in s.classes for s in self._subscriptions)
        ]
        for source in [s for s in self._running if s not in needed]:
            self._running.remove(source)
            source.stop()
        for source in needed:
            if source not in self._running:
                source.start(self._publish)
                self._running.append(source)


@dataclass(frozen=True, slots=True, eq=False)
class _Publish:
    hub: Indications
    read: Callable[[str, str, object], Instance] | None

    def __call__(self, classname: str, values: Mapping[str, Value]) -> None:
        self.hub.publish(classname, values)

    def row(self, namespace: str, classname: str, item: object) -> Instance:
        if self.read is None:
            raise NotSupported(f"{classname} is not read here")
        return self.read(namespace, classname, item)


def _common() -> dict[str, Value]:
    """CIM_Indication's own properties, where the source has nothing better (DSP1054 8.2)."""
    return {
        "IndicationIdentifier": f"libvirtcim:{unique_id()}",
        "IndicationTime": timestamp(datetime.now(UTC)),
    }


class IndicationQueue:
    """Indications on their way to one receiver: at most `limit`, then the oldest gives way.

    `dropped` counts those; `accepted` all that came. A closed queue takes and gives nothing.
    """

    def __init__(self, limit: int) -> None:
        self.accepted = 0
        self.dropped = 0
        self._items: deque[Indication] = deque(maxlen=limit)
        self._changed = threading.Condition()
        self._closed = False
        self._held = False

    def put(self, indication: Indication) -> None:
        """Adds one at the end."""
        with self._changed:
            if self._closed:
                return
            self.accepted += 1
            if len(self._items) == self._items.maxlen:
                self.dropped += 1
                if self.dropped == 1:
                    _log.warning("more than %s indications wait: the oldest are dropped",
                                 self._items.maxlen)  # fmt: skip
            self._items.append(indication)
            self._changed.notify()

    def take(self) -> Indication | None:
        """The oldest, waited for; None once the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (self._items and not self._held))
            return None if self._closed else self._items.popleft()

    def hold(self, held: bool) -> None:
        """Keeps back what waits, or lets it go on."""
        with self._changed:
            self._held = held
            self._changed.notify()

    def clear(self) -> None:
        """Forgets what waits."""
        with self._changed:
            self._items.clear()

    def close(self) -> None:
        """Ends every `take`, now and later."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
