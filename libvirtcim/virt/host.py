# SPDX-License-Identifier: LGPL-2.1-or-later
"""A hypervisor as the providers see it: guests in bulk, volumes, capabilities, names.

Every answer is fresh; how guests are read is `guest_reader`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import libvirt

from libvirtcim.virt import guestdata, hostname
from libvirtcim.virt.capabilities import Capabilities
from libvirtcim.virt.capabilities import parse as parse_capabilities
from libvirtcim.virt.connection import Connection, ConnectionStatus
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.errors import ObjectNotFound, Unsupported
from libvirtcim.virt.families import FAMILIES, KNOWN, MORE_FAMILIES, Family
from libvirtcim.virt.fanout import FanOut
from libvirtcim.virt.guest import BLOCKED, NOSTATE, RUNNING, Guest, Needs
from libvirtcim.virt.guest_reader import GuestReader
from libvirtcim.virt.guestdata import GuestData, SideFiles
from libvirtcim.virt.locks import Locks
from libvirtcim.virt.nwfilter import Filter, find_filter, read_filters
from libvirtcim.virt.pools import (
    Network,
    StoragePool,
    find_network,
    find_storage_pool,
    read_networks,
    read_storage_pools,
)
from libvirtcim.virt.settings import ConnectionSettings, HostSettings
from libvirtcim.virt.volumes import Volume, read_volumes

if TYPE_CHECKING:
    from libvirtcim.virt.watchers import Watchers

__all__ = ["Guest", "Host", "Hosts", "Needs", "NodeInfo", "Volume"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """The machine: architecture, memory in KiB, CPU count."""

    arch: str
    memory_kib: int
    cpus: int


@dataclass(frozen=True, slots=True)
class Versions:
    """Kind of the hypervisor as libvirt calls it, its version and libvirt's as `major.minor.release`."""

    kind: str
    hypervisor: str
    libvirt: str


class Host:
    """One hypervisor: a connection and the family that it is shown as. Thread-safe."""

    def __init__(
        self, connection: Connection, family: Family, settings: HostSettings | None = None
    ) -> None:
        self.connection = connection
        self.family = family
        self.settings = settings or HostSettings()
        self.locks = Locks("guest")
        self.filter_locks = Locks("network filter")
        self.storage_pool_locks = Locks("storage pool")
        self.network_locks = Locks("network")
        self.migrating: set[str] = set()
        """UUIDs of the guests that are on their way to another host."""
        self.side_files = (
            SideFiles(self.settings.side_file_dir, family.side_file_type)
            if self.settings.side_file_dir
            else None
        )
        self._name = hostname.HostName(self.settings.host_name)
        self._guests = GuestReader(
            connection,
            FanOut(self.settings.in_flight, f"libvirt-{family.prefix}"),
            self.settings.guest_deadline,
        )
        self._watchers: Watchers | None = None
        self._making_watchers = threading.Lock()
        self._capabilities: tuple[int, Capabilities] | None = None

    @property
    def watchers(self) -> Watchers:
        """What tells of changes, one for each kind of objects."""
        from libvirtcim.virt.watchers import Watchers

        with self._making_watchers:
            if self._watchers is None:
                self._watchers = Watchers.of(
                    self.connection,
                    self._guests,
                    self.settings.events,
                    guest_locks=self.locks,
                    storage_pool_locks=self.storage_pool_locks,
                    network_locks=self.network_locks,
                )
            return self._watchers

    # -- guests ---------------------------------------------------------------------------------

    def guests(self, needs: Needs = Needs.STATE) -> list[Guest]:
        """All guests: those that are off in libvirt's order, then the active ones in its order.

        A guest that vanishes meanwhile is left out; one that libvirt does not answer for in time is
        shown as last known (`Guest.stale`).
        """
        return self.connection.call(lambda raw: self._guests.all(raw, needs))

    def guest(self, name: str, needs: Needs = Needs.STATE) -> Guest:
        """The guest of that name; GuestNotFound with libvirt's text if there is none."""
        return self.connection.call(lambda raw: self._guests.one(raw.lookupByName(name), needs))

    def guest_by_uuid(self, uuid: str, needs: Needs = Needs.STATE) -> Guest:
        """The guest of that UUID; GuestNotFound with libvirt's text if there is none."""
        return self.connection.call(
            lambda raw: self._guests.one(raw.lookupByUUIDString(uuid), needs)
        )

    def last_seen(self) -> list[Domain]:
        """Definitions of guests as they were last read, whenever that was; asks libvirt nothing."""
        return self._guests.last_seen()

    def is_online(self, guest: Guest) -> bool:
        """Whether the guest runs: running or blocked, and for Xen also "no state"."""
        if guest.state == NOSTATE:
            return self.family.nostate_is_running
        return guest.state in (RUNNING, BLOCKED)

    def guest_data(self, guest: Guest) -> GuestData:
        """The guest's stored data; the guest must have been read with LIVE or CONFIG."""
        view = guest.any_view
        if view is None:
            raise LookupError(f"guest {guest.name} was read without Needs.LIVE or Needs.CONFIG")
        return guestdata.stored(view, guest.name, guest.uuid, self.side_files)

    def write_guest_data(self, name: str, **changes: Any) -> GuestData:
        """Change values of a guest's stored data (see `GuestData`); None removes one."""

        def change(raw: Any) -> GuestData:
            domain = raw.lookupByName(name)
            with self.locks.hold(domain.UUIDString(), self.settings.lock_timeout):
                view = Domain.view(domain.XMLDesc(0))
                return guestdata.write(domain, view, self.side_files, **changes)

        return self.connection.call(change, idempotent=False)

    def xml(self, name: str, *, inactive: bool = False) -> str:
        """The guest's XML text as libvirt gives it, with secrets unless read-only."""
        flags = self.connection.xml_flags(inactive=inactive)
        return self.connection.call(lambda raw: str(raw.lookupByName(name).XMLDesc(flags)))

    # -- the rest of the host -------------------------------------------------------------------

    def volumes(self, pools: Sequence[StoragePool]) -> Mapping[str, Volume]:
        """The volumes of all active pools, by path; `pools`: what `storage_pools` gave."""
        return self.connection.call(lambda raw: read_volumes(raw, pools, self._volume_sizes))

    def _volume_sizes(self, volume: Any) -> tuple[int, int]:
        _type, capacity, allocation = self.connection.call(lambda raw: volume.info())
        return capacity, allocation

    def _named(self, find: Callable[[Any], T]) -> T:
        """What `find` finds by its name: a driver that knows no such objects has none."""
        try:
            return self.connection.call(find)
        except Unsupported as error:
            raise ObjectNotFound(error.libvirt_message, error.code) from error

    def storage_pools(self) -> list[StoragePool]:
        """All storage pools, those that run first."""
        return self.connection.call(read_storage_pools)

    def storage_pool(self, name: str) -> StoragePool:
        """The storage pool of that name; ObjectNotFound if there is none."""
        return self._named(lambda raw: find_storage_pool(raw, name))

    def networks(self) -> list[Network]:
        """All virtual networks, those that run first."""
        return self.connection.call(read_networks)

    def network(self, name: str) -> Network:
        """The virtual network of that name; ObjectNotFound if there is none."""
        return self._named(lambda raw: find_network(raw, name))

    def capabilities(self) -> Capabilities:
        """What the hypervisor can run; read once per connection made."""
        generation = self.connection.generation
        cached = self._capabilities
        if cached is not None and cached[0] == generation:
            return cached[1]
        parsed = parse_capabilities(self.connection.call(lambda raw: str(raw.getCapabilities())))
        self._capabilities = (self.connection.generation, parsed)
        return parsed

    def filters(self) -> list[Filter]:
        """All network filters."""
        return self.connection.call(read_filters)

    def filter(self, name: str) -> Filter:
        """The network filter of that name; ObjectNotFound if there is none."""
        return self._named(lambda raw: find_filter(raw, name))

    def versions(self) -> Versions:
        """What runs the guests, and the library that drives it."""
        return self.connection.call(
            lambda raw: Versions(
                raw.getType(),
                _dotted(_version(raw.getVersion)),
                _dotted(_version(raw.getLibVersion)),
            )
        )

    def max_vcpus(self) -> int:
        """How many virtual processors a guest can have; 1 where libvirt can't tell."""

        def ask(raw: Any) -> int:
            try:
                return int(raw.getMaxVcpus(raw.getType()))
            except libvirt.libvirtError:
                if not raw.isAlive():
                    raise
                return 1

        return self.connection.call(ask)

    def node(self) -> NodeInfo:
        """The machine's architecture, memory and CPUs."""
        info = self.connection.call(lambda raw: raw.getInfo())
        return NodeInfo(arch=info[0], memory_kib=info[1] * 1024, cpus=info[2])

    def name(self) -> str:
        """The host's full name."""
        return self._name.get()

    def short_name(self) -> str:
        """The host's own short name, for texts shown to people."""
        return hostname.short_name()

    def close(self) -> None:
        """End the host's threads; the connection is not closed."""
        for watcher in self._watchers or ():
            watcher.close()
        self._guests.close()


def _version(ask: Callable[[], int]) -> int:
    try:
        return ask()
    except libvirt.libvirtError:
        return 0


def _dotted(version: int) -> str:
    return f"{version // 1000000}.{version // 1000 % 1000}.{version % 1000}"


class Hosts:
    """The hypervisors of this machine by class prefix; one connection per distinct URI."""

    def __init__(
        self,
        uris: Mapping[str, str] | None = None,
        *,
        readonly: bool = False,
        connection_settings: ConnectionSettings | None = None,
        settings: HostSettings | None = None,
    ) -> None:
        """`uris` maps prefixes to libvirt URIs; None takes every family's default."""
        if uris is None:
            uris = {prefix: family.uri for prefix, family in FAMILIES.items()}
        connections: dict[str, Connection] = {}
        self.settings = settings or HostSettings()
        self._hosts: dict[str, Host] = {}
        self._closing: list[Callable[[], object]] = []
        for prefix, uri in uris.items():
            if uri not in connections:
                connections[uri] = Connection(uri, readonly, connection_settings)
            self._hosts[prefix] = Host(connections[uri], KNOWN[prefix], settings)
        self._connections = connections

    def host(self, prefix: str) -> Host:
        """The host of a prefix as configured; KeyError for another."""
        return self._hosts[prefix]

    @property
    def more_families(self) -> tuple[Family, ...]:
        """The families besides the three usual ones that have a connection."""
        return tuple(f for prefix, f in MORE_FAMILIES.items() if prefix in self._hosts)

    def __iter__(self) -> Any:
        return iter(self._hosts.values())

    def __len__(self) -> int:
        return len(self._hosts)

    def status(self) -> dict[str, ConnectionStatus]:
        """How the connection of every prefix stands."""
        return {prefix: host.connection.status() for prefix, host in self._hosts.items()}

    def at_close(self, end: Callable[[], object]) -> None:
        """What is to be ended, in bounded time, before the connections close."""
        self._closing.append(end)

    def close(self) -> None:
        """Close all connections."""
        for end in self._closing:
            end()
        for host in self._hosts.values():
            host.close()
        for connection in self._connections.values():
            connection.close()
