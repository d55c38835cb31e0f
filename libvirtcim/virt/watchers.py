# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tells of changes on a host: one watcher for each kind of objects.

Loaded when somebody first wants to be told: most CIM servers never watch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from libvirtcim.virt.connection import Connection
from libvirtcim.virt.events import Watcher
from libvirtcim.virt.guest import Guest
from libvirtcim.virt.guest_events import Guests
from libvirtcim.virt.guest_reader import GuestReader
from libvirtcim.virt.locks import Locks
from libvirtcim.virt.pool_events import NETWORKS, STORAGE_POOLS
from libvirtcim.virt.pool_history import Watched
from libvirtcim.virt.settings import EventSettings


class Watchers(NamedTuple):
    """The watchers of a host, none of which watches before it is asked to."""

    guests: Watcher[Guest]
    storage_pools: Watcher[Watched[Any]]
    networks: Watcher[Watched[Any]]

    @classmethod
    def of(
        cls,
        connection: Connection,
        reader: GuestReader,
        settings: EventSettings,
        *,
        guest_locks: Locks,
        storage_pool_locks: Locks,
        network_locks: Locks,
    ) -> Watchers:
        """Each waits for changes that this process makes under the locks of its kind of objects."""
        return cls(
            Watcher(connection, Guests(reader), guest_locks, settings),
            Watcher(connection, STORAGE_POOLS, storage_pool_locks, settings),
            Watcher(connection, NETWORKS, network_locks, settings),
        )
