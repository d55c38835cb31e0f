# SPDX-License-Identifier: LGPL-2.1-or-later
"""What events tell of a guest, step by step, whatever a reading after them shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import libvirt
import pytest

from libvirtcim.virt import guest_history as history
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.event_notes import Note, What
from libvirtcim.virt.guest import (
    BLOCKED,
    CRASHED,
    NOSTATE,
    PAUSED,
    PMSUSPENDED,
    RUNNING,
    SHUTDOWN,
    SHUTOFF,
    Guest,
)
from libvirtcim.virt.guest_events import note_of

UUID = "5e0f3a10-0c5b-4a54-9a05-00000000000a"


def view(port: int, run: int | None = None) -> Domain:
    """A definition with a display at that port; of a guest that runs with its id."""
    number = "" if run is None else f" id='{run}'"
    return Domain.view(
        f"<domain{number}><name>g</name><vcpu current='1'>2</vcpu><cputune><shares>7</shares></cputune>"
        f"<devices><graphics type='vnc' port='{port}'/></devices></domain>"
    )


STORED = view(-1)
OFF = Guest("g", UUID, -1, SHUTOFF, False, True, False, False, None, None, 7, STORED, STORED, b"1")


def runs(state: int = RUNNING, run: int = 3, **more: Any) -> Guest:
    """The guest as it is read when it runs."""
    made = replace(
        OFF, id=run, state=state, active=True, vcpus_online=1, live_view=view(5900 + run, run)
    )
    return replace(made, **more)


TRANSIENT = runs(persistent=False, definition=None, config_view=view(5903, 3))


def entered(state: int, run: int = 3) -> Note:
    return Note(What.ENTERED, "g", run, state)


STOPPED, SAVED, LEFT = (Note(what, "g") for what in (What.STOPPED, What.SAVED, What.LEFT))
DEFINED, UNDEFINED = Note(What.DEFINED, "g"), Note(What.UNDEFINED, "g")
CHANGED = Note(What.CHANGED, "g")


def states(steps: list[Guest | None]) -> list[int | None]:
    return [None if step is None else step.state for step in steps]


@pytest.mark.parametrize(
    ("known", "notes", "read", "expected"),
    [
        (OFF, [entered(RUNNING)], runs(), [RUNNING]),
        (OFF, [entered(RUNNING), STOPPED], OFF, [RUNNING, SHUTOFF]),
        (OFF, [STOPPED], OFF, [SHUTOFF]),
        (runs(), [entered(PAUSED), entered(RUNNING)], runs(), [PAUSED, RUNNING]),
        (runs(), [CHANGED], runs(), [RUNNING]),
        (runs(), [LEFT], OFF, [SHUTOFF]),
        (TRANSIENT, [LEFT], None, [None]),
        (runs(), [STOPPED, entered(RUNNING, 4)], runs(run=4), [SHUTOFF, RUNNING]),
        (runs(), [UNDEFINED, STOPPED], None, [RUNNING, None]),
        (runs(), [STOPPED, UNDEFINED, DEFINED], OFF, [SHUTOFF, None, SHUTOFF]),
        (TRANSIENT, [STOPPED], None, [None]),
        (TRANSIENT, [DEFINED, STOPPED], OFF, [RUNNING, SHUTOFF]),
        (None, [entered(RUNNING), STOPPED], None, [RUNNING, None]),
        (None, [DEFINED, entered(PAUSED), STOPPED], OFF, [SHUTOFF, PAUSED, SHUTOFF]),
        (None, [UNDEFINED, STOPPED, CHANGED], None, [None, None, None]),
        (None, [DEFINED, UNDEFINED], None, [SHUTOFF, None]),
    ],
)
def test_states_are_told_by_events(
    known: Guest | None, notes: list[Note], read: Guest | None, expected: list[int | None]
) -> None:
    assert states(history.told(known, notes, UUID, read)) == expected


def test_a_guest_that_starts_looks_as_it_was_read_in_the_same_run() -> None:
    assert history.told(OFF, [entered(PAUSED)], UUID, runs()) == [runs(PAUSED)]
    (other,) = history.told(OFF, [entered(RUNNING)], UUID, runs(run=4))
    assert other is not None
    assert (other.live_view, other.vcpus_online, other.id) == (STORED, 1, 3)


def test_a_guest_that_stops_looks_as_it_is_defined() -> None:
    assert history.told(runs(), [STOPPED], UUID, None) == [OFF]
    assert history.told(runs(), [SAVED], UUID, None) == [replace(OFF, managed_saved=True)]


def test_a_guest_that_nobody_could_read_has_its_name() -> None:
    made, gone = history.told(None, [DEFINED, UNDEFINED], UUID, None)
    assert made is not None and (made.name, made.uuid, made.stale) == ("g", UUID, True)
    assert gone is None


def test_definitions_change_at_their_event() -> None:
    edited = replace(OFF, name="h", autostart=True, definition=b"2", config_view=view(5999))
    (off,) = history.told(OFF, [DEFINED], UUID, edited)
    assert off == replace(edited, live_view=edited.config_view)
    (running,) = history.told(runs(), [DEFINED], UUID, edited)
    assert running is not None
    assert (running.definition, running.live_view) == (b"2", runs().live_view)
    (undefined,) = history.told(runs(), [UNDEFINED], UUID, None)
    assert undefined is not None and undefined.config_view == runs().live_view
    assert (undefined.persistent, undefined.definition) == (False, None)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, None, False),
        (None, OFF, True),
        (OFF, None, True),
        (OFF, replace(OFF, definition=b"2"), True),
        (OFF, replace(OFF, autostart=True), True),
        (runs(), runs(BLOCKED), False),
        (runs(), runs(NOSTATE), False),
        (runs(), runs(PAUSED), True),
        (runs(), runs(vcpus_online=2), True),
    ],
)
def test_what_is_a_difference(before: Guest | None, after: Guest | None, expected: bool) -> None:
    assert history.differs(before, after) is expected


def test_more_of_a_guest_is_no_news() -> None:
    stale = replace(OFF, live_view=None, definition=None, stale=True)
    assert history.differs(stale, OFF)
    assert not history.is_news(stale, OFF)
    assert history.is_news(stale, runs())
    assert history.is_news(stale, None)


@pytest.mark.parametrize(
    ("guest", "expected"),
    [
        (OFF, True),
        (replace(OFF, state=RUNNING), False),
        (replace(OFF, state=CRASHED), True),
        (runs(), True),
        (runs(SHUTOFF), False),
        (runs(live_view=view(-1)), False),
        (runs(live_view=view(5900, 4)), False),
    ],
)
def test_a_reading_of_two_moments_is_recognised(guest: Guest, expected: bool) -> None:
    assert history.is_whole(guest) is expected


def test_a_run_that_was_missed() -> None:
    assert history.caught_up(runs(), runs(run=4)) == [OFF, runs(run=4)]
    assert history.caught_up(runs(), runs(PAUSED)) == [runs(PAUSED)]
    assert history.caught_up(TRANSIENT, runs(run=4, persistent=False))[0] is None
    assert history.caught_up(runs(), None) == [None]


def test_one_change_is_one_step() -> None:
    final = runs(autostart=True)
    assert history.together([OFF, runs(), final]) == [OFF, final]
    assert history.together([runs(), OFF]) == [runs(), OFF]
    assert history.together([OFF, None]) == [OFF, None]
    assert history.together([final]) == [final]


def test_only_a_guest_that_moved_and_is_gone_has_left() -> None:
    assert history.has_left([entered(PAUSED), LEFT], None)
    assert not history.has_left([LEFT], OFF), "it may be stored still"
    assert not history.has_left([STOPPED], None), "an event is to come"
    assert not history.has_left([], None)


@dataclass(frozen=True)
class Handle:
    """What libvirt hands to a callback."""

    number: int = 3

    def name(self) -> str:
        return "g"

    def ID(self) -> int:
        return self.number


@pytest.mark.parametrize(
    ("event", "detail", "expected"),
    [
        ("DEFINED", 0, Note(What.DEFINED, "g")),
        ("UNDEFINED", libvirt.VIR_DOMAIN_EVENT_UNDEFINED_REMOVED, Note(What.UNDEFINED, "g")),
        ("UNDEFINED", libvirt.VIR_DOMAIN_EVENT_UNDEFINED_RENAMED, None),
        ("STARTED", 0, entered(RUNNING)),
        ("SUSPENDED", 0, entered(PAUSED)),
        ("RESUMED", 0, entered(RUNNING)),
        ("STOPPED", 0, STOPPED),
        ("STOPPED", libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED, SAVED),
        ("STOPPED", libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED, LEFT),
        ("SHUTDOWN", 0, None),
        ("PMSUSPENDED", 0, entered(PMSUSPENDED)),
        ("CRASHED", 0, entered(CRASHED)),
    ],
)
def test_what_an_event_says(event: str, detail: int, expected: Note | None) -> None:
    number = getattr(libvirt, f"VIR_DOMAIN_EVENT_{event}")
    assert note_of(Handle(), number, detail, starts_paused=False) == expected


def test_where_a_start_says_nothing_of_the_state() -> None:
    started = libvirt.VIR_DOMAIN_EVENT_STARTED
    for detail, expected in (
        (libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED, None),
        (libvirt.VIR_DOMAIN_EVENT_STARTED_RESTORED, None),
        (libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED, entered(PAUSED)),
        (libvirt.VIR_DOMAIN_EVENT_STARTED_WAKEUP, entered(RUNNING)),
    ):
        assert note_of(Handle(), started, detail, starts_paused=True) == expected


def test_a_state_on_the_way_is_waited_out() -> None:
    assert not history.agree(runs(), runs(SHUTDOWN))
    assert not history.agree(runs(), runs(run=4))
    assert not history.agree(None, OFF)
    assert history.agree(runs(), runs(BLOCKED))
    assert history.agree(None, None)


def test_a_weight_that_could_not_be_read_stays() -> None:
    assert history.adopted(runs(), runs(shares=None)).shares == 7
    assert history.adopted(None, runs(shares=None)).shares is None
