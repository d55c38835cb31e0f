# SPDX-License-Identifier: LGPL-2.1-or-later
"""Settings that ask for a network, storage pool or volume, as the definition that libvirt is given.

Properties that are missing get their defaults here; what can't be asked for is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from typing import TypeVar

from libvirtcim.cim.errors import Failed
from libvirtcim.cim.objects import Instance, Value
from libvirtcim.providers import byte_units
from libvirtcim.providers.common import translated
from libvirtcim.providers.resource_allocation import pool_fields as fields
from libvirtcim.providers.resource_allocation.pool import STORAGE_VOLUME
from libvirtcim.providers.resource_allocation.pool_fields import Field
from libvirtcim.virt.pools import (
    IMAGE_POOLS,
    NetworkDefinition,
    StoragePoolDefinition,
    VolumeDefinition,
)
from libvirtcim.virt.units import to_bytes
from libvirtcim.virt.xmltree import XmlObject

DefinitionT = TypeVar("DefinitionT", bound=XmlObject)
Values = dict[Field, Value]

NO_VOLUME_MADE = "Unable to create storage volume"
UNSUPPORTED = "This function does not support this resource type"
_POOL_TYPE_UNSUPPORTED = "Storage pool type not supported"
_NO_POOL_XML = "Unable to generate XML for resource pool"
_NO_VOLUME_XML = "Unable to generate XML for new resource"
_COUNT = "count"
"""The unit of VirtualQuantity where no other is given (class default): bytes."""


def _bad_settings(reason: str) -> Failed:
    return Failed(f"Settings Error: {reason}")


def _missing(name: str) -> Failed:
    return _bad_settings(f"Missing `{name}' property")


def _bad_volume(reason: str) -> Failed:
    return Failed(f"Unable to get attributes for resource: {reason}")


def _given(settings: Instance, known: Iterable[Field]) -> Values:
    return {field: settings[field.name] for field in known if settings[field.name] is not None}


def _filled(definition: DefinitionT, values: Values, text: str) -> DefinitionT:
    """The definition with the values in it; `text`: what failed where XML can't hold one."""
    with translated(text, Failed):
        for known, value in values.items():
            known.put(definition, value)
    return definition


# --- pools ---------------------------------------------------------------------------------------

_NAME = Field("ElementName", "name")


def the_setting(given: list[Instance]) -> Instance:
    """The setting that counts: the first."""
    if not given:
        raise _bad_settings("No resources specified")
    return given[0]


def no_pool_kind(settings: Instance) -> Failed:
    """What a client is told whose setting is of no kind of pool."""
    if settings.cls.is_a("CIM_ResourceAllocationSettingData"):
        return _bad_settings("Resource type not supported on this platform")
    return _bad_settings("Unable to determine resource type")


def starts_with_host(settings: Instance) -> bool:
    """Whether a pool or network shall start with the host."""
    return bool(settings["Autostart"] == 1)


# --- networks

NETWORK_DEFAULTS: Mapping[Field, str] = {
    fields.ADDRESS: "192.168.122.1",
    fields.NETMASK: "255.255.255.0",
    fields.RANGE_START: "192.168.122.2",
    fields.RANGE_END: "192.168.122.254",
}
_RANGE = (fields.RANGE_START, fields.RANGE_END)


def network(name: str, settings: Instance) -> NetworkDefinition:
    """The network that is asked for: with NAT where nothing else is said."""
    values: Values = {fields.FORWARD_MODE: fields.NAT, **_given(settings, fields.NETWORK_FIELDS)}
    mode = values[fields.FORWARD_MODE]
    if mode not in fields.FORWARD_MODES:
        raise _bad_settings(f"{_POOL_TYPE_UNSUPPORTED}: ForwardMode {mode}")
    if mode == fields.ISOLATED:
        values.pop(fields.FORWARD_DEVICE, None)
    if mode == fields.BRIDGED:
        addresses = _no_addresses()
        if fields.BRIDGE not in values and fields.FORWARD_DEVICE not in values:
            raise _missing(fields.BRIDGE.name)
    else:
        addresses = _addresses(values)
    definition = NetworkDefinition.new(has_bridge=mode != fields.BRIDGED)
    return _filled(definition, {_NAME: name, **values, **addresses}, _NO_POOL_XML)


def _no_addresses() -> Values:
    return dict.fromkeys(NETWORK_DEFAULTS)


def _addresses(given: Values) -> Values:
    """Addresses of host and guests; where Address or the range is empty, there is none."""
    found: Values = {known: given.get(known, text) for known, text in NETWORK_DEFAULTS.items()}
    if found[fields.ADDRESS] == "":
        return _no_addresses()
    if not any(end in given for end in _RANGE):
        found.update(_rest_of_network(found[fields.ADDRESS], found[fields.NETMASK]))
    if all(found[end] == "" for end in _RANGE):
        found.update(dict.fromkeys(_RANGE))
    return found


def _rest_of_network(address: str, netmask: str) -> Values:
    """The range behind the host's own address, or before it where that is the last one."""
    try:
        host = IPv4Interface(f"{address}/{netmask}")
    except ValueError:
        return {}
    first, last = host.network.network_address + 1, host.network.broadcast_address - 1
    if not first <= host.ip <= last or first == last:
        return {}
    ends = (first, last - 1) if host.ip == last else (host.ip + 1, last)
    return dict(zip(_RANGE, map(str, ends), strict=True))


# --- storage pools


@dataclass(frozen=True, slots=True)
class _PoolKind:
    """What a type of storage pool must and can be given."""

    required: tuple[Field, ...]
    optional: tuple[Field, ...] = ()
    defaults: Mapping[Field, str] = field(default_factory=dict)
    one_device: bool = True


_BY_PATH = {fields.TARGET: "/dev/disk/by-path"}
_POOL_KINDS: Mapping[int, _PoolKind] = {
    1: _PoolKind((fields.TARGET,)),
    2: _PoolKind((fields.TARGET, fields.DEVICES), (fields.SOURCE_FORMAT,)),
    3: _PoolKind((fields.TARGET, fields.SERVER, fields.DIRECTORY), (fields.SOURCE_FORMAT,)),
    4: _PoolKind((fields.DEVICES,), (fields.SOURCE_FORMAT,), {fields.TARGET: "/dev"}),
    5: _PoolKind((fields.DEVICES, fields.SERVER), defaults=_BY_PATH),
    6: _PoolKind(
        (),
        (fields.TARGET, fields.DEVICES, fields.SOURCE_NAME, fields.SOURCE_FORMAT),
        one_device=False,
    ),
    7: _PoolKind((fields.ADAPTER,), (fields.PORT_WWN, fields.NODE_WWN), _BY_PATH),
}
"""Type → what it takes. Others' properties are left out of the definition."""


def storage_pool(name: str, settings: Instance) -> StoragePoolDefinition:
    """The storage pool that is asked for."""
    number = settings[fields.POOL_TYPE.name]
    if number is None:
        raise _missing(fields.POOL_TYPE.name)
    kind = _POOL_KINDS.get(number)
    if kind is None:
        raise _bad_settings(f"{_POOL_TYPE_UNSUPPORTED}: Type {number}")
    values = {**kind.defaults, **_given(settings, fields.STORAGE_POOL_FIELDS)}
    for known in kind.required:
        if known not in values:
            raise _missing(known.name)
    if kind.one_device and len(values.get(fields.DEVICES, ())) > 1:
        raise _bad_settings("Specified pool type only takes one device path")
    taken = {fields.POOL_TYPE, *kind.required, *kind.optional, *kind.defaults}
    chosen = {known: values[known] for known in fields.STORAGE_POOL_FIELDS if known in values}
    source = _adapter({known: chosen[known] for known in chosen if known in taken})
    return _filled(StoragePoolDefinition.new(), {_NAME: name, **source}, _NO_POOL_XML)


def _adapter(values: Values) -> Values:
    """Has libvirt make an adapter with the world-wide names that are given (NPIV)."""
    names = (fields.PORT_WWN, fields.NODE_WWN)
    if not any(known in values for known in names):
        return values
    for known in names:
        if known not in values:
            raise _missing(known.name)
    parent = values.pop(fields.ADAPTER)
    return {fields.ADAPTER_TYPE: "fc_host", fields.ADAPTER_PARENT: parent, **values}


def is_to_be_built(settings: Instance) -> bool:
    """Whether what the storage pool lies in shall be made too."""
    return bool(settings["Build"])


# --- volumes -------------------------------------------------------------------------------------


def volume(settings: Instance) -> VolumeDefinition:
    """The volume that is asked for, as if every pool had images."""
    if settings.cls.name.partition("_")[2] != STORAGE_VOLUME.base:
        raise _bad_volume(UNSUPPORTED)
    values = _given(settings, fields.VOLUME_FIELDS)
    for known in (fields.VOLUME_FORMAT, fields.VOLUME_NAME, fields.VOLUME_PATH):
        if known not in values:
            raise _not_valid(known.name)
    if values[fields.VOLUME_FORMAT] not in fields.FORMATS:
        raise Failed(f"{_NO_VOLUME_XML}: FormatType {values[fields.VOLUME_FORMAT]}")
    definition = _filled(VolumeDefinition.new(), values, _NO_VOLUME_XML)
    with translated(_NO_VOLUME_XML, Failed):
        definition.capacity, definition.capacity_unit = _capacity(settings)
        definition.allocation = _allocation(settings)
    return definition


def _not_valid(name: str) -> Failed:
    return _bad_volume(f"StorageVolumeRASD {name} field not valid")


def _capacity(settings: Instance) -> tuple[int, str | None]:
    """How large the volume shall be, and libvirt's unit of that; None: bytes."""
    capacity, unit = settings["Capacity"], settings["AllocationUnits"]
    unit = byte_units.libvirt_unit(unit) if unit else None
    if settings["VirtualQuantity"] is None:
        if capacity is None:
            raise _not_valid("Capacity")
        return capacity, unit
    size = settings["VirtualQuantity"] * _bytes_per(settings["VirtualQuantityUnits"])
    in_bytes = to_bytes("1", unit or "bytes")
    if capacity and (in_bytes is None or capacity != -(-size // in_bytes)):
        raise _bad_volume("VirtualQuantity and Capacity name different sizes")
    return size, None


def _bytes_per(unit: str | None) -> int:
    found = 1 if unit in (None, "", _COUNT) else byte_units.bytes_per(str(unit))
    if found is None:
        raise _bad_volume(f"VirtualQuantityUnits {unit!r} is no unit of sizes")
    return found


def _allocation(settings: Instance) -> int:
    """How many bytes of it shall be taken at once."""
    small: int = settings["AllocationQuantity"] or 0
    exact: int | None = settings["Reservation"]
    if exact is None:
        return small
    if small not in (0, exact):
        raise _bad_volume("Reservation and AllocationQuantity name different sizes")
    return exact


def fit_into(definition: VolumeDefinition, pool_type: str | None) -> None:
    """Leave out of a volume's definition what a pool whose volumes are devices has no use for."""
    if pool_type in IMAGE_POOLS:
        return
    if definition.format != "raw":
        raise Failed(f"{NO_VOLUME_MADE}: a volume of a {pool_type} pool has no image format")
    definition.format = None
