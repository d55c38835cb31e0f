# SPDX-License-Identifier: LGPL-2.1-or-later
"""What clients are told who ask for what is not there, in whatever spelling, of every class."""

from __future__ import annotations

import re
from typing import Any

import pytest

from libvirtcim.cim import errors
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import Given, GivenInstance, InstancePath
from tests.providers.wiring import (
    ALL,
    CONTEXT,
    HOST_NAME,
    KVM,
    LXC,
    NAME,
    NS,
    XEN,
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
    f"<interface type='user'><mac address='{MAC}'/></interface>"
    "<disk type='file' device='disk'><source file='/a'/><target dev='vda'/></disk>"
    "<graphics type='vnc'/><console type='pty'/><input type='mouse' bus='usb'/>"
    "<controller type='usb' index='0'/>"
)

# class → id of the one that there is
DEVICE_IDS = {
    "NetworkPort": MAC,
    "LogicalDisk": "vda",
    "Memory": "mem",
    "Processor": "1",
    "DisplayController": "vnc",
    "ConsoleDisplayController": "charconsole:0",
    "PointingDevice": "mouse:usb",
    "Controller": "controller:usb:0",
}
SETTING_IDS = {
    "Net": MAC,
    "Disk": "vda",
    "Mem": "mem",
    "Proc": "proc",
    "Graphics": "vnc",
    "Console": "charconsole:0",
    "Input": "mouse:usb",
    "Controller": "controller:usb:0",
}


def of_families(bases: Any) -> list[tuple[str, str]]:
    return [(p, b) for b in bases for p in ALL if b != "Controller" or p == KVM]


def host(prefix: str) -> Broker:
    return broker_of({prefix: [guest(prefix, devices=DEVICES)]})


def missing(prefix: str, name: str) -> str:
    """libvirt's own text for a guest that does not exist."""
    return f"Domain not found: {'No' if prefix == LXC else 'no'} domain with matching name '{name}'"


def refused(broker: Broker, target: InstancePath) -> tuple[int, str]:
    with pytest.raises(errors.CIMError) as raised:
        broker.get_instance(CONTEXT, target)
    return raised.value.status, raised.value.message


def changed(target: InstancePath, **keys: Any) -> InstancePath:
    """The path with other keys; None takes one away."""
    given = {**dict(target.keys), **keys}
    kept = tuple((name, value) for name, value in given.items() if value is not None)
    return InstancePath(target.classname, kept, target.namespace)


NOT_FOUND, FAILED = 6, 1

# (what, keys, status, text); {missing x} stands for libvirt's text about guest x
Refusals = list[tuple[str, dict[str, Any], int, str]]


def check(prefix: str, target: InstancePath, refusals: Refusals) -> None:
    broker = host(prefix)
    for what, keys, status, text in refusals:
        expected = re.sub(r"\{missing (.*)\}", lambda found: missing(prefix, found[1]), text)
        assert refused(broker, changed(target, **keys)) == (status, expected), what


SYSTEM: Refusals = [
    ("no name", {"Name": None}, FAILED, "No domain name specified"),
    ("empty name", {"Name": ""}, FAILED, "No domain name specified"),
    (
        "no such guest",
        {"Name": "x"},
        NOT_FOUND,
        "Referenced domain `x' does not exist: {missing x}",
    ),
    (
        "name in another case",
        {"Name": "G1"},
        NOT_FOUND,
        "Referenced domain `G1' does not exist: {missing G1}",
    ),
    ("number", {"Name": 7}, NOT_FOUND, "Referenced domain `7' does not exist: {missing 7}"),
    (
        "no class",
        {"CreationClassName": None},
        NOT_FOUND,
        "No such instance (CreationClassName)",
    ),
    (
        "another class",
        {"CreationClassName": "CIM_ComputerSystem"},
        NOT_FOUND,
        "No such instance (CreationClassName)",
    ),
]
HOST: Refusals = [
    ("no name", {"Name": None}, NOT_FOUND, "No such instance (Name)"),
    ("empty name", {"Name": ""}, NOT_FOUND, "No such instance (Name)"),
    ("another host", {"Name": "h2"}, NOT_FOUND, "No such instance (Name)"),
    ("no class", {"CreationClassName": None}, NOT_FOUND, "No such instance (CreationClassName)"),
]
CAPABILITIES: Refusals = [
    ("no id", {"InstanceID": None}, FAILED, "No InstanceID specified"),
    ("empty id", {"InstanceID": ""}, FAILED, "No InstanceID specified"),
    ("no such guest", {"InstanceID": "x"}, NOT_FOUND, "No such instance (x): {missing x}"),
    ("number", {"InstanceID": 7}, NOT_FOUND, "No such instance (7): {missing 7}"),
]
SETTINGS: Refusals = [
    ("no id", {"InstanceID": None}, NOT_FOUND, "No such instance (InstanceID)"),
    ("empty id", {"InstanceID": ""}, NOT_FOUND, "No such instance (InstanceID)"),
    ("no prefix", {"InstanceID": NAME}, NOT_FOUND, "No such instance (InstanceID)"),
    ("no name", {"InstanceID": "KVM:"}, NOT_FOUND, "No such instance (InstanceID)"),
    ("no such guest", {"InstanceID": "KVM:x"}, NOT_FOUND, "No such instance (x): {missing x}"),
    ("another prefix", {"InstanceID": f"Foo:{NAME}"}, NOT_FOUND, "No such instance (InstanceID)"),
    ("number", {"InstanceID": 7}, NOT_FOUND, "No such instance (InstanceID)"),
]


@pytest.mark.parametrize("prefix", ALL)
def test_systems_that_are_not_there(prefix: str) -> None:
    check(prefix, system_path(prefix), SYSTEM)
    check(prefix, host_path(prefix), HOST)


@pytest.mark.parametrize("prefix", ALL)
def test_capabilities_and_settings_that_are_not_there(prefix: str) -> None:
    target = path(prefix, "EnabledLogicalElementCapabilities", InstanceID=NAME)
    check(prefix, target, CAPABILITIES)
    check(prefix, vssd_path(prefix), SETTINGS)


@pytest.mark.parametrize(("prefix", "base"), of_families(DEVICE_IDS))
def test_devices_that_are_not_there(prefix: str, base: str) -> None:
    devid = DEVICE_IDS[base]
    other = devid.swapcase() if devid != "1" else "01"
    wrong = "No such instance ({})"
    refusals: Refusals = [
        ("no id", {"DeviceID": None}, FAILED, "No DeviceID specified"),
        ("empty id", {"DeviceID": ""}, FAILED, "No DeviceID specified"),
        *(
            ("bad id", {"DeviceID": bad}, NOT_FOUND, f"No such instance (bad id {bad})")
            for bad in (NAME, f"{NAME}/", "/", "/vda")
        ),
        ("number", {"DeviceID": 7}, NOT_FOUND, "No such instance (bad id 7)"),
        (
            "no such guest",
            {"DeviceID": f"x/{devid}"},
            NOT_FOUND,
            f"No such instance (no domain for x/{devid}): {{missing x}}",
        ),
        *(
            (
                "no such device",
                {"DeviceID": f"{NAME}/{no}"},
                NOT_FOUND,
                f"No such instance (no device {NAME}/{no})",
            )
            for no in ("nosuch", f"{devid} x", f"{devid}/x", other)
        ),
        ("no system", {"SystemName": None}, NOT_FOUND, wrong.format("SystemName")),
        ("another system", {"SystemName": "x"}, NOT_FOUND, wrong.format("SystemName")),
        ("no class", {"CreationClassName": None}, NOT_FOUND, wrong.format("CreationClassName")),
        (
            "another class",
            {"CreationClassName": "CIM_LogicalDevice"},
            NOT_FOUND,
            wrong.format("CreationClassName"),
        ),
        (
            "no system class",
            {"SystemCreationClassName": None},
            NOT_FOUND,
            wrong.format("SystemCreationClassName"),
        ),
    ]
    check(prefix, device_path(prefix, base, devid), refusals)


@pytest.mark.parametrize("number", ["00", "01", "2", "-1", "+1", " 1", "1 "])
def test_processors_are_named_by_their_exact_number(number: str) -> None:
    status, _text = refused(host(KVM), device_path(KVM, "Processor", number))
    assert status == NOT_FOUND


@pytest.mark.parametrize(("prefix", "kind"), of_families(SETTING_IDS))
def test_resource_settings_that_are_not_there(prefix: str, kind: str) -> None:
    devid = SETTING_IDS[kind]
    refusals: Refusals = [
        ("no id", {"InstanceID": None}, FAILED, "Missing InstanceID"),
        ("empty id", {"InstanceID": ""}, FAILED, "Missing InstanceID"),
        *(
            ("bad id", {"InstanceID": bad}, NOT_FOUND, f"No such instance ({bad})")
            for bad in (NAME, f"{NAME}/", "/", "/vda")
        ),
        ("number", {"InstanceID": 7}, NOT_FOUND, "No such instance (7)"),
        (
            "no such guest",
            {"InstanceID": f"x/{devid}"},
            NOT_FOUND,
            f"No such instance (x/{devid}): {{missing x}}",
        ),
        *(
            (
                "no such device",
                {"InstanceID": f"{NAME}/{no}"},
                NOT_FOUND,
                f"No such instance ({NAME}/{no}): Error 0",
            )
            for no in ("nosuch", f"{devid} x", devid.upper())
        ),
    ]
    check(prefix, setting_path(prefix, kind, devid), refusals)


def every_path(prefix: str) -> list[InstancePath]:
    """One path of each class."""
    return [
        system_path(prefix),
        host_path(prefix),
        path(prefix, "EnabledLogicalElementCapabilities", InstanceID=NAME),
        vssd_path(prefix),
        *(device_path(p, b, DEVICE_IDS[b]) for p, b in of_families(DEVICE_IDS) if p == prefix),
        *(setting_path(p, k, SETTING_IDS[k]) for p, k in of_families(SETTING_IDS) if p == prefix),
    ]


EVERY = [(prefix, target) for prefix in ALL for target in every_path(prefix)]


def recased(target: InstancePath) -> InstancePath:
    keys = tuple((name.upper(), value) for name, value in target.keys)
    return InstancePath(target.classname.lower(), keys, target.namespace)


@pytest.mark.parametrize(("prefix", "target"), EVERY, ids=str)
def test_names_of_classes_and_keys_in_any_case_and_keys_too_many(
    prefix: str, target: InstancePath
) -> None:
    broker = host(prefix)
    expected = broker.get_instance(CONTEXT, target)
    assert expected.path == target
    extra = InstancePath(target.classname, (*target.keys, ("Extra", "x"), ("Number", 3)), NS)
    for given in (recased(target), extra, changed(target, Namespace="root")):
        found = broker.get_instance(CONTEXT, given)
        assert (found.path, found.values) == (expected.path, expected.values)


@pytest.mark.parametrize("prefix", ALL)
def test_other_keys_are_compared_ignoring_case_once_the_object_is_found(prefix: str) -> None:
    broker = host(prefix)
    for target, keys in [
        (system_path(prefix), {"CreationClassName": f"{prefix}_COMPUTERSYSTEM"}),
        (host_path(prefix), {"Name": HOST_NAME.upper()}),
        (vssd_path(prefix), {"InstanceID": f"{prefix.upper()}:{NAME}"}),
        (device_path(prefix, "Memory", "mem"), {"SystemName": NAME.upper()}),
    ]:
        assert broker.get_instance(CONTEXT, changed(target, **keys)).path == target


@pytest.mark.parametrize("prefix", ALL)
def test_a_number_names_the_object_of_that_name(prefix: str) -> None:
    broker = broker_of({prefix: [guest(prefix, "42")]})
    target = path(prefix, "EnabledLogicalElementCapabilities", InstanceID=42)
    assert broker.get_instance(CONTEXT, target)["InstanceID"] == "42"


# --- hypervisors that are not there --------------------------------------------------------------

ABSENT: dict[str, tuple[int, str]] = {
    "ComputerSystem": (NOT_FOUND, "No such instance."),
}


@pytest.mark.parametrize("configured", [True, False], ids=["unreachable", "not configured"])
@pytest.mark.parametrize(("prefix", "target"), EVERY, ids=str)
def test_a_hypervisor_that_is_not_there(
    prefix: str, target: InstancePath, configured: bool
) -> None:
    broker = broker_of({prefix: None} if configured else {})
    assert list(broker.enumerate_instances(CONTEXT, NS, target.classname)) == []
    assert list(broker.enumerate_instance_names(CONTEXT, NS, target.classname)) == []
    base = target.classname.partition("_")[2]
    assert refused(broker, target) == ABSENT.get(base, (NOT_FOUND, "No such instance"))
    if base != "EnabledLogicalElementCapabilities":
        with pytest.raises(errors.NotFound):
            list(broker.associator_names(CONTEXT, target))


@pytest.mark.parametrize(("prefix", "target"), EVERY, ids=str)
def test_one_family_does_not_show_anothers_objects(prefix: str, target: InstancePath) -> None:
    others = {p: [guest(p, devices=DEVICES)] for p in ALL if p != prefix}
    broker = broker_of({**others, prefix: []})
    found = list(broker.enumerate_instance_names(CONTEXT, NS, target.classname))
    assert found == ([target] if target.classname.endswith("_HostSystem") else [])


# --- changes -------------------------------------------------------------------------------------

ASSOCIATION_CLASSES = (
    "SystemDevice",
    "VirtualSystemSettingDataComponent",
    "SettingsDefineState",
    "ElementSettingData",
    "HostedDependency",
)


@pytest.mark.parametrize(("prefix", "target"), EVERY, ids=str)
def test_instances_cannot_be_created_modified_or_deleted(prefix: str, target: InstancePath) -> None:
    broker = host(prefix)
    (name, value), *_rest = target.keys
    given = GivenInstance(target.classname, {name: Given(value)})
    with pytest.raises(errors.NotSupported):
        broker.create_instance(CONTEXT, NS, given)
    with pytest.raises(errors.NotSupported):
        broker.modify_instance(CONTEXT, target, given)
    with pytest.raises(errors.NotSupported):
        broker.delete_instance(CONTEXT, target)


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize("base", ASSOCIATION_CLASSES)
def test_associations_cannot_be_created_modified_or_deleted(prefix: str, base: str) -> None:
    broker = host(prefix)
    given = GivenInstance(f"{prefix}_{base}", {})
    target = path(prefix, base)
    with pytest.raises(errors.NotSupported):
        broker.create_instance(CONTEXT, NS, given)
    with pytest.raises(errors.NotSupported):
        broker.modify_instance(CONTEXT, target, given)
    with pytest.raises(errors.NotSupported):
        broker.delete_instance(CONTEXT, target)


@pytest.mark.parametrize("base", ["ComputerSystem", "LogicalDisk", "VirtualSystemSettingData"])
def test_unknown_prefixes(base: str) -> None:
    broker = host(KVM)
    with pytest.raises(errors.InvalidClass):
        list(broker.enumerate_instances(CONTEXT, NS, f"Foo_{base}"))
    with pytest.raises(errors.InvalidClass):
        broker.get_instance(CONTEXT, path("Foo", base))
    # classes that are only superclasses have no instances of their own
    with pytest.raises(errors.NotFound):
        broker.get_instance(CONTEXT, path("CIM", base, Name=NAME, InstanceID=NAME))


def test_a_superclass_lists_the_instances_of_every_family() -> None:
    broker = broker_of({p: [guest(p)] for p in (XEN, KVM, LXC)})
    found = broker.enumerate_instance_names(CONTEXT, NS, "CIM_Memory")
    assert sorted(p.classname for p in found) == ["KVM_Memory", "LXC_Memory", "Xen_Memory"]
