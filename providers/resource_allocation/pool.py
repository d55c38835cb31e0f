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
from libvirtcim.cim.objects import InstancePath
from libvirtcim.cim.provider import Columns, ProviderRequest
from libvirtcim.providers.common import (
    ALL,
    FamilyProvider,
    HostReading,
    Provided,
    registered,
    translated,
)
from libvirtcim.providers.resource_allocation.base import SUPERCLASS
from libvirtcim.providers.resource_pool import tag_of
from libvirtcim.virt.host import Hosts, Volume
from libvirtcim.virt.pools import Network, StoragePool

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
            "How traffic leaves the network.",
            values={"0": "None", "1": "NAT", "2": "Routed"},
        ),
    ),
    registration=registered("Virt_RASD"),
)

POOL_TYPES = {
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
        Property("Type", "uint16", "Kind of the pool.", values=POOL_TYPES),
        Property("Autostart", "uint16", "1 if the pool starts with the host."),
        Property("Path", "string", "Directory under which the pool's volumes appear."),
        Property("DevicePaths", "string", "Devices that hold the pool.", array=True),
        Property("Host", "string", "Server that holds the pool."),
        Property("SourceDirectory", "string", "Directory on the server."),
        Property("AdapterName", "string", "SCSI adapter."),
        Property("PortName", "string", "World-wide port name of the adapter."),
        Property("NodeName", "string", "World-wide node name of the adapter."),
    ),
    registration=registered("Virt_RASD"),
)

STORAGE_VOLUME = ClassDecl(
    "StorageVolumeResourceAllocationSettingData",
    SUPERCLASS,
    "A storage volume, there or to be made. VirtualQuantity and Reservation are its capacity and "
    "allocation in bytes; Capacity and AllocationQuantity, of 16 bits, the same in AllocationUnits, "
    "rounded up.",
    ("Xen", "KVM"),
    (
        Property("VolumeName", "string", "Name of the volume in its pool."),
        Property("Path", "string", "Path of the volume on the host."),
        Property("FormatType", "uint16", "Format of the image."),
        Property("AllocationQuantity", "uint16", "Size taken at once, in AllocationUnits."),
        Property("Capacity", "uint16", "Size at most, in AllocationUnits."),
        Property("AllocationUnits", "string", "Unit of the sizes.", override=True),
    ),
    registration=registered("Virt_RASD"),
)


UNITS = ("Bytes", "KiloBytes", "MegaBytes", "GigaBytes", "TeraBytes", "PetaBytes")
LARGEST_UINT16 = 0xFFFF
NETWORK, DISK, VOLUME = 10, 17, 32768
"""Resource types."""
_FORWARD_MODES = {None: 0, "nat": 1, "route": 2}
_TYPE_NUMBERS = {
    name: number
    for number, name in enumerate(("dir", "fs", "netfs", "disk", "iscsi", "logical", "scsi"), 1)
}


@dataclass(frozen=True, slots=True)
class PoolSettingItem:
    """What a setting is about, and the id that it has: the pool's, or `<pool>/<volume>`."""

    prefix: str
    instance_id: str
    source: Network | StoragePool | Volume

    @property
    def view(self) -> Any:
        """The definition of a pool or network."""
        return getattr(self.source, "view", None)


def scaled(size: int, largest: int) -> tuple[int, str]:
    """A size in the least unit in which `largest` fits into 16 bits, rounded up, and the unit."""
    exponent = 0
    while -(-largest >> 10 * exponent) > LARGEST_UINT16:
        exponent += 1
    return -(-size >> 10 * exponent), UNITS[exponent]


def _view(name: str) -> Callable[[PoolSettingItem], Any]:
    return lambda item: getattr(item.view, name)


def _first(name: str) -> Callable[[PoolSettingItem], Any]:
    return lambda item: (getattr(item.view, name) or (None,))[0]


def _sized(name: str, part: int) -> Callable[[PoolSettingItem], Any]:
    """The size (0) or unit (1) of a volume."""

    def value(item: PoolSettingItem) -> Any:
        volume: Any = item.source
        return scaled(getattr(volume, name), max(volume.capacity, volume.allocation))[part]

    return value


def _networks(reading: HostReading) -> Iterator[tuple[str, Network]]:
    return ((f"NetworkPool/{tag_of(network)}", network) for network in reading.networks)


def _storage_pools(reading: HostReading) -> Iterator[tuple[str, StoragePool]]:
    return ((f"DiskPool/{tag_of(pool)}", pool) for pool in reading.storage_pools)


def _volumes(reading: HostReading) -> Iterator[tuple[str, Volume]]:
    return ((f"{v.pool}/{v.name}", v) for v in reading.host.volumes().values())


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
            "Address": _view("address"),
            "Netmask": _view("netmask"),
            "IPRangeStart": _view("range_start"),
            "IPRangeEnd": _view("range_end"),
            "ForwardDevice": _view("forward_device"),
            "ForwardMode": lambda i: _FORWARD_MODES.get(i.view.forward_mode),
        },
    ),
    PoolSetting(
        DISK_POOL,
        DISK,
        _storage_pools,
        {
            "PoolID": lambda i: i.instance_id,
            "ElementName": lambda i: i.source.name,
            "Type": lambda i: _TYPE_NUMBERS.get(i.view.type, 0),
            "Autostart": lambda i: int(i.source.autostart),
            "Path": _view("target_path"),
            "DevicePaths": lambda i: list(i.view.source_devices) or None,
            "Host": _first("source_hosts"),
            "SourceDirectory": _view("source_dir"),
            "AdapterName": _view("adapter_name"),
            "PortName": _view("adapter_port"),
            "NodeName": _view("adapter_node"),
        },
    ),
    PoolSetting(
        STORAGE_VOLUME,
        VOLUME,
        _volumes,
        {
            "PoolID": lambda i: f"DiskPool/{i.source.pool}",
            "ElementName": lambda i: i.source.name,
            "VolumeName": lambda i: i.source.name,
            "Path": lambda i: i.source.path,
            "Address": lambda i: i.source.path,
            "VirtualQuantity": lambda i: i.source.capacity,
            "VirtualQuantityUnits": lambda i: "byte",
            "Reservation": lambda i: i.source.allocation,
            "Capacity": _sized("capacity", 0),
            "AllocationQuantity": _sized("allocation", 0),
            "AllocationUnits": _sized("capacity", 1),
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
                PoolSettingItem(request.prefix, instance_id, source)
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
