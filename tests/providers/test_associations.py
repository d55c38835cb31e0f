# SPDX-License-Identifier: LGPL-2.1-or-later
"""The associations of a guest: results and their order, roles, filters, references, errors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from libvirtcim.cim import errors
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import InstancePath
from tests.providers.wiring import (
    ALL,
    CONTEXT,
    HOST_NAME,
    KVM,
    NAME,
    NS,
    broker_of,
    device_path,
    guest,
    host_path,
    path,
    setting_path,
    system_path,
    vssd_path,
)

MAC = "52:54:00:aa:bb:0c"
DEVICES = (
    "<input type='mouse' bus='usb'/><input type='mouse' bus='usb'/>"
    "<controller type='usb' index='0'/>"
    "<console type='pty'><target port='0'/></console><graphics type='vnc'/>"
    "<disk type='file' device='disk'><source file='/a'/><target dev='vdb'/></disk>"
    "<disk type='file' device='disk'><source file='/b'/><target dev='vda'/></disk>"
    f"<interface type='user'><mac address='{MAC}'/></interface>"
)
OTHER = "web 2"


@cache
def host(prefix: str) -> Broker:
    """A running guest with devices, and one with a blank in its name that is off."""
    up = guest(prefix, devices=DEVICES, number=3, state=1)
    down = guest(prefix, OTHER, uuid="b")
    return broker_of({prefix: [up, down]})


# class of the device → kind of its setting, and ids in order
KINDS: dict[str, tuple[str, list[str]]] = {
    "NetworkPort": ("Net", [MAC]),
    "LogicalDisk": ("Disk", ["vdb", "vda"]),
    "Memory": ("Mem", ["mem"]),
    "Processor": ("Proc", ["0", "1"]),
    "DisplayController": ("Graphics", ["console:0", "vnc"]),
    "PointingDevice": ("Input", ["mouse:usb", "mouse:usb:1"]),
    "ConsoleDisplayController": ("Console", ["charconsole:0"]),
    "Controller": ("Controller", ["controller:usb:0"]),
}
"""In the order in which devices and settings of a guest are listed."""


def kinds(prefix: str) -> dict[str, tuple[str, list[str]]]:
    return {b: k for b, k in KINDS.items() if b != "Controller" or prefix == KVM}


def all_devices(prefix: str) -> list[InstancePath]:
    return [device_path(prefix, b, i) for b, (_kind, ids) in kinds(prefix).items() for i in ids]


def all_settings(prefix: str) -> list[InstancePath]:
    return [
        setting_path(prefix, kind, devid)
        for kind, ids in kinds(prefix).values()
        for devid in (["proc"] if kind == "Proc" else ids)
    ]


def system_and_settings(prefix: str, name: str = NAME) -> tuple[InstancePath, InstancePath]:
    return system_path(prefix, name), vssd_path(prefix, name)


@dataclass(frozen=True)
class Way:
    """One direction of an association: from a source, what is found and in which roles."""

    association: str
    source: InstancePath
    role: str
    found: tuple[InstancePath, ...]
    result_role: str
    superclass: str
    """A superclass of all that is found."""

    def __str__(self) -> str:
        return f"{self.association} from {self.source.classname}"


def ways(prefix: str) -> list[Way]:
    """Every direction of every association from every class, spelled out."""
    system, vssd = system_and_settings(prefix)
    other_system, other_vssd = system_and_settings(prefix, OTHER)
    machine = host_path(prefix)
    devices, settings = all_devices(prefix), all_settings(prefix)
    group, part = "GroupComponent", "PartComponent"
    element, data = "ManagedElement", "SettingData"
    component, state = "VirtualSystemSettingDataComponent", "SettingsDefineState"
    rasd, cs = "CIM_ResourceAllocationSettingData", "CIM_ComputerSystem"
    vs = "CIM_VirtualSystemSettingData"
    of_other = (
        setting_path(prefix, "Mem", "mem", OTHER),
        setting_path(prefix, "Proc", "proc", OTHER),
    )
    found = [
        Way("SystemDevice", system, group, tuple(devices), part, "CIM_LogicalDevice"),
        Way(component, vssd, group, tuple(settings), part, rasd),
        Way(component, other_vssd, group, of_other, part, rasd),
        Way(state, system, element, (vssd,), data, vs),
        Way(state, other_system, element, (other_vssd,), data, vs),
        Way(state, vssd, data, (system,), element, cs),
        Way(state, other_vssd, data, (other_system,), element, cs),
        Way("ElementSettingData", vssd, element, (vssd,), data, vs),
        # the guest is Antecedent and the host Dependent
        Way("HostedDependency", system, "Antecedent", (machine,), "Dependent", cs),
        Way("HostedDependency", machine, "Dependent", (other_system, system), "Antecedent", cs),
    ]
    for device in devices:
        found.append(Way("SystemDevice", device, part, (system,), group, cs))
        base = device.classname.partition("_")[2]
        devid = device.text("DeviceID").partition("/")[2]
        kind = KINDS[base][0]
        setting = setting_path(prefix, kind, "proc" if kind == "Proc" else devid)
        found.append(Way(state, device, element, (setting,), data, rasd))
    for setting in settings:
        found.append(Way(component, setting, part, (vssd,), group, vs))
        found.append(Way("ElementSettingData", setting, element, (setting,), data, rasd))
        base, ids = next(
            (base, ids)
            for base, (kind, ids) in KINDS.items()
            if f"_{kind}Resource" in setting.classname
        )
        devid = setting.text("InstanceID").partition("/")[2]
        # of the one processor setting all processors
        chosen = ids if devid == "proc" else [devid]
        targets = tuple(device_path(prefix, base, i) for i in chosen)
        found.append(Way(state, setting, data, targets, element, "CIM_LogicalDevice"))
    return found


WAYS = [(prefix, way) for prefix in ALL for way in ways(prefix)]
ways_of_each_kind = {(p, w.association, w.source.classname): (p, w) for p, w in reversed(WAYS)}
FEW = list(ways_of_each_kind.values())
"""One way of each kind: association and class of the source."""


def names(broker: Broker, way: Way, *filters: str | None) -> list[InstancePath]:
    return list(broker.associator_names(CONTEXT, way.source, *filters))


def part_of(expected: list[Any], found: list[Any]) -> bool:
    """Whether it is all there in its order; a DMTF class may be the superclass of several of ours."""
    return [item for item in found if item in expected] == expected


@pytest.mark.parametrize(("prefix", "way"), WAYS, ids=str)
def test_what_is_found_and_in_which_order(prefix: str, way: Way) -> None:
    broker = host(prefix)
    association = f"{prefix}_{way.association}"
    assert names(broker, way, association) == list(way.found)
    rows = list(broker.associators(CONTEXT, way.source, association))
    assert [row.path for row in rows] == list(way.found)
    for row in rows:
        assert row.path is not None
        assert row.values == broker.get_instance(CONTEXT, row.path).values


@pytest.mark.parametrize(("prefix", "way"), FEW, ids=str)
def test_property_lists(prefix: str, way: Way) -> None:
    for row in host(prefix).associators(
        CONTEXT, way.source, f"{prefix}_{way.association}", properties=["caption", "InstanceID"]
    ):
        assert {name for name, _value in row.items()} <= {"Caption", "InstanceID"}


@pytest.mark.parametrize(("prefix", "way"), FEW, ids=str)
def test_filters(prefix: str, way: Way) -> None:
    broker = host(prefix)
    exact = f"{prefix}_{way.association}"
    foreign = "LXC" if prefix == KVM else KVM
    target = way.found[0].classname
    of_class = [p for p in way.found if p.classname == target]
    base = target.partition("_")[2]
    everything, nothing = list(way.found), []
    # (AssocClass, ResultClass, Role, ResultRole) → paths
    table: list[tuple[tuple[str | None, ...], list[InstancePath]]] = [
        ((exact.lower(),), everything),
        ((exact, None, way.role.upper()), everything),
        ((exact, None, None, way.result_role.lower()), everything),
        ((exact, way.superclass), everything),
        ((exact, target.upper()), of_class),
        ((exact, target, way.role, way.result_role), of_class),
        ((exact, "CIM_ManagedElement"), everything),
        # the other family's classes, the other ends and other associations
        ((f"{foreign}_{way.association}",), nothing),
        ((exact, f"{foreign}_{base}"), nothing),
        ((f"CIM_{way.association}", f"{foreign}_{base}"), nothing),
        ((exact, "Linux_ComputerSystem"), nothing),
        ((exact, f"{prefix}_SystemDevice"), nothing),
        ((exact, "CIM_Job"), nothing),
        ((exact, None, way.result_role), nothing),
        ((exact, None, None, way.role), nothing),
        ((exact, None, "Nonsense"), nothing),
        ((exact, None, None, "Nonsense"), nothing),
        (("CIM_EnabledLogicalElementCapabilities",), nothing),
    ]
    for roles in ((), (None, way.role, way.result_role)):
        assert part_of(everything, names(broker, way, f"CIM_{way.association}", *roles))
    for filters, expected in table:
        assert names(broker, way, *filters) == expected, filters
        rows = broker.associators(CONTEXT, way.source, *filters)
        assert [row.path for row in rows] == expected, filters


@pytest.mark.parametrize(("prefix", "way"), FEW, ids=str)
def test_an_association_that_does_not_fit_is_empty_whatever_the_source(
    prefix: str, way: Way
) -> None:
    broker = broker_of({prefix: None})
    gone = InstancePath(way.source.classname, (), NS)
    exact = f"{prefix}_{way.association}"
    for filters in [
        ("CIM_EnabledLogicalElementCapabilities",),
        (exact, "CIM_Job"),
        (exact, None, "Nonsense"),
        (exact, None, None, "Nonsense"),
    ]:
        assert list(broker.associator_names(CONTEXT, gone, *filters)) == []
    assert list(broker.reference_names(CONTEXT, gone, exact, "Nonsense")) == []


SAME: dict[str, Any] = {"IsDefault": 1, "IsNext": 1, "IsMinimum": 1, "IsMaximum": 1}
UNSET: dict[str, Any] = {"IsCurrent": None}


@pytest.mark.parametrize(("prefix", "way"), WAYS, ids=str)
def test_references(prefix: str, way: Way) -> None:
    broker = host(prefix)
    exact = f"{prefix}_{way.association}"
    rows = list(broker.references(CONTEXT, way.source, exact))
    ends = [(row[way.role], row[way.result_role]) for row in rows]
    assert ends == [(way.source, target) for target in way.found]
    expected = {**SAME, **UNSET} if way.association == "ElementSettingData" else {}
    for row in rows:
        assert row.path is not None
        assert (row.cls.name, row.path.classname, row.path.namespace) == (exact, exact, NS)
        assert dict(row.path.keys) == {
            way.role: row[way.role],
            way.result_role: row[way.result_role],
        }
        assert {name: row[name] for name in expected} == expected
        assert broker.get_instance(CONTEXT, row.path).values == row.values
    paths = [row.path for row in rows]
    assert list(broker.reference_names(CONTEXT, way.source, exact)) == paths
    # the class filter takes superclasses, the role any case
    for given, role in [
        (f"CIM_{way.association}", None),
        (exact, way.role.lower()),
        (f"cim_{way.association}", way.role),
    ]:
        assert part_of(paths, list(broker.reference_names(CONTEXT, way.source, given, role)))
    if way.role != "ManagedElement" or way.association != "ElementSettingData":
        assert list(broker.reference_names(CONTEXT, way.source, exact, way.result_role)) == []


@pytest.mark.parametrize("prefix", ALL)
def test_settings_are_the_managed_end_of_themselves_only(prefix: str) -> None:
    broker = host(prefix)
    for source in (vssd_path(prefix), setting_path(prefix, "Mem", "mem")):
        exact = f"{prefix}_ElementSettingData"
        assert list(broker.reference_names(CONTEXT, source, exact, "SettingData")) == []
        assert list(broker.associator_names(CONTEXT, source, exact, None, "SettingData")) == []
    assert list(broker.associator_names(CONTEXT, system_path(prefix), exact)) == []


# class → what is found without a filter, by association
EVERYTHING = {
    "ComputerSystem": ("SystemDevice", "SettingsDefineState", "HostedDependency"),
    "HostSystem": ("HostedDependency",),
    "VirtualSystemSettingData": (
        *("VirtualSystemSettingDataComponent", "SettingsDefineState", "ElementSettingData"),
    ),
    "Memory": ("SystemDevice", "SettingsDefineState"),
    "MemResourceAllocationSettingData": (
        *("VirtualSystemSettingDataComponent", "SettingsDefineState", "ElementSettingData"),
    ),
}


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize("base", EVERYTHING)
def test_without_a_filter_all_associations_are_walked(prefix: str, base: str) -> None:
    broker = host(prefix)
    source = next(w.source for w in ways(prefix) if w.source.classname == f"{prefix}_{base}")
    expected = [f"{prefix}_{name}" for name in EVERYTHING[base]]
    known = {f"{prefix}_{w.association}" for w in ways(prefix)}
    found = [p.classname for p in broker.reference_names(CONTEXT, source)]
    assert sorted(set(found) & known) == sorted(expected)
    each = [p for a in expected for p in broker.associator_names(CONTEXT, source, a)]
    everything = list(broker.associator_names(CONTEXT, source))
    assert [p for p in everything if p in each] != []
    assert all(p in everything for p in each)


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize(
    ("association", "role"),
    [
        ("SystemDevice", "GroupComponent"),
        ("VirtualSystemSettingDataComponent", "GroupComponent"),
        ("SettingsDefineState", "ManagedElement"),
        ("ElementSettingData", "ManagedElement"),
        ("HostedDependency", "Antecedent"),
    ],
)
def test_enumerating_an_association_lists_every_pair_once(
    prefix: str, association: str, role: str
) -> None:
    broker = host(prefix)
    found = list(broker.enumerate_instance_names(CONTEXT, NS, f"{prefix}_{association}"))
    rows = list(broker.enumerate_instances(CONTEXT, NS, f"{prefix}_{association}"))
    assert [row.path for row in rows] == found
    assert len({str(p) for p in found}) == len(found)
    expected = {
        (str(w.source), str(target))
        for w in ways(prefix)
        if w.association == association and w.role == role
        for target in w.found
    }
    other = next(
        w.result_role for w in ways(prefix) if w.association == association and w.role == role
    )
    pairs = {(str(p.get(role)), str(p.get(other))) for p in found}
    assert expected <= pairs
    # what is more belongs to the guest that `ways` spells out in part only
    assert all(OTHER in str(pair) for pair in pairs - expected)


# (what, source, association, error, text)
def bad_sources(prefix: str) -> list[tuple[str, InstancePath, str, type[errors.CIMError], str]]:
    device = device_path(prefix, "Memory", "mem")
    setting = setting_path(prefix, "Mem", "mem")
    none = InstancePath
    component = "VirtualSystemSettingDataComponent"
    return [
        (
            "no such guest",
            system_path(prefix, "x"),
            "SystemDevice",
            errors.NotFound,
            "Referenced domain `x' does not exist: Domain not found",
        ),
        (
            "guest, no name",
            none(f"{prefix}_ComputerSystem", (), NS),
            "SystemDevice",
            errors.Failed,
            "No domain name specified",
        ),
        (
            "guest, another class",
            path(prefix, "ComputerSystem", CreationClassName="X", Name=NAME),
            "HostedDependency",
            errors.NotFound,
            "No such instance (CreationClassName)",
        ),
        (
            "another host",
            path(prefix, "HostSystem", CreationClassName=f"{prefix}_HostSystem", Name="x"),
            "HostedDependency",
            errors.NotFound,
            "No such instance (Name)",
        ),
        (
            "host, no key",
            none(f"{prefix}_HostSystem", (), NS),
            "HostedDependency",
            errors.NotFound,
            "No such instance (CreationClassName)",
        ),
        (
            "settings, no key",
            none(f"{prefix}_VirtualSystemSettingData", (), NS),
            component,
            errors.NotFound,
            "No such instance (InstanceID)",
        ),
        (
            "settings of no guest",
            vssd_path(prefix, "x"),
            "SettingsDefineState",
            errors.NotFound,
            "No such instance (x): Domain not found",
        ),
        (
            "settings of another prefix",
            path(prefix, "VirtualSystemSettingData", InstanceID=f"Foo:{NAME}"),
            "ElementSettingData",
            errors.NotFound,
            "No such instance (InstanceID)",
        ),
        (
            "device, no key",
            none(device.classname, (), NS),
            "SystemDevice",
            errors.Failed,
            "DeviceID",
        ),
        (
            "no such device",
            device_path(prefix, "Memory", "x"),
            "SettingsDefineState",
            errors.NotFound,
            f"No such instance (no device {NAME}/x)",
        ),
        (
            "device, id alone",
            path(prefix, "Memory", DeviceID=f"{NAME}/mem"),
            "SystemDevice",
            errors.NotFound,
            "No such instance (SystemCreationClassName)",
        ),
        (
            "setting, no key",
            none(setting.classname, (), NS),
            "ElementSettingData",
            errors.Failed,
            "Missing InstanceID",
        ),
        (
            "no such setting",
            setting_path(prefix, "Mem", "x"),
            component,
            errors.NotFound,
            f"No such instance ({NAME}/x): Error 0",
        ),
    ]


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize("number", range(len(bad_sources(KVM))))
def test_sources_that_are_not_there(prefix: str, number: int) -> None:
    _what, source, association, error, text = bad_sources(prefix)[number]
    broker = host(prefix)
    for ask in (
        broker.associator_names,
        broker.associators,
        broker.reference_names,
        broker.references,
    ):
        with pytest.raises(errors.CIMError) as raised:
            list(ask(CONTEXT, source, f"{prefix}_{association}"))
        assert type(raised.value) is error
        assert text in raised.value.message


@pytest.mark.parametrize(("prefix", "way"), FEW, ids=str)
def test_sources_in_another_spelling(prefix: str, way: Way) -> None:
    broker = host(prefix)
    keys = tuple((name.upper(), value) for name, value in way.source.keys)
    source = InstancePath(way.source.classname.lower(), (*keys, ("Extra", "x")), NS)
    found = broker.associator_names(CONTEXT, source, f"{prefix}_{way.association}")
    assert list(found) == list(way.found)


@pytest.mark.parametrize("prefix", ALL)
def test_a_host_without_guests_has_no_dependents(prefix: str) -> None:
    broker = broker_of({prefix: []})
    found = broker.associator_names(CONTEXT, host_path(prefix), f"{prefix}_HostedDependency")
    assert list(found) == []
    assert broker.get_instance(CONTEXT, host_path(prefix))["Name"] == HOST_NAME
