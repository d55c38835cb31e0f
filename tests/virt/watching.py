# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests of libvirt's test hypervisor being watched, and what was told of them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import libvirt

from libvirtcim.virt.connection import Connection
from libvirtcim.virt.events import Change, EventCounters
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.guest import Guest
from libvirtcim.virt.host import Host
from libvirtcim.virt.settings import ConnectionSettings, EventSettings, HostSettings
from tests.hypervisor import wait_until

ONLY_EVENTS = EventSettings(compare=0)
QUICK = ConnectionSettings(backoff_first=0.05, backoff_max=0.2)
_SAVED = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
States = tuple[int | None, int | None]


def test_guest(name: str, *, head: str = "") -> str:
    """A guest of the test hypervisor; `head` goes below domain."""
    return (
        f"<domain type='test'><name>{name}</name><uuid>{uuid.uuid4()}</uuid>"
        f"<memory unit='KiB'>2048</memory>"
        f"<vcpu current='1'>2</vcpu><os><type>hvm</type></os>{head}</domain>"
    )


test_guest.__test__ = False  # type: ignore[attr-defined]


def state_of(guest: Guest | None) -> int | None:
    """libvirt's state; None: the guest does not exist."""
    return None if guest is None else guest.state


@dataclass
class Seen:
    """What a watcher has told."""

    host: Host
    changes: list[Change[Guest]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, changes: Sequence[Change[Guest]]) -> None:
        with self._lock:
            self.changes.extend(changes)

    @property
    def counters(self) -> EventCounters:
        return self.host.watchers.guests.counters

    def of(self, uuid: str) -> list[Change[Guest]]:
        """What was told of one guest."""
        with self._lock:
            return [change for change in self.changes if change.latest.uuid == uuid]

    def states(self, uuid: str) -> list[States]:
        """The states of one guest before and after each change."""
        return [(state_of(c.before), state_of(c.after)) for c in self.of(uuid)]

    def wait(self, uuid: str, count: int, deadline: float = 20.0) -> list[Change[Guest]]:
        """The changes of one guest, as soon as there are so many."""
        wait_until(lambda: len(self.of(uuid)) >= count, f"{count} changes of a guest", deadline)
        return self.of(uuid)

    def settle(self, raw: Any) -> None:
        """Returns when everything that has happened so far has been told.

        A guest that is defined now is told of after what came before; guests whose event was awaited
        then are told of when it has come.
        """
        marker = raw.defineXML(test_guest(f"marker-{uuid.uuid4()}"))
        self.wait(marker.UUIDString(), 1)
        marker.undefine()
        self.wait(marker.UUIDString(), 2)


@contextmanager
def watched(
    uri: str = "test:///default",
    settings: EventSettings = ONLY_EVENTS,
    *,
    family: str = "KVM",
) -> Iterator[Seen]:
    """A hypervisor that is watched until the end."""
    connection = Connection(uri, settings=QUICK)
    host = Host(connection, FAMILIES[family], HostSettings(side_file_dir=None, events=settings))
    seen = Seen(host)
    host.watchers.guests.watch(seen)
    try:
        yield seen
    finally:
        host.close()
        connection.close()


@contextmanager
def other_client(uri: str = "test:///default") -> Iterator[Any]:
    """Another client's libvirt connection."""
    with closing(libvirt.open(uri)) as raw:
        yield raw


@contextmanager
def defined(raw: Any, xml: str) -> Iterator[Any]:
    """A guest until the end, if it lives so long."""
    domain = raw.defineXML(xml)
    identity = domain.UUIDString()
    try:
        yield domain
    finally:
        for end, *flags in (("destroy",), ("undefineFlags", _SAVED), ("undefine",)):
            with suppress(libvirt.libvirtError):
                getattr(raw.lookupByUUIDString(identity), end)(*flags)


Act = Callable[[Any], object]
