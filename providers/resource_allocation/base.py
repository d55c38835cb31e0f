# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_ResourceAllocationSettingData: superclass of all kinds, and the provider that serves each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.cim.errors import Failed, NotFound
from libvirtcim.cim.objects import InstancePath, Value
from libvirtcim.cim.provider import Columns, ProviderRequest
from libvirtcim.providers.common import ALL, FamilyProvider, Provided
from libvirtcim.providers.device import DeviceItem, find_by_id, parts_of_id, setting_items
from libvirtcim.providers.resource_allocation.target import SettingError, Target
from libvirtcim.virt.devices.address import Address, Device
from libvirtcim.virt.host import Hosts, Needs
from libvirtcim.virt.xmlobject import XmlObject

SUPERCLASS = "{P}_ResourceAllocationSettingData"

RESOURCE_ALLOCATION_SETTING_DATA = ClassDecl(
    "ResourceAllocationSettingData",
    "CIM_ResourceAllocationSettingData",
    "A resource given to a guest, as it is defined.",
    ALL,
)

ADDRESS_PROPERTIES = (
    Property(
        "AddressProperties",
        "string",
        "Names of the parts of the device's address on its bus (type, domain, bus, slot ...).",
        array=True,
        prefixes=("KVM",),
    ),
    Property(
        "AddressValues",
        "string",
        "Values of the parts named in AddressProperties, in the same order.",
        array=True,
        prefixes=("KVM",),
    ),
)

ADDRESS_COLUMNS: Columns = {
    "AddressProperties": lambda i: _address_part(i, 0),
    "AddressValues": lambda i: _address_part(i, 1),
}


def _address_part(item: DeviceItem, part: int) -> list[str] | None:
    address = item.device.address
    return [pair[part] for pair in address.attributes] if address is not None else None


def write_address(device: Device, values: Mapping[str, Value]) -> None:
    """Puts a device where AddressProperties and AddressValues say, if both are given."""
    names, parts = values.get("AddressProperties"), values.get("AddressValues")
    if names is None or parts is None:
        return
    if len(names) != len(parts):
        raise SettingError("AddressProperties not matching AddressValues")
    address = device.address or Address.new()
    address.attributes = tuple((n, v or "") for n, v in zip(names, parts, strict=True) if n)
    device.address = address


@dataclass(frozen=True, slots=True)
class Setting:
    """A RASD class: declaration, kind of device, CIM resource type; how a device is shown and written.

    `attributes`: properties that are attributes of the device, and nothing else, in both directions.
    `columns`: what else is shown. `write`: writes what else is given to a device, or to the
    guest's definition where the resource is no device; raises SettingError.
    `make`: makes a device of what is given; None: guests have the resource anyway.
    `place`: the property of the definition that lists such devices.
    """

    decl: ClassDecl
    kind: str
    resource_type: int
    columns: Columns
    needs: Needs = Needs.LIVE
    attributes: Mapping[str, str] = field(default_factory=dict)
    write: Callable[[Any, Mapping[str, Value], Target], None] | None = None
    make: Callable[[Mapping[str, Value], Target], XmlObject] | None = None
    place: str = ""

    def all_columns(self) -> Columns:
        """Everything that is shown."""
        plain = {name: attrgetter(f"device.{a}") for name, a in self.attributes.items()}
        return {**plain, **self.columns}

    def apply(self, device: Any, values: Mapping[str, Value], target: Target) -> None:
        """Writes what is given to a device, or to the guest's definition, and nothing else."""
        for name, attribute in self.attributes.items():
            if values.get(name) is not None:
                setattr(device, attribute, values[name])
        if self.write is not None:
            self.write(device, values, target)

    def new(self, values: Mapping[str, Value], target: Target) -> Any:
        """A new device of what is given, where `make` says how."""
        assert self.make is not None
        device = self.make(values, target)
        self.apply(device, values, target)
        return device


class SettingProvider(FamilyProvider[DeviceItem]):
    """Serves one RASD class: one instance per device (of processors and memory: per guest)."""

    def __init__(self, setting: Setting, hosts: Hosts) -> None:
        common: Columns = {
            "InstanceID": lambda i: i.full_id,
            "ResourceType": lambda i: setting.resource_type,
        }
        super().__init__(setting.decl, hosts, {**common, **setting.all_columns()})
        self._setting = setting

    def needs(self, request: ProviderRequest) -> Needs:
        """What must be known of a guest to answer the request."""
        return Needs.LIVE if request.names_only else self._setting.needs

    def items(self, request: ProviderRequest) -> Iterable[DeviceItem]:
        """The settings of every guest, by guest, then in the order of its definition."""
        for item in self.guests(request, self.needs(request)):
            yield from setting_items(item, self._setting.kind)

    def find(self, request: ProviderRequest, path: InstancePath) -> DeviceItem:
        """The setting called `InstanceID`."""
        instance_id = path.text("InstanceID")
        if not instance_id:
            raise Failed("Missing InstanceID")
        parts = parts_of_id(instance_id)
        if parts is None:
            raise NotFound(f"No such instance ({instance_id})")
        name, devid = parts
        item = self.guest(request, name, self.needs(request), f"No such instance ({instance_id})")
        found = find_by_id(setting_items, item, self._setting.kind, devid)
        if found is None:
            raise NotFound(f"No such instance ({instance_id}): Error 0")
        return found


def provided(setting: Setting, hosts: Hosts, *more: ClassDecl) -> Provided:
    """What the module of one kind brings."""
    return Provided((*more, setting.decl), (SettingProvider(setting, hosts),))


def provide(hosts: Hosts) -> Provided:
    """The superclass; it has no instances of its own."""
    return Provided((RESOURCE_ALLOCATION_SETTING_DATA,))
