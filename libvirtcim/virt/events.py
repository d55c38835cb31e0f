# SPDX-License-Identifier: LGPL-2.1-or-later
"""What changes on a hypervisor, by whomever, told as pairs of guests: before and after.

::

    libvirt's event loop ──Note──> _Pile ──guests to look at──> worker: read, compare ──Change──> listeners
                        locks ──own change has ended──┘

The event loop only notes which guest something happened to, and what the event tells (`guest_history`).
The worker reads those guests and reports how they came from where they were known to be to where they
are. When watching starts, when a connection is made again, when more events came than are kept, and now
and then for what libvirt sends no event of, all guests are compared with what is known of them.

A guest that this process itself is changing (its lock is held) is looked at when the change has ended: a
change is one report, although libvirt may send several events of it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import libvirt

from libvirtcim.virt import eventloop
from libvirtcim.virt import guest_history as history
from libvirtcim.virt.connection import Connection
from libvirtcim.virt.errors import Unreachable, VirtError
from libvirtcim.virt.guest import CRASHED, PAUSED, PMSUSPENDED, RUNNING, Guest, Needs
from libvirtcim.virt.guest_history import Note, What
from libvirtcim.virt.guest_reader import GuestReader
from libvirtcim.virt.locks import Locks

_log = logging.getLogger(__name__)

NEEDS = Needs.LIVE | Needs.CONFIG | Needs.AUTOSTART | Needs.VCPUS | Needs.SCHEDULER
"""What is compared of a guest."""
_BATCH = 50
"""Guests that are read before what is found of them is reported."""
_EVENTS_ARE_DUE = 0.03
"""Seconds in which the events of a change arrive that this process has made over another connection."""
_MEDIA_SETTLE = 0.2
"""Seconds after which a drive whose tray has moved shows its new medium."""
_BASELINE_WAIT = 10.0
"""Seconds that `watch` waits for the first reading of all guests."""
_LONGEST_PAUSE = 60.0
"""Seconds between attempts to read a guest that can't be read."""


@dataclass(frozen=True, slots=True)
class EventSettings:
    """Limits of watching one hypervisor.

    `most_waiting`: events that are kept until they are worked off; beyond, all guests are compared.
    `compare`: seconds between comparisons of all guests; 0: never.
    `settle`: seconds in which the event of a change arrives after a reading has shown it.
    `patience`: seconds that a change by this process is waited for before its guest is looked at.
    """

    most_waiting: int = 50_000
    compare: float = 60.0
    settle: float = 2.0
    patience: float = 10.0


@dataclass(frozen=True, slots=True)
class Change:
    """A guest before and after; None where it did not exist."""

    before: Guest | None
    after: Guest | None

    @property
    def guest(self) -> Guest:
        """The guest as it is, or as it last was."""
        guest = self.after or self.before
        assert guest is not None
        return guest


@dataclass(slots=True)
class EventCounters:
    """What has been seen and told since the process started.

    `unchanged`: looks at guests in which nothing was found to have changed. `overflows`: how often more
    events waited than are kept. `comparisons`: of all guests. `most_waiting`: high-water mark of events.
    """

    events: int = 0
    changes: int = 0
    unchanged: int = 0
    overflows: int = 0
    comparisons: int = 0
    waiting: int = 0
    most_waiting: int = 0


Listener = Callable[[Sequence[Change]], None]
"""Told of changes in their order, from the watcher's thread."""


class Watcher:
    """Watches one hypervisor's guests while somebody listens. Thread-safe."""

    def __init__(
        self,
        connection: Connection,
        reader: GuestReader,
        locks: Locks,
        settings: EventSettings,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._locks = locks
        self._settings = settings
        self._guard = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._watch: _Watch | None = None
        self._counters = EventCounters()

    @property
    def counters(self) -> EventCounters:
        """What has been seen and told, as of now."""
        return replace(self._counters)

    def watch(self, listener: Listener) -> None:
        """Tells `listener` of every change from now on.

        Where the hypervisor answers it returns when its guests have been read; an outage is waited out.
        """
        with self._guard:
            self._listeners = (*self._listeners, listener)
            watch = self._watch
            if watch is None:
                watch = self._watch = _Watch(
                    self._connection,
                    self._reader,
                    self._locks,
                    self._settings,
                    self._counters,
                    self._tell,
                )
                watch.start()
        watch.await_baseline()

    def unwatch(self, listener: Listener) -> None:
        """Tells it nothing more."""
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

    def _tell(self, changes: Sequence[Change]) -> None:
        for listener in self._listeners:
            try:
                listener(changes)
            except Exception:
                _log.exception("changes of guests of %s are lost", self._connection.uri)


# --- what waits ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Mark:
    """A guest that is to be looked at, in `time.monotonic()` seconds.

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


class _Pile:
    """Guests that are to be looked at, and what events told of them: at most so many."""

    def __init__(self, locks: Locks, settings: EventSettings, counters: EventCounters) -> None:
        self._locks = locks
        self._settings = settings
        self._counters = counters
        self._changed = threading.Condition()
        self._marks: dict[str, _Mark] = {}
        self._compare_at: float | None = None
        self._closed = False

    def note(self, uuid: str, note: Note | None, *, again: bool = False) -> None:
        """An event of a guest has come; None: of what other events will tell."""
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
        """This process has changed a guest, or tried to."""
        with self._changed:
            mark = self._mark(uuid)
            mark.own, mark.patience = True, None
            if not mark.notes:
                mark.due += _EVENTS_ARE_DUE
            self._changed.notify()

    def look(self, uuid: str) -> None:
        """A guest may have changed without an event."""
        with self._changed:
            self._mark(uuid)
            self._changed.notify()

    def put_back(self, uuid: str, mark: _Mark) -> None:
        """A guest that is to be looked at once more; what came meanwhile stays."""
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
        """All guests are to be compared with what is known; what events told until now is forgotten."""
        with self._changed:
            self._forget()
            self._compare_at = time.monotonic()
            self._changed.notify()

    def compare_in(self, seconds: float) -> None:
        """All guests are to be compared in so many seconds; 0: not."""
        with self._changed:
            self._compare_at = time.monotonic() + seconds if seconds > 0 else None

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
        """Waits for work: True: all guests are to be compared, False: some are due, None: closed."""
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

    def take(self, most: int) -> dict[str, _Mark]:
        """Guests that are to be looked at now; those that this process is changing are left for later."""
        with self._changed:
            now = time.monotonic()
            ready = (u for u, mark in self._marks.items() if mark.due <= now)
            chosen = list(islice((u for u in ready if not self._waits_for_own(u, now)), most))
            taken = {uuid: self._marks.pop(uuid) for uuid in chosen}
            self._count(-sum(len(mark.notes) for mark in taken.values()))
            return taken

    def _waits_for_own(self, uuid: str, now: float) -> bool:
        """Whether this process is changing the guest, and has not been waited for long enough."""
        mark = self._marks[uuid]
        if not self._locks.held(uuid):
            return False
        if mark.patience is None:
            mark.own, mark.patience = True, now + self._settings.patience
        if now >= mark.patience:
            return False
        mark.due = mark.patience
        return True

    def _mark(self, uuid: str) -> _Mark:
        mark = self._marks.setdefault(uuid, _Mark(0.0))
        mark.due = time.monotonic()
        return mark

    def _overflow(self) -> None:
        if self._counters.overflows == 0:
            _log.warning("more than %s events wait: all guests are compared instead",
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


# --- events -------------------------------------------------------------------------------------------

_STATES = {
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: PAUSED,
    libvirt.VIR_DOMAIN_EVENT_RESUMED: RUNNING,
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: PMSUSPENDED,
    libvirt.VIR_DOMAIN_EVENT_CRASHED: CRASHED,
}
_STARTS_PAUSED = frozenset({"QEMU"})
"""Types of the connections where "started" says nothing of the state: "resumed" or "suspended" does."""
_STARTED_PAUSED = {
    libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED: PAUSED,
    libvirt.VIR_DOMAIN_EVENT_STARTED_WAKEUP: RUNNING,
}
"""But there too it does of guests that come from another host, and of those that wake up."""
_OTHER_EVENTS = (
    "METADATA_CHANGE",
    "DEVICE_ADDED",
    "DEVICE_REMOVED",
    "DISK_CHANGE",
    "TRAY_CHANGE",
    "BALLOON_CHANGE",
    "TUNABLE",
    "MEMORY_DEVICE_SIZE_CHANGE",
    "BLOCK_JOB_2",
)
"""Events after which a guest may look different, besides those of its life."""


def note_of(domain: Any, event: int, detail: int, *, starts_paused: bool) -> Note | None:
    """What an event of a guest's life tells; None: what another event will tell or has told.

    A guest that shuts down is on its way to having stopped; one that is renamed is defined anew.
    """
    name, run = domain.name(), domain.ID()
    if event == libvirt.VIR_DOMAIN_EVENT_DEFINED:
        return Note(What.DEFINED, name)
    if event == libvirt.VIR_DOMAIN_EVENT_UNDEFINED:
        renamed = detail == libvirt.VIR_DOMAIN_EVENT_UNDEFINED_RENAMED
        return None if renamed else Note(What.UNDEFINED, name)
    if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
        saved = detail == libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED
        return Note(What.SAVED if saved else What.STOPPED, name)
    if event == libvirt.VIR_DOMAIN_EVENT_STARTED:
        state = _STARTED_PAUSED.get(detail) if starts_paused else RUNNING
        return None if state is None else Note(What.ENTERED, name, run, state)
    entered = _STATES.get(event)
    return None if entered is None else Note(What.ENTERED, name, run, entered)


class _Registration:
    """The callbacks that are registered with one libvirt connection."""

    def __init__(self, raw: Any, pile: _Pile) -> None:
        self._raw = raw
        self._pile = pile
        self._starts_paused = raw.getType() in _STARTS_PAUSED
        self._ids: list[int] = []

    def begin(self) -> None:
        """Registers them; raises libvirtError where the connection is lost."""
        self._register("LIFECYCLE", self._life)
        for name in _OTHER_EVENTS:
            self._register(name, self._tray if name == "TRAY_CHANGE" else self._other)

    def _register(self, name: str, callback: Callable[..., None]) -> None:
        number = getattr(libvirt, f"VIR_DOMAIN_EVENT_ID_{name}")
        try:
            self._ids.append(self._raw.domainEventRegisterAny(None, number, callback, None))
        except libvirt.libvirtError as error:
            if not self._raw.isAlive():
                raise
            _log.info("no %s events of %s: %s", name, self._raw.getURI(), error)

    def _life(self, _raw: Any, domain: Any, event: int, detail: int, _opaque: object) -> None:
        note = note_of(domain, event, detail, starts_paused=self._starts_paused)
        self._pile.note(domain.UUIDString(), note)

    def _other(self, _raw: Any, domain: Any, *_details: object) -> None:
        self._pile.note(domain.UUIDString(), Note(What.CHANGED, domain.name()))

    def _tray(self, _raw: Any, domain: Any, *_details: object) -> None:
        self._pile.note(domain.UUIDString(), Note(What.CHANGED, domain.name()), again=True)

    def end(self) -> None:
        """Takes the callbacks back, from a dead connection too: they would keep it."""
        for number in self._ids:
            with contextlib.suppress(libvirt.libvirtError):
                self._raw.domainEventDeregisterAny(number)
        self._ids.clear()


# --- watching -----------------------------------------------------------------------------------------


class _Watch:
    """Watching from a start to its end: registrations, what is known of guests, the thread that looks."""

    def __init__(
        self,
        connection: Connection,
        reader: GuestReader,
        locks: Locks,
        settings: EventSettings,
        counters: EventCounters,
        tell: Listener,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._locks = locks
        self._settings = settings
        self._counters = counters
        self._tell = tell
        self._pile = _Pile(locks, settings, counters)
        self._known: dict[str, Guest] | None = None
        self._ready = threading.Event()
        self._guard = threading.Lock()
        self._registration: _Registration | None = None
        self._stopped = False
        self._telling = threading.Lock()
        self._thread = threading.Thread(
            target=self._run, name=f"libvirt-watch {connection.uri}", daemon=True
        )

    def start(self) -> None:
        """Begins; returns before anything is known."""
        self._thread.start()
        self._locks.observe(self._pile.touched)
        self._connection.listen(self._connection_changed)

    def await_baseline(self) -> None:
        """Returns when all guests have been read, or the hypervisor does not answer."""
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
                self._registration = _Registration(raw, self._pile)
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
                # where the connection is lost, all guests are compared when it is back
                _log.info("guests of %s are not compared: %s", self._connection.uri, error)
            except Exception:
                _log.exception("watching guests of %s", self._connection.uri)

    def _compare_all(self) -> None:
        self._counters.comparisons += 1
        try:
            guests = self._connection.call(lambda raw: self._reader.all(raw, NEEDS))
        except VirtError as error:
            if not isinstance(error, Unreachable):
                self._pile.compare_in(self._settings.settle)
            raise
        self._pile.compare_in(self._settings.compare)
        if self._known is None:
            self._known = {guest.uuid: guest for guest in guests}
            self._ready.set()
            return
        found = {guest.uuid: guest for guest in guests}
        for uuid in found.keys() | self._known.keys():
            known, read = self._known.get(uuid), found.get(uuid)
            if not history.agree(known, read) or history.differs(known, read):
                self._pile.look(uuid)

    def _look_at_some(self) -> None:
        marks = self._pile.take(_BATCH)
        if not marks:
            return
        try:
            read = self._connection.call(lambda raw: self._reader.some(raw, marks, NEEDS))
        except VirtError:
            for uuid, mark in marks.items():
                self._look_later(uuid, mark)
            raise
        changes: list[Change] = []
        for uuid, mark in marks.items():
            changes += self._look(uuid, mark, read[uuid])
        self._report(changes)

    def _report(self, changes: Sequence[Change]) -> None:
        with self._telling:
            if changes and not self._stopped:
                self._counters.changes += len(changes)
                self._tell(changes)

    def _look(self, uuid: str, mark: _Mark, outcome: Guest | Exception) -> list[Change]:
        """What has become of a guest."""
        gone = _is_gone(outcome)
        read = outcome if isinstance(outcome, Guest) else None
        if self._known is None or not (
            gone or (read and not read.stale and history.is_whole(read))
        ):
            if isinstance(outcome, Exception):
                _log.info("a guest of %s can't be read: %s", self._connection.uri, outcome)
            self._look_later(uuid, mark)
            return []
        known = self._known.get(uuid)
        steps = history.told(known, mark.notes, uuid, read)
        steps += self._untold(uuid, mark, steps[-1] if steps else known, read)
        if steps and (mark.own or all(note.what in history.OF_STATE for note in mark.notes)):
            steps = history.together(steps)
        return self._changes(uuid, known, steps)

    def _look_later(self, uuid: str, mark: _Mark) -> None:
        mark.pause = min(max(mark.pause * 2, _MEDIA_SETTLE), _LONGEST_PAUSE)
        mark.due = time.monotonic() + mark.pause
        self._pile.put_back(uuid, mark)

    def _untold(
        self, uuid: str, mark: _Mark, told: Guest | None, read: Guest | None
    ) -> list[Guest | None]:
        """What the reading shows beyond what events told; nothing while an event must be on its way."""
        now = time.monotonic()
        if history.agree(told, read):
            if mark.again:
                self._pile.put_back(uuid, _Mark(now + _MEDIA_SETTLE))
            return [] if read is None else [history.adopted(told, read)]
        give_up = now + self._settings.settle if mark.give_up is None else mark.give_up
        if now < give_up:
            self._pile.put_back(uuid, _Mark(give_up, give_up=give_up, own=mark.own))
            return []
        return history.caught_up(told, read)

    def _changes(self, uuid: str, known: Guest | None, steps: list[Guest | None]) -> list[Change]:
        assert self._known is not None
        changes = []
        for step in steps:
            if history.is_news(known, step):
                changes.append(Change(known, step))
            known = step
        if known is None:
            self._known.pop(uuid, None)
        else:
            self._known[uuid] = known
        self._counters.unchanged += not changes
        return changes


def _is_gone(outcome: Guest | Exception) -> bool:
    return (
        isinstance(outcome, libvirt.libvirtError)
        and outcome.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN
    )
