# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests moved between two real libvirtds through CIM; whatever fails, each is on exactly one of them."""

from __future__ import annotations

import itertools
import queue
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
import pytest
import pywbem

from libvirtcim import composition
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import Instance
from libvirtcim.server.http import CIMServer
from libvirtcim.server.settings import ServerSettings
from libvirtcim.virt.host import Hosts
from libvirtcim.virt.settings import HostSettings, MigrationSettings, WorkSettings
from tests import hypervisor
from tests.migration import LIVE, OFFLINE, RESTART, RESUME, TERMINATED, Mover, guest_path
from tests.pair import Pair
from tests.system import test_howto
from tests.system.conftest import guest_image

__all__ = ["guest_image"]

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("migration")]

NS = "root/virt"


@dataclass(frozen=True)
class Running:
    """A server that runs, and what it serves."""

    server: CIMServer
    broker: Broker
    hosts: Hosts


@contextmanager
def served(hosts: Pair, settings: HostSettings) -> Iterator[Running]:
    """A server over the first host."""
    over = Hosts({"KVM": hosts.a.qemu_uri}, settings=settings)
    broker = composition.broker(over)
    server = CIMServer(broker, ServerSettings(listen=(("127.0.0.1", 0),)))
    server.start()
    try:
        yield Running(server, broker, over)
    finally:
        server.stop()
        over.close()


@contextmanager
def moving(running: Running, hosts: Pair) -> Iterator[Mover]:
    """A client of a server."""
    host, port = running.server.addresses[0]
    url = f"http://{host}:{port}"
    client = pywbem.WBEMConnection(url, default_namespace=NS, timeout=60)
    client.debug = True
    mover = Mover(client, hosts)
    try:
        yield mover
    finally:
        mover.close()


SETTINGS = MigrationSettings(poll=0.05, shutdown_timeout=3, connect_timeout=5)


@pytest.fixture(scope="module")
def server(hosts: Pair) -> Iterator[Running]:
    with served(hosts, HostSettings(side_file_dir=None, migration=SETTINGS)) as made:
        yield made


@pytest.fixture
def mover(server: Running, hosts: Pair) -> Iterator[Mover]:
    with moving(server, hosts) as made:
        yield made


def define(mover: Mover, xml: str, *, start: bool = True) -> Any:
    domain = mover.a.defineXML(xml)
    domain.setAutostart(1)
    if start:
        domain.create()
    return domain


def definition(domain: Any) -> str:
    return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))


# --- that go well ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LIVE, RESUME])
def test_a_running_guest(mover: Mover, guest_image: Path, kind: int) -> None:
    before = definition(define(mover, hypervisor.qemu_guest("m1", guest_image)))
    job = mover.move("m1", kind)
    assert (job["Status"], job["ErrorCode"], job["PercentComplete"]) == ("Completed", 0, 100)
    assert mover.places("m1") == {"b": "runs"}
    arrived = mover.b.lookupByName("m1")
    assert arrived.isPersistent() and arrived.autostart()
    assert definition(arrived) == before


def test_a_guest_that_is_off(mover: Mover, guest_image: Path) -> None:
    xml = hypervisor.qemu_guest("m1", guest_image)
    before = definition(define(mover, xml, start=False))
    assert mover.move("m1", OFFLINE)["ErrorCode"] == 0
    assert mover.places("m1") == {"b": "is off"}
    arrived = mover.b.lookupByName("m1")
    assert definition(arrived) == before and arrived.autostart()


def test_a_guest_that_restarts(mover: Mover, guest_image: Path) -> None:
    define(mover, hypervisor.qemu_guest("m1", guest_image))
    hypervisor.wait_until(
        lambda: hypervisor.READY in hypervisor.serial_output(guest_image, "m1"), "boot", 30
    )
    assert mover.move("m1", RESTART)["ErrorCode"] == 0
    assert mover.places("m1") == {"b": "runs"}


def test_a_transient_guest_stays_transient(mover: Mover) -> None:
    mover.a.createXML(hypervisor.qemu_guest("m1"))
    assert mover.move("m1", LIVE)["ErrorCode"] == 0
    assert mover.places("m1") == {"b": "runs"}
    assert not mover.b.lookupByName("m1").isPersistent()


def test_the_other_host_as_a_system(mover: Mover) -> None:
    define(mover, hypervisor.qemu_guest("m1"), start=False)
    there = pywbem.CIMInstanceName(
        "KVM_HostSystem",
        {"CreationClassName": "KVM_HostSystem", "Name": mover.hosts.address_b},
        namespace=NS,
    )
    settings = pywbem.CIMInstance(
        "KVM_VirtualSystemMigrationSettingData",
        {"MigrationType": pywbem.Uint16(OFFLINE), "TransportType": pywbem.Uint16(5)},
    )
    common = {
        "ComputerSystem": guest_path("m1"),
        "DestinationSystem": there,
        "MigrationSettingData": settings,
    }
    call = mover.client.InvokeMethod
    value, out = call("CheckVirtualSystemIsMigratableToSystem", mover.service, **common)
    assert (value, out["IsMigratable"]) == (0, True)
    _value, out = call("MigrateVirtualSystemToSystem", mover.service, **common)
    assert mover.ended(out["Job"])["ErrorCode"] == 0
    assert mover.places("m1") == {"b": "is off"}


def test_as_the_documentation_says(mover: Mover, guest_image: Path) -> None:
    define(mover, hypervisor.qemu_guest("web1", guest_image))
    destination = {"DESTINATION": mover.hosts.address_b, "TRANSPORT": "5"}
    said = test_howto.run(test_howto.MIGRATION, CIM_URL=mover.client.url, **destination)
    assert said.splitlines()[-1] == "Completed"
    assert mover.places("web1") == {"b": "runs"}


def test_a_job_as_it_goes(mover: Mover, server: Running) -> None:
    """Instances, associations and indications of a job; the guest says that it moves."""
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    indications = server.broker.indications
    subscribed = [
        indications.subscribe(NS, f"KVM_ComputerSystemMigrationJob{change}Indication", told.put)
        for change in ("Created", "Modified", "Deleted")
    ]
    try:
        domain = define(mover, big_guest("m1"))
        path = mover.start("m1", LIVE, Bandwidth=1)
        client = mover.client
        hypervisor.wait_until(lambda: client.GetInstance(path)["PercentComplete"], "progress", 30)
        running = client.GetInstance(path)
        assert (running["JobState"], running["Status"]) == (4, "Running")
        assert client.GetInstance(guest_path("m1"))["OperatingStatus"] == 9
        assert [p["Name"] for p in client.AssociatorNames(path, "KVM_AffectedJobElement")] == ["m1"]
        assert [p.classname for p in client.AssociatorNames(path, "KVM_OwningJobElement")] == [
            "KVM_VirtualSystemMigrationService"
        ]
        (affecting,) = client.AssociatorNames(guest_path("m1"), "KVM_AffectedJobElement")
        assert affecting.keybindings == path.keybindings
        uuid = domain.UUIDString()
        assert mover.ended(path)["ErrorCode"] == 0
        client.DeleteInstance(path)
        with pytest.raises(pywbem.CIMError, match="No such instance"):
            client.GetInstance(path)
    finally:
        for one in subscribed:
            indications.unsubscribe(one)
    seen = [told.get_nowait().instance for _ in range(told.qsize())]
    kinds = [i.cls.name.removeprefix("KVM_ComputerSystemMigrationJob") for i in seen]
    assert kinds[0] == "CreatedIndication" and kinds[-1] == "DeletedIndication"
    assert set(kinds[1:-1]) == {"ModifiedIndication"}
    assert {i["IndicationIdentifier"] for i in seen} == {uuid}
    for before, after in itertools.pairwise(seen[:-1]):
        assert of_then(after["PreviousInstance"]) == of_then(before["SourceInstance"])
        assert of_then(after["SourceInstance"]) != of_then(before["SourceInstance"])


def of_then(job: Instance) -> dict[str, Any]:
    """What is shown of a job, but for how long it has taken so far."""
    return {name: value for name, value in job.items() if name != "ElapsedTime"}


# --- that fail ------------------------------------------------------------------------------------


def big_guest(name: str) -> str:
    """One whose memory takes seconds to be moved at 1 MiB/s, although nothing is in it."""
    return hypervisor.qemu_guest(name).replace("<memory unit='MiB'>2<", "<memory unit='MiB'>1024<")


def test_a_name_that_is_taken(mover: Mover) -> None:
    define(mover, hypervisor.qemu_guest("m1"))
    mover.b.defineXML(hypervisor.qemu_guest("m1"))
    job = mover.move("m1", LIVE)
    assert (job["ErrorCode"], job["Status"]) == (1, "Remote already has domain `m1'")
    assert mover.places("m1") == {"a": "runs", "b": "is off"}


@pytest.mark.parametrize(
    ("kind", "started", "words"),
    [(OFFLINE, True, "runs"), (LIVE, False, "does not run"), (RESTART, False, "does not run")],
)
def test_a_state_that_does_not_fit(mover: Mover, kind: int, started: bool, words: str) -> None:
    define(mover, hypervisor.qemu_guest("m1"), start=started)
    job = mover.move("m1", kind)
    assert job["ErrorCode"] == 4 and words in job["Status"]
    assert mover.places("m1") == {"a": "runs" if started else "is off"}


@pytest.mark.parametrize("kind", [LIVE, RESTART])
def test_a_disk_that_is_not_there(mover: Mover, guest_image: Path, kind: int) -> None:
    """Each box has its own /var/lib/libvirt."""
    disk = mover.hosts.a.directory / "lib/images/own.img"
    shutil.copy(guest_image, disk)
    xml = hypervisor.qemu_guest("m1", guest_image).replace(
        f"'{guest_image}'", "'/var/lib/libvirt/images/own.img'"
    )
    define(mover, xml)
    hypervisor.wait_until(
        lambda: hypervisor.READY in hypervisor.serial_output(guest_image, "m1"), "boot", 30
    )
    job = mover.move("m1", kind)
    assert job["ErrorCode"] == 1
    assert "own.img" in job["Status"] and "on this host" in job["Status"]
    assert mover.places("m1") == {"a": "runs"}


def test_a_guest_that_does_not_shut_down(mover: Mover) -> None:
    define(mover, hypervisor.qemu_guest("m1"))
    job = mover.move("m1", RESTART)
    assert job["ErrorCode"] == 1 and "has not shut down within 3 s" in job["Status"]
    assert "the guest runs on this host" in job["Status"]
    assert mover.places("m1") == {"a": "runs"}


def test_state_that_would_be_lost(mover: Mover) -> None:
    domain = define(mover, hypervisor.qemu_guest("m1"))
    domain.managedSave(0)
    job = mover.move("m1", OFFLINE)
    assert job["ErrorCode"] == 4 and "saved state that would be lost" in job["Status"]
    assert mover.places("m1") == {"a": "is off"}
    assert domain.hasManagedSaveImage()


def test_terminating_a_job(mover: Mover) -> None:
    define(mover, big_guest("m1"))
    path = mover.start("m1", LIVE, Bandwidth=1)
    hypervisor.wait_until(lambda: mover.client.GetInstance(path)["PercentComplete"], "progress", 30)
    value, _ = mover.client.InvokeMethod(
        "RequestStateChange", path, RequestedState=pywbem.Uint16(4)
    )
    assert value == 0
    job = mover.ended(path)
    assert (job["JobState"], job["Status"]) == (8, "Terminated")
    assert mover.places("m1") == {"a": "runs"}


def test_the_other_host_dies_meanwhile(mover: Mover) -> None:
    define(mover, big_guest("m1"))
    path = mover.start("m1", LIVE, Bandwidth=1)
    hypervisor.wait_until(lambda: mover.client.GetInstance(path)["PercentComplete"], "progress", 30)
    mover.hosts.b.kill_libvirtd()
    try:
        job = mover.ended(path)
    finally:
        mover.hosts.b.start_libvirtd()
    mover.b = libvirt.open(mover.hosts.b.qemu_uri)
    assert job["ErrorCode"] == 1 and "the guest runs on this host" in job["Status"]
    assert mover.places("m1") == {"a": "runs"}
    error, out = mover.client.InvokeMethod("GetError", path)
    assert error == 0 and out["Error"]["Message"] == job["Status"]


def test_a_host_that_is_not_there(mover: Mover) -> None:
    define(mover, hypervisor.qemu_guest("m1"))
    mover.hosts.b.kill_libvirtd()
    try:
        with pytest.raises(pywbem.CIMError) as raised:
            mover.start("m1", LIVE)
    finally:
        mover.hosts.b.start_libvirtd()
    mover.b = libvirt.open(mover.hosts.b.qemu_uri)
    shown = f"Failed to connect to remote host (qemu+tcp://{mover.hosts.address_b}/system)"
    assert shown in raised.value.status_description
    assert not mover.client.EnumerateInstanceNames("KVM_MigrationJob") or mover.places("m1")


def test_the_server_ends_meanwhile(hosts: Pair) -> None:
    """The guest is on one host when the server has ended, and runs."""
    settings = HostSettings(side_file_dir=None, migration=SETTINGS)
    with ExitStack() as stack:
        server = stack.enter_context(served(hosts, settings))
        mover = stack.enter_context(moving(server, hosts))
        define(mover, big_guest("m1"))
        path = mover.start("m1", LIVE, Bandwidth=1)
        hypervisor.wait_until(
            lambda: mover.client.GetInstance(path)["PercentComplete"], "progress", 30
        )
        server.hosts.close()
        hypervisor.wait_until(lambda: mover.places("m1") == {"a": "runs"}, "back here", 30)


# --- may it move ------------------------------------------------------------------------------------


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_programs_that_check(hosts: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    checks = tmp_path / "checks"
    checks.mkdir(mode=0o755)
    seen = tmp_path / "seen"
    program(checks, "10-look", f'echo "$1|$2|$(cat "$3")" > {seen}')
    program(checks, ".hidden", "exit 1")
    (checks / "notes.txt").write_text("not executable")
    settings = MigrationSettings(check_directory=checks, check_timeout=1)
    host = HostSettings(side_file_dir=None, migration=settings)
    with served(hosts, host) as server, moving(server, hosts) as mover:
        define(mover, hypervisor.qemu_guest("m1"), start=False)

        def check(**more: list[str]) -> bool:
            """What IsMigratable says. (pywbem makes True of it, whatever it is.)"""
            method = "CheckVirtualSystemIsMigratableToHost"
            value, out = mover.call(method, "m1", hosts.address_b, MigrationType=OFFLINE, **more)
            assert value == 0 and "IsMigratable" in out
            return ">TRUE<" in mover.client.last_raw_reply.decode()

        assert check(CheckParameters=["one", "two words; $(id)"])
        assert seen.read_text() == f"m1|{hosts.a.qemu_uri}|one\ntwo words; $(id)\n"
        for text, reason in (
            ("exit 3", "ended with code 3"),
            ("sleep 60", "has not ended within 1 s"),
        ):
            program(checks, "20-no", text)
            caplog.clear()
            assert not check()
            assert f"20-no: {reason}" in caplog.text
            job = mover.move("m1", OFFLINE)
            assert job["ErrorCode"] == 1 and f"20-no: {reason}" in job["Status"]
        assert mover.places("m1") == {"a": "is off"}
        program(checks, "20-no", "exit 0")
        assert check()
        (checks / "20-no").chmod(0o777)
        assert not check()
        assert "can be written by others" in caplog.text


def test_terminated_before_it_starts(hosts: Pair) -> None:
    host = HostSettings(side_file_dir=None, migration=SETTINGS, work=WorkSettings(running=1))
    with served(hosts, host) as server, moving(server, hosts) as mover:
        define(mover, big_guest("m1"))
        define(mover, hypervisor.qemu_guest("m2"))
        first = mover.start("m1", LIVE, Bandwidth=1)
        second = mover.start("m2", LIVE)
        assert mover.client.GetInstance(second)["Status"] == "Queued"
        mover.client.InvokeMethod("KillJob", second, DeleteOnKill=False)
        assert mover.ended(second)["JobState"] == TERMINATED
        assert mover.ended(first)["ErrorCode"] == 0
        assert mover.places("m2") == {"a": "runs"}
