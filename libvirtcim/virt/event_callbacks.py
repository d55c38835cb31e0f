# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirt's events of guests: which are registered, and what each tells."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

import libvirt

from libvirtcim.virt.event_pile import Pile
from libvirtcim.virt.guest import CRASHED, PAUSED, PMSUSPENDED, RUNNING
from libvirtcim.virt.guest_history import Note, What

_log = logging.getLogger(__name__)

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
        return Note(_STOPPED.get(detail, What.STOPPED), name)
    if event == libvirt.VIR_DOMAIN_EVENT_STARTED:
        state = _STARTED_PAUSED.get(detail) if starts_paused else RUNNING
        return None if state is None else Note(What.ENTERED, name, run, state)
    entered = _STATES.get(event)
    return None if entered is None else Note(What.ENTERED, name, run, entered)


class Registration:
    """The callbacks that are registered with one libvirt connection."""

    def __init__(self, raw: Any, pile: Pile) -> None:
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
        left = note is not None and note.what is What.LEFT
        self._pile.note(domain.UUIDString(), note, again=left)

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
