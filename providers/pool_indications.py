# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications of disk pools and network pools; pools of other kinds don't come, change or go."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from libvirtcim.cim.declare import VIRT
from libvirtcim.cim.indications import Publish
from libvirtcim.cim.objects import Instance
from libvirtcim.providers.change_source import InstanceSource, Watches
from libvirtcim.providers.common import HostReading, Provided
from libvirtcim.providers.indication import RESOURCE_POOL
from libvirtcim.providers.resource_allocation.pool import DISK_POOL, NET_POOL, PoolSettingItem
from libvirtcim.providers.resource_pool import POOL_OF_KIND, PoolItem
from libvirtcim.virt.host import Hosts

if TYPE_CHECKING:
    from libvirtcim.virt.pool_history import Watched

_SETTINGS = {"disk": DISK_POOL, "net": NET_POOL}
"""The classes of the settings of pools, by the kind of pool."""


class PoolSource(InstanceSource[PoolItem]):
    """Tells of storage pools and networks."""

    subject = RESOURCE_POOL

    def watched(self) -> Watches[PoolItem]:
        """The storage pools and networks of the host."""
        watchers = self.host.watchers
        return [
            (watchers.storage_pools, partial(_item, self.prefix, "disk")),
            (watchers.networks, partial(_item, self.prefix, "net")),
        ]

    def row(self, publish: Publish, item: PoolItem) -> Instance:
        """What a read shows of the pool."""
        return publish.row(VIRT, item.of.decl.class_name(self.prefix), item)

    def uuid(self, item: PoolItem) -> str:
        """Of the storage pool or network."""
        return _watched(item).uuid

    def has_changed(self, publish: Publish, before: PoolItem, after: PoolItem) -> bool:
        """Whether the pool's definition or what its settings show has changed."""
        if _watched(before).definition != _watched(after).definition:
            return True
        was, now = (self._setting(publish, item) for item in (before, after))
        return was != now

    def _setting(self, publish: Publish, item: PoolItem) -> Instance:
        classname = _SETTINGS[item.of.kind].class_name(self.prefix)
        setting = PoolSettingItem(self.prefix, item.reading, item.pool_id, _watched(item))
        return publish.row(VIRT, classname, setting)


def _item(prefix: str, kind: str, reading: HostReading, source: Watched[Any]) -> PoolItem:
    return PoolItem(prefix, reading, POOL_OF_KIND[kind], source)


def _watched(item: PoolItem) -> Watched[Any]:
    return cast("Watched[Any]", item.source)


def provide(hosts: Hosts) -> Provided:
    """What tells of the pools of each host."""
    return Provided((), indications=[PoolSource(host) for host in hosts])
