# SPDX-License-Identifier: LGPL-2.1-or-later
"""What changes on a hypervisor, by whomever, told as pairs of objects: before and after.

::

    libvirt's event loop ──Note──> Pile ──objects to look at──> worker: read, compare ──Change──> listeners
                        locks ──own change has ended──┘

The objects are of one kind, a `Subject`: guests (`guest_events`), storage pools, networks (`pool_events`).
The event loop only notes which of them something happened to, and what the event tells. The worker reads
those and reports how they came from where they were known to be to where they are (`History`). When
watching starts, when a connection is made again, when more events came than are kept, and now and then
for what libvirt sends no event of, all objects are compared with what is known of them.

An object that this process itself is changing (its lock is held) is looked at when the change has ended:
a change is one report, although libvirt may send several events of it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic

import libvirt

from libvirtcim.virt.connection import Connection
from libvirtcim.virt.errors import Unreachable, VirtError
from libvirtcim.virt.event_callbacks import Registration
from libvirtcim.virt.event_notes import OF_STATE
from libvirtcim.virt.event_pile import EventCounters, Mark, Pile
from libvirtcim.virt.event_subject import Subject, T
from libvirtcim.virt.locks import Locks
from libvirtcim.virt.settings import EventSettings

__all__ = ["Change", "EventCounters", "Watcher"]

_log = logging.getLogger(__name__)

_BATCH = 50
"""Objects that are read before what is found of them is reported."""
_MEDIA_SETTLE = 0.2
"""Seconds after which a drive whose tray has moved shows its new medium."""
_BASELINE_WAIT = 10.0
"""Seconds that `watch` waits for the first reading of all objects."""
_LONGEST_PAUSE = 60.0
"""Seconds between attempts to read an object that can't be read."""


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """An object before and after; None where it did not exist."""

    before: T | None
    after: T | None

    @property
    def latest(self) -> T:
        """The object as it is, or as it last was."""
        latest = self.after or self.before
        assert latest is not None
        return latest


Listener = Callable[[Sequence[Change[T]]], None]
"""Told of changes in their order, from the watcher's thread."""


class Watcher(Generic[T]):
    """Watches one hypervisor's objects of a kind while somebody listens. Thread-safe."""

    def __init__(
        self,
        connection: Connection,
        subject: Subject[T],
        locks: Locks,
        settings: EventSettings,
    ) -> None:
        self._connection = connection
        self._subject = subject
        self._locks = locks
        self._settings = settings
        self._guard = threading.Lock()
        self._listeners: tuple[Listener[T], ...] = ()
        self._watch: _Watch[T] | None = None
        self._counters = EventCounters()

    @property
    def plural(self) -> str:
        """What is watched."""
        return self._subject.plural

    @property
    def is_watching(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    @property
    def counters(self) -> EventCounters:
        """What has been seen and told, as of now."""
        return replace(self._counters)

    def watch(self, listener: Listener[T]) -> None:
        """Tells `listener` of every change from now on.

        Where the hypervisor answers it returns when its objects have been read; an outage is waited out.
        """
        with self._guard:
            self._listeners = (*self._listeners, listener)
            watch = self._watch
            if watch is None:
                watch = self._watch = _Watch(
                    self._connection,
                    self._subject,
                    self._locks,
                    self._settings,
                    self._counters,
                    self._tell,
                )
                watch.start()
        watch.await_baseline()

    def unwatch(self, listener: Listener[T]) -> None:
        """Tells it nothing more, but for what it is being told."""
        with self._guard:
            self._listeners = tuple(known for known in self._listeners if known != listener)
            ending = None if self._listeners else self._watch
            if ending is not None:
                self._watch = None
        if ending is not None:
            ending.stop()

    def close(self) -> None:
        """Tells nobody anything more."""
        for listener in self._listeners:
            self.unwatch(listener)

    def _tell(self, changes: Sequence[Change[T]]) -> None:
        for listener in self._listeners:
            try:
                listener(changes)
            except Exception:
                _log.exception("changes of %s of %s are lost", self.plural, self._connection.uri)


# --- watching -----------------------------------------------------------------------------------------


class _Watch(Generic[T]):
    """Watching from a start to its end: registrations, what is known, the thread that looks."""

    def __init__(
        self,
        connection: Connection,
        subject: Subject[T],
        locks: Locks,
        settings: EventSettings,
        counters: EventCounters,
        tell: Listener[T],
    ) -> None:
        self._connection = connection
        self._subject = subject
        self._history = subject.history
        self._locks = locks
        self._settings = settings
        self._counters = counters
        self._tell = tell
        self._pile = Pile(locks, settings, counters)
        self._known: dict[str, T] | None = None
        self._ready = threading.Event()
        self._guard = threading.Lock()
        self._registration: Registration | None = None
        self._stopped = False
        self._telling = threading.Lock()
        self._thread = threading.Thread(
            target=self._run,
            name=f"libvirt-watch {subject.plural} {connection.uri}",
            daemon=True,
        )

    def start(self) -> None:
        """Begins; returns before anything is known."""
        self._thread.start()
        self._locks.observe(self._pile.touched)
        self._connection.listen(self._connection_changed)

    def await_baseline(self) -> None:
        """Returns when all objects have been read, or the hypervisor does not answer."""
        with contextlib.suppress(VirtError):
            self._connection.call(lambda raw: raw.getType())
            self._ready.wait(_BASELINE_WAIT)

    def stop(self) -> None:
        """Ends; nothing is told once it has returned."""
        self._connection.unlisten(self._connection_changed)
        self._locks.unobserve(self._pile.touched)
        with self._guard:
            self._stopped = True
            registration, self._registration = self._registration, None
        if registration is not None:
            registration.end()
        self._pile.close()
        self._ready.set()
        with self._telling:
            pass
        self._thread.join(self._settings.settle)

    def _connection_changed(self, raw: Any) -> None:
        """The connection was made, or lost (None)."""
        with self._guard:
            former, self._registration = self._registration, None
            if former is not None:
                former.end()
            if raw is None:
                self._pile.clear()
            elif not self._stopped:
                self._registration = self._subject.registration(raw, self._pile)
                with contextlib.suppress(libvirt.libvirtError):  # lost again, and told so at once
                    self._registration.begin()
                self._pile.compare_all()

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while (compare := self._pile.wait()) is not None:
            try:
                if compare:
                    self._compare_all()
                else:
                    self._look_at_some()
            except VirtError as error:
                # where the connection is lost, all objects are compared when it is back
                _log.info("%s are not compared: %s", self._what, error)
            except Exception:
                _log.exception("watching %s", self._what)

    @property
    def _what(self) -> str:
        return f"{self._subject.plural} of {self._connection.uri}"

    def _compare_all(self) -> None:
        self._counters.comparisons += 1
        try:
            objects = self._connection.call(self._subject.all)
        except VirtError as error:
            if not isinstance(error, Unreachable):
                self._pile.compare_in(self._settings.settle)
            raise
        self._pile.compare_in(self._settings.compare)
        found = {one.uuid: one for one in objects}
        if self._known is None:
            self._known = found
            self._ready.set()
            return
        gone = self._known.keys() - found.keys()
        # first, since what has come may have the name of what has gone
        for uuid in (*gone, *found):
            known, read = self._known.get(uuid), found.get(uuid)
            if not self._history.agree(known, read) or self._history.differs(known, read):
                self._pile.look(uuid)

    def _look_at_some(self) -> None:
        marks = self._pile.take(_BATCH)
        if not marks:
            return
        try:
            read = self._connection.call(lambda raw: self._subject.some(raw, marks))
        except VirtError:
            for uuid, mark in marks.items():
                self._look_later(uuid, mark)
            raise
        changes: list[Change[T]] = []
        for uuid, mark in marks.items():
            changes += self._look(uuid, mark, read[uuid])
        self._report(changes)

    def _report(self, changes: Sequence[Change[T]]) -> None:
        with self._telling:
            if changes and not self._stopped:
                self._counters.changes += len(changes)
                self._tell(changes)

    def _look(self, uuid: str, mark: Mark, outcome: T | Exception) -> list[Change[T]]:
        """What has become of an object."""
        gone = self._is_gone(outcome)
        read = None if isinstance(outcome, Exception) else outcome
        if self._known is None or not (gone or (read and self._history.is_whole(read))):
            if isinstance(outcome, Exception):
                _log.info("one of the %s can't be read: %s", self._what, outcome)
            self._look_later(uuid, mark)
            return []
        return self._changes(uuid, self._known.get(uuid), self._steps(uuid, mark, read))

    def _is_gone(self, outcome: T | Exception) -> bool:
        return (
            isinstance(outcome, libvirt.libvirtError)
            and outcome.get_error_code() == self._subject.absent
        )

    def _steps(self, uuid: str, mark: Mark, read: T | None) -> list[T | None]:
        """What the object has been since it was known last, with None where it did not exist."""
        assert self._known is not None
        if mark.own and self._subject.own_is_one:
            return [read]
        known = self._known.get(uuid)
        steps = self._history.told(known, mark.notes, uuid, read)
        steps += self._untold(uuid, mark, steps[-1] if steps else known, read)
        if steps and (mark.own or all(note.what in OF_STATE for note in mark.notes)):
            steps = self._history.together(steps)
        return steps

    def _look_later(self, uuid: str, mark: Mark) -> None:
        mark.pause = min(max(mark.pause * 2, _MEDIA_SETTLE), _LONGEST_PAUSE)
        mark.due = time.monotonic() + mark.pause
        self._pile.put_back(uuid, mark)

    def _untold(self, uuid: str, mark: Mark, told: T | None, read: T | None) -> list[T | None]:
        """What the reading shows beyond what events told; nothing while an event must be on its way."""
        now = time.monotonic()
        if self._history.agree(told, read):
            if mark.again:
                self._pile.put_back(uuid, Mark(now + _MEDIA_SETTLE))
            return [] if read is None else [self._history.adopted(told, read)]
        give_up = now + self._settings.settle if mark.give_up is None else mark.give_up
        if now < give_up and not self._history.has_left(mark.notes, read):
            self._pile.put_back(uuid, Mark(give_up, give_up=give_up, own=mark.own))
            return []
        return self._history.caught_up(told, read)

    def _changes(self, uuid: str, known: T | None, steps: list[T | None]) -> list[Change[T]]:
        assert self._known is not None
        changes = []
        for step in steps:
            if self._history.is_news(known, step):
                changes.append(Change(known, step))
            known = step
        if known is None:
            self._known.pop(uuid, None)
        else:
            self._known[uuid] = known
        self._counters.unchanged += not changes
        return changes
