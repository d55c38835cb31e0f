# SPDX-License-Identifier: LGPL-2.1-or-later
"""RASD classes that describe pools and volumes to be made; they have no instances to enumerate."""

from __future__ import annotations

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.providers.common import ALL, Provided
from libvirtcim.providers.resource_allocation.base import SUPERCLASS
from libvirtcim.virt.host import Hosts

NET_POOL = ClassDecl(
    "NetPoolResourceAllocationSettingData",
    SUPERCLASS,
    "A virtual network to be made.",
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
    "A storage pool to be made.",
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
)

STORAGE_VOLUME = ClassDecl(
    "StorageVolumeResourceAllocationSettingData",
    SUPERCLASS,
    "A storage volume to be made.",
    ("Xen", "KVM"),
    (
        Property("VolumeName", "string", "Name of the volume in its pool."),
        Property("Path", "string", "Path of the volume on the host."),
        Property("FormatType", "uint16", "Format of the image."),
        Property("AllocationQuantity", "uint16", "Size taken at once, in AllocationUnits."),
        Property("Capacity", "uint16", "Size at most, in AllocationUnits."),
        Property("AllocationUnits", "string", "Unit of the sizes.", override=True),
    ),
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes."""
    return Provided((NET_POOL, DISK_POOL, STORAGE_VOLUME))
