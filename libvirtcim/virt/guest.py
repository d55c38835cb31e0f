# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest as one snapshot saw it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import libvirt

from libvirtcim.virt.domain import Domain
from libvirtcim.virt.xmlwriter import escape_text

NOSTATE: int = libvirt.VIR_DOMAIN_NOSTATE
RUNNING: int = libvirt.VIR_DOMAIN_RUNNING
BLOCKED: int = libvirt.VIR_DOMAIN_BLOCKED
PAUSED: int = libvirt.VIR_DOMAIN_PAUSED
SHUTDOWN: int = libvirt.VIR_DOMAIN_SHUTDOWN
SHUTOFF: int = libvirt.VIR_DOMAIN_SHUTOFF
CRASHED: int = libvirt.VIR_DOMAIN_CRASHED
PMSUSPENDED: int = libvirt.VIR_DOMAIN_PMSUSPENDED


class Needs(enum.Flag):
    """What a reader wants to know beyond identity and state, which are always there."""

    STATE = 0
    LIVE = enum.auto()
    CONFIG = enum.auto()
    AUTOSTART = enum.auto()
    VCPUS = enum.auto()
    MEMORY = enum.auto()
    SCHEDULER = enum.auto()
    ALL = LIVE | CONFIG | AUTOSTART | VCPUS | MEMORY | SCHEDULER


@dataclass(frozen=True, slots=True)
class Guest:
    """One guest. What was not asked for by `Needs` is None.

    `state` is libvirt's number. `id` is -1 while it is off. `vcpus_online` and `memory_kib` are
    those of a running guest, None when it is off or libvirt can't tell. `shares` is the CPU weight
    (`cpu_shares`), 0 where none is set, None when unreadable. `definition` is a digest of the stored
    definition's text (Needs.CONFIG), None of a transient guest. `stale` marks a guest that libvirt
    did not answer for in time: state as far as known, definition as last seen.
    """

    name: str
    uuid: str
    id: int
    state: int
    active: bool
    persistent: bool
    managed_saved: bool
    autostart: bool | None = None
    vcpus_online: int | None = None
    memory_kib: int | None = None
    shares: int | None = None
    live_view: Domain | None = None
    config_view: Domain | None = None
    definition: bytes | None = None
    stale: bool = False

    @property
    def live(self) -> Domain:
        """The definition in force: of the running guest, else the stored one (Needs.LIVE)."""
        if self.live_view is None:
            raise LookupError(f"guest {self.name} was read without Needs.LIVE")
        return self.live_view

    @property
    def config(self) -> Domain:
        """The stored definition; that of a transient guest is its live one (Needs.CONFIG)."""
        if self.config_view is None:
            raise LookupError(f"guest {self.name} was read without Needs.CONFIG")
        return self.config_view

    @property
    def any_view(self) -> Domain | None:
        """Whichever definition was read, the live one first."""
        return self.live_view or self.config_view


def state_class(state: int) -> int:
    """The state, those that a running guest takes turns in as one."""
    return RUNNING if state in (BLOCKED, NOSTATE) else state


def bare_view(name: str, uuid: str) -> Domain:
    """What stands for the definition of a guest of which nothing else is known."""
    return Domain.view(f"<domain><name>{escape_text(name)}</name><uuid>{uuid}</uuid></domain>")
