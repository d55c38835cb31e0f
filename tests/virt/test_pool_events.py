# SPDX-License-Identifier: LGPL-2.1-or-later
"""Storage pools and networks being watched: how they are read, that every change is told once."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import libvirt
import pytest

from libvirtcim.virt import pool_changes
from libvirtcim.virt.connection import Connection
from libvirtcim.virt.errors import Busy
from libvirtcim.virt.events import Change, Watcher
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.host import Host
from libvirtcim.virt.pool_events import NETWORKS, STORAGE_POOLS
from libvirtcim.virt.pool_history import Watched
from libvirtcim.virt.pools import StoragePoolDefinition
from libvirtcim.virt.settings import HostSettings
from tests.hypervisor import wait_until
from tests.subscribing import directory_pool, isolated_network
from tests.virt.watching import ONLY_EVENTS, other_client

UUID = "5e0f3a10-0c5b-4a54-9a05-00000000000b"
Pool = Watched[StoragePoolDefinition]


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


@pytest.mark.parametrize("subject", [STORAGE_POOLS, NETWORKS], ids=lambda s: s.plural)
def test_one_that_is_not_there(subject: Any) -> None:
    with other_client() as raw:
        (outcome,) = subject.some(raw, [UUID]).values()
    assert isinstance(outcome, libvirt.libvirtError)
    assert outcome.get_error_code() == subject.absent


# --- every change is told once -----------------------------------------------------------------------

States = tuple[bool | None, bool | None]
"""Whether it runs, before and after; None: it does not exist."""
MOVES = {
    None: ("define", "create transient"),
    "off": ("create", "undefine"),
    "on": ("destroy",),
    "transient": ("destroy",),
}
OUTCOMES = {"define": "off", "create transient": "transient", "create": "on", "undefine": None}
ACTIVE = {None: None, "off": False, "on": True, "transient": True}


@dataclass
class Life:
    """A storage pool or network that does what it can at random, and remembers its states."""

    define: Callable[[str], Any]
    create: Callable[[str], Any]
    xml: str
    state: str | None = None
    handle: Any = None
    lived: list[States] = field(default_factory=list)

    def move(self, move: str) -> None:
        """Does one thing."""
        before = self.state
        if before is None:
            self.handle = (self.define if move == "define" else self.create)(self.xml)
        else:
            getattr(self.handle, move)()
        gone = None if before == "transient" else "off"
        self.state = gone if move == "destroy" else OUTCOMES[move]
        self.lived.append((ACTIVE[before], ACTIVE[self.state]))

    def end(self) -> None:
        """Leaves nothing behind."""
        for state, move in (("on", "destroy"), ("transient", "destroy"), ("off", "undefine")):
            if self.state == state:
                self.move(move)


def _lives(raw: Any) -> list[Life]:
    def identity(number: int) -> str:
        return f"5e0f3a10-0c5b-4a54-9a05-0000000002{number:02}"

    pools = [
        Life(
            raw.storagePoolDefineXML,
            raw.storagePoolCreateXML,
            directory_pool(f"life-{n}", f"/life-{n}", uuid=identity(n)),
        )
        for n in range(5)
    ]
    networks = [
        Life(
            raw.networkDefineXML,
            raw.networkCreateXML,
            isolated_network(f"life-{n}", f"10.78.{n}.1", uuid=identity(50 + n)),
        )
        for n in range(5)
    ]
    return [*pools, *networks]


@contextmanager
def host_of(uri: str, **settings: Any) -> Iterator[Host]:
    """A hypervisor, until the end."""
    connection = Connection(uri)
    chosen = HostSettings(side_file_dir=None, events=ONLY_EVENTS, **settings)
    host = Host(connection, FAMILIES["KVM"], chosen)
    try:
        yield host
    finally:
        host.close()
        connection.close()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("where", ["process", "daemon"])
def test_random_lives(seed: int, where: str, request: pytest.FixtureRequest) -> None:
    """Whatever happens how quickly, every state is told, in order, once."""
    uri = "test:///default"
    if where == "daemon":
        uri = request.getfixturevalue("box").test_uri
    told: dict[str, list[States]] = defaultdict(list)

    def listen(changes: Sequence[Change[Watched[Any]]]) -> None:
        for change in changes:
            states = [one and one.active for one in (change.before, change.after)]
            told[change.latest.uuid].append((states[0], states[1]))

    chance = random.Random(seed)
    with other_client(uri) as raw, host_of(uri) as host:
        watchers: list[Watcher[Any]] = [host.watchers.storage_pools, host.watchers.networks]
        for watcher in watchers:
            watcher.watch(listen)
        lives = _lives(raw)
        for _ in range(300):
            life = chance.choice(lives)
            life.move(chance.choice(MOVES[life.state]))
        for life in lives:
            life.end()
        lived = {life.handle.UUIDString(): life.lived for life in lives if life.lived}
        wait_until(lambda: told == lived, "all changes")


# --- changes by this process -------------------------------------------------------------------------


def test_a_pool_is_changed_by_one_at_a_time() -> None:
    with other_client() as raw, host_of("test:///default", lock_timeout=0.05) as host:
        pool = raw.storagePoolDefineXML(directory_pool("held", "/held"), 0)
        network = raw.networkDefineXML(isolated_network("held", "10.78.9.1"))
        holding, enough = threading.Event(), threading.Event()

        def hold() -> None:
            with (
                host.storage_pool_locks.hold(pool.UUIDString(), 1),
                host.network_locks.hold(network.UUIDString(), 1),
            ):
                holding.set()
                enough.wait(20)

        holder = threading.Thread(target=hold)
        holder.start()
        try:
            assert holding.wait(20)
            for delete in (pool_changes.delete_storage_pool, pool_changes.delete_network):
                with pytest.raises(Busy, match="is being changed by another request"):
                    delete(host, "held")
        finally:
            enough.set()
            holder.join()
        pool_changes.delete_storage_pool(host, "held")
        pool_changes.delete_network(host, "held")
        assert "held" not in [
            one.name() for one in (*raw.listAllStoragePools(), *raw.listAllNetworks())
        ]
