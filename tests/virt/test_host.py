# SPDX-License-Identifier: LGPL-2.1-or-later
"""The host snapshot: order, needs, caching, and guests that vanish or hang."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import libvirt
import pytest

from libvirtcim.virt.connection import Connection, ConnectionState
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.errors import Failed, GuestNotFound, Unreachable
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.guest import PAUSED, RUNNING, SHUTOFF
from libvirtcim.virt.host import Host, Hosts, Needs
from libvirtcim.virt.settings import HostSettings
from tests.hypervisor import (
    READY,
    PrivateLibvirtd,
    build_container_root,
    lxc_guest,
    qemu_guest,
    serial_output,
    wait_until,
)

ODD = 'odd &<>"é'


def _test_domain(name: str, number: int, state: int) -> str:
    escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return (
        "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>"
        f"<name>{escaped}</name><uuid>ABCDEF00-0000-0000-0000-{number:012d}</uuid>"
        "<memory>4096</memory><currentMemory>2048</currentMemory><vcpu>2</vcpu>"
        "<os><type arch='x86_64'>hvm</type></os>"
        f"<devices><disk type='file'><source file='/pool/vol{number}'/><target dev='vda'/></disk>"
        f"</devices><test:runstate>{state}</test:runstate></domain>"
    )


@pytest.fixture
def node(tmp_path: Path) -> str:
    """URI of a test hypervisor with guests in several states and one pool."""
    domains = [("run1", 1), ("off1", 5), (ODD, 5), ("paused", 3), ("off2", 5)]
    text = (
        "<node><cpu><nodes>1</nodes><sockets>1</sockets><cores>4</cores><threads>1</threads>"
        "<mhz>1000</mhz><arch>x86_64</arch></cpu><memory>1048576</memory>"
        + "".join(_test_domain(name, i, state) for i, (name, state) in enumerate(domains))
        + "<pool type='dir'><name>p1</name><target><path>/pool</path></target>"
        "<volume type='file'><name>vol0</name><capacity>1000000</capacity><allocation>4096"
        "</allocation><target><path>/pool/vol0</path></target></volume>"
        "<volume type='file'><name>vol1</name><capacity>2000000</capacity></volume></pool>"
        "</node>"
    )
    path = tmp_path / "node.xml"
    path.write_text(text)
    return f"test:///{path}"


@pytest.fixture
def testhost(node: str) -> Iterator[Host]:
    hosts = Hosts({"KVM": node}, settings=HostSettings(host_name="h.example.org"))
    yield hosts.host("KVM")
    hosts.close()


def test_guests_come_in_order_and_with_state(testhost: Host) -> None:
    guests = testhost.guests()
    raw = libvirt.open(testhost.connection.uri)
    expected = raw.listDefinedDomains() + [raw.lookupByID(i).name() for i in raw.listDomainsID()]
    assert [guest.name for guest in guests] == expected
    states = {guest.name: guest.state for guest in guests}
    assert states == {
        "run1": RUNNING,
        "off1": SHUTOFF,
        ODD: SHUTOFF,
        "paused": PAUSED,
        "off2": SHUTOFF,
    }
    for guest in guests:
        assert guest.uuid == guest.uuid.lower()
        assert guest.active == (guest.id != -1) == (guest.state != SHUTOFF)
        assert guest.persistent
        assert guest.autostart is None
        with pytest.raises(LookupError):
            _ = guest.live
        with pytest.raises(LookupError):
            _ = guest.config


def test_everything_about_guests(testhost: Host) -> None:
    for guest in testhost.guests(Needs.ALL):
        assert guest.live.name == guest.config.name == guest.name
        assert guest.live.uuid == guest.uuid
        assert (guest.autostart, guest.managed_saved, guest.stale) == (False, False, False)
        assert guest.shares == 0
        if guest.active:
            assert (guest.vcpus_online, guest.memory_kib) == (2, 2048)
            assert (guest.live.id, guest.config.id) == (guest.id, None)
        else:
            assert guest.live is guest.config
            assert (guest.vcpus_online, guest.memory_kib) == (None, None)
        assert testhost.guest(guest.name, Needs.ALL) == guest
        assert testhost.guest_by_uuid(guest.uuid, Needs.ALL) == guest
    single = testhost.guest(ODD)
    assert single in testhost.guests()


def test_unchanged_xml_is_not_parsed_again(testhost: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    first = {g.name: g for g in testhost.guests(Needs.LIVE | Needs.CONFIG)}
    parsed: list[str] = []
    real = Domain.view

    def counted(text: str) -> Domain:
        parsed.append(text)
        return real(text)

    monkeypatch.setattr("libvirtcim.virt.domain.Domain.view", counted)
    again = {g.name: g for g in testhost.guests(Needs.LIVE | Needs.CONFIG)}
    assert not parsed
    assert all(again[name].live is first[name].live for name in first)
    testhost.connection.call(lambda raw: raw.lookupByName("off1").undefine())
    testhost.connection.call(lambda raw: raw.lookupByName("run1").setMemory(1024))
    third = {g.name: g for g in testhost.guests(Needs.LIVE | Needs.CONFIG)}
    assert "off1" not in third
    assert set(testhost._guests._known) == {g.uuid for g in third.values()}
    assert third["run1"].live.current_kib == 1024
    assert third["run1"].config is first["run1"].config
    assert len(parsed) == 1


def test_flags_are_seen(testhost: Host) -> None:
    def change(raw: Any) -> None:
        raw.lookupByName("off1").setAutostart(1)
        raw.lookupByName("paused").managedSave(0)
        xml = "<domain type='test'><name>tr</name><memory>1</memory><os><type>hvm</type></os>"
        raw.createXML(xml + "</domain>", 0)

    testhost.connection.call(change)
    guests = {g.name: g for g in testhost.guests(Needs.AUTOSTART | Needs.CONFIG)}
    assert [n for n, g in guests.items() if g.autostart] == ["off1"]
    assert [n for n, g in guests.items() if g.managed_saved] == ["paused"]
    assert [n for n, g in guests.items() if not g.persistent] == ["tr"]
    assert guests["tr"].config.id == guests["tr"].id
    for name, guest in guests.items():
        assert testhost.guest(name, Needs.AUTOSTART | Needs.CONFIG) == guest


def test_a_missing_guest_has_libvirts_text(testhost: Host) -> None:
    with pytest.raises(GuestNotFound) as caught:
        testhost.guest("nope", Needs.ALL)
    assert caught.value.libvirt_message.startswith("Domain not found")


@pytest.mark.parametrize("error", [libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_INTERNAL_ERROR])
def test_a_guest_that_vanishes_is_left_out(
    testhost: Host, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    real = libvirt.virDomain.XMLDesc

    def vanishing(self: Any, flags: int = 0) -> str:
        if self.name() == "off1":
            exc = libvirt.libvirtError("gone")
            exc.err = (error, 10, "gone", 2, None, None, None, -1, -1)
            raise exc
        return str(real(self, flags))

    monkeypatch.setattr(libvirt.virDomain, "XMLDesc", vanishing)
    names = {guest.name for guest in testhost.guests(Needs.LIVE)}
    assert names == {"run1", ODD, "paused", "off2"}
    # asked for by name it is gone only if libvirt says so, else libvirt's own error counts
    with pytest.raises(GuestNotFound if error == libvirt.VIR_ERR_NO_DOMAIN else Failed):
        testhost.guest("off1", Needs.LIVE)


@pytest.mark.parametrize(
    ("prefix", "state", "online"),
    [("KVM", 0, False), ("Xen", 0, True), ("KVM", 1, True), ("LXC", 2, True), ("Xen", 3, False)],
)
def test_online(testhost: Host, prefix: str, state: int, online: bool) -> None:
    guest = replace(testhost.guests()[0], state=state)
    host = Host(testhost.connection, FAMILIES[prefix])
    assert host.is_online(guest) is online


def test_volumes_and_node(testhost: Host) -> None:
    volumes = testhost.volumes(testhost.storage_pools())
    assert {path: (v.pool, v.name) for path, v in volumes.items()} == {
        "/pool/vol0": ("p1", "vol0"),
        "/pool/vol1": ("p1", "vol1"),
    }
    assert (volumes["/pool/vol0"].capacity, volumes["/pool/vol0"].allocation) == (1000000, 4096)
    node = testhost.node()
    assert (node.arch, node.cpus, node.memory_kib) == ("i686", 4, 1048576)
    assert testhost.name() == "h.example.org"
    assert testhost.short_name()
    capabilities = testhost.capabilities()
    assert capabilities.find("hvm") is not None
    assert testhost.capabilities() is capabilities


def test_hosts_share_a_connection_per_uri(node: str) -> None:
    hosts = Hosts({"KVM": node, "LXC": node, "Xen": "xen+unix:///?socket=/nonexistent"})
    assert len(hosts) == 3
    assert hosts.host("KVM").connection is hosts.host("LXC").connection
    assert [host.family.prefix for host in hosts] == ["KVM", "LXC", "Xen"]
    with pytest.raises(Unreachable):
        hosts.host("Xen").guests()
    hosts.host("LXC").guests()
    states = {prefix: status.state for prefix, status in hosts.status().items()}
    assert states == {
        "KVM": ConnectionState.OPEN,
        "LXC": ConnectionState.OPEN,
        "Xen": ConnectionState.BACKOFF,
    }
    with pytest.raises(KeyError):
        hosts.host("VBox")
    hosts.close()


def test_default_uris() -> None:
    assert {h.family.prefix: h.connection.uri for h in Hosts()} == {
        "Xen": "xen:///system",
        "KVM": "qemu:///system",
        "LXC": "lxc:///system",
    }


def test_real_qemu_guests(box: PrivateLibvirtd, guest_image: Path) -> None:
    host = Host(Connection(box.qemu_uri), FAMILIES["KVM"])
    extra = "<cputune><shares>512</shares></cputune>"
    names = ["snap-run", "snap-off", "snap-transient"]

    def prepare(raw: Any) -> None:
        raw.defineXML(qemu_guest("snap-off", guest_image, extra=extra))
        raw.defineXML(qemu_guest("snap-run", guest_image, extra=extra)).create()
        raw.createXML(qemu_guest("snap-transient", guest_image))

    host.connection.call(prepare)
    try:
        guests = {g.name: g for g in host.guests(Needs.ALL) if g.name in names}
        assert next(iter(guests)) == "snap-off"
        run, off, transient = (guests[name] for name in ("snap-run", "snap-off", "snap-transient"))
        assert (run.state, run.vcpus_online, run.memory_kib, run.shares) == (1, 1, 2048, 512)
        assert (off.state, off.vcpus_online, off.shares) == (5, None, 512)
        assert off.live is off.config
        assert run.live.id == run.id and run.config.id is None
        assert not transient.persistent and transient.config is transient.live
        for name, guest in guests.items():
            assert host.guest(name, Needs.ALL) == guest
        with pytest.raises(GuestNotFound, match="no domain with matching name 'snap-none'"):
            host.guest("snap-none")
        # Read-only: no secrets, everything else.
        reader = Host(Connection(box.readonly_qemu_uri, readonly=True), FAMILIES["KVM"])
        assert {g.name for g in reader.guests(Needs.ALL)} >= set(names)
        reader.connection.close()
        _hang(box, host, guest_image)
    finally:
        for name in names:
            host.connection.call(partial(_remove, name=name))
        host.connection.close()


def _hang(box: PrivateLibvirtd, host: Host, image: Path) -> None:
    """A guest whose QEMU hangs while a job is under way does not delay the others."""
    wait_until(lambda: READY in serial_output(image, "snap-run"), "guest is up")
    pid = (box.directory / "run/qemu/snap-run.pid").read_text()
    box.run("sh", "-c", f"kill -STOP {pid}")
    job = threading.Thread(
        target=partial(
            host.connection.call,
            lambda raw: raw.lookupByName("snap-run").blockStats("vda"),
            idempotent=False,
        )
    )
    try:
        job.start()
        began = time.monotonic()
        names = [guest.name for guest in host.guests(Needs.ALL)]
        assert "snap-run" in names
        assert time.monotonic() - began < 1
    finally:
        box.run("sh", "-c", f"kill -CONT {pid}")
        job.join(30)


def _remove(raw: Any, name: str) -> None:
    domain = raw.lookupByName(name)
    persistent = domain.isPersistent()
    if domain.isActive():
        domain.destroy()
    if persistent:
        domain.undefine()


def test_a_guest_that_does_not_answer_is_shown_as_last_known(
    box: PrivateLibvirtd, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = libvirt.open(box.test_uri)
    settings = HostSettings(guest_deadline=0.1)
    host = Host(Connection(box.test_uri), FAMILIES["KVM"], settings)
    xml = "<domain type='test'><name>quick</name><memory>1</memory><os><type>hvm</type></os>"
    host.connection.call(lambda raw: raw.defineXML(xml + "</domain>"))
    before = host.guest("test", Needs.ALL)
    release = threading.Event()
    asked: list[str] = []
    real = libvirt.virDomain.XMLDesc

    def hanging(self: Any, flags: int = 0) -> str:
        if self.name() == "test":
            asked.append("test")
            release.wait(20)
        return str(real(self, flags))

    monkeypatch.setattr(libvirt.virDomain, "XMLDesc", hanging)
    guests = {g.name: g for g in host.guests(Needs.ALL)}
    assert guests["test"].stale
    assert guests["test"].live == before.live
    assert guests["test"].state == RUNNING
    assert not guests["quick"].stale
    # While that call hangs, no further one is made for the guest, and nobody waits for it.
    for _ in range(3):
        began = time.monotonic()
        assert host.guest("test", Needs.ALL).stale
        assert time.monotonic() - began < 0.09
    assert len(asked) == 1
    release.set()
    wait_until(lambda: not host.guest("test", Needs.ALL).stale, "the guest answers again")
    host.connection.close()
    keep.close()


def test_real_containers(box: PrivateLibvirtd) -> None:
    host = Host(Connection(box.lxc_uri), FAMILIES["LXC"])
    root = build_container_root(box.directory)
    host.connection.call(lambda raw: raw.defineXML(lxc_guest("ct-off", root)))
    host.connection.call(lambda raw: raw.defineXML(lxc_guest("ct-run", root)).create())
    try:
        off, run = host.guests(Needs.ALL)
        assert (off.name, off.state, off.vcpus_online) == ("ct-off", SHUTOFF, None)
        assert (run.name, run.state, run.vcpus_online) == ("ct-run", RUNNING, 1)
        assert run.memory_kib and run.memory_kib < 65536
        assert run.shares == 1024
        assert run.live.init == "/bin/sh"
        assert host.guest("ct-run", Needs.ALL).live == run.live
    finally:
        for name in ("ct-off", "ct-run"):
            host.connection.call(partial(_remove, name=name))
        host.connection.close()
