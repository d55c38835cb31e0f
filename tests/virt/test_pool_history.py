# SPDX-License-Identifier: LGPL-2.1-or-later
"""What events tell of a storage pool or network, step by step, whatever a reading after them shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import libvirt
import pytest

from libvirtcim.virt.event_notes import Note, What
from libvirtcim.virt.pool_events import STORAGE_POOLS
from libvirtcim.virt.pool_history import PoolHistory, Watched
from libvirtcim.virt.pools import StoragePoolDefinition

UUID = "5e0f3a10-0c5b-4a54-9a05-00000000000b"
Pool = Watched[StoragePoolDefinition]
HISTORY = PoolHistory(StoragePoolDefinition)


def view(path: str, capacity: int) -> StoragePoolDefinition:
    return StoragePoolDefinition.view(
        f"<pool type='dir'><name>p</name><capacity>{capacity}</capacity>"
        f"<target><path>{path}</path></target></pool>"
    )


STORED = view("/a", 0)
OFF = Watched("p", UUID, False, False, STORED, True, STORED, b"1")
ON = replace(OFF, active=True, view=view("/a", 5))
TRANSIENT = replace(ON, persistent=False, stored=ON.view, definition=None)
EDITED = replace(OFF, view=view("/b", 0), stored=view("/b", 0), definition=b"2", autostart=True)
DEFINED, UNDEFINED, STARTED, STOPPED, CHANGED = (
    Note(what, "p")
    for what in (What.DEFINED, What.UNDEFINED, What.ENTERED, What.STOPPED, What.CHANGED)
)


@pytest.mark.parametrize(
    ("known", "notes", "read", "expected"),
    [
        (None, [DEFINED], OFF, [OFF]),
        (None, [DEFINED, STARTED], ON, [OFF, ON]),
        (None, [STARTED], TRANSIENT, [TRANSIENT]),
        (None, [STARTED, DEFINED], ON, [TRANSIENT, ON]),
        (None, [STARTED, STOPPED], None, [..., None]),
        (None, [DEFINED, UNDEFINED], None, [..., None]),
        (None, [STOPPED, UNDEFINED, CHANGED], None, [None, None, None]),
        (OFF, [STARTED], ON, [ON]),
        (OFF, [STARTED, STOPPED], OFF, [replace(OFF, active=True), OFF]),
        (OFF, [STARTED, STOPPED, UNDEFINED], None, [replace(OFF, active=True), OFF, None]),
        (OFF, [DEFINED], EDITED, [EDITED]),
        (OFF, [DEFINED], None, [OFF]),
        (OFF, [UNDEFINED, DEFINED], EDITED, [None, EDITED]),
        (ON, [STARTED, CHANGED], ON, [ON, ON]),
        (ON, [STOPPED], OFF, [OFF]),
        (ON, [STOPPED, STARTED], ON, [OFF, ON]),
        (ON, [DEFINED], replace(EDITED, active=True, view=ON.view),
         [replace(EDITED, active=True, view=ON.view)]),
        (ON, [DEFINED, STOPPED], EDITED, [replace(EDITED, active=True, view=ON.view), EDITED]),
        (ON, [UNDEFINED], TRANSIENT, [TRANSIENT]),
        (ON, [UNDEFINED, STOPPED], None, [TRANSIENT, None]),
        (TRANSIENT, [STOPPED], None, [None]),
        (TRANSIENT, [DEFINED], ON, [ON]),
    ],
)  # fmt: skip
def test_what_events_tell(
    known: Pool | None, notes: list[Note], read: Pool | None, expected: list[Any]
) -> None:
    """`...`: one of which nothing but its name was known."""
    told = HISTORY.told(known, notes, UUID, read)
    assert len(told) == len(expected)
    for step, wanted in zip(told, expected, strict=True):
        if wanted is ...:
            assert step is not None and (step.name, step.uuid) == ("p", UUID)
        else:
            assert step == wanted


def test_one_change_is_one_step() -> None:
    assert HISTORY.together([OFF, replace(ON, view=OFF.view), ON]) == [OFF, ON]
    assert HISTORY.together([ON, OFF]) == [ON, OFF]
    assert HISTORY.together([OFF, None]) == [OFF, None]


def test_a_state_on_the_way_is_waited_out() -> None:
    assert not HISTORY.agree(OFF, ON)
    assert not HISTORY.agree(ON, TRANSIENT)
    assert not HISTORY.agree(None, OFF)
    assert HISTORY.agree(OFF, EDITED)
    assert HISTORY.agree(None, None)


# --- reading -----------------------------------------------------------------------------------------


class Handle:
    """A storage pool of libvirt that starts between two calls, and then stays so."""

    def __init__(self, xml: str, inactive: str) -> None:
        self._xml = {0: xml, STORAGE_POOLS.inactive: inactive}
        self.asked = 0

    def name(self) -> str:
        return "p"

    def UUIDString(self) -> str:
        return UUID

    def isActive(self) -> int:
        self.asked += 1
        return int(self.asked > 1)

    def isPersistent(self) -> int:
        return 1

    def autostart(self) -> int:
        return 0

    def XMLDesc(self, flags: int) -> str:
        return self._xml[flags]


class Driver:
    """A connection whose only storage pool has these definitions."""

    def __init__(self, xml: str, inactive: str) -> None:
        self.handle = Handle(xml, inactive)

    def storagePoolLookupByUUIDString(self, _uuid: str) -> Handle:
        return self.handle


def _read(capacity: int, path: str, *, extents: str = "", permissions: str = "") -> Pool:
    text = (
        f"<pool type='disk'><name>p</name><capacity>{capacity}</capacity>"
        f"<source><device path='/dev/x'>{extents}</device></source>"
        f"<target><path>{path}</path>{permissions}</target></pool>"
    )
    found = STORAGE_POOLS.some(Driver(text, text), [UUID])[UUID]
    assert isinstance(found, Watched)
    return found


def test_a_reading_of_two_moments_is_repeated() -> None:
    found = _read(7, "/a")
    assert found.active
    assert (found.view.capacity, found.stored.capacity) == (7, 0)


def test_what_libvirt_finds_is_no_part_of_the_definition() -> None:
    first = _read(7, "/a")
    measured = _read(
        8,
        "/a",
        extents="\n  <freeExtent start='0' end='9'/>\n",
        permissions="\n  <permissions><mode>0711</mode></permissions>\n",
    )
    assert measured.definition == first.definition
    assert _read(7, "/b").definition != first.definition


@pytest.fixture
def raw() -> Iterator[Any]:
    with closing(libvirt.open("test:///default")) as connection:
        yield connection


def test_one_that_is_not_there(raw: Any) -> None:
    (outcome,) = STORAGE_POOLS.some(raw, [UUID]).values()
    assert isinstance(outcome, libvirt.libvirtError)
    assert outcome.get_error_code() == STORAGE_POOLS.absent
