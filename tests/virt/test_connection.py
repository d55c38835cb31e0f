# SPDX-License-Identifier: LGPL-2.1-or-later
"""A supervised connection: opens lazily, notices loss, comes back, fails fast meanwhile."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import libvirt
import pytest

from libvirtcim.virt.connection import Connection, ConnectionState
from libvirtcim.virt.errors import Denied, GuestNotFound, Invalid, Unreachable
from libvirtcim.virt.settings import ConnectionSettings
from tests.hypervisor import PrivateLibvirtd, qemu_guest, wait_until

NOWHERE = "qemu+unix:///system?socket=/nonexistent/libvirt-sock"
QUICK = ConnectionSettings(backoff_first=0.05, backoff_max=0.2)


def test_opens_when_first_used() -> None:
    one = Connection("test:///default")
    assert one.status().state is ConnectionState.IDLE
    assert one.call(lambda raw: raw.getType()) == "TEST"
    status = one.status()
    assert (status.state, status.attempts, status.last_error) == (ConnectionState.OPEN, 1, None)
    assert (status.hypervisor_type, status.libvirt_version) == ("TEST", libvirt.getVersion())
    one.close()
    assert one.status().state is ConnectionState.CLOSED
    with pytest.raises(Unreachable, match="closed"):
        one.call(lambda raw: raw.getType())


def test_errors_are_translated_and_do_not_reopen() -> None:
    one = Connection("test:///default")
    for _ in range(3):
        with pytest.raises(GuestNotFound) as caught:
            one.call(lambda raw: raw.lookupByName("nope"))
    assert caught.value.code == libvirt.VIR_ERR_NO_DOMAIN
    assert "omain not found" in caught.value.libvirt_message
    with pytest.raises(Invalid):
        one.call(lambda raw: raw.defineXML("<nonsense/>"))
    with pytest.raises(ZeroDivisionError):
        one.call(lambda raw: 1 / 0)
    assert (one.generation, one.status().attempts) == (1, 1)
    one.close()


def test_a_file_state_is_opened_once_for_many_threads(tmp_path: Any) -> None:
    path = tmp_path / "node.xml"
    path.write_text("<node><cpu><nodes>1</nodes></cpu><memory>1024</memory></node>")
    one = Connection(f"test:///{path}")
    assert one.is_local
    xml = "<domain type='test'><name>{}</name><memory>1</memory><os><type>hvm</type></os></domain>"
    threads = [
        threading.Thread(target=lambda n=n: one.call(lambda raw: raw.defineXML(xml.format(n))))
        for n in "abcdefgh"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.call(lambda raw: raw.listDefinedDomains())) == list("abcdefgh")
    assert one.status().attempts == 1
    one.close()


@pytest.mark.parametrize(
    ("uri", "local"),
    [
        ("test:///default", True),
        ("test+unix:///default", False),
        ("test://host/default", False),
        ("qemu:///system", False),
        ("qemu:///embed?root=/x", True),
    ],
)
def test_local_drivers(uri: str, local: bool) -> None:
    assert Connection(uri).is_local is local


def test_a_failed_attempt_is_remembered() -> None:
    one = Connection(NOWHERE, settings=ConnectionSettings(backoff_first=60))
    messages = set()
    for _ in range(50):
        with pytest.raises(Unreachable) as caught:
            one.call(lambda raw: raw.getType())
        messages.add(caught.value.libvirt_message)
    assert len(messages) == 1 and "No such file" in messages.pop()
    status = one.status()
    assert (status.state, status.attempts) == (ConnectionState.BACKOFF, 1)
    assert status.last_error and "No such file" in status.last_error
    one.close()


def test_backoff_grows_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("libvirtcim.virt.connection.time.monotonic", lambda: now[0])
    one = Connection(NOWHERE, settings=ConnectionSettings(backoff_first=1, backoff_max=5))
    pauses = []
    for _ in range(5):
        with pytest.raises(Unreachable):
            one.call(lambda raw: raw.getType())
        pauses.append(one._retry_at - now[0])
        now[0] = one._retry_at
    assert pauses == [1, 2, 4, 5, 5]
    assert one.status().attempts == 5
    one.close()


def test_a_host_that_does_not_answer_blocks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    real = libvirt.open

    def slow(uri: str) -> Any:
        release.wait(10)
        return real("test:///default")

    monkeypatch.setattr("libvirtcim.virt.connection.libvirt.open", slow)
    one = Connection("qemu+tcp://nowhere/system", settings=ConnectionSettings(open_timeout=0.05))
    with pytest.raises(Unreachable, match="in time"):
        one.call(lambda raw: raw.getType())
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(Unreachable, match="in time"):
            one.call(lambda raw: raw.getType())
    assert time.monotonic() - began < 0.05
    release.set()
    assert (one._companion or one).wait_open(10)
    assert one.call(lambda raw: raw.getType()) == "TEST"
    one.close()


def test_read_only_is_denied(box: PrivateLibvirtd) -> None:
    one = Connection(box.readonly_qemu_uri, readonly=True)
    with pytest.raises(Denied):
        one.call(lambda raw: raw.defineXML(qemu_guest("denied")))
    assert one.status().readonly
    one.close()


def _death(box: PrivateLibvirtd, one: Connection) -> None:
    """Kill and restart libvirtd behind the connection's back; calls fail at once until it is back."""
    supervised = one._companion or one
    before = supervised.generation
    box.kill_libvirtd()
    box.start_libvirtd()
    # being open may still mean the old connection, whose loss is not noticed yet
    wait_until(lambda: supervised.generation > before and supervised.wait_open(0), "return", 30)


def test_an_idempotent_call_survives_a_restart(box: PrivateLibvirtd) -> None:
    one = Connection(box.qemu_uri, settings=QUICK)
    calls = []

    def read(raw: Any) -> int:
        calls.append(raw)
        if len(calls) == 1:
            _death(box, one)
        return int(raw.numOfDefinedDomains())

    assert one.call(read) >= 0
    assert len(calls) == 2
    assert one.generation == 2
    one.close()


def test_a_change_is_never_repeated(box: PrivateLibvirtd) -> None:
    one = Connection(box.qemu_uri, settings=QUICK)
    calls = []

    def change(raw: Any) -> Any:
        calls.append(raw)
        if len(calls) == 1:
            _death(box, one)
        return raw.defineXML(qemu_guest("once"))

    with pytest.raises(Unreachable):
        one.call(change, idempotent=False)
    assert len(calls) == 1
    one.call(change, idempotent=False).undefine()
    one.close()


def test_listeners_hear_of_loss_and_return_in_order(box: PrivateLibvirtd) -> None:
    heard: queue.Queue[Any] = queue.Queue()
    one = Connection(box.qemu_uri, settings=QUICK)
    one.listen(heard.put)
    first = heard.get(timeout=10)
    assert first.getType() == "QEMU"
    box.kill_libvirtd()
    assert heard.get(timeout=10) is None
    with pytest.raises(Unreachable):
        one.call(lambda raw: raw.getType())
    assert one.status().last_error
    # It comes back by itself, without any call.
    box.start_libvirtd()
    again = heard.get(timeout=10)
    assert again is not first
    assert again.getType() == "QEMU"
    assert one.generation == 2
    one.close()


def test_a_hanging_libvirtd_is_noticed_by_keepalive(box: PrivateLibvirtd) -> None:
    heard: queue.Queue[Any] = queue.Queue()
    settings = ConnectionSettings(keepalive_interval=1, keepalive_count=1, open_timeout=0.2)
    one = Connection(box.qemu_uri, settings=settings)
    one.listen(heard.put)
    assert heard.get(timeout=10) is not None
    box.pause_libvirtd()
    try:
        assert heard.get(timeout=10) is None
    finally:
        box.continue_libvirtd()
    assert heard.get(timeout=20).getType() == "QEMU"
    one.close()


def test_reconnect_under_load(box: PrivateLibvirtd) -> None:
    one = Connection(box.qemu_uri, settings=QUICK)
    expected = one.call(lambda raw: raw.defineXML(qemu_guest("load")).UUIDString())
    stop = threading.Event()
    outcomes: dict[str, int] = {"ok": 0, "unreachable": 0}
    wrong: list[BaseException | str] = []
    longest = [0.0]

    def load() -> None:
        while not stop.is_set():
            began = time.monotonic()
            try:
                uuid = one.call(lambda raw: raw.lookupByName("load").UUIDString())
                outcomes["ok"] += 1
                if uuid != expected:
                    wrong.append(uuid)
            except Unreachable:
                outcomes["unreachable"] += 1
                # A caller would answer its client here; don't just spin.
                stop.wait(0.002)
            except BaseException as exc:
                wrong.append(exc)
            longest[0] = max(longest[0], time.monotonic() - began)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for round_number in range(3):
            seen = outcomes["ok"]
            wait_until(_more_than(outcomes, "ok", seen + 50), "calls go through")
            failed = outcomes["unreachable"]
            box.kill_libvirtd()
            wait_until(_more_than(outcomes, "unreachable", failed + 20), "calls fail fast")
            box.start_libvirtd()
            assert one.wait_open(10)
            assert one.generation == round_number + 2
        wait_until(_more_than(outcomes, "ok", outcomes["ok"] + 50), "calls go through again")
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert not wrong
    assert longest[0] < 5
    assert one.generation == 4
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("libvirt-open " + box.qemu_uri)]
    one.call(lambda raw: raw.lookupByName("load").undefine())
    one.close()


def _more_than(outcomes: dict[str, int], key: str, count: int) -> Callable[[], bool]:
    return lambda: outcomes[key] > count
