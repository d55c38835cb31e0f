# SPDX-License-Identifier: LGPL-2.1-or-later
"""Life cycle and per-guest data of real QEMU guests and containers, and of the test driver."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from libvirtcim.virt import lifecycle
from libvirtcim.virt.connection import Connection
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.errors import Busy, Failed, GuestNotFound, Invalid
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.guest import PAUSED, RUNNING, SHUTOFF
from libvirtcim.virt.guestdata import GuestData
from libvirtcim.virt.guestxml import NAMESPACE
from libvirtcim.virt.host import Host, Needs
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

Step = Callable[[Host, str], None]


@pytest.fixture
def testhost(tmp_path: Path) -> Iterator[Host]:
    settings = HostSettings(side_file_dir=str(tmp_path), lock_timeout=0.05)
    node = tmp_path / "node.xml"
    node.write_text(
        "<node><cpu/><memory>1024</memory><domain type='test'><name>g</name>"
        "<uuid>11111111-2222-3333-4444-55555555555a</uuid><memory>8</memory>"
        "<os><type>hvm</type></os></domain></node>"
    )
    host = Host(Connection(f"test:///{node}"), FAMILIES["KVM"], settings)
    yield host
    host.connection.close()


def test_states(testhost: Host) -> None:
    steps: list[tuple[Step, int]] = [
        (lifecycle.suspend, PAUSED),
        (lifecycle.resume, RUNNING),
        (lifecycle.reset, RUNNING),
        (lifecycle.destroy, SHUTOFF),
        (lifecycle.start, RUNNING),
        (lifecycle.shutdown, SHUTOFF),
        (lifecycle.start, RUNNING),
        (lifecycle.reboot, RUNNING),
        (lifecycle.destroy, SHUTOFF),
    ]
    for step, state in steps:
        step(testhost, "g")
        assert testhost.guest("g").state == state, step
    for step in (lifecycle.suspend, lifecycle.resume, lifecycle.destroy, lifecycle.shutdown):
        # The test driver calls some of these an internal error.
        with pytest.raises((Invalid, Failed)):
            step(testhost, "g")
        with pytest.raises(GuestNotFound):
            step(testhost, "nope")


def test_changes_of_one_guest_take_turns(testhost: Host) -> None:
    inside, leave = threading.Event(), threading.Event()
    uuid = testhost.guest("g").uuid

    def hold() -> None:
        with testhost.locks.hold(uuid, 5):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(5)
    with pytest.raises(Busy):
        lifecycle.suspend(testhost, "g")
    with pytest.raises(Busy):
        testhost.write_guest_data("g", weight=1)
    leave.set()
    thread.join()
    lifecycle.suspend(testhost, "g")


def _data(host: Host, name: str = "g") -> GuestData:
    return host.guest_data(host.guest(name, Needs.CONFIG))


def test_guest_data_live_in_the_metadata(testhost: Host) -> None:
    assert _data(testhost) == GuestData()
    assert testhost.write_guest_data("g", weight=512) == GuestData(weight=512)
    testhost.write_guest_data("g", migrating=True, reqstate=2)
    assert _data(testhost) == GuestData(weight=512, reqstate=2, migrating=True)
    # In the definition and in the running guest, and nowhere else.
    for inactive in (False, True):
        assert NAMESPACE in testhost.xml("g", inactive=inactive)
    lifecycle.destroy(testhost, "g")
    assert _data(testhost) == GuestData(weight=512, reqstate=2, migrating=True)
    testhost.write_guest_data("g", weight=None, migrating=False)
    assert _data(testhost) == GuestData(reqstate=2, migrating=False)
    testhost.write_guest_data("g", reqstate=None, migrating=None)
    assert _data(testhost) == GuestData()
    assert NAMESPACE not in testhost.xml("g")
    with pytest.raises(TypeError):
        testhost.write_guest_data("g", nonsense=1)
    with pytest.raises(LookupError):
        testhost.guest_data(testhost.guest("g"))


def test_side_file_counts_until_the_first_write(testhost: Host, tmp_path: Path) -> None:
    uuid = testhost.guest("g").uuid
    side_file = tmp_path / "QEMU_g"
    side_file.write_text(
        f"<dominfo><uuid>{uuid}</uuid><weight>300</weight><limit>40</limit></dominfo>"
    )
    assert _data(testhost) == GuestData(weight=300, limit=40)
    # One write copies everything; from then on the file says nothing any more.
    testhost.write_guest_data("g", reqstate=9)
    side_file.write_text(f"<dominfo><uuid>{uuid}</uuid><weight>1</weight></dominfo>")
    assert _data(testhost) == GuestData(weight=300, limit=40, reqstate=9)
    side_file.unlink()
    assert _data(testhost) == GuestData(weight=300, limit=40, reqstate=9)


def test_edited_definition_keeps_guest_data(testhost: Host) -> None:
    testhost.write_guest_data("g", weight=7)
    domain = Domain.parse(testhost.xml("g", inactive=True))
    domain.title = "edited"
    testhost.connection.call(lambda raw: raw.defineXML(domain.to_xml()), idempotent=False)
    guest = testhost.guest("g", Needs.CONFIG)
    assert (guest.config.title, testhost.guest_data(guest)) == ("edited", GuestData(weight=7))


def _clean(host: Host, name: str) -> None:
    def run(raw: Any) -> None:
        try:
            domain = raw.lookupByName(name)
        except libvirt.libvirtError:
            return
        persistent = domain.isPersistent()
        if domain.isActive():
            domain.destroy()
        if persistent:
            domain.undefine()

    host.connection.call(run, idempotent=False)
    host.connection.close()


def test_qemu_guest_lives(box: PrivateLibvirtd, guest_image: Path) -> None:
    host = Host(Connection(box.qemu_uri), FAMILIES["KVM"])
    name = "life"
    host.connection.call(lambda raw: raw.defineXML(qemu_guest(name, guest_image)))
    try:
        lifecycle.start(host, name)
        wait_until(lambda: READY in serial_output(guest_image, name), "guest is up")
        first = host.guest(name)
        with pytest.raises(Invalid, match="already running"):
            lifecycle.start(host, name)
        lifecycle.suspend(host, name)
        assert host.guest(name).state == PAUSED
        lifecycle.resume(host, name)
        lifecycle.reset(host, name)
        again = host.guest(name)
        assert (again.state, again.uuid, again.persistent) == (RUNNING, first.uuid, True)
        assert again.id != first.id
        wait_until(lambda: READY in serial_output(guest_image, name), "guest is up again")
        lifecycle.shutdown(host, name)
        wait_until(lambda: host.guest(name).state == SHUTOFF, "guest has shut down")
    finally:
        _clean(host, name)


def test_reset_keeps_a_transient_guest_transient(box: PrivateLibvirtd, guest_image: Path) -> None:
    host = Host(Connection(box.qemu_uri), FAMILIES["KVM"])
    name = "life-transient"
    host.connection.call(lambda raw: raw.createXML(qemu_guest(name, guest_image)))
    try:
        host.write_guest_data(name, reqstate=11)
        before = host.guest(name)
        lifecycle.reset(host, name)
        after = host.guest(name, Needs.LIVE)
        assert (after.state, after.persistent, after.uuid) == (RUNNING, False, before.uuid)
        assert after.id != before.id
        assert host.guest_data(after) == GuestData(reqstate=11)
        lifecycle.destroy(host, name)
        with pytest.raises(GuestNotFound):
            host.guest(name)
    finally:
        _clean(host, name)


def test_container_gets_its_weight(box: PrivateLibvirtd) -> None:
    host = Host(Connection(box.lxc_uri), FAMILIES["LXC"])
    root = build_container_root(box.directory)
    name = "ct-life"
    host.connection.call(lambda raw: raw.defineXML(lxc_guest(name, root)))
    try:
        host.write_guest_data(name, weight=512)
        lifecycle.start(host, name)
        assert host.guest(name, Needs.SCHEDULER).shares == 512
        lifecycle.reset(host, name)
        assert host.guest(name, Needs.SCHEDULER).shares == 512
        lifecycle.suspend(host, name)
        assert host.guest(name).state == PAUSED
        lifecycle.resume(host, name)
    finally:
        _clean(host, name)


def test_a_refused_weight_does_not_stop_the_start(box: PrivateLibvirtd) -> None:
    host = Host(Connection(box.lxc_uri), FAMILIES["LXC"])
    root = build_container_root(box.directory)
    host.connection.call(lambda raw: raw.defineXML(lxc_guest("ct-odd", root)))
    try:
        host.write_guest_data("ct-odd", weight=1)
        lifecycle.start(host, "ct-odd")
        assert host.guest("ct-odd").state == RUNNING
    finally:
        _clean(host, "ct-odd")
