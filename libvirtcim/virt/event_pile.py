# SPDX-License-Identifier: LGPL-2.1-or-later
"""Objects that are to be looked at, with what events told of them, until somebody looks."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from itertools import islice

from libvirtcim.virt import eventloop
from libvirtcim.virt.event_notes import Note
from libvirtcim.virt.locks import Locks
from libvirtcim.virt.settings import EventSettings

_log = logging.getLogger(__name__)

_EVENTS_ARE_DUE = 0.03
"""Seconds in which the events of a change arrive that this process has made over another connection."""


@dataclass(slots=True)
class EventCounters:
    """What has been seen and told since the process started.

    `unchanged`: looks at objects in which nothing was found to have changed. `overflows`: how often more
    events waited than are kept. `comparisons`: of all objects. `most_waiting`: high-water mark of events.
    """

    events: int = 0
    changes: int = 0
    unchanged: int = 0
    overflows: int = 0
    comparisons: int = 0
    waiting: int = 0
    most_waiting: int = 0


@dataclass(slots=True)
class Mark:
    """An object that is to be looked at, in `time.monotonic()` seconds.

    `due`: when. `give_up`: until when events may come that tell of what the reading shows; None: nothing
    was found that they lack. `own`: this process has changed it. `again`: it may not show everything yet.
    `patience`: until when a change of this process is waited for. `pause`: before the last attempt to
    read it.
    """

    due: float
    notes: list[Note] = field(default_factory=list)
    give_up: float | None = None
    own: bool = False
    again: bool = False
    patience: float | None = None
    pause: float = 0.0


class Pile:
    """Objects that are to be looked at, and what events told of them: at most so many."""

    def __init__(self, locks: Locks, settings: EventSettings, counters: EventCounters) -> None:
        self._locks = locks
        self._settings = settings
        self._counters = counters
        self._changed = threading.Condition()
        self._marks: dict[str, Mark] = {}
        self._compare_at: float | None = None
        self._closed = False

    def note(self, uuid: str, note: Note | None, *, again: bool = False) -> None:
        """An event of an object has come; None: of what other events will tell."""
        eventloop.event_came()
        with self._changed:
            self._counters.events += 1
            if self._counters.waiting >= self._settings.most_waiting:
                self._overflow()
            mark = self._mark(uuid)
            mark.again |= again
            if note is not None:
                mark.notes.append(note)
                self._count(1)
            self._changed.notify()

    def touched(self, uuid: str) -> None:
        """This process has changed an object, or tried to."""
        with self._changed:
            mark = self._mark(uuid)
            mark.own, mark.patience = True, None
            if not mark.notes:
                mark.due += _EVENTS_ARE_DUE
            self._changed.notify()

    def look(self, uuid: str) -> None:
        """An object may have changed without an event."""
        with self._changed:
            self._mark(uuid)
            self._changed.notify()

    def put_back(self, uuid: str, mark: Mark) -> None:
        """An object that is to be looked at once more; what came meanwhile stays."""
        with self._changed:
            self._count(len(mark.notes))
            newer = self._marks.get(uuid)
            if newer is not None:
                mark.notes += newer.notes
                mark.own |= newer.own
                mark.again |= newer.again
                mark.patience = newer.patience
                mark.due = min(mark.due, newer.due)
            self._marks[uuid] = mark

    def compare_all(self) -> None:
        """All objects are to be compared with what is known; what events told until now is forgotten."""
        with self._changed:
            self._forget()
            self._compare_at = time.monotonic()
            self._changed.notify()

    def compare_in(self, seconds: float) -> None:
        """All objects are to be compared in so many seconds, unless they are earlier; 0: not."""
        with self._changed:
            if seconds > 0 and self._compare_at is None:
                self._compare_at = time.monotonic() + seconds

    def clear(self) -> None:
        """Forgets everything."""
        with self._changed:
            self._forget()
            self._compare_at = None

    def close(self) -> None:
        """Ends `wait`, now and later."""
        with self._changed:
            self._closed = True
            self._forget()
            self._changed.notify_all()

    def wait(self) -> bool | None:
        """Waits for work: True: all objects are to be compared, False: some are due, None: closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                if self._compare_at is not None and self._compare_at <= now:
                    self._compare_at = None
                    return True
                due = [mark.due for mark in self._marks.values()]
                if due and min(due) <= now:
                    return False
                times = due if self._compare_at is None else [*due, self._compare_at]
                self._changed.wait(min(times) - now if times else None)
            return None

    def take(self, most: int) -> dict[str, Mark]:
        """Objects that are to be looked at now; those that this process is changing are left for later."""
        with self._changed:
            now = time.monotonic()
            ready = (u for u, mark in self._marks.items() if mark.due <= now)
            chosen = list(islice((u for u in ready if not self._waits_for_own(u, now)), most))
            taken = {uuid: self._marks.pop(uuid) for uuid in chosen}
            self._count(-sum(len(mark.notes) for mark in taken.values()))
            return taken

    def _waits_for_own(self, uuid: str, now: float) -> bool:
        """Whether this process is changing the object, and has not been waited for long enough."""
        mark = self._marks[uuid]
        if not self._locks.held(uuid):
            return False
        if mark.patience is None:
            mark.own, mark.patience = True, now + self._settings.patience
        if now >= mark.patience:
            return False
        mark.due = mark.patience
        return True

    def _mark(self, uuid: str) -> Mark:
        mark = self._marks.setdefault(uuid, Mark(0.0))
        mark.due = time.monotonic()
        return mark

    def _overflow(self) -> None:
        if self._counters.overflows == 0:
            _log.warning("more than %s events wait: all objects are compared instead",
                         self._settings.most_waiting)  # fmt: skip
        self._counters.overflows += 1
        self._forget()
        self._compare_at = time.monotonic()

    def _forget(self) -> None:
        self._marks.clear()
        self._counters.waiting = 0

    def _count(self, more: int) -> None:
        counters = self._counters
        counters.waiting += more
        counters.most_waiting = max(counters.most_waiting, counters.waiting)
