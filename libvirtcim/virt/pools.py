# SPDX-License-Identifier: LGPL-2.1-or-later
"""Storage pools and virtual networks of a host, running or not, as one reading saw them; volumes.

What is declared here both reads libvirt's definitions and writes new ones (see `pool_changes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import libvirt

from libvirtcim.virt.handles import listed, readable
from libvirtcim.virt.xmltree import Attr, Flag, IntText, Size, Text, Values, XmlObject, computed

IMAGE_POOLS = frozenset({"dir", "fs", "netfs", "gluster", "vstorage"})
"""Types of the storage pools whose volumes are files, and have a format."""
BLOCK_POOLS = frozenset({"disk", "iscsi", "iscsi-direct", "logical", "mpath", "scsi"})
"""Types of the storage pools whose volumes are block devices."""


class StoragePoolDefinition(XmlObject):
    """`<pool>`: where volumes are kept. Sizes are in bytes, as libvirt last saw them."""

    TAG = "pool"

    type = Attr("type")
    name = Text("name")
    uuid = Text("uuid")
    capacity = Size("capacity")
    allocation = Size("allocation")
    available = Size("available")
    source_hosts = Values("source/host", "name")
    source_dir = Attr("source/dir", "path")
    source_devices = Values("source/device", "path")
    source_name = Text("source/name")
    source_format = Attr("source/format", "type")
    adapter_type = Attr("source/adapter", "type")
    adapter_parent = Attr("source/adapter", "parent")
    adapter_name = Attr("source/adapter", "name")
    adapter_port = Attr("source/adapter", "wwpn")
    adapter_node = Attr("source/adapter", "wwnn")
    target_path = Text("target/path")


class NetworkDefinition(XmlObject):
    """`<network>`: a virtual network. One without a bridge has its guests on a host device.

    `has_bridge` without `bridge`: libvirt makes a bridge and finds a name for it.
    """

    TAG = "network"

    name = Text("name")
    uuid = Text("uuid")
    has_bridge = Flag("bridge")
    bridge = Attr("bridge", "name")
    forward_mode = Attr("forward", "mode")
    forward_device = Attr("forward", "dev")
    address = Attr("ip", "address")
    netmask = Attr("ip", "netmask")
    range_start = Attr("ip/dhcp/range", "start")
    range_end = Attr("ip/dhcp/range", "end")

    @computed
    def is_isolated(self) -> bool:
        """Whether nothing leads out of it."""
        return self.forward_mode is None and self.forward_device is None


class VolumeDefinition(XmlObject):
    """`<volume>`: a storage volume. `allocation` is in bytes; `capacity` is in `capacity_unit`.

    libvirt itself writes sizes in bytes.
    """

    TAG = "volume"

    name = Text("name")
    allocation = Size("allocation")
    capacity = IntText("capacity")
    capacity_unit = Attr("capacity", "unit")
    path = Text("target/path")
    format = Attr("target/format", "type")


DefinitionT = TypeVar("DefinitionT", bound=XmlObject)


@dataclass(frozen=True, slots=True)
class Managed(Generic[DefinitionT]):
    """A storage pool or network: identity, state, and a frozen view of its definition.

    `active`: whether it runs. `autostart`: whether it starts with the host.
    """

    name: str
    uuid: str
    active: bool
    autostart: bool
    view: DefinitionT


StoragePool = Managed[StoragePoolDefinition]
Network = Managed[NetworkDefinition]


def read_storage_pools(raw: Any) -> list[StoragePool]:
    """All storage pools: those that run in libvirt's order, then the others in its order."""
    return _read(
        raw.listAllStoragePools,
        raw,
        StoragePoolDefinition,
        libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE,
        libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_AUTOSTART,
    )


def read_networks(raw: Any) -> list[Network]:
    """All virtual networks: those that run in libvirt's order, then the others in its order."""
    return _read(
        raw.listAllNetworks,
        raw,
        NetworkDefinition,
        libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE,
        libvirt.VIR_CONNECT_LIST_NETWORKS_AUTOSTART,
    )


def find_storage_pool(raw: Any, name: str) -> StoragePool:
    """The storage pool of that name; raises libvirtError where there is none."""
    return _one(raw.storagePoolLookupByName(name), StoragePoolDefinition)


def find_network(raw: Any, name: str) -> Network:
    """The virtual network of that name; raises libvirtError where there is none."""
    return _one(raw.networkLookupByName(name), NetworkDefinition)


def find_volume(raw: Any, path: str) -> VolumeDefinition:
    """The definition of the volume with that path; raises libvirtError where there is none."""
    return VolumeDefinition.view(raw.storageVolLookupByPath(path).XMLDesc(0))


def _read(
    list_all: Callable[[int], Iterable[Any]],
    raw: Any,
    kind: type[DefinitionT],
    active_flag: int,
    autostart_flag: int,
) -> list[Managed[DefinitionT]]:
    """Reads all of one kind; one that vanishes meanwhile is left out."""
    handles = listed(list_all)
    active = {handle.UUIDString() for handle in listed(list_all, active_flag)}
    autostart = {handle.UUIDString() for handle in listed(list_all, autostart_flag)}
    handles.sort(key=lambda handle: handle.UUIDString() not in active)

    def read(handle: Any) -> Managed[DefinitionT]:
        uuid = handle.UUIDString()
        return _managed(handle, kind, uuid in active, uuid in autostart)

    return readable(raw, handles, read, kind.TAG)


def _one(handle: Any, kind: type[DefinitionT]) -> Managed[DefinitionT]:
    return _managed(handle, kind, bool(handle.isActive()), bool(handle.autostart()))


def _managed(
    handle: Any, kind: type[DefinitionT], active: bool, autostart: bool
) -> Managed[DefinitionT]:
    view = kind.view(handle.XMLDesc(0))
    return Managed(handle.name(), handle.UUIDString(), active, autostart, view)
