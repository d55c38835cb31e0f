# SPDX-License-Identifier: LGPL-2.1-or-later
"""VirtualSystemManagementService over libvirt's test hypervisor."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
import pytest

from libvirtcim import composition
from libvirtcim.cim import errors
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import Given, GivenInstance, Instance, InstancePath, RequestContext
from libvirtcim.virt import changes
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.guest import RUNNING
from libvirtcim.virt.host import Host, Hosts
from libvirtcim.virt.settings import HostSettings

CONTEXT = RequestContext()
XEN_HOST = Path(__file__).parent.parent / "data" / "xen-host.xml"
NS = "root/virt"
_SAVED = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
SERVICE = InstancePath("KVM_VirtualSystemManagementService", (("Name", "Management Service"),), NS)
FOREIGN = """<domain type='test'>
  <name>foreign</name>
  <memory unit='KiB'>65536</memory>
  <currentMemory unit='KiB'>65536</currentMemory>
  <vcpu placement='static'>2</vcpu>
  <os><type arch='i686'>hvm</type><boot dev='hd'/></os>
  <on_reboot>destroy</on_reboot>
  <cpu mode='custom'><model>pentium3</model></cpu>
  <devices>
    <disk type='file' device='disk'>
      <source file='/first.img'/><target dev='vda' bus='virtio'/><serial>S1</serial>
    </disk>
    <interface type='user'><mac address='00:16:3e:00:00:01'/><mtu size='1400'/></interface>
    <graphics type='vnc' port='-1' autoport='yes' passwd='secret'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>"""


@dataclass
class World:
    """A broker over a test hypervisor of its own."""

    broker: Broker
    host: Host
    image: str

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Calls a method of the service; its outputs."""
        given = {name: Given(value) for name, value in arguments.items()}
        value, outputs = self.broker.invoke_method(CONTEXT, SERVICE, method, given)
        assert value == 0
        return outputs

    def define(self, name: str, *resources: str, settings: str = "") -> dict[str, Any]:
        """Defines a guest with memory, a processor and more."""
        return self.call(
            "DefineSystem",
            SystemSettings=vssd(f'VirtualSystemIdentifier = "{name}"; {settings}'),
            ResourceSettings=[MEMORY, PROCESSOR, *resources],
        )

    def setting(self, base: str, devid: str, name: str = "made") -> Instance:
        """A RASD of a guest."""
        path = InstancePath(
            f"KVM_{base}ResourceAllocationSettingData", (("InstanceID", f"{name}/{devid}"),), NS
        )
        return self.broker.get_instance(CONTEXT, path)

    def stored(self, name: str) -> str:
        """A guest's definition with its secrets."""
        return self.host.xml(name, inactive=True)


def vssd(properties: str) -> str:
    return f"instance of KVM_VirtualSystemSettingData {{ {properties} }};"


def rasd(base: str, properties: str) -> str:
    return f"instance of KVM_{base}ResourceAllocationSettingData {{ {properties} }};"


MEMORY = rasd("Mem", 'VirtualQuantity = 64; AllocationUnits = "MegaBytes";')
PROCESSOR = rasd("Proc", "VirtualQuantity = 2;")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Nothing but the guest `foreign`, which another tool has defined."""
    image = tmp_path / "disk.img"
    image.write_bytes(b"")
    node = tmp_path / "node.xml"
    node.write_text(f"<node>{FOREIGN}</node>")
    hosts = Hosts({"KVM": f"test://{node}"}, settings=HostSettings(side_file_dir=None))
    host = hosts.host("KVM")
    host.connection.call(lambda raw: raw.lookupByName("foreign").destroy())
    yield World(composition.broker(hosts), host, str(image))
    hosts.close()


def configuration(name: str) -> InstancePath:
    return InstancePath("KVM_VirtualSystemSettingData", (("InstanceID", f"KVM:{name}"),), NS)


# --- what is asked is what is there -------------------------------------------------------------------

DISK = 'VirtualDevice = "vdb"; Address = "{image}"; BusType = "virtio";'
READ_BACK = [
    ("Mem", "mem", "VirtualQuantity = 32768; Limit = 65536;", {"VirtualQuantity": 32768, "Limit": 65536}),
    ("Proc", "proc", "VirtualQuantity = 3;", {"VirtualQuantity": 3}),
    ("Proc", "proc", "Weight = 300; Limit = 40;", {"Weight": 300, "Limit": 40}),
    ("Disk", "vdb", "readonly = true; shareable = true;", {"readonly": True, "shareable": True}),
    (
        "Disk",
        "vdb",
        'DriverName = "qemu"; DriverType = "qcow2"; DriverCache = "none";',
        {"DriverName": "qemu", "DriverType": "qcow2", "DriverCache": "none"},
    ),
    ("Net", "00:16:3e:aa:bb:cc", 'ResourceSubType = "virtio";', {"ResourceSubType": "virtio"}),
    ("Net", "00:16:3e:aa:bb:cc", "Reservation = 100; Limit = 200;", {"Reservation": 100, "Limit": 200}),
    (
        "Net",
        "00:16:3e:aa:bb:cc",
        'NetworkType = "bridge"; NetworkName = "br7";',
        {"NetworkType": "bridge", "NetworkName": "br7"},
    ),
    (
        "Net",
        "00:16:3e:aa:bb:cc",
        'NetworkType = "direct"; SourceDevice = "eth7"; NetworkMode = "vepa"; VSIType = "802.1Qbg"; '
        'VSIManagerID = "12"; VSITypeID = "1193046"; VSITypeIDVersion = "1"; '
        'VSIInstanceID = "11111111-2222-3333-4444-555555555555";',
        {"SourceDevice": "eth7", "NetworkMode": "vepa", "VSIType": "802.1Qbg", "VSIManagerID": "12"},
    ),
    (
        "Graphics",
        "vnc",
        'Address = "[::1]:5911"; KeyMap = "de"; Password = "x";',
        {"Address": "::1:5911", "KeyMap": "de", "Password": "********", "IsIPv6Only": True},
    ),
    ("Input", "mouse:ps2", 'ResourceSubType = "tablet"; BusType = "usb";', {}),
    ("Console", "charconsole:0", 'SourceType = 4; SourcePath = "/tmp/log";',
     {"SourceType": 4, "SourcePath": "/tmp/log"}),
    (
        "Console",
        "charconsole:0",
        'SourceType = 8; BindURL = "telnet://0.0.0.0:4555";',
        {"SourceType": 8, "BindURL": "telnet://0.0.0.0:4555"},
    ),
    ("Controller", "controller:scsi:0", 'Model = "virtio-scsi"; Queues = "4";',
     {"Model": "virtio-scsi", "Queues": "4"}),
]  # fmt: skip


@pytest.mark.parametrize(("base", "devid", "given", "shown"), READ_BACK)
def test_what_is_changed_is_shown(
    world: World, base: str, devid: str, given: str, shown: dict[str, Any]
) -> None:
    world.define(
        "made",
        rasd("Disk", DISK.format(image=world.image)),
        rasd("Net", 'NetworkType = "user"; Address = "00:16:3e:aa:bb:cc";'),
        rasd("Graphics", 'ResourceSubType = "vnc";'),
        rasd("Input", 'ResourceSubType = "mouse";'),
        rasd("Console", "SourceType = 2;"),
        rasd("Controller", 'ResourceSubType = "scsi"; Index = 0;'),
    )
    changed = rasd(base, f'InstanceID = "made/{devid}"; {given}')
    (path,) = world.call("ModifyResourceSettings", ResourceSettings=[changed])[
        "ResultingResourceSettings"
    ]
    found = world.broker.get_instance(CONTEXT, path)
    assert {name: found[name] for name in shown} == shown


def test_what_is_read_can_be_sent_back(world: World) -> None:
    """Every resource of a guest, as a client has read it: nothing changes, the password neither."""
    before = world.stored("foreign")
    for base in ("Mem", "Proc", "Disk", "Net", "Graphics"):
        classname = f"KVM_{base}ResourceAllocationSettingData"
        for row in world.broker.enumerate_instances(CONTEXT, NS, classname):
            sent = {name: Given(value) for name, value in row.items() if value is not None}
            world.call("ModifyResourceSettings", ResourceSettings=[GivenInstance(classname, sent)])
    assert world.stored("foreign") == before


def test_a_change_touches_what_it_names(world: World) -> None:
    before = world.stored("foreign")
    world.call(
        "ModifyResourceSettings",
        ResourceSettings=[rasd("Disk", 'InstanceID = "foreign/vda"; readonly = true;')],
    )
    world.call(
        "ModifySystemSettings",
        SystemSettings=vssd('VirtualSystemIdentifier = "foreign"; AutomaticShutdownAction = 3;'),
    )
    after = world.stored("foreign")
    gone = sorted(set(before.splitlines()) - set(after.splitlines()))
    come = sorted(line.strip() for line in set(after.splitlines()) - set(before.splitlines()))
    assert [line.strip() for line in gone] == ["<on_poweroff>destroy</on_poweroff>"]
    assert come == ["<on_poweroff>restart</on_poweroff>", "<readonly/>"]


def test_a_guest_like_another(world: World) -> None:
    """What CIM has no word for comes along; identity doesn't."""
    world.call(
        "DefineSystem",
        SystemSettings=vssd('VirtualSystemIdentifier = "twin";'),
        ResourceSettings=[PROCESSOR],
        ReferenceConfiguration=configuration("foreign"),
    )
    made = world.stored("twin")
    for kept in ("pentium3", "<serial>S1</serial>", "/dev/urandom", "mtu size='1400'"):
        assert kept in made
    assert "00:16:3e:00:00:01" not in made
    assert world.host.guest("twin").uuid != world.host.guest("foreign").uuid


# --- errors -------------------------------------------------------------------------------------------

ERRORS = [
    ("Mem", "", "Missing `VirtualQuantity' field in Memory RASD"),
    ("Mem", 'VirtualQuantity = 1; AllocationUnits = "parsec";', "Unknown AllocationUnits"),
    ("Proc", "Weight = 3;", "Missing `VirtualQuantity' field in Processor RASD"),
    ("Disk", 'Address = "/x";', "Missing `VirtualDevice' property"),
    (
        "Disk",
        'VirtualDevice = "vda"; Address = "/nowhere";',
        "Can't get a valid disk type, Device vda",
    ),
    ("Disk", 'VirtualDevice = "vda"; EmulatedType = 9;', "Invalid value for EmulatedType"),
    ("Net", "", "No Network Type specified"),
    ("Net", 'NetworkType = "warp";', "Invalid Network Type specified"),
    ("Net", 'NetworkType = "bridge";', "No Network bridge name specified"),
    ("Net", 'NetworkType = "bridge"; NetworkName = "";', "Bridge name is empty"),
    ("Net", 'NetworkType = "network"; PoolID = "x";', "PoolID specified is not formatted properly"),
    ("Net", 'NetworkType = "network";', "No NetworkPool specified no default available"),
    ("Net", 'NetworkType = "direct";', "No Source Device specified"),
    ("Net", 'NetworkType = "direct"; SourceDevice = "";', "Source Device is empty"),
    ("Net", 'NetworkType = "user"; Address = "00:16:3e:00:00:01";', "used by another guest"),
    ("Graphics", "", "GraphicsRASD ResourceSubType field not valid"),
    ("Graphics", 'ResourceSubType = "crt";', "Unsupported graphics type"),
    (
        "Graphics",
        'ResourceSubType = "vnc"; Address = "host";',
        "GraphicsRASD field Address not valid",
    ),
    ("Console", "", "ConsoleRASD: SourceType field not specified"),
    ("Console", "SourceType = 99;", "ConsoleRASD: Invalid SourceType value"),
    ("Console", "SourceType = 3;", "ConsoleRASD: SourcePath not specified"),
    ("Console", "SourceType = 9;", "ConsoleRASD: Neither ConnectURL nor BindURL"),
    ("Console", 'SourceType = 9; BindURL = "tcp://h:1";', "ConsoleRASD: Protocol 'file'"),
    ("Console", 'SourceType = 8; BindURL = "raw://h";', "ConsoleRASD: Missing port"),
    (
        "Console",
        'SourceType = 8; BindURL = "raw://h:1"; ConnectURL = "raw://h:2";',
        "ConsoleRASD: Only one of ConnectURL or BindURL",
    ),
    ("Console", 'SourceType = 7; ConnectURL = "udp://h:1";', "ConsoleRASD: BindURL not specified"),
    ("Controller", "", "ControllerRASD ResourceSubType field not valid"),
    (
        "Disk",
        'VirtualDevice = "vda"; EmulatedType = 1; AddressProperties = {"type"}; '
        'AddressValues = {"a", "b"};',
        "AddressProperties not matching AddressValues",
    ),
]


@pytest.mark.parametrize(("base", "given", "reason"), ERRORS)
def test_resources_that_cannot_be(world: World, base: str, given: str, reason: str) -> None:
    resources = [rasd(base, given)] if base in ("Mem", "Proc") else [MEMORY, rasd(base, given)]
    with pytest.raises(errors.Failed) as raised:
        world.call(
            "DefineSystem",
            SystemSettings=vssd('VirtualSystemIdentifier = "bad";'),
            ResourceSettings=resources,
        )
    assert raised.value.message.startswith("ResourceSettings Error: ")
    assert reason in raised.value.message
    assert [guest.name for guest in world.host.guests()] == ["foreign"]


def _reference(instance_id: str, base: str = "VirtualSystem") -> InstancePath:
    return InstancePath(f"KVM_{base}SettingData", (("InstanceID", instance_id),), NS)


CALLS: list[tuple[str, dict[str, Any], type[errors.CIMError], str]] = [
    ("DefineSystem", {}, errors.InvalidParameter, "SystemSettings"),
    (
        "DefineSystem",
        {"SystemSettings": vssd(""), "ResourceSettings": [MEMORY]},
        errors.Failed,
        "SystemSettings Error",
    ),
    (
        "DefineSystem",
        {"SystemSettings": vssd('VirtualSystemIdentifier = "foreign";'), "ResourceSettings": []},
        errors.Failed,
        "ResourceSettings Error: No resources specified",
    ),
    (
        "DefineSystem",
        {
            "SystemSettings": vssd('VirtualSystemIdentifier = "foreign";'),
            "ResourceSettings": [MEMORY, PROCESSOR],
        },
        errors.Failed,
        "Failed to define domain: ",
    ),
    (
        "DefineSystem",
        {
            "SystemSettings": vssd('VirtualSystemIdentifier = "n";'),
            "ResourceSettings": [MEMORY],
            "ReferenceConfiguration": _reference("KVM:nobody"),
        },
        errors.NotFound,
        "Referenced domain `nobody' does not exist: ",
    ),
    ("DestroySystem", {"AffectedSystem": InstancePath("KVM_ComputerSystem", (("Name", "x"),), NS)},
     errors.NotFound, "Referenced domain `x' does not exist: "),
    ("DestroySystem", {"AffectedSystem": InstancePath("KVM_ComputerSystem", (), NS)},
     errors.NotFound, "Unable to retrieve domain name"),
    ("ModifySystemSettings", {"SystemSettings": vssd("")}, errors.NoSuchProperty, "VirtualSystemIdentifier"),
    (
        "ModifySystemSettings",
        {"SystemSettings": vssd('VirtualSystemIdentifier = "foreign"; ClockOffset = 7;')},
        errors.Failed,
        "Invalid SystemSettings",
    ),
    (
        "ModifySystemSettings",
        {
            "SystemSettings": vssd(
                'VirtualSystemIdentifier = "foreign"; UUID = "11111111-2222-3333-4444-555555555555";'
            )
        },
        errors.Failed,
        "cannot change UUID",
    ),
    (
        "AddResourceSettings",
        {"AffectedConfiguration": _reference("foreign"), "ResourceSettings": []},
        errors.InvalidParameter,
        "AffectedConfiguration",
    ),
    (
        "AddResourceSettings",
        {"AffectedConfiguration": _reference("KVM:foreign"), "ResourceSettings": [MEMORY]},
        errors.Failed,
        "Cannot add resources of type 4",
    ),
    (
        "AddResourceSettings",
        {"AffectedConfiguration": _reference("KVM:foreign"), "ResourceSettings": [rasd("Net", "")]},
        errors.Failed,
        "Add resource failed: No Network Type specified",
    ),
    ("ModifyResourceSettings", {"ResourceSettings": [MEMORY]}, errors.InvalidParameter, "InstanceID"),
    (
        "ModifyResourceSettings",
        {"ResourceSettings": [rasd("Disk", 'InstanceID = "foreign/vdz";')]},
        errors.NotFound,
        "No such instance (foreign/vdz)",
    ),
    (
        "ModifyResourceSettings",
        {"ResourceSettings": [rasd("Net", 'InstanceID = "foreign/00:16:3e:00:00:01"; NetworkType = "x";')]},
        errors.Failed,
        "Modify resource failed: Invalid Network Type",
    ),
    (
        "RemoveResourceSettings",
        {"ResourceSettings": [_reference("foreign/vdz", "DiskResourceAllocation")]},
        errors.NotFound,
        "No such instance (foreign/vdz)",
    ),
    (
        "RemoveResourceSettings",
        {"ResourceSettings": [_reference("foreign/mem", "MemResourceAllocation")]},
        errors.Failed,
        "Cannot delete resources of type 4",
    ),
    ("StartService", {}, errors.Failed, "Unknown Method"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "arguments", "kind", "text"), CALLS)
def test_calls_that_fail(
    world: World, method: str, arguments: dict[str, Any], kind: type[errors.CIMError], text: str
) -> None:
    before = world.stored("foreign")
    with pytest.raises(errors.CIMError) as raised:
        world.call(method, **arguments)
    assert type(raised.value) is kind
    assert text in raised.value.message
    assert world.stored("foreign") == before


# --- all or nothing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("known", changes.UNDEFINE_BY_DRIVER, ids=hex)
def test_saved_guests_are_removed_with_what_their_driver_knows(
    world: World, monkeypatch: pytest.MonkeyPatch, known: int
) -> None:
    """A saved guest can't be undefined without saying so, and drivers refuse flags they don't know."""
    undefine = libvirt.virDomain.undefineFlags

    def refusing(domain: libvirt.virDomain, flags: int = 0) -> int:
        # what the real driver knows of them is enough for the rest
        return undefine(domain, 1 << 31 if flags & ~known else flags & _SAVED)

    monkeypatch.setattr(libvirt.virDomain, "undefineFlags", refusing)
    path = world.define("saved")["ResultingSystem"]
    world.host.connection.call(lambda raw: raw.lookupByName("saved").create())
    world.host.connection.call(lambda raw: raw.lookupByName("saved").managedSave())
    world.call("DestroySystem", AffectedSystem=path)
    assert "saved" not in [guest.name for guest in world.host.guests()]


def test_steps_are_taken_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever step libvirt refuses, those before it are undone in reverse."""
    done: list[str] = []

    def step(name: str) -> changes.Step:
        return changes.Step(
            name, lambda _d: done.append(name), lambda _d: done.append(f"no {name}")
        )

    def refuse(_domain: Any) -> None:
        raise libvirt.libvirtError("refused")

    def work_out(edits: Any) -> None:
        edit = edits["foreign"]
        edit.config.title = "changed"
        edit.live_steps += [step("first"), step("second")]
        edit.last_steps.append(changes.Step("last", refuse, refuse))

    before = world.stored("foreign")
    with pytest.raises(changes.Refused, match="last: "):
        changes.change(world.host, ["foreign"], work_out)
    assert done == ["first", "second", "no second", "no first"]
    assert world.stored("foreign") == before


@pytest.mark.parametrize(
    ("given", "applied"),
    [
        ("Weight = 300;", {"weight": 300}),
        ("Weight = 300; Limit = 40;", {"weight": 300, "cap": 40}),
        ("Limit = 40;", {"cap": 40}),
    ],
)
def test_processor_shares_of_drivers_without_flags(
    monkeypatch: pytest.MonkeyPatch, given: str, applied: dict[str, int]
) -> None:
    """Xen's driver and the test hypervisor refuse to be told that what runs is meant."""
    calls: list[dict[str, int]] = []
    known = {"weight": 256, "cap": 0}
    monkeypatch.setattr(libvirt.virDomain, "schedulerParameters", lambda _domain: known)
    monkeypatch.setattr(
        libvirt.virDomain, "setSchedulerParameters", lambda _domain, values: calls.append(values)
    )
    hosts = Hosts({"Xen": f"test://{XEN_HOST}"}, settings=HostSettings(side_file_dir=None))
    host = hosts.host("Xen")
    name = next(guest.name for guest in host.guests() if guest.state == RUNNING)
    service = InstancePath("Xen_VirtualSystemManagementService", SERVICE.keys, NS)
    asked = f'instance of Xen_ProcResourceAllocationSettingData {{ InstanceID = "{name}/proc"; {given} }};'
    broker = composition.broker(hosts)
    arguments = {"ResourceSettings": Given([asked])}
    broker.invoke_method(CONTEXT, service, "ModifyResourceSettings", arguments)
    assert calls == [applied]
    system = InstancePath(
        "Xen_ComputerSystem", (("CreationClassName", "Xen_ComputerSystem"), ("Name", name)), NS
    )
    broker.invoke_method(
        CONTEXT, system, "RequestStateChange", {"RequestedState": Given(9, "uint16")}
    )
    for stored in (False, True):
        data = Domain.parse(host.xml(name, inactive=stored)).guestdata
        assert {"weight": data.weight, "cap": data.limit, **applied} == {
            "weight": data.weight,
            "cap": data.limit,
        }
    hosts.close()


def test_no_update_is_lost(world: World) -> None:
    """Clients that add to one guest at once: everything that was accepted is there."""
    problems: list[BaseException] = []

    def add(number: int) -> None:
        try:
            world.call(
                "AddResourceSettings",
                AffectedConfiguration=configuration("foreign"),
                ResourceSettings=[
                    rasd("Net", f'NetworkType = "user"; Address = "00:16:3e:01:00:{number:02x}";')
                ],
            )
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert problems == []
    assert world.stored("foreign").count("00:16:3e:01:00:") == 32
