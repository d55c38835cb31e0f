# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirt's state of a guest as CIM's status properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from libvirtcim.providers.common import GuestItem
from libvirtcim.virt.guest import (
    BLOCKED,
    CRASHED,
    NOSTATE,
    PAUSED,
    PMSUSPENDED,
    RUNNING,
    SHUTDOWN,
    SHUTOFF,
)


class Status(NamedTuple):
    """The four status properties of a guest in one libvirt state."""

    enabled: int
    health: int
    operational: int
    operating: int


STATES: Mapping[int, Status] = {
    NOSTATE: Status(0, 0, 15, 5),
    RUNNING: Status(2, 5, 2, 32768),
    BLOCKED: Status(2, 5, 2, 7),
    PAUSED: Status(9, 5, 2, 7),
    SHUTDOWN: Status(4, 0, 15, 5),
    SHUTOFF: Status(3, 0, 15, 5),
    CRASHED: Status(3, 20, 6, 6),
    # the guest keeps its memory and can be woken: quiesced, healthy, dormant
    PMSUSPENDED: Status(9, 5, 15, 7),
}
UNKNOWN_STATE = Status(0, 0, 0, 0)


def status(item: GuestItem) -> Status:
    """The guest's status properties before the adjustments for saved and migrating guests."""
    state = item.guest.state
    if state == NOSTATE and item.host.family.nostate_is_running:
        state = RUNNING
    return STATES.get(state, UNKNOWN_STATE)
