# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_DiskResourceAllocationSettingData: disks of guests, and host directories mounted in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.cim.objects import Value
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.providers.device import DeviceItem
from libvirtcim.providers.resource_allocation.base import (
    ADDRESS_COLUMNS,
    ADDRESS_PROPERTIES,
    SUPERCLASS,
    Setting,
    provided,
    write_address,
)
from libvirtcim.providers.resource_allocation.target import SettingError, Target
from libvirtcim.virt.devices.disk import Disk
from libvirtcim.virt.devices.filesystem import Filesystem
from libvirtcim.virt.errors import VirtError
from libvirtcim.virt.host import Hosts, Volume

_FULL = ("Xen", "KVM")
_EMULATED = {"0": "Disk", "1": "CDROM", "2": "floppy"}

EMULATED_TYPES: Mapping[str, int] = {"cdrom": 1, "floppy": 2, "lun": 4}
EMULATED_DISK, EMULATED_FILESYSTEM = 0, 3

DISK = ClassDecl(
    "DiskResourceAllocationSettingData",
    SUPERCLASS,
    "A disk of a guest. VirtualQuantity is its size in bytes, Address its source on the host.",
    ALL,
    (
        Property("VirtualDevice", "string", "Name in the guest, e.g. vda.", prefixes=_FULL),
        Property(
            "EmulatedType",
            "uint16",
            "What the guest sees.",
            values={**_EMULATED, "4": "lun"},
            prefixes=("Xen",),
        ),
        Property(
            "EmulatedType",
            "uint16",
            "What the guest sees.",
            values={**_EMULATED, "3": "filesystem", "4": "lun"},
            prefixes=("KVM",),
        ),
        Property("BusType", "string", "Bus of the disk, e.g. virtio.", prefixes=_FULL),
        Property("readonly", "boolean", "True if the guest can't write.", prefixes=_FULL),
        Property("DriverName", "string", "Back-end driver, e.g. qemu.", prefixes=_FULL),
        Property("DriverType", "string", "Image format, e.g. qcow2.", prefixes=_FULL),
        Property("DriverCache", "string", "Cache mode, e.g. none.", prefixes=_FULL),
        Property(
            "DriverIO",
            "string",
            "How the host reads and writes: threads, native, io_uring.",
            prefixes=("KVM",),
        ),
        Property(
            "DriverDiscard",
            "string",
            "What becomes of blocks that the guest discards: unmap, ignore.",
            prefixes=("KVM",),
        ),
        Property("SerialNumber", "string", "Serial number that the guest sees.", prefixes=("KVM",)),
        Property(
            "AccessMode",
            "string",
            "Security mode of a mounted directory, e.g. mapped.",
            prefixes=("KVM",),
        ),
        Property("rawio", "string", "Whether raw SCSI commands may pass.", prefixes=("KVM",)),
        Property("sgio", "string", "Filter of raw SCSI commands.", prefixes=("KVM",)),
        Property("shareable", "boolean", "True if guests may share the disk.", prefixes=_FULL),
        *ADDRESS_PROPERTIES,
        Property(
            "MountPoint", "string", "Directory of the container that it becomes.", prefixes=("LXC",)
        ),
    ),
    registration=registered("Virt_RASD"),
)


def _source(item: DeviceItem) -> str | None:
    """Path of the source on the host; None for sources that have none."""
    device: Disk | Filesystem = item.device
    return device.source_file or device.source_dev or device.source_dir


def _volume(item: DeviceItem) -> Volume | None:
    device = item.device
    if isinstance(device, Disk) and device.type == "volume":
        return next(
            (
                volume
                for volume in item.owner.reading.volumes.values()
                if (volume.pool, volume.name) == (device.source_pool, device.source_volume)
            ),
            None,
        )
    source = _source(item)
    return item.owner.reading.volumes.get(source) if source else None


def _size(item: DeviceItem) -> int:
    """Size in bytes: the volume's, else the file's on this machine, else 0."""
    volume = _volume(item)
    if volume is not None:
        with suppress(VirtError):
            return volume.capacity
    source = _source(item)
    if not source or not item.owner.host.connection.shares_files:
        return 0
    try:
        return Path(source).stat().st_size
    except OSError:
        return 0


def _pool_id(item: DeviceItem) -> str | None:
    volume = _volume(item)
    return f"DiskPool/{volume.pool}" if volume is not None else None


def _is_filesystem(item: DeviceItem) -> bool:
    return isinstance(item.device, Filesystem)


def _emulated_type(item: DeviceItem) -> int:
    if _is_filesystem(item):
        return EMULATED_FILESYSTEM if item.owner.host.family.shape == "KVM" else EMULATED_DISK
    return _type_of(item.device)


def _type_of(disk: Disk) -> int:
    return EMULATED_TYPES.get(disk.device or "", EMULATED_DISK)


DEVICE_OF_TYPE = {EMULATED_DISK: "disk", **{n: device for device, n in EMULATED_TYPES.items()}}
NO_SOURCE = "/dev/null"
"""Address of a disk without one."""
_REMOVABLE = frozenset({"cdrom", "floppy"})
_SOURCES = {"file": "source_file", "block": "source_dev", "dir": "source_dir"}
"""Kind of source → where a disk's definition names it."""
_OF_DISKS = {
    "BusType": "bus",
    "DriverName": "driver_name",
    "DriverCache": "driver_cache",
    "DriverIO": "driver_io",
    "DriverDiscard": "driver_discard",
    "SerialNumber": "serial",
    "rawio": "rawio",
    "sgio": "sgio",
}
"""Properties that are attributes of a disk, and nothing of a file system; in both directions."""


def _of_disk(attribute: str) -> Callable[[DeviceItem], Any]:
    return lambda item: None if _is_filesystem(item) else getattr(item.device, attribute)


def _make(values: Mapping[str, Value], target: Target) -> Disk | Filesystem:
    if target.family.shape == "LXC":
        for name in ("MountPoint", "Address"):
            if values.get(name) is None:
                raise SettingError(f"Missing `{name}' field")
        return Filesystem.new()
    if values.get("VirtualDevice") is None:
        raise SettingError("Missing `VirtualDevice' property")
    emulated = values.get("EmulatedType", EMULATED_DISK)
    if emulated == EMULATED_FILESYSTEM or (
        emulated == EMULATED_DISK and target.source_kind(values.get("Address") or "") == "dir"
    ):
        return Filesystem.new()
    if emulated not in DEVICE_OF_TYPE:
        raise SettingError("Invalid value for EmulatedType")
    disk = Disk.new(device=DEVICE_OF_TYPE[emulated], target=values["VirtualDevice"])
    _set_source(disk, values.get("Address", NO_SOURCE), target)
    return disk


def _write(device: Disk | Filesystem, values: Mapping[str, Value], target: Target) -> None:
    if isinstance(device, Filesystem):
        _write_filesystem(device, values)
    else:
        _write_disk(device, values, target)
    if values.get("readonly") is not None:
        device.readonly = values["readonly"]
    write_address(device, values)


def _write_filesystem(device: Filesystem, values: Mapping[str, Value]) -> None:
    place = values.get("MountPoint", values.get("VirtualDevice"))
    if place is not None:
        device.target = place
    if values.get("Address") is not None and values["Address"] != device.source_text:
        device.source_dir = values["Address"]
    if values.get("AccessMode") is not None:
        device.accessmode = values["AccessMode"]
    if values.get("DriverType") is not None:
        device.driver_type = values["DriverType"]


def _write_disk(disk: Disk, values: Mapping[str, Value], target: Target) -> None:
    emulated = values.get("EmulatedType")
    if emulated is not None and emulated != _type_of(disk):
        if emulated not in DEVICE_OF_TYPE:
            raise SettingError("Invalid value for EmulatedType")
        disk.device = DEVICE_OF_TYPE[emulated]
    if values.get("VirtualDevice") is not None:
        disk.target = values["VirtualDevice"]
    for name, attribute in {**_OF_DISKS, "shareable": "shareable"}.items():
        if values.get(name) is not None:
            setattr(disk, attribute, values[name])
    if values.get("DriverType") is not None and (disk.driver_name or not target.new):
        disk.driver_type = values["DriverType"]
    if values.get("Address") is not None and values["Address"] != disk.source_text:
        _set_source(disk, values["Address"], target)


def _set_source(disk: Disk, address: str, target: Target) -> None:
    """Names the source, in the form that fits what is there; an empty drive has none."""
    kind = target.source_kind(address)
    if disk.device in _REMOVABLE and address in ("", NO_SOURCE):
        kind, address = "file", ""
    elif disk.device == "cdrom" and kind is None:
        kind = "block"
    elif kind is None or (kind == "dir" and disk.device not in _REMOVABLE):
        raise SettingError(
            "Can't get a valid disk type",
            f"Device {disk.target or ''}, Address {address}, "
            "make sure Address can be accessed on host system.",
        )
    for other in _SOURCES.values():
        setattr(disk, other, None)
    disk.type = kind
    setattr(disk, _SOURCES[kind], address or None)


SETTING = Setting(
    DISK,
    "disk",
    17,
    {
        "VirtualQuantity": _size,
        "AllocationUnits": lambda i: "Bytes",
        "VirtualDevice": lambda i: i.device.target,
        "Address": lambda i: i.device.source_text,
        "PoolID": _pool_id,
        "EmulatedType": _emulated_type,
        "readonly": lambda i: i.device.readonly or None,
        "shareable": lambda i: None if _is_filesystem(i) else i.device.shareable or None,
        "DriverType": lambda i: i.device.driver_type,
        "AccessMode": lambda i: i.device.accessmode if _is_filesystem(i) else None,
        "MountPoint": lambda i: i.device.target if _is_filesystem(i) else None,
        **{name: _of_disk(attribute) for name, attribute in _OF_DISKS.items()},
        **ADDRESS_COLUMNS,
    },
    write=_write,
    make=_make,
    place="disk_like",
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
