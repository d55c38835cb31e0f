# SPDX-License-Identifier: LGPL-2.1-or-later
"""Associations among a guest, its devices, its settings and its host.

::

    P_HostSystem --HostedDependency-- P_ComputerSystem --SystemDevice-- P_<device>
                                            |                              |
                                    SettingsDefineState            SettingsDefineState
                                            |                              |
                         P_VirtualSystemSettingData --VSSDComponent-- P_<kind>RASD

ElementSettingData ties every setting to itself: what is defined is also what is in force next.
"""

from __future__ import annotations

from collections.abc import Iterable

from libvirtcim.cim.associations import Association, Handler, Target
from libvirtcim.cim.declare import CIMV2, VIRT
from libvirtcim.cim.provider import ProviderRequest
from libvirtcim.providers.common import (
    GuestItem,
    HostItem,
    Provided,
    association,
    end,
    guest_with,
    translated,
)
from libvirtcim.providers.device import (
    CLASS_OF_KIND,
    CLASSES,
    DeviceItem,
    device_items,
    find_by_id,
    setting_items,
)
from libvirtcim.providers.resource_allocation.kinds import SETTINGS
from libvirtcim.virt.host import Hosts, Needs

DEVICE_BASES = tuple(c.decl.base for c in CLASSES)
SETTING_BASES = tuple(s.decl.base for s in SETTINGS.values())
DEVICE_SETTING_BASES = tuple(SETTINGS[kind].decl.base for kind in CLASS_OF_KIND)
"""Settings of devices that have a class of their own."""

SYSTEM, VSSD, HOST = "ComputerSystem", "VirtualSystemSettingData", "HostSystem"


def _needs(request: ProviderRequest, full: Needs, names: Needs = Needs.LIVE) -> Needs:
    """`full` where instances are wanted, `names` where only their names are."""
    return names if request.names_only else full


def _guest(item: GuestItem | DeviceItem, needs: Needs) -> GuestItem:
    """The guest of an item, with at least what `needs` says known of it."""
    return guest_with(item.owner if isinstance(item, DeviceItem) else item, needs)


def _devices_of(
    request: ProviderRequest, _base: str, item: GuestItem, wanted: frozenset[str]
) -> Iterable[Target]:
    guest = _guest(item, Needs.LIVE)
    for device_class in CLASSES:
        if device_class.decl.base in wanted:
            for device in device_items(guest, device_class.kind):
                yield Target(device_class.decl.base, device)


def _settings_of(
    request: ProviderRequest, _base: str, item: GuestItem, wanted: frozenset[str]
) -> Iterable[Target]:
    chosen = [s for s in SETTINGS.values() if s.decl.base in wanted]
    needs = Needs.LIVE
    for setting in chosen:
        needs |= _needs(request, setting.needs)
    guest = _guest(item, needs)
    for setting in chosen:
        for device in setting_items(guest, setting.kind):
            yield Target(setting.decl.base, device)


def _system_of(
    request: ProviderRequest, _base: str, item: DeviceItem | GuestItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    yield Target(SYSTEM, _guest(item, _needs(request, Needs.LIVE, Needs.STATE)))


def _vssd_of(
    request: ProviderRequest, _base: str, item: DeviceItem | GuestItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    needs = _needs(request, Needs.CONFIG | Needs.AUTOSTART, Needs.STATE)
    yield Target(VSSD, _guest(item, needs))


def _setting_of_device(
    request: ProviderRequest, _base: str, item: DeviceItem, wanted: frozenset[str]
) -> Iterable[Target]:
    setting = SETTINGS[item.kind]
    if setting.decl.base not in wanted:
        return
    guest = _guest(item, _needs(request, setting.needs))
    devid = "proc" if item.kind == "proc" else item.devid
    found = find_by_id(setting_items, guest, item.kind, devid)
    if found is not None:
        yield Target(setting.decl.base, found)


def _devices_of_setting(
    request: ProviderRequest, base: str, item: DeviceItem, wanted: frozenset[str]
) -> Iterable[Target]:
    device_base = CLASS_OF_KIND[item.kind].decl.base
    if device_base not in wanted:
        return
    guest = _guest(item, Needs.LIVE)
    if item.kind == "proc":
        yield from (Target(device_base, d) for d in device_items(guest, item.kind))
        return
    found = find_by_id(device_items, guest, item.kind, item.devid)
    if found is not None:
        yield Target(device_base, found)


def _itself(
    request: ProviderRequest, base: str, item: DeviceItem | GuestItem, wanted: frozenset[str]
) -> Iterable[Target]:
    if base in wanted:
        yield Target(base, item)


def _host_of(
    _request: ProviderRequest, _base: str, item: GuestItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    yield Target(HOST, HostItem(item.prefix, item.reading))


def _guests_of(
    request: ProviderRequest, _base: str, item: HostItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    with translated("Unable to list guests"):
        reading = item.reading
        for guest in reading.guests(_needs(request, Needs.LIVE, Needs.STATE)):
            yield Target(SYSTEM, GuestItem(item.prefix, reading, guest))


SYSTEM_DEVICE = Association(
    association(
        "SystemDevice",
        "A guest and one of its devices.",
        properties=(
            end("GroupComponent", "{P}_ComputerSystem", "The guest.", Min=1, Max=1),
            end("PartComponent", "CIM_LogicalDevice", "The device."),
        ),
    ),
    (
        Handler(
            (SYSTEM,), "GroupComponent", DEVICE_BASES, "PartComponent", _devices_of, enumerated=True
        ),
        Handler(DEVICE_BASES, "PartComponent", (SYSTEM,), "GroupComponent", _system_of),
    ),
)

VSSD_COMPONENT = Association(
    association(
        "VirtualSystemSettingDataComponent",
        "The settings of a guest and those of one of its resources.",
        provider="Virt_VSSDComponent",
    ),
    (
        Handler(
            (VSSD,), "GroupComponent", SETTING_BASES, "PartComponent", _settings_of, enumerated=True
        ),
        Handler(SETTING_BASES, "PartComponent", (VSSD,), "GroupComponent", _vssd_of),
    ),
)

SETTINGS_DEFINE_STATE = Association(
    association("SettingsDefineState", "A guest or device and the settings that define it."),
    (
        Handler(
            DEVICE_BASES,
            "ManagedElement",
            DEVICE_SETTING_BASES,
            "SettingData",
            _setting_of_device,
            enumerated=True,
        ),
        Handler(
            DEVICE_SETTING_BASES, "SettingData", DEVICE_BASES, "ManagedElement", _devices_of_setting
        ),
        Handler((SYSTEM,), "ManagedElement", (VSSD,), "SettingData", _vssd_of, enumerated=True),
        Handler((VSSD,), "SettingData", (SYSTEM,), "ManagedElement", _system_of),
    ),
)

_SAME = {"IsDefault": 1, "IsNext": 1, "IsMinimum": 1, "IsMaximum": 1}

ELEMENT_SETTING_DATA = Association(
    association(
        "ElementSettingData", "Settings, and the settings in force at the next start: the same."
    ),
    (
        Handler((VSSD,), "ManagedElement", (VSSD,), "SettingData", _itself, _SAME, enumerated=True),
        Handler(
            SETTING_BASES,
            "ManagedElement",
            SETTING_BASES,
            "SettingData",
            _itself,
            _SAME,
            enumerated=True,
        ),
    ),
)

# The guest is Antecedent and the host Dependent, the reverse of DMTF's definition: clients rely on it.
HOSTED_DEPENDENCY = Association(
    association("HostedDependency", "A guest and the host it runs on.", namespaces=(VIRT, CIMV2)),
    (
        Handler((SYSTEM,), "Antecedent", (HOST,), "Dependent", _host_of),
        Handler((HOST,), "Dependent", (SYSTEM,), "Antecedent", _guests_of, enumerated=True),
    ),
)

ASSOCIATIONS = (
    SYSTEM_DEVICE,
    VSSD_COMPONENT,
    SETTINGS_DEFINE_STATE,
    ELEMENT_SETTING_DATA,
    HOSTED_DEPENDENCY,
)


def provide(hosts: Hosts) -> Provided:
    """The module's association classes and their handlers."""
    return Provided(tuple(a.decl for a in ASSOCIATIONS), (), ASSOCIATIONS)
