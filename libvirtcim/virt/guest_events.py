# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests as they are watched: how they are read, which of libvirt's events tell of them, and what."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import libvirt

from libvirtcim.virt import guest_history
from libvirtcim.virt.event_callbacks import DOMAIN, Callback, Registration
from libvirtcim.virt.event_notes import Note, What
from libvirtcim.virt.event_pile import Pile
from libvirtcim.virt.event_subject import History
from libvirtcim.virt.guest import CRASHED, PAUSED, PMSUSPENDED, RUNNING, Guest, Needs
from libvirtcim.virt.guest_reader import GuestReader

NEEDS = Needs.LIVE | Needs.CONFIG | Needs.AUTOSTART | Needs.VCPUS | Needs.SCHEDULER
"""What is compared of a guest."""
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
_STOPPED = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED: What.SAVED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED: What.LEFT,
}
"""What "stopped" tells besides, by its detail."""
_OTHER_EVENTS = (
    "METADATA_CHANGE",
    "DEVICE_ADDED",
    "DEVICE_REMOVED",
    "DISK_CHANGE",
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
        return Note(_STOPPED.get(detail, What.STOPPED), name)
    if event == libvirt.VIR_DOMAIN_EVENT_STARTED:
        state = _STARTED_PAUSED.get(detail) if starts_paused else RUNNING
        return None if state is None else Note(What.ENTERED, name, run, state)
    entered = _STATES.get(event)
    return None if entered is None else Note(What.ENTERED, name, run, entered)


@dataclass(frozen=True, slots=True)
class _Callbacks:
    """What is noted of each event."""

    pile: Pile
    starts_paused: bool

    def by_name(self) -> Mapping[str, Callback]:
        """By the events' names."""
        others = dict.fromkeys(_OTHER_EVENTS, self._other)
        return {"LIFECYCLE": self._life, **others, "TRAY_CHANGE": self._tray}

    def _life(self, _raw: Any, domain: Any, event: int, detail: int, _opaque: object) -> None:
        note = note_of(domain, event, detail, starts_paused=self.starts_paused)
        left = note is not None and note.what is What.LEFT
        self.pile.note(domain.UUIDString(), note, again=left)

    def _other(self, _raw: Any, domain: Any, *_details: object) -> None:
        self.pile.note(domain.UUIDString(), Note(What.CHANGED, domain.name()))

    def _tray(self, _raw: Any, domain: Any, *_details: object) -> None:
        self.pile.note(domain.UUIDString(), Note(What.CHANGED, domain.name()), again=True)


@dataclass(frozen=True, slots=True)
class Guests:
    """The guests of one hypervisor, as a subject of watching."""

    reader: GuestReader
    plural: str = "guests"
    absent: int = libvirt.VIR_ERR_NO_DOMAIN
    own_is_one: bool = False
    history: History[Guest] = guest_history

    def all(self, raw: Any) -> list[Guest]:
        """All guests."""
        return self.reader.all(raw, NEEDS)

    def some(self, raw: Any, uuids: Collection[str]) -> Mapping[str, Guest | Exception]:
        """The guests of these UUIDs, or why they can't be read."""
        return self.reader.some(raw, uuids, NEEDS)

    def registration(self, raw: Any, pile: Pile) -> Registration:
        """The callbacks for all events that tell of guests."""
        callbacks = _Callbacks(pile, raw.getType() in _STARTS_PAUSED)
        return Registration(raw, DOMAIN, callbacks.by_name())
