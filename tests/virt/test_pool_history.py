# SPDX-License-Identifier: LGPL-2.1-or-later
"""What events tell of a storage pool or network, step by step, whatever a reading after them shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from libvirtcim.virt.event_notes import Note, What
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
