# SPDX-License-Identifier: LGPL-2.1-or-later
"""How a guest came from where it was known to be to where it is: what its events tell, step by step.

Events say which states a guest has been in; what it looked like is known from readings, which may be
newer or older than an event. So states are taken from the events, in their order, and everything else
from the reading. Nothing here asks libvirt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from libvirtcim.virt.event_notes import NO_RUN, Note, What
from libvirtcim.virt.guest import (
    CRASHED,
    SHUTOFF,
    Guest,
    bare_view,
    state_class,
)


def _same_state(one: Guest, other: Guest) -> bool:
    return state_class(one.state) == state_class(other.state)


def differs(before: Guest | None, after: Guest | None) -> bool:
    """Whether anything of a guest has changed but what a running one does by itself."""
    if before is None or after is None:
        return before is not after
    state = after.state if _same_state(before, after) else before.state
    return replace(before, id=after.id, state=state) != after


def is_news(before: Guest | None, after: Guest | None) -> bool:
    """Whether it is to be told: not what is found of a guest of which little was known."""
    if before and before.stale and after and not after.stale:
        return not _same_state(before, after)
    return differs(before, after)


def is_whole(read: Guest) -> bool:
    """Whether the parts of a reading belong together: a guest may start or stop between two calls."""
    if read.stale:
        return False
    if not read.active:
        return read.state in (SHUTOFF, CRASHED)
    return read.state != SHUTOFF and read.live.id == read.id


def told(
    known: Guest | None, notes: Iterable[Note], uuid: str, read: Guest | None
) -> list[Guest | None]:
    """The guest after each note; `read`: as it was read after the last of them, None: it is gone.

    None among the results is a guest that does not exist.
    """
    steps: list[Guest | None] = []
    for note in notes:
        known = _after(known, note, uuid, read)
        steps.append(known)
    return steps


def agree(known: Guest | None, read: Guest | None) -> bool:
    """Whether the events have told all that they do tell, so that the reading is what comes next."""
    if known is None or read is None:
        return known is read
    same = known.id == read.id and known.persistent == read.persistent
    return same and _same_state(known, read)


def has_left(notes: Sequence[Note], read: Guest | None) -> bool:
    """Whether a guest that moved to another host is gone from this one: no further event will tell."""
    return read is None and bool(notes) and notes[-1].what is What.LEFT


def together(steps: list[Guest | None]) -> list[Guest | None]:
    """Without the steps before the last that are of its state: they belong to one change."""
    *earlier, last = steps
    while last and earlier and earlier[-1] and _same_state(earlier[-1], last):
        earlier.pop()
    return [*earlier, last]


def caught_up(known: Guest | None, read: Guest | None) -> list[Guest | None]:
    """What must have happened between two readings without events to tell of it."""
    restarted = known and read and known.active and read.active and known.id != read.id
    if known is None or not restarted:
        return [read]
    return [_stopped(known, saved=False), read]


def adopted(known: Guest | None, read: Guest) -> Guest:
    """The reading, with the CPU weight as known where libvirt could not tell it."""
    if read.shares is None and known is not None:
        return replace(read, shares=known.shares)
    return read


def _after(guest: Guest | None, note: Note, uuid: str, read: Guest | None) -> Guest | None:
    if note.what is What.DEFINED:
        return _defined(guest, note, uuid, read)
    if note.what is What.ENTERED:
        return _entered(guest, note, uuid, read)
    if guest is None or note.what is What.CHANGED:
        return guest
    if note.what is What.UNDEFINED:
        return _undefined(guest)
    return _stopped(guest, saved=note.what is What.SAVED) if guest.active else guest


def _defined(guest: Guest | None, note: Note, uuid: str, read: Guest | None) -> Guest:
    if guest is None:
        return replace(_off(read or _bare(note, uuid)), persistent=True)
    if read is None or not read.persistent:
        return replace(guest, persistent=True)
    changed = replace(
        guest,
        name=read.name,
        persistent=True,
        autostart=read.autostart,
        config_view=read.config_view,
        definition=read.definition,
    )
    if guest.active:
        return changed
    return replace(changed, live_view=read.config_view, shares=_shares(read))


def _undefined(guest: Guest) -> Guest | None:
    if not guest.active:
        return None
    return replace(guest, persistent=False, config_view=guest.live_view, definition=None)


def _entered(guest: Guest | None, note: Note, uuid: str, read: Guest | None) -> Guest:
    """A guest that comes up looks as it was read if that was the same run, else as it is defined."""
    if guest is not None and guest.active:
        return replace(guest, state=note.state)
    same_run = read is not None and read.active and read.id == note.run
    if guest is None:
        found = (
            read if same_run and read is not None else replace(_bare(note, uuid), persistent=False)
        )
        return replace(found, state=note.state, id=note.run, active=True)
    if same_run and read is not None:
        return replace(
            guest,
            state=note.state,
            id=note.run,
            active=True,
            managed_saved=False,
            live_view=read.live_view,
            vcpus_online=read.vcpus_online,
            shares=guest.shares if read.shares is None else read.shares,
        )
    online = guest.config.vcpu_current or guest.config.vcpus
    return replace(
        guest,
        state=note.state,
        id=note.run,
        active=True,
        managed_saved=False,
        vcpus_online=online,
    )


def _stopped(guest: Guest, *, saved: bool) -> Guest | None:
    return replace(_off(guest), managed_saved=saved) if guest.persistent else None


def _off(guest: Guest) -> Guest:
    return replace(
        guest,
        id=NO_RUN,
        state=SHUTOFF,
        active=False,
        managed_saved=False,
        vcpus_online=None,
        shares=_shares(guest),
        live_view=guest.config_view,
    )


def _shares(guest: Guest) -> int:
    return guest.config.cpu_shares or 0


def _bare(note: Note, uuid: str) -> Guest:
    """A guest that is gone before anything but its name could be known."""
    view = bare_view(note.name, uuid)
    return Guest(
        name=note.name,
        uuid=uuid,
        id=NO_RUN,
        state=SHUTOFF,
        active=False,
        persistent=True,
        managed_saved=False,
        autostart=False,
        live_view=view,
        config_view=view,
        stale=True,
    )
