# SPDX-License-Identifier: LGPL-2.1-or-later
"""RASD classes of pools and volumes: what there is, and what clients send to have more made.

A client reads one, changes what it wants and sends it back, as with templates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.cim.errors import Failed, NotFound
from libvirtcim.cim.objects import InstancePath, Value
from libvirtcim.cim.provider import Columns, ProviderRequest
from libvirtcim.providers.byte_units import BYTE, scaled
from libvirtcim.providers.common import (
    ALL,
    FamilyProvider,
    HostReading,
    Provided,
    registered,
    translated,
)
from libvirtcim.providers.resource_allocation.base import SUPERCLASS
from libvirtcim.providers.resource_allocation.pool_fields import (
    ADAPTER,
    ADAPTER_PARENT,
    NETWORK_FIELDS,
    STORAGE_POOL_FIELDS,
    VOLUME_FORMAT,
    VOLUME_NAME,
    VOLUME_PATH,
    Field,
)
from libvirtcim.providers.resource_pool import tag_of
from libvirtcim.virt.errors import VirtError
from libvirtcim.virt.host import Hosts, Volume
from libvirtcim.virt.pools import IMAGE_POOLS, Network, StoragePool, find_volume

NET_POOL = ClassDecl(
    "NetPoolResourceAllocationSettingData",
    SUPERCLASS,
    "A virtual network, there or to be made.",
    ALL,
    (
        Property("Netmask", "string", "Mask of the network, e.g. 255.255.255.0."),
        Property("IPRangeStart", "string", "First address that DHCP gives."),
        Property("IPRangeEnd", "string", "Last address that DHCP gives."),
        Property("ForwardDevice", "string", "Host interface that traffic leaves by."),
        Property(
            "ForwardMode",
            "uint16",
            "How traffic leaves the network. A bridged one is a bridge of the host, or guests on "
            "ForwardDevice itself, and has no addresses.",
            values={"0": "None", "1": "NAT", "2": "Routed", "3": "Bridged"},
        ),
        Property(
            "BridgeName",
            "string",
            "The network's bridge: of a bridged network one that the host has, of another one that "
            "libvirt makes, with a name of its own choice where none is given.",
        ),
        Property("Autostart", "uint16", "1 if the network starts with the host."),
    ),
    registration=registered("Virt_RASD"),
)

_TYPE_MEANINGS = {
    "0": "Unknown",
    "1": "Directory",
    "2": "File System",
    "3": "Network File System",
    "4": "Disk",
    "5": "ISCSI",
    "6": "Logical",
    "7": "SCSI Host Bus Adapter",
}

DISK_POOL = ClassDecl(
    "DiskPoolResourceAllocationSettingData",
    SUPERCLASS,
    "A storage pool, there or to be made.",
    ALL,
    (
        Property("Type", "uint16", "Kind of the pool.", values=_TYPE_MEANINGS),
        Property("Autostart", "uint16", "1 if the pool starts with the host."),
        Property("Path", "string", "Directory under which the pool's volumes appear."),
        Property("DevicePaths", "string", "Devices that hold the pool.", array=True),
        Property("Host", "string", "Server that holds the pool."),
        Property("SourceDirectory", "string", "Directory on the server."),
        Property("AdapterName", "string", "SCSI adapter."),
        Property("PortName", "string", "World-wide port name of the adapter."),
        Property("NodeName", "string", "World-wide node name of the adapter."),
        Property("SourceName", "string", "Name of what holds the pool: of the volume group."),
        Property(
            "SourceFormat",
            "string",
            "Format of what holds the pool, in libvirt's word: of the file system or partition table.",
        ),
        Property(
            "Build",
            "boolean",
            "Asks, of a pool to be made, that what it lies in is made too: directory, file system, "
            "partition table or volume group. Nothing is written over. Never shown.",
        ),
    ),
    registration=registered("Virt_RASD"),
)

STORAGE_VOLUME = ClassDecl(
    "StorageVolumeResourceAllocationSettingData",
    SUPERCLASS,
    "A storage volume, there or to be made; InstanceID is its path. VirtualQuantity is its capacity "
    "in VirtualQuantityUnits, Reservation its allocation in bytes. Capacity, of 16 bits, is the "
    "capacity in AllocationUnits, rounded up; AllocationQuantity, of 16 bits, the allocation in bytes.",
    ("Xen", "KVM"),
    (
        Property("VolumeName", "string", "Name of the volume in its pool."),
        Property("Path", "string", "Path of the volume on the host."),
        Property("FormatType", "uint16", "Format of the image.", values={"1": "Raw", "2": "QCOW2"}),
        Property("AllocationQuantity", "uint16", "Size taken at once, in bytes."),
        Property("Capacity", "uint16", "Size at most, in AllocationUnits."),
        Property(
            "AllocationUnits",
            "string",
            "Unit of Capacity: Bytes, KiloBytes ... PetaBytes, or in libvirt's words.",
            override=True,
        ),
    ),
    registration=registered("Virt_RASD"),
)


LARGEST_UINT16 = 0xFFFF
NETWORK, DISK, VOLUME = 10, 17, 32768
"""Resource types."""


@dataclass(frozen=True, slots=True)
class PoolSettingItem:
    """What a setting is about, and the id that it has: the pool's, or the volume's path."""

    prefix: str
    reading: HostReading
    instance_id: str
    source: Network | StoragePool | Volume

    @property
    def view(self) -> Any:
        """The definition of a pool or network."""
        return getattr(self.source, "view", None)


def _column(field: Field) -> Callable[[PoolSettingItem], Value]:
    return lambda item: field.of(item.view)


def _defined(fields: Iterable[Field]) -> Columns:
    """The columns of what a definition says."""
    return {field.name: _column(field) for field in fields}


def _capacity(item: PoolSettingItem) -> tuple[int, str]:
    volume: Any = item.source
    return scaled(volume.capacity, LARGEST_UINT16)


def _small_allocation(item: PoolSettingItem) -> int | None:
    """The allocation in bytes, where that fits into 16 bits."""
    volume: Any = item.source
    return volume.allocation if volume.allocation <= LARGEST_UINT16 else None


def _format(item: PoolSettingItem) -> Value:
    """The format of an image; None of a volume that is none, or has gone."""
    volume: Any = item.source
    pool = item.reading.pool_of_name.get(volume.pool)
    if pool is None or pool.view.type not in IMAGE_POOLS:
        return None
    try:
        found = item.reading.host.connection.call(lambda raw: find_volume(raw, volume.path))
    except VirtError:
        return None
    return VOLUME_FORMAT.of(found)


def _networks(reading: HostReading) -> Iterator[tuple[str, Network]]:
    return ((f"NetworkPool/{tag_of(network)}", network) for network in reading.networks)


def _storage_pools(reading: HostReading) -> Iterator[tuple[str, StoragePool]]:
    return ((f"DiskPool/{tag_of(pool)}", pool) for pool in reading.storage_pools)


def _volumes(reading: HostReading) -> Iterable[tuple[str, Volume]]:
    return reading.host.volumes(reading.storage_pools).items()


@dataclass(frozen=True, slots=True)
class PoolSetting:
    """A class of settings: declaration, where its instances come from, what it shows of one."""

    decl: ClassDecl
    resource_type: int
    sources: Callable[[HostReading], Iterable[tuple[str, Network | StoragePool | Volume]]]
    columns: Columns


POOL_SETTINGS = (
    PoolSetting(
        NET_POOL,
        NETWORK,
        _networks,
        {
            "PoolID": lambda i: i.instance_id,
            "ElementName": lambda i: i.source.name,
            "Autostart": lambda i: int(i.source.autostart),
            **_defined(NETWORK_FIELDS),
        },
    ),
    PoolSetting(
        DISK_POOL,
        DISK,
        _storage_pools,
        {
            "PoolID": lambda i: i.instance_id,
            "ElementName": lambda i: i.source.name,
            "Autostart": lambda i: int(i.source.autostart),
            **_defined(STORAGE_POOL_FIELDS),
            "AdapterName": lambda i: ADAPTER.of(i.view) or ADAPTER_PARENT.of(i.view),
        },
    ),
    PoolSetting(
        STORAGE_VOLUME,
        VOLUME,
        _volumes,
        {
            "PoolID": lambda i: f"DiskPool/{i.source.pool}",
            "ElementName": lambda i: i.source.name,
            "VolumeName": lambda i: VOLUME_NAME.of(i.source),
            "Path": lambda i: VOLUME_PATH.of(i.source),
            "FormatType": _format,
            "Address": lambda i: i.source.path,
            "VirtualQuantity": lambda i: i.source.capacity,
            "VirtualQuantityUnits": lambda i: BYTE,
            "Reservation": lambda i: i.source.allocation,
            "Capacity": lambda i: _capacity(i)[0],
            "AllocationQuantity": _small_allocation,
            "AllocationUnits": lambda i: _capacity(i)[1],
        },
    ),
)


class PoolSettingProvider(FamilyProvider[PoolSettingItem]):
    """Serves one class of settings of pools or volumes."""

    def __init__(self, setting: PoolSetting, hosts: Hosts) -> None:
        common: Columns = {
            "InstanceID": lambda i: i.instance_id,
            "ResourceType": lambda i: setting.resource_type,
        }
        super().__init__(setting.decl, hosts, {**common, **setting.columns})
        self._setting = setting

    def items(self, request: ProviderRequest) -> Iterable[PoolSettingItem]:
        """The settings of all that the host has, if its hypervisor answers."""
        reading = self.reading(request)
        if reading is None:
            return []
        with translated("Unable to list pools"):
            return [
                PoolSettingItem(request.prefix, reading, instance_id, source)
                for instance_id, source in self._setting.sources(reading)
            ]

    def find(self, request: ProviderRequest, path: InstancePath) -> PoolSettingItem:
        """The setting called `InstanceID`."""
        instance_id = path.text("InstanceID")
        if not instance_id:
            raise Failed("Missing InstanceID")
        for item in self.items(request):
            if item.instance_id == instance_id:
                return item
        raise NotFound(f"No such instance ({instance_id})")


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return Provided(
        (NET_POOL, DISK_POOL, STORAGE_VOLUME),
        tuple(PoolSettingProvider(setting, hosts) for setting in POOL_SETTINGS),
    )
