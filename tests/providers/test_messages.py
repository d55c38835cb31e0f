# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages by which clients know what is wrong: each is produced by some test.

Clients match parts of them, those of libvirt-cim. What other modules of this directory don't produce
is produced here.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from libvirtcim.cim.errors import CIMError
from libvirtcim.cim.objects import InstancePath
from tests.providers.request_rows import IMAGE, VSSD
from tests.providers.requests import Requests, served, served_by_test_hypervisor
from tests.providers.wiring import KVM, LXC, NAME, NS, path, setting_path, system_path, vssd_path

FAILED, INVALID_PARAMETER, INVALID_CLASS, NOT_FOUND, NO_SUCH_PROPERTY = 1, 4, 5, 6, 12
DISK = ("Disk", {"VirtualDevice": "vda", "Address": IMAGE})
NIC = {"NetworkType": "user", "Address": "00:16:3e:00:00:01"}


@pytest.fixture
def requests(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Requests]:
    """A family's service over a test hypervisor of its own."""
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    with served_by_test_hypervisor(parameters.get("prefix", KVM), tmp_path) as made:
        yield made


def refused(status: int, message: str, call: Callable[[], object]) -> None:
    with pytest.raises(CIMError) as raised:
        call()
    assert (raised.value.status, message in raised.value.message) == (status, True), raised.value


# --- resources ----------------------------------------------------------------------------------------


def console(kind: int, reason: str, **urls: str) -> tuple[str, Any, str]:
    return KVM, [("Console", {"SourceType": kind, **urls})], f"ConsoleRASD: {reason}"


RESOURCES: Sequence[tuple[str, list[tuple[str, Mapping[str, Any]]], str]] = [
    (KVM, [DISK, DISK], "VirtualDevice property must be unique"),
    (KVM, [(VSSD, {})], "Unable to determine resource type"),
    console(3, "SourcePath not specified for 'dev' source."),
    console(4, "SourcePath not specified for 'file' source."),
    console(5, "SourcePath not specified for 'pipe' source."),
    console(
        9,
        "Only one of ConnectURL or BindURL is allowed for UNIX domain sockets.",
        BindURL="file:///a",
        ConnectURL="file:///b",
    ),
    console(9, "Neither ConnectURL nor BindURL specified for UNIX domain sockets."),
    console(9, "Invalid BindURL for UNIX domain socket.", BindURL="nonsense"),
    console(9, "Invalid ConnectURL for UNIX domain socket.", ConnectURL="a://h:port"),
    console(9, "Protocol 'file' was not specified for ConnectURL or BindURL", BindURL="tcp://h:1"),
    console(7, "BindURL not specified for UDP network connection.", ConnectURL="udp://h:1"),
    console(7, "ConnectURL not specified for UDP network connection.", BindURL="udp://h:1"),
    console(7, "Invalid BindURL for UDP network", BindURL="h", ConnectURL="udp://h:1"),
    console(7, "Invalid ConnectURL for UDP network", BindURL="udp://h:1", ConnectURL="h"),
    console(
        7, "Protocol 'udp' was not specified for BindURL.", BindURL="a://h", ConnectURL="udp://h"
    ),
    console(
        7, "Protocol 'udp' was not specified for ConnectURL.", BindURL="udp://h", ConnectURL="a://h"
    ),
    console(
        8,
        "Only one of ConnectURL or BindURL is allowed for TCP sockets.",
        BindURL="raw://h:1",
        ConnectURL="raw://h:2",
    ),
    console(8, "Neither ConnectURL nor BindURL specified for TCP sockets."),
    console(8, "Invalid BindURL for TCP sockets.", BindURL="nonsense"),
    console(8, "Missing port in ConnectURL for TCP network connection.", ConnectURL="raw://h"),
    console(8, "Protocol 'udp' is not allowed for TCP sockets.", BindURL="udp://h:1"),
    console(8, "Protocol 'file' is not allowed for TCP sockets.", BindURL="file://h:1"),
    (LXC, [("Disk", {"Address": "/x"})], "Missing `MountPoint' field"),
    (LXC, [("Disk", {"MountPoint": "/x"})], "Missing `Address' field"),
    (LXC, [("Proc", {"VirtualQuantity": 1})], "ProcRASD field VirtualQuantity not valid for LXC"),
    (LXC, [("Proc", {"Limit": 1})], "ProcRASD field Limit not valid for LXC"),
    (LXC, [("Graphics", {})], "Resource type not supported on this platform"),
    (LXC, [("Console", {})], "Resource type not supported on this platform"),
]


@pytest.mark.parametrize(("prefix", "resources", "reason"), RESOURCES)
def test_resources(
    requests: Requests, prefix: str, resources: list[tuple[str, Mapping[str, Any]]], reason: str
) -> None:
    message = f"ResourceSettings Error: {reason}"
    refused(FAILED, message, lambda: requests.define({}, *resources))
    assert requests.host.guests() == []


# --- calls ------------------------------------------------------------------------------------------


def reference(classname: str, **keys: str) -> InstancePath:
    return InstancePath(classname, tuple(keys.items()), NS)


REFERENCES = [
    (
        vssd_path("Xen"),
        INVALID_CLASS,
        "not compatible with KVM_VirtualSystemManagementService",
    ),
    (
        path(KVM, "VirtualSystemSettingData"),
        INVALID_PARAMETER,
        "ReferenceConfiguration has invalid InstanceID",
    ),
    (
        path(KVM, "VirtualSystemSettingData", InstanceID=NAME),
        INVALID_PARAMETER,
        "ReferenceConfiguration has invalid InstanceID",
    ),
    (vssd_path(KVM, "none"), NOT_FOUND, "Referenced domain `none' does not exist: "),
]


def _define_like(requests: Requests, given: InstancePath) -> None:
    requests.call(
        "DefineSystem",
        SystemSettings=requests.instance(VSSD, {"VirtualSystemIdentifier": "twin"}),
        ResourceSettings=[requests.instance("Net", NIC)],
        ReferenceConfiguration=given,
    )


@pytest.mark.parametrize(("given", "status", "message"), REFERENCES)
def test_references(requests: Requests, given: InstancePath, status: int, message: str) -> None:
    refused(status, message, lambda: _define_like(requests, given))


def _add(requests: Requests, configuration: InstancePath) -> None:
    requests.call(
        "AddResourceSettings",
        AffectedConfiguration=configuration,
        ResourceSettings=[requests.instance("Net", {**NIC, "Address": "00:16:3e:00:00:02"})],
    )


def _modify(requests: Requests, base: str, **values: Any) -> None:
    requests.call("ModifyResourceSettings", ResourceSettings=[requests.instance(base, values)])


def _remove(requests: Requests, given: InstancePath) -> None:
    requests.call("RemoveResourceSettings", ResourceSettings=[given])


CALLS: Sequence[tuple[Callable[[Requests], object], int, str]] = [
    (
        lambda r: r.call("DestroySystem", AffectedSystem=path(KVM, "ComputerSystem")),
        NOT_FOUND,
        "Unable to retrieve domain name: Error 0",
    ),
    (
        lambda r: r.call("DestroySystem", AffectedSystem=system_path(KVM, "none")),
        NOT_FOUND,
        "Referenced domain `none' does not exist: ",
    ),
    (
        lambda r: r.call("ModifySystemSettings", SystemSettings=r.instance(VSSD, {})),
        NO_SUCH_PROPERTY,
        "Missing VirtualSystemIdentifier",
    ),
    (
        lambda r: r.call(
            "ModifySystemSettings",
            SystemSettings=r.instance(VSSD, {"VirtualSystemIdentifier": "none"}),
        ),
        NOT_FOUND,
        "Referenced domain `none' does not exist: ",
    ),
    (
        lambda r: _add(r, path(KVM, "VirtualSystemSettingData", InstanceID=NAME)),
        INVALID_PARAMETER,
        "AffectedConfiguration has invalid InstanceID",
    ),
    (
        lambda r: _add(r, vssd_path(KVM, "none")),
        NOT_FOUND,
        "Referenced domain `none' does not exist: ",
    ),
    (lambda r: _modify(r, "Net"), INVALID_PARAMETER, "Invalid InstanceID `'"),
    (lambda r: _modify(r, "Net", InstanceID="x"), INVALID_PARAMETER, "Invalid InstanceID `x'"),
    (
        lambda r: _modify(r, "Net", InstanceID="none/vda"),
        NOT_FOUND,
        "Referenced domain `none' does not exist: ",
    ),
    (
        lambda r: _remove(r, setting_path(KVM, "Disk", "vdz")),
        NOT_FOUND,
        "No such instance (g1/vdz)",
    ),
    (
        lambda r: _remove(r, path(KVM, "DiskResourceAllocationSettingData")),
        INVALID_PARAMETER,
        "Missing InstanceID in RASD",
    ),
    (
        lambda r: _remove(r, path(KVM, "DiskResourceAllocationSettingData", InstanceID="x")),
        NOT_FOUND,
        "No such instance (x)",
    ),
]


@pytest.mark.parametrize(("call", "status", "message"), CALLS)
def test_calls(
    requests: Requests, call: Callable[[Requests], object], status: int, message: str
) -> None:
    requests.define({}, ("Net", NIC))
    before = requests.stored()
    refused(status, message, lambda: call(requests))
    assert requests.stored() == before


def test_a_uuid_that_is_taken(requests: Requests) -> None:
    taken = {"UUID": "5e0f3a10-0c5b-4a54-9a05-0000000000ff"}
    requests.define(taken)
    message = f"Guest '{NAME}' is already defined with UUID {taken['UUID']}"
    refused(FAILED, message, lambda: requests.define(taken))


def test_a_guest_that_runs(requests: Requests) -> None:
    """libvirt's test hypervisor plugs nothing in; what only runs can't be changed for the next start."""
    requests.define({}, ("Net", NIC), ("Input", {"ResourceSubType": "mouse"}))
    requests.host.connection.call(lambda raw: raw.lookupByName(NAME).create())
    nic, mouse = setting_path(KVM, "Net", NIC["Address"]), setting_path(KVM, "Input", "mouse:ps2")
    for number, call in enumerate(
        (
            lambda: _add(requests, vssd_path(KVM)),
            lambda: _remove(requests, nic),
            lambda: _modify(requests, "Net", InstanceID=nic.text("InstanceID"), Limit=7),
        )
    ):
        refused(FAILED, f"Unable to change ({number}) device", call)
    _remove(requests, mouse)
    refused(FAILED, "Device `mouse:ps2' not found", lambda: _remove(requests, mouse))
    changed = {"InstanceID": mouse.text("InstanceID"), "BusType": "usb"}
    refused(FAILED, "Device `mouse:ps2' not found", lambda: _modify(requests, "Input", **changed))


def test_a_hypervisor_that_does_not_answer(tmp_path: Path) -> None:
    with served(KVM, f"test://{tmp_path}/none.xml", {}) as requests:
        refused(FAILED, "Error connecting to libvirt", lambda: requests.define({}))
        refused(FAILED, "Unable to connect to hypervisor", lambda: _add(requests, vssd_path(KVM)))
        refused(NOT_FOUND, "Unable to connect to hypervisor", requests.destroy)


CHECK = "CheckVirtualSystemIsMigratableToHost"
SYSTEM = {"ComputerSystem": system_path(KVM), "DestinationHost": "h"}
MIGRATIONS: Sequence[tuple[str, Mapping[str, Any], str]] = [
    (
        CHECK,
        {**SYSTEM, "ComputerSystem": path(KVM, "ComputerSystem")},
        "Missing key (Name) in ComputerSystem",
    ),
    (CHECK, {**SYSTEM, "ComputerSystem": system_path("Xen")}, "Invalid REF in ComputerSystem"),
    (CHECK, {**SYSTEM, "MigrationType": 9}, "Unsupported migration type 9"),
    (CHECK, {**SYSTEM, "TransportType": 99}, "valid libvirt URI"),
    (CHECK, {**SYSTEM, "DestinationHost": "h?command=x"}, "valid libvirt URI"),
    (
        "CheckVirtualSystemIsMigratableToSystem",
        {"ComputerSystem": system_path(KVM), "DestinationSystem": path(KVM, "HostSystem")},
        "Missing key (Name) in DestinationSystem",
    ),
    ("MigrateSSHKeyCopy", {"SSH_Key_Src": "/k"}, "not enabled in config file"),
]


@pytest.mark.parametrize(("method", "asked", "message"), MIGRATIONS)
def test_migrations(
    requests: Requests, method: str, asked: Mapping[str, Any], message: str
) -> None:
    requests.define({})
    how = {n: v for n, v in asked.items() if n.endswith("Type")}
    arguments = {n: v for n, v in asked.items() if n not in how}
    if how:
        settings = requests.instance("VirtualSystemMigration", how)
        arguments["MigrationSettingData"] = settings
    service = "VirtualSystemMigrationService"
    refused(FAILED, message, lambda: requests.call(method, service, **arguments))


# --- nothing is missing -------------------------------------------------------------------------------

KNOWN = """\
Unknown Method
Unable to parse embedded object
No such instance (CreationClassName)
No such instance (Name)
No such instance (SystemName)
No such instance (InstanceID)
No InstanceID specified
Missing InstanceID
Instance not found
Error 0
SystemSettings Error
already defined with UUID
ResourceSettings Error:
No resources specified
Unable to determine resource type
Resource type not supported on this platform
Failed to define domain:
Error connecting to libvirt
Unable to connect to hypervisor
not compatible
ReferenceConfiguration has invalid InstanceID
Referenced domain `
Unable to retrieve domain name: Error 0
Missing VirtualSystemIdentifier
Invalid SystemSettings
cannot change UUID
AffectedConfiguration has invalid InstanceID
Cannot add resources of type
Add resource failed:
Modify resource failed:
Invalid InstanceID `
Missing InstanceID in RASD
Device `mouse:ps2' not found
Cannot delete resources of type
Unable to change (
AddressProperties not matching AddressValues
Missing `VirtualDevice' property
Can't get a valid disk type
Invalid value for EmulatedType
VirtualDevice property must be unique
Missing `MountPoint' field
Missing `Address' field
No Network Type specified
Invalid Network Type specified
No Network bridge name specified
Bridge name is empty
No NetworkPool specified no default available
PoolID specified is not formatted properly
No Source Device specified
Source Device is empty
Missing `VirtualQuantity' field in Memory RASD
Unknown AllocationUnits
Missing `VirtualQuantity' field in Processor RASD
ProcRASD field VirtualQuantity not valid for LXC
ProcRASD field Limit not valid for LXC
GraphicsRASD ResourceSubType field not valid
GraphicsRASD field Address not valid
Unsupported graphics type
ConsoleRASD: SourceType field not specified
ConsoleRASD: Invalid SourceType value
ControllerRASD ResourceSubType field not valid
Settings Error:
Pool with that name already exists
XML for resource pool
Unable to create resource pool:
does not exist
Storage pool deletion error
Missing argument `Settings'
Missing argument `Pool'
Missing argument `Resource'
Unable to get attributes for resource:
This function does not
Unable to generate XML
Unable to create storage volume:
Missing Address in
Unable to delete resource:
invalid InstanceID
Missing key (Name) in ComputerSystem
Missing key (Name) in DestinationSystem
Unsupported migration type
valid libvirt URI
Failed to connect to remote host (
not enabled in config file
No console device for this guest: Error 0
"""
"""What clients match, to the letter, one a line."""


def expected() -> set[str]:
    """All texts in the tests of providers and systems, but the list itself."""
    here = Path(__file__).parent
    return {
        node.value
        for folder in (here, here.parent / "system", here.parent / "cim")
        for module in folder.glob("test_*.py")
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != KNOWN
    }


def test_every_message_that_clients_know_is_expected_by_some_test() -> None:
    texts = expected()
    missing = [
        message for message in KNOWN.splitlines() if not any(message in text for text in texts)
    ]
    assert missing == []
    # the measure itself: the list is no proof of what is in it
    assert KNOWN not in texts
