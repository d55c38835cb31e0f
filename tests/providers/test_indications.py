# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications of guests and their resources over libvirt's test hypervisor: what they carry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import libvirt
import pytest

from libvirtcim.cim.objects import InstancePath
from tests.hypervisor import wait_until
from tests.subscribing import NS, RESOURCE, SYSTEM, World, served
from tests.virt.watching import defined, other_client, test_guest

URI = "test:///default"
DEVICES = (
    "<devices><disk type='file' device='disk'><source file='/a.img'/><target dev='vda' bus='virtio'/></disk>"
    "<interface type='user'><mac address='00:16:3e:00:00:01'/></interface>"
    "<graphics type='vnc' port='5901'/></devices>"
)


@pytest.fixture(params=["Xen", "KVM", "LXC", "Test"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Every family, subscribed to everything."""
    with served(request.param, URI) as made:
        made.subscribe(SYSTEM, RESOURCE)
        yield made


@pytest.fixture
def kvm() -> Iterator[World]:
    """KVM, subscribed to everything."""
    with served("KVM", URI) as made:
        made.subscribe(SYSTEM, RESOURCE)
        yield made


@pytest.fixture
def raw() -> Iterator[Any]:
    """Another client of the hypervisor."""
    with other_client(URI) as connection:
        yield connection


def test_a_guest_comes(world: World, raw: Any) -> None:
    """With everything that a read shows, under the names that a client uses."""
    with defined(raw, test_guest("new", head=DEVICES)) as domain:
        world.settle(raw)
        (made,) = world.of(SYSTEM)
        assert made.cls.name == f"{world.prefix}_ComputerSystemCreatedIndication"
        assert made["SourceInstance"].values == world.read(world.path("new")).values
        assert made["SourceInstanceModelPath"] == str(world.path("new"))
        assert made["SourceInstanceHost"] == world.host.name()
        assert made["IndicationIdentifier"] == domain.UUIDString()
        assert made["PreviousInstance"] is None
        shown = world.resources("new")
        got = {i["SourceInstance"]["InstanceID"]: i for i in world.of(RESOURCE)}
        assert {"new/vda", "new/00:16:3e:00:00:01", "new/mem", "new/proc", "new/vnc"} <= set(got)
        assert set(got) == set(shown)
        for identity, indication in got.items():
            assert indication.cls.name == f"{world.prefix}_{RESOURCE}CreatedIndication"
            assert indication["SourceInstance"].cls.name == shown[identity].cls.name
            assert indication["SourceInstance"].values == shown[identity].values
            assert indication["SourceInstanceModelPath"] == str(shown[identity].path)
            assert indication["SourceInstanceHost"] == world.host.name()
            assert indication["IndicationIdentifier"] and indication["IndicationTime"]


def test_a_guest_goes(world: World, raw: Any) -> None:
    """As it last was, but for its state."""
    with defined(raw, test_guest("old", head=DEVICES)) as domain:
        before = world.read(world.path("old"))
        resources = world.resources("old")
        world.settle(raw)
        world.got.clear()
    world.settle(raw)
    (gone,) = world.of(SYSTEM)
    assert gone.cls.name == f"{world.prefix}_ComputerSystemDeletedIndication"
    assert gone["SourceInstance"].values == {
        **before.values,
        "EnabledState": 1,
        "OtherEnabledState": "Guest destroyed",
        "HealthState": 0,
        "OperationalStatus": [17, 2],
        "OperatingStatus": 8,
        "RequestedState": 0,
    }
    assert gone["IndicationIdentifier"] == domain.UUIDString()
    assert gone["SourceInstanceModelPath"] == str(before.path)
    assert {i["SourceInstance"]["InstanceID"] for i in world.of(RESOURCE, "Deleted")} == set(
        resources
    )
    assert len(world.of(RESOURCE)) == len(resources)


def test_a_guest_changes_its_state(world: World, raw: Any) -> None:
    """Before and after are what reads showed before and after."""
    with defined(raw, test_guest("mover", head=DEVICES)) as domain:
        world.settle(raw)
        for act in ("create", "suspend", "resume", "destroy"):
            world.got.clear()
            before = world.read(world.path("mover"))
            getattr(domain, act)()
            world.settle(raw)
            (moved,) = world.of(SYSTEM)
            assert moved.cls.name == f"{world.prefix}_ComputerSystemModifiedIndication"
            assert moved["PreviousInstance"].values == before.values
            assert moved["SourceInstance"].values == world.read(world.path("mover")).values
            assert moved["SourceInstance"].values != before.values
            assert moved["IndicationIdentifier"] == domain.UUIDString()


def test_requested_states_come_with_the_state(kvm: World, raw: Any) -> None:
    """One indication of a request, with both before and after."""
    with defined(raw, test_guest("asked")):
        kvm.settle(raw)
        kvm.got.clear()
        for requested in (2, 9, 2, 3):
            kvm.call(kvm.path("asked"), "RequestStateChange", RequestedState=requested)
            kvm.settle(raw)
        states = [
            (i["PreviousInstance"]["EnabledState"], i["SourceInstance"]["EnabledState"])
            for i in kvm.of(SYSTEM)
        ]
        assert states == [(3, 2), (2, 9), (9, 2), (2, 3)]
        requests = [i["SourceInstance"]["RequestedState"] for i in kvm.of(SYSTEM)]
        assert requests == [2, 9, 2, 3]


def test_resources_change_with_the_definition(kvm: World, raw: Any) -> None:
    with defined(raw, test_guest("edited", head=DEVICES)) as domain:
        kvm.settle(raw)
        before = kvm.resources("edited")
        kvm.got.clear()
        text = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        text = text.replace("/a.img", "/b.img").replace("00:16:3e:00:00:01", "00:16:3e:00:00:02")
        raw.defineXML(text)
        kvm.settle(raw)
        assert [i.cls.name for i in kvm.of(SYSTEM)] == ["KVM_ComputerSystemModifiedIndication"]
        (disk,) = kvm.of(RESOURCE, "Modified")
        assert disk["PreviousInstance"].values == before["edited/vda"].values
        assert disk["SourceInstance"].values == kvm.resources("edited")["edited/vda"].values
        assert disk["SourceInstance"]["Address"] == "/b.img"
        (came,) = kvm.of(RESOURCE, "Created")
        (went,) = kvm.of(RESOURCE, "Deleted")
        assert came["SourceInstance"]["InstanceID"] == "edited/00:16:3e:00:00:02"
        assert went["SourceInstance"].values == before["edited/00:16:3e:00:00:01"].values


def test_what_no_resource_shows_is_the_guests_alone(kvm: World, raw: Any) -> None:
    with defined(raw, test_guest("described", head=DEVICES)) as domain:
        kvm.settle(raw)
        kvm.got.clear()
        text = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        raw.defineXML(text.replace("<vcpu", "<description>new</description><vcpu"))
        kvm.settle(raw)
        (modified,) = kvm.got
        assert modified.cls.name == "KVM_ComputerSystemModifiedIndication"


def test_what_no_guest_shows_is_the_resources_alone(kvm: World, raw: Any) -> None:
    """Memory given to a running guest is no change of its definition."""
    with defined(raw, test_guest("fed")) as domain:
        domain.create()
        kvm.settle(raw)
        kvm.got.clear()
        with kvm.host.locks.hold(domain.UUIDString(), 1):
            domain.setMemoryFlags(1024, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        wait_until(lambda: kvm.got, "an indication")
        kvm.settle(raw)
        (fed,) = kvm.got
        assert fed.cls.name == f"KVM_{RESOURCE}ModifiedIndication"
        sizes = [fed[which]["VirtualQuantity"] for which in ("PreviousInstance", "SourceInstance")]
        assert sizes == [2048, 1024]


def test_autostart_is_a_change_of_the_guest(kvm: World, raw: Any) -> None:
    """Its settings show it; made through libvirtcim, it needs no event of libvirt."""
    with defined(raw, test_guest("early")):
        kvm.settle(raw)
        kvm.got.clear()
        service = InstancePath(
            "KVM_VirtualSystemManagementService", (("Name", "Management Service"),), NS
        )
        settings = 'VirtualSystemIdentifier = "early"; AutoStart = 1;'
        text = f"instance of KVM_VirtualSystemSettingData {{ {settings} }};"
        kvm.call(service, "ModifySystemSettings", SystemSettings=text)
        wait_until(lambda: kvm.got, "an indication")
        kvm.settle(raw)
        (modified,) = kvm.got
        assert modified.cls.name == "KVM_ComputerSystemModifiedIndication"


def test_renamed(kvm: World, raw: Any) -> None:
    """The guest and its resources are the same ones under new names."""
    with defined(raw, test_guest("first", head=DEVICES)) as domain:
        kvm.settle(raw)
        kvm.got.clear()
        domain.rename("second", 0)
        kvm.settle(raw)
        (system,) = kvm.of(SYSTEM)
        names = [system[which]["Name"] for which in ("PreviousInstance", "SourceInstance")]
        assert names == ["first", "second"]
        assert system["SourceInstanceModelPath"] == str(kvm.path("second"))
        ids = {
            i["PreviousInstance"]["InstanceID"]: i["SourceInstance"]["InstanceID"]
            for i in kvm.of(RESOURCE, "Modified")
        }
        assert ids == {k.replace("second", "first"): k for k in kvm.resources("second")}


def test_resources_are_watched_only_for_those_who_want_them(raw: Any) -> None:
    with served("KVM", URI) as world:
        world.subscribe(SYSTEM)
        with defined(raw, test_guest("alone", head=DEVICES)):
            world.settle(raw)
        world.settle(raw)
        kinds = [i.cls.name for i in world.got]
        assert kinds == [f"KVM_{SYSTEM}{change}Indication" for change in ("Created", "Deleted")]


def test_a_superclass_brings_all(raw: Any) -> None:
    with served("KVM", URI) as world:
        world.broker.indications.subscribe(NS, "CIM_InstIndication", world.receive)
        with defined(raw, test_guest("any")):
            world.settle(raw)
        assert world.of(SYSTEM, "Created") and world.of(RESOURCE, "Created")


def test_hypervisors_that_are_not_there() -> None:
    """Nobody is refused, nobody waits, nothing is told."""
    with ExitStack() as stack:
        for prefix in ("Xen", "LXC"):
            world = stack.enter_context(served(prefix, "qemu+unix:///system?socket=/nonexistent"))
            world.subscribe(SYSTEM, RESOURCE)
            assert world.got == []
            assert world.host.watchers.guests.counters.comparisons == 0
