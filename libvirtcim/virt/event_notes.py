# SPDX-License-Identifier: LGPL-2.1-or-later
"""What libvirt's events tell of an object, whatever its kind."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import libvirt

NO_RUN = -1
"""libvirt's id of a guest that is off."""
NOSTATE: int = libvirt.VIR_DOMAIN_NOSTATE


class What(enum.Enum):
    """What kind of change an event tells of."""

    DEFINED = enum.auto()
    UNDEFINED = enum.auto()
    ENTERED = enum.auto()
    """It runs; of guests: a state of one that runs."""
    STOPPED = enum.auto()
    SAVED = enum.auto()
    """It has stopped, and its memory is kept."""
    LEFT = enum.auto()
    """It has stopped here, since it runs on another host. No event tells whether it is still stored."""
    CHANGED = enum.auto()
    """Anything else that can be seen of it."""


OF_STATE = frozenset({What.ENTERED, What.STOPPED, What.SAVED, What.LEFT})
"""Changes of an object's state, with whatever they bring along."""


@dataclass(frozen=True, slots=True)
class Note:
    """What one event told of an object.

    Of guests besides: `run` is libvirt's id of the guest by then, `state` its number.
    """

    what: What
    name: str
    run: int = NO_RUN
    state: int = NOSTATE
