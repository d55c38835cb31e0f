# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_NetResourceAllocationSettingData: network interfaces of guests."""

from __future__ import annotations

from collections.abc import Callable

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.providers.device import DeviceItem
from libvirtcim.providers.resource_allocation.base import (
    ADDRESS_COLUMNS,
    ADDRESS_PROPERTIES,
    SUPERCLASS,
    Setting,
    provided,
)
from libvirtcim.virt.host import Hosts

_FULL = ("Xen", "KVM")


def _text(name: str, description: str) -> Property:
    return Property(name, "string", description, prefixes=_FULL)


NET = ClassDecl(
    "NetResourceAllocationSettingData",
    SUPERCLASS,
    "A network interface of a guest. Address is its MAC address; Reservation and Limit are average and "
    "peak of the inbound bandwidth in kilobytes a second.",
    ALL,
    (
        _text("NetworkType", "Kind of the connection: network, bridge, user, direct ..."),
        _text("NetworkName", "The network, bridge or device that it is connected to."),
        Property("VirtualDevice", "string", "Device on the host, e.g. vnet0."),
        _text("SourceDevice", "Host device of a direct connection."),
        _text("NetworkMode", "Mode of a direct connection, e.g. vepa."),
        _text("VSIType", "Type of the virtual port, e.g. 802.1Qbg."),
        _text("VSIManagerID", "Manager of the virtual station interface type."),
        _text("VSITypeID", "Virtual station interface type."),
        _text("VSITypeIDVersion", "Version of the virtual station interface type."),
        _text("VSIInstanceID", "This virtual station interface."),
        _text("ProfileID", "Port profile of an 802.1Qbh port."),
        _text("FilterRef", "Network filter that guards the interface."),
        *ADDRESS_PROPERTIES,
    ),
    registration=registered("Virt_RASD"),
)


def _allocation_units(item: DeviceItem) -> str | None:
    limited = item.device.inbound_average or item.device.inbound_peak
    return "KiloBytes per Second" if limited else None


def _pool_id(item: DeviceItem) -> str | None:
    network = item.device.source_network
    return f"NetworkPool/{network}" if network else None


def _network_name(item: DeviceItem) -> str | None:
    """The network, also of a direct connection through one; else bridge or device."""
    name: str | None = item.device.source
    if item.device.type == "direct":
        name = item.device.source_network or name
    return name


def _source_device(item: DeviceItem) -> str | None:
    if item.device.type != "direct":
        return None
    source: str | None = item.device.source
    return source


def _port(attribute: str) -> Callable[[DeviceItem], str | None]:
    """An attribute of the virtual port, of interfaces that have one."""

    def value(item: DeviceItem) -> str | None:
        port = item.device.virtualport
        found: str | None = getattr(port, attribute) if port is not None else None
        return found

    return value


SETTING = Setting(
    NET,
    "net",
    10,
    {
        "NetworkType": lambda i: i.device.type,
        "Address": lambda i: i.device.mac,
        "NetworkName": _network_name,
        "Reservation": lambda i: i.device.inbound_average or None,
        "Limit": lambda i: i.device.inbound_peak or None,
        "AllocationUnits": _allocation_units,
        "SourceDevice": _source_device,
        "VirtualDevice": lambda i: i.device.target,
        "NetworkMode": lambda i: i.device.source_mode,
        "ResourceSubType": lambda i: i.device.model,
        "PoolID": _pool_id,
        "VSIType": _port("type"),
        "VSIManagerID": _port("managerid"),
        "VSITypeID": _port("typeid"),
        "VSITypeIDVersion": _port("typeidversion"),
        "VSIInstanceID": _port("instanceid"),
        "ProfileID": _port("profileid"),
        "FilterRef": lambda i: i.device.filter,
        **ADDRESS_COLUMNS,
    },
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
