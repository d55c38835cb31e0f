# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_NetResourceAllocationSettingData: network interfaces of guests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
from libvirtcim.virt.devices.interface import Interface, VirtualPort
from libvirtcim.virt.host import Hosts


def _text(name: str, description: str) -> Property:
    return Property(name, "string", description)


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


TYPES = ("bridge", "network", "user", "direct")
_PORT = {
    "VSIType": "type",
    "VSIManagerID": "managerid",
    "VSITypeID": "typeid",
    "VSITypeIDVersion": "typeidversion",
    "VSIInstanceID": "instanceid",
    "ProfileID": "profileid",
}
"""Properties that are attributes of the virtual port."""
_BANDWIDTH = {"Reservation": "inbound_average", "Limit": "inbound_peak"}
_SOURCES = ("source_network", "source_bridge", "source_dev", "source_mode")


def _make(values: Mapping[str, Value], target: Target) -> Interface:
    if values.get("NetworkType") is None:
        raise SettingError("No Network Type specified")
    return Interface.new(mac=_normal(values.get("Address") or target.fresh_mac()))


def _normal(mac: str) -> str:
    """As libvirt gives it back: what the interface is known by from now on."""
    return mac.lower()


def _write(nic: Interface, values: Mapping[str, Value], target: Target) -> None:
    kind = (values.get("NetworkType") or nic.type or "").lower()
    if kind != nic.type:
        if kind not in TYPES:
            raise SettingError("Invalid Network Type specified")
        for source in _SOURCES:
            setattr(nic, source, None)
        nic.type = kind
    address = values.get("Address")
    if address:
        target.check_mac(address)
        nic.mac = _normal(address)
    write_source = _SOURCE_OF_TYPE.get(kind)
    if write_source is not None:
        write_source(nic, values, target)
    for name, attribute in _BANDWIDTH.items():
        if values.get(name) is not None:
            setattr(nic, attribute, values[name] or None)
    write_address(nic, values)


def _write_bridge(nic: Interface, values: Mapping[str, Value], target: Target) -> None:
    name = values.get("NetworkName")
    if name is None and not nic.source_bridge:
        raise SettingError("No Network bridge name specified")
    if name == "":
        raise SettingError("Bridge name is empty")
    if name is not None:
        nic.source_bridge = name
    if target.new and target.family.prefix == "Xen":
        nic.script = "vif-bridge"


def _write_network(nic: Interface, values: Mapping[str, Value], target: Target) -> None:
    pool = values.get("PoolID")
    if pool is not None:
        _kind, slash, name = pool.partition("/")
        if not slash:
            raise SettingError("PoolID specified is not formatted properly")
    elif nic.source_network:
        return
    else:
        name = target.default_network()
        if name is None:
            raise SettingError("No NetworkPool specified no default available")
    nic.source_network = name


def _write_direct(nic: Interface, values: Mapping[str, Value], target: Target) -> None:
    device = values.get("SourceDevice")
    if device is None and nic.source is None:
        raise SettingError("No Source Device specified")
    if device == "":
        raise SettingError("Source Device is empty")
    if device is not None and device != nic.source:
        nic.source_dev = device
    if values.get("NetworkMode") is not None:
        nic.source_mode = values["NetworkMode"]
    port = nic.virtualport
    if port is None and values.get("VSIType"):
        port = VirtualPort.new()
    if port is None:
        return
    for name, attribute in _PORT.items():
        if values.get(name) is not None:
            setattr(port, attribute, values[name])
    nic.virtualport = port


_SOURCE_OF_TYPE: Mapping[str, Callable[[Interface, Mapping[str, Value], Target], None]] = {
    "bridge": _write_bridge,
    "network": _write_network,
    "direct": _write_direct,
}

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
        "NetworkMode": lambda i: i.device.source_mode,
        "PoolID": _pool_id,
        **{name: _port(attribute) for name, attribute in _PORT.items()},
        **ADDRESS_COLUMNS,
    },
    attributes={"VirtualDevice": "target", "ResourceSubType": "model", "FilterRef": "filter"},
    write=_write,
    make=_make,
    place="interfaces",
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
