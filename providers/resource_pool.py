# SPDX-License-Identifier: LGPL-2.1-or-later
"""Resource pools: where guests' memory, processors, disks, networks and devices come from.

Every kind has a parent, `<Kind>Pool/0`. Disk pools (libvirt's storage pools) and network pools (its
virtual networks) are its children; of the other kinds the parent is the only pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from libvirtcim.cim.declare import INTEROP, VIRT, ClassDecl, Property
from libvirtcim.cim.errors import Failed, NotFound
from libvirtcim.cim.objects import InstancePath
from libvirtcim.cim.provider import Columns, ProviderRequest
from libvirtcim.providers.common import (
    ALL,
    FamilyProvider,
    HostReading,
    Provided,
    has_class,
    prefixes_with,
    registered,
    translated,
)
from libvirtcim.virt.host import Guest, Hosts, Needs
from libvirtcim.virt.pools import Network, StoragePool

PARENT = "0"
"""Tag of the parent, and only pool, of a kind."""
MIB = 1 << 20
OK, STOPPED = 2, 10
"""OperationalStatus of what runs and of what does not."""


@dataclass(frozen=True, slots=True)
class PoolClass:
    """A pool class: declaration, kind of its devices, CIM resource type, what it shows of a pool."""

    decl: ClassDecl
    kind: str
    title: str
    resource_type: int
    columns: Columns


@dataclass(frozen=True, slots=True)
class PoolItem:
    """A pool of a family's host; `source` is libvirt's storage pool or network, None for the parent."""

    prefix: str
    reading: HostReading
    of: PoolClass
    source: StoragePool | Network | None = None

    @property
    def pool_id(self) -> str:
        """`<Kind>Pool/<tag>`."""
        return f"{self.of.decl.base}/{tag_of(self.source)}"


def tag_of(source: StoragePool | Network | None) -> str:
    """What tells a pool from others of its kind."""
    return PARENT if source is None else tag_of_name(source.name)


def tag_of_name(name: str) -> str:
    """The tag of a storage pool or network: its name.

    One that is called as the parent gets a slash in front, which libvirt takes in no name.
    """
    return f"/{name}" if name == PARENT else name


def name_of_tag(tag: str) -> str:
    """The name of the storage pool or network with a tag."""
    return tag.removeprefix("/")


def _decl(base: str, kind: str, description: str, *properties: Property) -> ClassDecl:
    interop = (INTEROP,) if base in _IN_INTEROP else ()
    return ClassDecl(
        base,
        "CIM_ResourcePool",
        description,
        prefixes_with(kind) if kind == "controller" else ALL,
        properties,
        namespaces=(VIRT, *interop),
        registration=registered("Virt_DevicePool"),
    )


_IN_INTEROP = ("MemoryPool", "ProcessorPool", "DiskPool", "NetworkPool")


def _active_memory(item: PoolItem) -> int:
    return sum(guest.memory_kib or 0 for guest in _running(item, Needs.MEMORY))


def _active_processors(item: PoolItem) -> int:
    return sum(guest.vcpus_online or 0 for guest in _running(item, Needs.VCPUS))


def _running(item: PoolItem, needs: Needs) -> Iterator[Guest]:
    with translated("Unable to list guests"):
        return (guest for guest in item.reading.guests(needs) if guest.active)


def _view(name: str) -> Any:
    """A property of the definition of a pool that is no parent."""
    return lambda item: getattr(item.source.view, name) if item.source else None


def _megabytes(name: str) -> Any:
    def value(item: PoolItem) -> int | None:
        size = getattr(item.source.view, name) if item.source else None
        return None if size is None else size // MIB

    return value


def _bridge_caption(item: PoolItem) -> str | None:
    bridge = _view("bridge")(item)
    return f"Bridge: {bridge}" if bridge else None


def _server(item: PoolItem) -> str | None:
    hosts = _view("source_hosts")(item)
    return hosts[0] if hosts else None


POOLS = (
    PoolClass(
        _decl("ProcessorPool", "proc", "The processors of the host."),
        "proc",
        "Processors",
        3,
        {
            "AllocationUnits": lambda i: "Processors",
            "ConsumedResourceUnits": lambda i: "Processors",
            "Capacity": lambda i: i.reading.node.cpus if i.reading.node else 0,
            "Reserved": lambda i: 0,
            "CurrentlyConsumedResource": _active_processors,
        },
    ),
    PoolClass(
        _decl("MemoryPool", "mem", "The memory of the host."),
        "mem",
        "Memory",
        4,
        {
            "AllocationUnits": lambda i: "byte*2^10",
            "ConsumedResourceUnits": lambda i: "byte*2^10",
            "Capacity": lambda i: i.reading.node.memory_kib if i.reading.node else 0,
            "Reserved": _active_memory,
            "CurrentlyConsumedResource": _active_memory,
        },
    ),
    PoolClass(
        _decl("NetworkPool", "net", "A virtual network, or the parent of all of them."),
        "net",
        "Networks",
        10,
        {"Caption": _bridge_caption},
    ),
    PoolClass(
        _decl(
            "DiskPool",
            "disk",
            "A storage pool, or the parent of all of them. Sizes are in MiB.",
            Property("Path", "string", "Directory under which the pool's volumes appear."),
            Property("Autostart", "uint16", "1 if the pool starts with the host."),
            Property("Host", "string", "Server that holds the pool."),
            Property("SourceDirectory", "string", "Directory on the server."),
        ),
        "disk",
        "Disks",
        17,
        {
            "AllocationUnits": lambda i: "Megabytes",
            "ConsumedResourceUnits": lambda i: "Megabytes",
            "Caption": lambda i: i.source.name if i.source else PARENT,
            "Capacity": _megabytes("capacity"),
            "Reserved": _megabytes("allocation"),
            "CurrentlyConsumedResource": _megabytes("allocation"),
            "Path": _view("target_path"),
            "Host": _server,
            "SourceDirectory": _view("source_dir"),
            "OtherResourceType": _view("type"),
            "Autostart": lambda i: int(i.source.autostart) if i.source else None,
        },
    ),
    PoolClass(_decl("GraphicsPool", "graphics", "Displays."), "graphics", "Displays", 24, {}),
    PoolClass(_decl("InputPool", "input", "Input devices."), "input", "Input devices", 13, {}),
    PoolClass(
        _decl("ControllerPool", "controller", "Bus controllers."),
        "controller",
        "Bus controllers",
        32771,
        {},
    ),
)
"""In the order in which a host's pools are listed."""

POOL_OF_KIND = {pool.kind: pool for pool in POOLS}
POOL_OF_BASE = {pool.decl.base.lower(): pool for pool in POOLS}
"""By the base name in lower case."""


def children(reading: HostReading, of: PoolClass) -> list[StoragePool] | list[Network]:
    """libvirt's pools of a kind, those that run first; raises VirtError."""
    if of.kind == "disk":
        return reading.storage_pools
    return reading.networks if of.kind == "net" else []


def pool_items(prefix: str, reading: HostReading, of: PoolClass) -> Iterator[PoolItem]:
    """All pools of a kind: libvirt's, then the parent; raises VirtError."""
    for source in children(reading, of):
        yield PoolItem(prefix, reading, of, source)
    yield PoolItem(prefix, reading, of)


def pools_of_host(prefix: str, reading: HostReading) -> Iterator[PoolItem]:
    """All pools of a host, of the kinds that its family has; raises VirtError."""
    for of in POOLS:
        if has_class(reading.host.family, of.decl):
            yield from pool_items(prefix, reading, of)


def pool_named(prefix: str, reading: HostReading, of: PoolClass, tag: str) -> PoolItem:
    """The pool with a tag, asked for by itself; raises VirtError where libvirt has none."""
    if tag == PARENT:
        return PoolItem(prefix, reading, of)
    name = name_of_tag(tag)
    find = reading.host.storage_pool if of.kind == "disk" else reading.host.network
    return PoolItem(prefix, reading, of, find(name))


def pool_with_id(prefix: str, reading: HostReading, pool_id: str) -> PoolItem:
    """The pool of any kind with an InstanceID; raises NotFound, saying why."""
    base, slash, tag = pool_id.partition("/")
    of = POOL_OF_BASE.get(base.lower())
    if of is None or not has_class(reading.host.family, of.decl) or not slash:
        raise NotFound(f"No such instance ({pool_id}) - resource pool type mismatch")
    missing = NotFound(f"No such instance ({tag})")
    if tag != PARENT and of.kind not in ("disk", "net"):
        raise missing
    try:
        with translated("Unable to read the pool"):
            return pool_named(prefix, reading, of, tag)
    except NotFound as error:
        raise missing from error


class PoolProvider(FamilyProvider[PoolItem]):
    """Serves one pool class."""

    def __init__(self, pool: PoolClass, hosts: Hosts) -> None:
        common: Columns = {
            "InstanceID": lambda i: i.pool_id,
            "PoolID": lambda i: i.pool_id,
            "ResourceType": lambda i: pool.resource_type,
            "Primordial": lambda i: i.source is None,
            "ElementName": lambda i: i.source.name if i.source else pool.title,
            "OperationalStatus": lambda i: [OK if i.source is None or i.source.active else STOPPED],
        }
        super().__init__(pool.decl, hosts, {**common, **pool.columns})
        self._pool = pool

    def items(self, request: ProviderRequest) -> Iterable[PoolItem]:
        """The pools of the host, if its hypervisor answers."""
        reading = self.reading(request)
        if reading is None:
            return []
        with translated(f"Unable to list {self._pool.title.lower()}"):
            return list(pool_items(request.prefix, reading, self._pool))

    def find(self, request: ProviderRequest, path: InstancePath) -> PoolItem:
        """The pool called `InstanceID`."""
        pool_id = path.text("InstanceID")
        if not pool_id:
            raise Failed("Missing InstanceID")
        if pool_id.partition("/")[0].lower() != self._pool.decl.base.lower():
            raise NotFound(f"No such instance ({pool_id}) - resource pool type mismatch")
        reading = self.reading(request)
        if reading is None:
            raise NotFound(self.absent)
        return pool_with_id(request.prefix, reading, pool_id)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return Provided(
        tuple(pool.decl for pool in POOLS), tuple(PoolProvider(pool, hosts) for pool in POOLS)
    )
