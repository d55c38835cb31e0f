# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications of pools over libvirt's test hypervisor: what they carry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import libvirt
import pytest

from libvirtcim.cim.objects import Instance
from libvirtcim.virt.events import Watcher
from libvirtcim.virt.settings import EventSettings
from tests.hypervisor import wait_until
from tests.subscribing import (
    NS,
    POOL,
    SYSTEM,
    World,
    directory_pool,
    isolated_network,
    served,
)
from tests.virt.watching import other_client

URI = "test:///default"
NAME = "told of"
OK, STOPPED = [2], [10]
Make = Callable[[Any], Any]

DISK: tuple[str, Make] = (
    f"DiskPool/{NAME}",
    lambda raw: raw.storagePoolDefineXML(directory_pool(NAME, "/a")),
)
NET: tuple[str, Make] = (
    f"NetworkPool/{NAME}",
    lambda raw: raw.networkDefineXML(isolated_network(NAME, "10.77.3.1")),
)
KINDS = pytest.mark.parametrize(("pool_id", "make"), [DISK, NET], ids=["disk", "net"])


@pytest.fixture(params=["Xen", "KVM", "LXC", "Test"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Every family, subscribed to pools."""
    with served(request.param, URI) as made:
        made.subscribe(POOL)
        yield made


@pytest.fixture
def kvm() -> Iterator[World]:
    """KVM, subscribed to pools."""
    with served("KVM", URI) as made:
        made.subscribe(POOL)
        yield made


@pytest.fixture
def raw() -> Iterator[Any]:
    """Another client of the hypervisor."""
    with other_client(URI) as connection:
        yield connection


@contextmanager
def made(raw: Any, make: Make) -> Iterator[Any]:
    """A storage pool or network until the end, if it lives so long."""
    handle = make(raw)
    try:
        yield handle
    finally:
        for end in ("destroy", "undefine"):
            with suppress(libvirt.libvirtError):
                getattr(handle, end)()


def _kinds(world: World) -> list[str]:
    """What kinds of change were told."""
    begin = len(f"{world.prefix}_{POOL}")
    return [i.cls.name[begin:].removesuffix("Indication") for i in world.got]


@KINDS
def test_a_life(world: World, raw: Any, pool_id: str, make: Make) -> None:
    """Each change once, with what reads show before and after."""
    path = world.pool_path(pool_id)
    with made(raw, make) as handle:
        world.settle_pools(raw)
        (came,) = world.got
        assert came.cls.name == f"{world.prefix}_ResourcePoolCreatedIndication"
        assert came["SourceInstance"].cls.name == path.classname
        assert came["SourceInstance"].values == world.read(path).values
        assert came["SourceInstance"]["OperationalStatus"] == STOPPED
        assert came["SourceInstanceModelPath"] == str(path)
        assert came["SourceInstanceHost"] == world.host.name()
        assert came["IndicationIdentifier"] == handle.UUIDString()
        assert came["IndicationTime"] and came["PreviousInstance"] is None
        for act, status in (("create", OK), ("destroy", STOPPED)):
            world.got.clear()
            before = world.read(path)
            getattr(handle, act)()
            world.settle_pools(raw)
            (moved,) = world.got
            assert moved.cls.name == f"{world.prefix}_ResourcePoolModifiedIndication"
            assert moved["PreviousInstance"].values == before.values
            assert moved["SourceInstance"].values == world.read(path).values
            assert moved["SourceInstance"]["OperationalStatus"] == status
            assert moved["IndicationIdentifier"] == handle.UUIDString()
        world.got.clear()
        last = world.read(path)
        handle.undefine()
        world.settle_pools(raw)
        (gone,) = world.got
        assert gone.cls.name == f"{world.prefix}_ResourcePoolDeletedIndication"
        assert gone["SourceInstance"].values == last.values
        assert gone["IndicationIdentifier"] == handle.UUIDString()


@KINDS
def test_what_is_over_before_it_could_be_read(
    kvm: World, raw: Any, pool_id: str, make: Make
) -> None:
    """Every state is told, in order."""
    with made(raw, make) as handle:
        kvm.settle_pools(raw)
        kvm.got.clear()
        for act in ("create", "destroy", "create", "destroy", "undefine"):
            getattr(handle, act)()
        kvm.settle_pools(raw)
        states = [i["SourceInstance"]["OperationalStatus"] for i in kvm.of(POOL, "Modified")]
        assert states == [OK, STOPPED, OK, STOPPED]
        assert _kinds(kvm) == ["Modified"] * 4 + ["Deleted"]


def test_a_definition_that_is_changed(kvm: World, raw: Any) -> None:
    """Also in what the network's own instance doesn't show; none where it stays as it is."""
    with made(raw, NET[1]) as network:
        kvm.settle_pools(raw)
        kvm.got.clear()
        uuid = network.UUIDString()
        for address, told in (("10.77.4.1", ["Modified"]), ("10.77.4.1", [])):
            raw.networkDefineXML(isolated_network(NAME, address, uuid=uuid))
            kvm.settle_pools(raw)
            assert _kinds(kvm) == told
            kvm.got.clear()


def test_a_path_that_is_changed(kvm: World, raw: Any) -> None:
    with made(raw, DISK[1]) as pool:
        kvm.settle_pools(raw)
        kvm.got.clear()
        raw.storagePoolDefineXML(directory_pool(NAME, "/b", uuid=pool.UUIDString()))
        kvm.settle_pools(raw)
        (moved,) = kvm.got
        paths = [moved[which]["Path"] for which in ("PreviousInstance", "SourceInstance")]
        assert paths == ["/a", "/b"]


@KINDS
def test_a_refresh_that_finds_nothing_new_is_not_told(
    kvm: World, raw: Any, pool_id: str, make: Make
) -> None:
    with made(raw, make) as handle:
        handle.create()
        kvm.settle_pools(raw)
        kvm.got.clear()
        if hasattr(handle, "refresh"):
            handle.refresh(0)
        kvm.settle_pools(raw)
        assert kvm.got == []


@KINDS
def test_comparisons_find_what_has_no_event(raw: Any, pool_id: str, make: Make) -> None:
    settings = EventSettings(compare=0.05, settle=0.05)
    with made(raw, make) as handle, served("KVM", URI, settings) as world:
        world.subscribe(POOL)
        handle.setAutostart(1)
        wait_until(lambda: world.got, "an indication")
        watcher = _watcher(world, pool_id)
        compared = watcher.counters.comparisons
        wait_until(lambda: watcher.counters.comparisons > compared + 2, "more comparisons")
        assert _kinds(world) == ["Modified"]


def _watcher(world: World, pool_id: str) -> Watcher[Any]:
    is_disk = pool_id.startswith("Disk")
    return world.host.watchers.storage_pools if is_disk else world.host.watchers.networks


def test_pools_are_watched_only_for_those_who_want_them(raw: Any) -> None:
    with served("KVM", URI) as world:
        world.subscribe(SYSTEM)
        watching = [watcher.plural for watcher in world.host.watchers if watcher.is_watching]
        assert watching == ["guests"]
        with made(raw, DISK[1]), made(raw, NET[1]):
            world.settle(raw)
        assert world.got == []
        for watcher in world.host.watchers[1:]:
            assert (watcher.counters.events, watcher.counters.comparisons) == (0, 0)


def test_a_superclass_brings_them(raw: Any) -> None:
    got: list[Instance] = []
    with served("KVM", URI) as world:
        world.broker.indications.subscribe(NS, "CIM_InstCreation", lambda i: got.append(i.instance))
        with made(raw, DISK[1]):
            wait_until(lambda: got, "an indication")
    assert [one.cls.name for one in got] == ["KVM_ResourcePoolCreatedIndication"]


def test_hypervisors_that_are_not_there() -> None:
    with served("LXC", "lxc+unix:///system?socket=/nonexistent") as world:
        world.subscribe(POOL)
        assert world.got == []
        assert [watcher.counters.comparisons for watcher in world.host.watchers] == [0, 0, 0]
