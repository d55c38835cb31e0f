# SPDX-License-Identifier: LGPL-2.1-or-later
"""RequestStateChange: which transition leads from which libvirt state, and what carries it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from libvirtcim.cim.errors import Failed, InvalidParameter, NotSupported
from libvirtcim.providers.common import translated
from libvirtcim.virt import lifecycle
from libvirtcim.virt.errors import VirtError
from libvirtcim.virt.guest import BLOCKED, NOSTATE, PAUSED, RUNNING, SHUTOFF
from libvirtcim.virt.host import Guest, Host

INVALID_TRANSITION = "Invalid state transition"
NOT_RUNNING = "Domain not running"


@dataclass(frozen=True, slots=True)
class Transition:
    """One requested state: libvirt state → action, and the error from any other state."""

    actions: Mapping[int, Callable[[Host, str], None]]
    otherwise: str


TRANSITIONS: Mapping[int, Transition] = {
    2: Transition({SHUTOFF: lifecycle.start, PAUSED: lifecycle.resume}, INVALID_TRANSITION),
    3: Transition(dict.fromkeys((RUNNING, BLOCKED, PAUSED), lifecycle.destroy), INVALID_TRANSITION),
    4: Transition(dict.fromkeys((RUNNING, BLOCKED), lifecycle.shutdown), INVALID_TRANSITION),
    9: Transition(dict.fromkeys((RUNNING, BLOCKED), lifecycle.suspend), NOT_RUNNING),
    10: Transition(dict.fromkeys((RUNNING, BLOCKED, PAUSED), lifecycle.reboot), NOT_RUNNING),
    11: Transition(dict.fromkeys((RUNNING, BLOCKED, PAUSED), lifecycle.reset), NOT_RUNNING),
}
"""Requested state (CIM_EnabledLogicalElement) → transition; others are not supported.

A paused guest can be disabled: otherwise nothing but a resume could ever end it.
"""


class StateChanger:
    """Changes the state of one host's guests as clients request it."""

    def __init__(self, host: Host, saved: Callable[[str], bool]) -> None:
        self._host = host
        self._saved = saved

    def change(self, name: str, requested: int) -> None:
        """Brings guest `name` towards the requested state; the call returns when libvirt has taken it.

        Raises InvalidParameter for an unknown guest, NotSupported for a state that no transition
        leads to, Failed where the guest's state allows no such transition or libvirt refuses.
        """
        try:
            guest = self._host.guest(name)
        except VirtError as error:
            raise InvalidParameter(
                f"Unable to get instance for guest '{name}': {error.libvirt_message}"
            ) from error
        text = f"Unable to change the state of guest '{name}'"
        lock = self._host.locks.hold(guest.uuid, self._host.settings.lock_timeout)
        with translated(text, Failed), lock:
            self._carry_out(self._host.guest(name), requested)
            self._remember(name, requested)

    def _carry_out(self, guest: Guest, requested: int) -> None:
        transition = TRANSITIONS.get(requested)
        if transition is None:
            raise NotSupported("State not supported")
        action = transition.actions.get(self._state(guest, requested))
        if action is None:
            raise Failed(transition.otherwise)
        if action is lifecycle.start and self._saved(guest.name):
            raise NotSupported("Domain has a snapshot")
        action(self._host, guest.name)

    def _state(self, guest: Guest, requested: int) -> int:
        # Xen reports "no state" for a running domain that is not scheduled at the moment
        if guest.state == NOSTATE and self._host.family.nostate_is_running and requested != 2:
            return RUNNING
        return guest.state

    def _remember(self, name: str, requested: int) -> None:
        """Stores the request with the guest; a guest that is gone by now has nothing to store."""
        with suppress(VirtError):
            self._host.write_guest_data(name, reqstate=requested)
