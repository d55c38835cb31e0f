# SPDX-License-Identifier: LGPL-2.1-or-later
"""SettingsDefineCapabilities: what can be allocated, as settings with the least, most, usual and next value.

Each pool's AllocationCapabilities lead to templates of settings, for each of the four ranges in turn. A
client takes one, changes what it wants and sends it back. Templates exist nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from libvirtcim.cim.associations import Association, Handler, Target
from libvirtcim.cim.provider import ProviderRequest, ReadyMade
from libvirtcim.cim.values import unique_id
from libvirtcim.providers import capabilities
from libvirtcim.providers.common import HostItem, Provided, association, translated
from libvirtcim.providers.resource_pool import PoolItem
from libvirtcim.virt.host import Hosts, Volume
from libvirtcim.virt.pools import StoragePoolDefinition

RANGES = ("Minimum", "Maximum", "Default", "Increment")
"""In the order in which templates are listed; the words stand in their InstanceIDs."""
MAX_MEMORY_KIB = 4194304
MAX_INTERFACES = 8
UNLIMITED_DISK = 2000
"""Least size of a disk, in bytes as its other sizes."""
DISK_INCREMENT = 250
STORAGE_VOLUME = 32768
"""Resource type of a volume to be made."""

Values = dict[str, Any]
Templates = Iterator[tuple[str, Values]]
"""(base name of the class, property values)."""


def _by_range(name: str, least: Any, most: Any, usual: Any, step: Any) -> Mapping[str, Values]:
    """The values of one property, by range."""
    values = zip(RANGES, (least, most, usual, step), strict=True)
    return {word: {name: value} for word, value in values if value is not None}


def _merged(word: str, *parts: Mapping[str, Values]) -> Values:
    merged: Values = {}
    for part in parts:
        merged.update(part.get(word, {}))
    return merged


def _shape(item: PoolItem | HostItem) -> str:
    """Prefix of the family whose settings these are like."""
    return item.reading.host.family.shape


# --- memory and processors -------------------------------------------------------------------------

_MEMORY = _by_range("VirtualQuantity", 65536, MAX_MEMORY_KIB, 262144, 1024)


def _memory(_item: PoolItem, word: str) -> Templates:
    size = _MEMORY[word]["VirtualQuantity"]
    yield (
        "MemResourceAllocationSettingData",
        {"AllocationUnits": "KiloBytes", "VirtualQuantity": size, "Limit": size},
    )


_SHARES: Mapping[str, tuple[Mapping[str, Values], ...]] = {
    "Xen": (_by_range("Limit", 1, 0, 0, 50), _by_range("Weight", 1, 65535, 1024, 32767)),
    "KVM": (_by_range("Weight", 2, 262144, 1024, 1),),
}


def _processors(item: PoolItem, word: str) -> Templates:
    most = item.reading.once("max_vcpus", item.reading.host.max_vcpus)
    counts = _by_range("VirtualQuantity", 0, most, 1, 1)
    shares = _SHARES.get(_shape(item), ())
    yield (
        "ProcResourceAllocationSettingData",
        {"AllocationUnits": "Processors", **_merged(word, counts, *shares)},
    )


# --- network interfaces and networks ---------------------------------------------------------------

_INTERFACES = _by_range("VirtualQuantity", 0, MAX_INTERFACES, 1, 1)
_BANDWIDTH = {"Reservation": 1, "Limit": 1, "AllocationUnits": "KiloBytes per Second"}
_DIRECT = {"NetworkType": "direct", "SourceDevice": "eth1", "NetworkMode": "vepa"}
_VSI = {
    "VSIType": "802.1Qbg",
    "VSIManagerID": "managerid",
    "VSITypeID": "typeid",
    "VSITypeIDVersion": "typeidversion",
}


def _connections() -> Iterator[Values]:
    for kind in ({"NetworkType": "network"},
                 {"NetworkType": "bridge", "NetworkName": "br0"},
                 {"NetworkType": "user"}):  # fmt: skip
        yield {**kind, "VirtualDevice": "vtap1", "ResourceSubType": "e1000"}
        yield kind
    yield _DIRECT
    yield {**_DIRECT, "VSIType": "802.1Qbh", "ProfileID": "my_profile"}
    yield {**_DIRECT, **_VSI, "VSIInstanceID": "instanceid"}
    # a client sends the word back to say that there is none
    yield {**_DIRECT, **_VSI, "VSIInstanceID": "NULL", "ProfileID": "NULL"}


CONNECTIONS = tuple(_connections())
"""How a network interface can be connected."""
NETWORKS: tuple[Values, ...] = tuple(
    {
        "Address": "192.168.122.1",
        "Netmask": "255.255.255.0",
        "IPRangeStart": "192.168.122.2",
        "IPRangeEnd": "192.168.122.254",
        **forward,
    }
    for forward in (
        {"ForwardMode": 0},
        {"ForwardMode": 1},
        {"ForwardMode": 1, "ForwardDevice": "eth0"},
        {"ForwardMode": 2},
        {"ForwardMode": 2, "ForwardDevice": "eth0"},
    )
)
"""What a virtual network can look like."""


def _networks(item: PoolItem, word: str) -> Templates:
    if item.source is None:
        for values in NETWORKS:
            yield "NetPoolResourceAllocationSettingData", dict(values)
        return
    if _shape(item) == "LXC":  # containers' settings have no place for the kind of connection
        return
    limited = _BANDWIDTH if word in ("Minimum", "Increment") else {}
    for values in CONNECTIONS:
        yield "NetResourceAllocationSettingData", {**values, **_INTERFACES[word], **limited}


# --- disks, storage pools and volumes ---------------------------------------------------------------

STORAGE_POOLS: tuple[Values, ...] = (
    {"Type": 1, "Path": "/dev/null"},
    {"Type": 2, "Path": "/dev/null", "DevicePaths": ["/dev/sda100"]},
    {
        "Type": 3,
        "Path": "/dev/null",
        "Host": "host_sys.domain.com",
        "SourceDirectory": "/var/lib/images",
    },
    {"Type": 4, "Path": "/dev/null", "DevicePaths": ["/dev/VolGroup00/LogVol100"]},
    {
        "Type": 5,
        "Path": "/dev/null",
        "Host": "host_sys.domain.com",
        "DevicePaths": ["iscsi-target"],
    },
    {"Type": 6, "Path": "/dev/null"},
    {
        "Type": 7,
        "Path": "/dev/disk/by-id",
        "AdapterName": "host0",
        "PortName": "0000111122223333",
        "NodeName": "4444555566667777",
    },
)
"""What a storage pool can look like."""
_AUTOSTART = _by_range("Autostart", 0, 1, 0, 1)


def _disks(item: PoolItem, word: str) -> Templates:
    if item.source is None:
        for values in STORAGE_POOLS:
            yield "DiskPoolResourceAllocationSettingData", {**values, **_AUTOSTART[word]}
        return
    if _shape(item) == "LXC":
        yield (
            "DiskResourceAllocationSettingData",
            {"Address": "/tmp", "MountPoint": "/lxc_mnt/tmp"},
        )
        return
    yield from _new_volumes(item, word)
    for volume in item.reading.volumes.values():
        if volume.pool == item.source.name:
            yield from _guest_disks(item, _disk(volume, word), "hda", "xvda")
    for device, target, kind in (("CDROM", "hdc", 1), ("floppy", "fda", 2)):
        values = {
            "InstanceID": f"{word} {device}",
            "Address": "/dev/null",
            "EmulatedType": kind,
            "readonly": True,
        }
        yield from _guest_disks(item, values, target, target)


def _new_volumes(item: PoolItem, word: str) -> Templates:
    pool = item.source.view if item.source else None
    if not isinstance(pool, StoragePoolDefinition) or pool.type != "dir":
        return
    values = {
        "InstanceID": f"New Storage Volume {word}",
        "ResourceType": STORAGE_VOLUME,
        "FormatType": 1,
        "VolumeName": "tmp.img",
        "Path": pool.target_path,
        "AllocationQuantity": 0,
        "Capacity": 0,
    }
    yield "StorageVolumeResourceAllocationSettingData", values
    yield "StorageVolumeResourceAllocationSettingData", {**values, "AllocationUnits": "G"}


def _disk(volume: Volume, word: str) -> Values:
    sizes = {
        "Minimum": lambda: min(UNLIMITED_DISK, volume.capacity),
        "Maximum": lambda: volume.capacity,
        "Default": lambda: volume.allocation,
        "Increment": lambda: DISK_INCREMENT,
    }
    return {"Address": volume.path, "EmulatedType": 0, "VirtualQuantity": sizes[word]()}


def _guest_disks(item: PoolItem, values: Values, full: str, para: str) -> Templates:
    """A disk as guests see it; Xen has one kind of guests that see hardware and one that don't."""
    base = "DiskResourceAllocationSettingData"
    if _shape(item) != "Xen":
        yield base, {**values, "VirtualDevice": full}
        return
    yield base, {**values, "Caption": "FV disk", "VirtualDevice": full}
    yield base, {**values, "Caption": "PV disk", "VirtualDevice": para}


# --- displays and input devices ---------------------------------------------------------------------

DISPLAYS: tuple[Values, ...] = (
    {"ResourceSubType": "sdl"},
    *(
        {"ResourceSubType": "vnc", "KeyMap": "en-us", **place}
        for place in (
            {"Address": "127.0.0.1:-1"},
            {"Address": "[::1]:-1"},
            {"IsIPv6Only": True},
            {"IsIPv6Only": False},
        )
    ),
)
_INPUTS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "Xen": (("mouse", "ps2", "FV "), ("mouse", "usb", "FV "), ("mouse", "xen", "PV ")),
    "KVM": (("mouse", "ps2", ""), ("mouse", "usb", ""), ("tablet", "usb", "")),
    "LXC": (("mouse", "usb", ""),),
}
_BUS_WORDS = {"ps2": "PS2", "usb": "USB", "xen": "Xen"}


def _displays(_item: PoolItem, _word: str) -> Templates:
    for values in DISPLAYS:
        yield "GraphicsResourceAllocationSettingData", dict(values)


def _inputs(item: PoolItem, _word: str) -> Templates:
    for device, bus, guests in _INPUTS[_shape(item)]:
        yield (
            "InputResourceAllocationSettingData",
            {
                "Caption": f"{guests}{_BUS_WORDS[bus]} {device.capitalize()}",
                "ResourceSubType": device,
                "BusType": bus,
            },
        )


_OF_KIND: Mapping[str, Callable[[PoolItem, str], Templates]] = {
    "mem": _memory,
    "proc": _processors,
    "net": _networks,
    "disk": _disks,
    "graphics": _displays,
    "input": _inputs,
}

SETTING_BASES = tuple(
    f"{kind}ResourceAllocationSettingData"
    for kind in (
        "Disk", "Mem", "Net", "Proc", "Graphics", "Input", "DiskPool", "NetPool", "StorageVolume",
    )
)  # fmt: skip


def templates(item: PoolItem) -> Templates:
    """All templates of a pool; of a kind that has none: none."""
    make = _OF_KIND.get(item.of.kind)
    for word in RANGES if make else ():
        common = {
            "InstanceID": word,
            "ResourceType": item.of.resource_type,
            "PoolID": item.pool_id,
        }
        for base, values in make(item, word) if make else ():
            yield base, {**common, **values}


# --- the association --------------------------------------------------------------------------------

_ROLES = (
    ("Default", 0, 0),
    ("Point", 3, 0),
    ("Increment", 3, 3),
    ("Maximum", 3, 2),
    ("Minimum", 3, 1),
)
"""Word in a template's InstanceID, and the ValueRole and ValueRange that it stands for."""


def policy(value_role: int, value_range: int) -> Values:
    """What a reference says of the setting it leads to."""
    return {"ValueRole": value_role, "ValueRange": value_range, "PropertyPolicy": 0}


def _policy_of(instance_id: str) -> Values:
    for word, value_role, value_range in _ROLES:
        if word in instance_id:
            return policy(value_role, value_range)
    return policy(3, 0)


def _settings_of_pool(
    _request: ProviderRequest, _base: str, item: PoolItem, wanted: frozenset[str]
) -> Iterable[Target]:
    with translated("Unable to read the pool"):
        for base, values in templates(item):
            if base in wanted:
                yield Target(base, ReadyMade(values), extra=_policy_of(values["InstanceID"]))


def _migration_setting_of(
    _request: ProviderRequest, _base: str, item: HostItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    yield Target(MIGRATION_SETTING, item, extra=policy(0, 0))


def _migration_capabilities_of(
    _request: ProviderRequest, _base: str, item: HostItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    yield Target(capabilities.MIGRATION.decl.base, item)


def _new_guests(item: HostItem) -> Iterator[Values]:
    """What a guest to be defined can look like."""
    if _shape(item) == "Xen":
        yield {
            "VirtualSystemIdentifier": "Xen_Paravirt_Guest",
            "Bootloader": "/usr/bin/pygrub",
            "IsFullVirt": False,
        }
        if item.host.capabilities().find(os_type="hvm") is not None:
            yield {
                "VirtualSystemIdentifier": "Xen_Fullvirt_Guest",
                "BootDevices": ["hda"],
                "IsFullVirt": True,
            }
    elif _shape(item) == "LXC":
        yield {"InitPath": "/sbin/init"}
    else:
        yield {"VirtualSystemIdentifier": f"{item.prefix}_guest", "BootDevices": ["hda"]}


def _systems_of(
    _request: ProviderRequest, _base: str, item: HostItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    with translated("Unable to read the host's capabilities"):
        for values in _new_guests(item):
            # a new one each time: it is what the guest will be called by if the client keeps it
            values["InstanceID"] = f"{item.prefix}:{unique_id()}"
            yield Target(VSSD, ReadyMade(values), extra=policy(3, 0))


VSSD = "VirtualSystemSettingData"
MIGRATION_SETTING = capabilities.MIGRATION_SETTING.base
_GROUP, _PART = "GroupComponent", "PartComponent"

SETTINGS_DEFINE_CAPABILITIES = Association(
    association(
        "SettingsDefineCapabilities",
        "What can be allocated or defined, and a setting that shows one such value.",
    ),
    (
        Handler(
            (capabilities.ALLOCATION.base,),
            _GROUP,
            SETTING_BASES,
            _PART,
            _settings_of_pool,
            enumerated=True,
        ),
        Handler(
            (capabilities.MIGRATION.decl.base,),
            _GROUP,
            (MIGRATION_SETTING,),
            _PART,
            _migration_setting_of,
            enumerated=True,
        ),
        Handler(
            (MIGRATION_SETTING,),
            _PART,
            (capabilities.MIGRATION.decl.base,),
            _GROUP,
            _migration_capabilities_of,
        ),
        Handler(
            (capabilities.MANAGEMENT.decl.base,),
            _GROUP,
            (VSSD,),
            _PART,
            _systems_of,
            enumerated=True,
        ),
    ),
)


def provide(hosts: Hosts) -> Provided:
    """The module's association class and its handlers."""
    return Provided((SETTINGS_DEFINE_CAPABILITIES.decl,), (), (SETTINGS_DEFINE_CAPABILITIES,))
