# SPDX-License-Identifier: LGPL-2.1-or-later
"""Associations of resource pools: with their host, their parent, and what guests take from them.

::

    P_HostSystem --HostedResourcePool-- P_<kind>Pool --ElementAllocatedFromPool-- P_<device>, P_<kind>Pool
                                              |
                                   ResourceAllocationFromPool -- P_<kind>RASD

A disk belongs to the storage pool that has a volume of its path, a network port to its network or to the
one whose bridge it is on, everything else to the only pool of its kind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from libvirtcim.cim.associations import Association, Handler, Target
from libvirtcim.cim.declare import CIMV2, VIRT
from libvirtcim.cim.provider import ProviderRequest
from libvirtcim.providers.common import (
    GuestItem,
    HostItem,
    HostReading,
    Provided,
    association,
    translated,
)
from libvirtcim.providers.device import (
    CLASS_OF_KIND,
    DeviceItem,
    device_items,
    setting_items,
)
from libvirtcim.providers.guest_associations import HOST
from libvirtcim.providers.resource_allocation.kinds import SETTINGS
from libvirtcim.providers.resource_pool import (
    PARENT,
    POOL_OF_KIND,
    POOLS,
    PoolItem,
    pool_items,
    tag_of,
)
from libvirtcim.virt.host import Hosts, Needs
from libvirtcim.virt.pools import Network, StoragePool

KINDS = tuple(pool.kind for pool in POOLS)
"""Kinds of devices that come from pools: consoles don't."""
POOL_BASES = tuple(pool.decl.base for pool in POOLS)
CHILD_BASES = tuple(POOL_OF_KIND[kind].decl.base for kind in ("net", "disk"))
"""Of the pools that have children."""
DEVICE_BASES = tuple(CLASS_OF_KIND[kind].decl.base for kind in KINDS)
SETTING_BASES = tuple(SETTINGS[kind].decl.base for kind in KINDS)

Lister = Callable[[GuestItem, str], Iterable[DeviceItem]]


def pool_tag(item: DeviceItem) -> str | None:
    """Tag of the pool that a device or setting comes from; None where it comes from none."""
    reading = item.owner.reading
    if item.kind == "disk":
        return _storage_pool_of(reading, item.device)
    if item.kind == "net":
        return _network_of(reading, item.device)
    return PARENT


def _storage_pool_of(reading: HostReading, disk: object) -> str | None:
    name: str | None = getattr(disk, "source_pool", None)
    if name is None:
        volume = reading.volumes.get(getattr(disk, "source_text", ""))
        name = None if volume is None else volume.pool
    return _tag(reading.pool_of_name, name)


def _network_of(reading: HostReading, interface: object) -> str | None:
    if getattr(interface, "type", None) == "bridge":
        return _tag(reading.network_of_bridge, getattr(interface, "source", None))
    return _tag(reading.network_of_name, getattr(interface, "source_network", None))


def _tag(known: Mapping[str, StoragePool] | Mapping[str, Network], name: str | None) -> str | None:
    """Tag of one of libvirt's pools; None where it has none of that name."""
    found = None if name is None else known.get(name)
    return None if found is None else tag_of(found)


def _members(
    request: ProviderRequest,
    reading: HostReading,
    prefix: str,
    kind: str,
    lister: Lister,
    needs: Needs,
) -> Mapping[str | None, list[DeviceItem]]:
    """Everything of a kind that the host's guests have, by pool: one pass, kept for the request."""
    key = ("members", reading.host, kind, lister)
    found: Mapping[str | None, list[DeviceItem]] | None = request.shared.get(key)
    if found is None:
        by_tag: dict[str | None, list[DeviceItem]] = defaultdict(list)
        for guest in reading.guests(needs):
            for device in lister(GuestItem(prefix, reading, guest), kind):
                by_tag[pool_tag(device)].append(device)
        found = request.shared[key] = by_tag
    return found


def _host_of(
    _request: ProviderRequest, _base: str, item: PoolItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    yield Target(HOST, HostItem(item.prefix, item.reading))


def _pools_of(
    request: ProviderRequest, _base: str, item: HostItem, wanted: frozenset[str]
) -> Iterable[Target]:
    reading = item.reading
    with translated("Unable to list pools"):
        for pool in POOLS:
            if pool.decl.base in wanted:
                yield from _targets(pool_items(item.prefix, reading, pool))


def _targets(pools: Iterable[PoolItem]) -> Iterator[Target]:
    return (Target(pool.of.decl.base, pool) for pool in pools)


def _pool_of(
    request: ProviderRequest, _base: str, item: DeviceItem, wanted: frozenset[str]
) -> Iterable[Target]:
    of, reading = POOL_OF_KIND[item.kind], item.owner.reading
    if of.decl.base not in wanted:
        return
    with translated("Cannot determine pool"):
        tag = pool_tag(item)
        found = (p for p in pool_items(item.prefix, reading, of) if tag_of(p.source) == tag)
        yield from _targets(found)


def _parent_of(
    request: ProviderRequest, _base: str, item: PoolItem, wanted: frozenset[str]
) -> Iterable[Target]:
    if item.source is not None and item.of.decl.base in wanted:
        yield Target(item.of.decl.base, PoolItem(item.prefix, item.reading, item.of))


def _allocated_from(
    request: ProviderRequest, base: str, item: PoolItem, wanted: frozenset[str]
) -> Iterable[Target]:
    """Devices of the pool, then its children; of a child also its parent, from which it is allocated."""
    kind, device_base = item.of.kind, CLASS_OF_KIND[item.of.kind].decl.base
    with translated("Unable to list members of the pool"):
        if device_base in wanted:
            # for the settings too, that both take one pass over the guests
            needs = Needs.LIVE if request.names_only else Needs.LIVE | SETTINGS[kind].needs
            members = _members(request, item.reading, item.prefix, kind, device_items, needs)
            yield from (Target(device_base, d) for d in members.get(tag_of(item.source), ()))
        if base not in wanted:
            return
        if item.source is None:
            pools = pool_items(item.prefix, item.reading, item.of)
            yield from _targets(pool for pool in pools if pool.source is not None)
    for parent in _parent_of(request, base, item, wanted):
        yield Target(parent.base, parent.item, swapped=True)


def _settings_from(
    request: ProviderRequest, _base: str, item: PoolItem, wanted: frozenset[str]
) -> Iterable[Target]:
    setting = SETTINGS[item.of.kind]
    if setting.decl.base not in wanted:
        return
    needs = Needs.LIVE if request.names_only else setting.needs
    with translated("Unable to list settings of the pool"):
        members = _members(request, item.reading, item.prefix, setting.kind, setting_items, needs)
        yield from (Target(setting.decl.base, s) for s in members.get(tag_of(item.source), ()))


HOSTED_RESOURCE_POOL = Association(
    association("HostedResourcePool", "A host and one of its pools.", namespaces=(VIRT, CIMV2)),
    (
        Handler(POOL_BASES, "PartComponent", (HOST,), "GroupComponent", _host_of),
        Handler((HOST,), "GroupComponent", POOL_BASES, "PartComponent", _pools_of, enumerated=True),
    ),
)

ELEMENT_ALLOCATED_FROM_POOL = Association(
    association("ElementAllocatedFromPool", "A pool, and a device or pool that comes out of it."),
    (
        Handler(DEVICE_BASES, "Dependent", POOL_BASES, "Antecedent", _pool_of),
        Handler(
            POOL_BASES,
            "Antecedent",
            (*DEVICE_BASES, *POOL_BASES),
            "Dependent",
            _allocated_from,
            enumerated=True,
        ),
        Handler(CHILD_BASES, "Dependent", CHILD_BASES, "Antecedent", _parent_of),
    ),
)

RESOURCE_ALLOCATION_FROM_POOL = Association(
    association("ResourceAllocationFromPool", "A pool, and a setting that takes out of it."),
    (
        Handler(SETTING_BASES, "Dependent", POOL_BASES, "Antecedent", _pool_of),
        Handler(
            POOL_BASES, "Antecedent", SETTING_BASES, "Dependent", _settings_from, enumerated=True
        ),
    ),
)

CONCRETE_COMPONENT = Association(
    association(
        "ConcreteComponent",
        "A pool and the part of the host that makes it up. The parts are instances of other providers "
        "(Linux_EthernetPort, Linux_Processor), so there are none here.",
    ),
    (),
)

ASSOCIATIONS = (
    HOSTED_RESOURCE_POOL,
    ELEMENT_ALLOCATED_FROM_POOL,
    RESOURCE_ALLOCATION_FROM_POOL,
    CONCRETE_COMPONENT,
)


def provide(hosts: Hosts) -> Provided:
    """The module's association classes and their handlers."""
    return Provided(tuple(a.decl for a in ASSOCIATIONS), (), ASSOCIATIONS)
