# SPDX-License-Identifier: LGPL-2.1-or-later
"""KVM_HostDeviceResourceAllocationSettingData: devices of the host that guests have."""

from __future__ import annotations

from collections.abc import Mapping

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.cim.objects import Value
from libvirtcim.providers.common import Provided, prefixes_with, registered
from libvirtcim.providers.resource_allocation.base import (
    ADDRESS_COLUMNS,
    ADDRESS_PROPERTIES,
    SUPERCLASS,
    Setting,
    provided,
    write_address,
)
from libvirtcim.providers.resource_allocation.target import SettingError, Target
from libvirtcim.virt.devices.misc import HostDevice
from libvirtcim.virt.errors import Invalid
from libvirtcim.virt.families import HOSTDEV
from libvirtcim.virt.host import Hosts

HOST_DEVICE = ClassDecl(
    "HostDeviceResourceAllocationSettingData",
    SUPERCLASS,
    "A device of the host that a guest has for itself: ResourceSubType pci or usb. Address names it on the "
    "host: of PCI as lspci does (0000:01:00.0), of USB <vendor>:<product> as lsusb does (046d:c077) or "
    "<bus>/<device> (1/4).",
    prefixes_with(HOSTDEV),
    (
        Property(
            "Managed",
            "boolean",
            "Whether libvirt takes a PCI device from the host's driver, and gives it back.",
        ),
        *ADDRESS_PROPERTIES,
    ),
    registration=registered("Virt_RASD"),
)

TYPES = ("pci", "usb")


def _make(values: Mapping[str, Value], target: Target) -> HostDevice:
    kind = (values.get("ResourceSubType") or "").lower()
    if kind not in TYPES:
        raise SettingError(
            f"HostDeviceRASD ResourceSubType {kind!r} is not one of {', '.join(TYPES)}"
        )
    if not values.get("Address"):
        raise SettingError("Missing `Address' field in HostDevice RASD")
    return HostDevice.new(mode="subsystem", type=kind)


def _write(device: HostDevice, values: Mapping[str, Value], target: Target) -> None:
    kind, address = values.get("ResourceSubType"), values.get("Address")
    if kind is not None and kind.lower() != device.type:
        raise SettingError("HostDeviceRASD ResourceSubType can't be changed")
    if address is not None:
        try:
            device.place(address)
        except Invalid as error:
            raise SettingError(f"HostDeviceRASD Address {error}") from error
    write_address(device, values)


SETTING = Setting(
    HOST_DEVICE,
    HOSTDEV,
    1,
    {
        "OtherResourceType": lambda i: HOSTDEV,
        "ResourceSubType": lambda i: i.device.type,
        "Address": lambda i: i.device.source_text or None,
        **ADDRESS_COLUMNS,
    },
    attributes={"Managed": "managed"},
    write=_write,
    make=_make,
    place="hostdevs",
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
