# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every change of a guest is told once, with the guest before and after, whoever made it."""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import libvirt
import psutil
import pytest

from bench.guests import guest_name, write_test_host
from libvirtcim.virt import lifecycle
from libvirtcim.virt.connection import Connection
from libvirtcim.virt.events import Change
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.guest import PAUSED, RUNNING, SHUTOFF, Guest, Needs
from libvirtcim.virt.guest_reader import GuestReader
from libvirtcim.virt.host import Host
from libvirtcim.virt.settings import EventSettings, HostSettings
from tests.hypervisor import PrivateLibvirtd, qemu_guest, wait_until
from tests.standin import libvirt_error
from tests.virt.watching import (
    ONLY_EVENTS,
    QUICK,
    Act,
    Seen,
    States,
    defined,
    other_client,
    state_of,
    test_guest,
    watched,
)

CONFIG = libvirt.VIR_DOMAIN_AFFECT_CONFIG
GONE = None


def redefined(text: str) -> Act:
    """Defines the guest anew, with something more below domain."""

    def act(domain: Any) -> None:
        xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        domain.connect().defineXML(xml.replace("</domain>", f"{text}</domain>"))

    return act


def titled(domain: Any) -> None:
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, "a title", None, None, CONFIG)


@pytest.mark.parametrize(
    ("first", "act", "expected"),
    [
        ((), "create", [(SHUTOFF, RUNNING)]),
        (("create",), "suspend", [(RUNNING, PAUSED)]),
        (("create", "suspend"), "resume", [(PAUSED, RUNNING)]),
        (("create",), "destroy", [(RUNNING, SHUTOFF)]),
        (("create",), "shutdown", [(RUNNING, SHUTOFF)]),
        (("create",), "managedSave", [(RUNNING, SHUTOFF)]),
        (("create",), "undefine", [(RUNNING, RUNNING)]),
        (("create", "undefine"), "destroy", [(RUNNING, GONE)]),
        ((), "undefine", [(SHUTOFF, GONE)]),
        ((), titled, [(SHUTOFF, SHUTOFF)]),
        ((), redefined("<description>other</description>"), [(SHUTOFF, SHUTOFF)]),
        ((), redefined("<cpu mode='custom'><model>pentium</model></cpu>"), [(SHUTOFF, SHUTOFF)]),
        ((), redefined(""), []),
        (("create",), redefined("<description>other</description>"), [(RUNNING, RUNNING)]),
        ((), lambda domain: domain.rename(f"{domain.name()}-new", 0), [(SHUTOFF, SHUTOFF)]),
    ],
)
def test_one_change(first: tuple[str, ...], act: str | Act, expected: list[States]) -> None:
    with other_client() as raw, defined(raw, test_guest("one change")) as domain:
        for step in first:
            getattr(domain, step)()
        with watched() as seen:
            if isinstance(act, str):
                getattr(domain, act)()
            else:
                act(domain)
            seen.settle(raw)
            assert seen.states(domain.UUIDString()) == expected


def test_a_guest_comes_with_its_definition() -> None:
    with other_client() as raw, watched() as seen:
        with defined(raw, test_guest("newcomer")) as domain:
            (made,) = seen.wait(domain.UUIDString(), 1)
            assert made.before is None and made.after is not None
            assert (made.after.name, made.after.config.vcpus) == ("newcomer", 2)
            assert not made.after.stale
        (_made, gone) = seen.wait(domain.UUIDString(), 2)
        assert (gone.before, gone.after) == (made.after, None)


def test_a_transient_guest() -> None:
    with other_client() as raw, watched() as seen:
        domain = raw.createXML(test_guest("transient"), 0)
        domain.suspend()
        domain.destroy()
        seen.settle(raw)
        assert seen.states(domain.UUIDString()) == [
            (GONE, RUNNING),
            (RUNNING, PAUSED),
            (PAUSED, GONE),
        ]


def test_what_was_there_is_not_told() -> None:
    with other_client() as raw, defined(raw, test_guest("resident")) as domain:
        domain.create()
        with watched() as seen:
            seen.settle(raw)
            assert seen.of(domain.UUIDString()) == []
            # once more, after a pause in which it changed unwatched
            seen.host.watchers.guests.unwatch(seen)
            domain.suspend()
            seen.host.watchers.guests.watch(seen)
            seen.settle(raw)
            assert seen.of(domain.UUIDString()) == []


def test_names_before_and_after() -> None:
    with other_client() as raw, defined(raw, test_guest("old name")) as domain, watched() as seen:
        domain.rename("new name", 0)
        (change,) = seen.wait(domain.UUIDString(), 1)
        assert change.before is not None and change.after is not None
        assert (change.before.name, change.after.name) == ("old name", "new name")


# --- many ----------------------------------------------------------------------------------------------

MOVES = {
    None: ("define", "create transient"),
    "off": ("create", "undefine"),
    "on": ("suspend", "destroy", "undefine"),
    "paused": ("resume", "destroy"),
    "transient": ("suspend", "destroy"),
}
_AFTER = {"off": SHUTOFF, "on": RUNNING, "paused": PAUSED, "transient": RUNNING, None: None}


class Life:
    """A guest that does what it can at random, and remembers its states."""

    def __init__(self, raw: Any, number: int) -> None:
        self.raw = raw
        self.xml = test_guest(f"life-{number}")
        self.uuid = self.xml.partition("<uuid>")[2].partition("</uuid>")[0]
        self.domain: Any = None
        self.state: str | None = None
        self.persistent = False
        self.lived: list[States] = []

    def move(self, chance: random.Random) -> None:
        """Does one thing."""
        before = self.state
        move = chance.choice(MOVES[before])
        if before is None:
            make = self.raw.defineXML if move == "define" else self.raw.createXML
            self.domain = make(self.xml)
            self.state = "off" if move == "define" else "transient"
            self.persistent = move == "define"
        else:
            getattr(self.domain, move)()
            self.state = self._next(move)
        self.lived.append((_AFTER[before], _AFTER[self.state]))

    def _next(self, move: str) -> str | None:
        on = "on" if self.persistent else "transient"
        if move == "undefine":
            self.persistent = False
            return "transient" if self.state == "on" else None
        if move == "destroy":
            return "off" if self.persistent else None
        return {"create": on, "resume": on, "suspend": "paused"}[move]

    def end(self) -> None:
        """Leaves nothing behind."""
        if self.state in ("on", "paused", "transient"):
            self.domain.destroy()
        if self.persistent:
            self.domain.undefine()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("where", ["process", "daemon"])
def test_random_lives(seed: int, where: str, request: pytest.FixtureRequest) -> None:
    """Whatever happens how quickly, every state is told, in order, once."""
    uri = "test:///default"
    if where == "daemon":
        uri = request.getfixturevalue("box").test_uri
    chance = random.Random(seed)
    with other_client(uri) as raw, watched(uri) as seen:
        lives = [Life(raw, number) for number in range(10)]
        for _ in range(400):
            chance.choice(lives).move(chance)
        seen.settle(raw)
        told = {life.uuid: seen.states(life.uuid) for life in lives}
        for life in lives:
            life.end()
    assert told == {life.uuid: life.lived for life in lives}


def test_a_burst(tmp_path: Path) -> None:
    """A thousand guests change their state four times: four thousand changes, none missing, none invented."""
    uri = write_test_host(tmp_path / "host.xml", 1000)
    with watched(uri) as seen:
        raw = seen.host.connection.call(lambda raw: raw)
        domains = raw.listAllDomains(0)
        for act in ("suspend", "resume", "destroy", "create"):
            for domain in domains:
                if domain.isActive() or act == "create":
                    getattr(domain, act)()
        seen.settle(raw)
        told: dict[str, list[States]] = defaultdict(list)
        for change in seen.changes:
            told[change.latest.name].append((state_of(change.before), state_of(change.after)))
        ran = [(RUNNING, PAUSED), (PAUSED, RUNNING), (RUNNING, SHUTOFF), (SHUTOFF, RUNNING)]
        for number in range(1000):
            expected = [(SHUTOFF, RUNNING)] if number % 2 else ran
            assert told[guest_name(number)] == expected
        assert seen.counters.overflows == 0


def test_more_events_than_are_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What lies between is lost, the outcome is not."""
    uri = write_test_host(tmp_path / "host.xml", 100)
    with watched(uri, EventSettings(compare=0, most_waiting=20, settle=0.1)) as seen:
        raw = seen.host.connection.call(lambda raw: raw)
        running = [domain for domain in raw.listAllDomains(0) if domain.isActive()]
        blocked = threading.Event()

        def wait(_changes: list[Change[Guest]]) -> None:
            blocked.wait(20)

        seen.host.watchers.guests.watch(wait)
        for act in ("suspend", "resume", "destroy"):
            for domain in running:
                getattr(domain, act)()
        wait_until(lambda: seen.counters.overflows, "an overflow")
        blocked.set()
        for domain in running:
            wait_until(
                lambda d=domain: (told := seen.of(d.UUIDString())) and state_of(told[-1].after) == SHUTOFF,
                "the last state",
            )  # fmt: skip
        assert seen.counters.most_waiting <= 20
        for domain in running:
            states = seen.states(domain.UUIDString())
            assert states[0][0] == RUNNING
            assert all(a[1] == b[0] for a, b in pairwise(states))


# --- changes without events, own changes ---------------------------------------------------------------


def test_own_changes_are_told_where_libvirt_sends_no_event() -> None:
    with other_client() as raw, defined(raw, test_guest("own")) as domain, watched() as seen:
        uuid = domain.UUIDString()
        with seen.host.locks.hold(uuid, 1):
            domain.setAutostart(1)
        (change,) = seen.wait(uuid, 1)
        assert change.before is not None and change.after is not None
        assert (change.before.autostart, change.after.autostart) == (False, True)


def test_an_own_change_is_one_change() -> None:
    """Several events of one transaction, the last long after the first."""
    with other_client() as raw, defined(raw, test_guest("whole")) as domain, watched() as seen:
        uuid = domain.UUIDString()
        with seen.host.locks.hold(uuid, 1):
            lifecycle.start(seen.host, "whole")
            seen.settle(raw)
            assert seen.of(uuid) == []
            titled(domain)
            seen.settle(raw)
        seen.wait(uuid, 1)
        seen.settle(raw)
        (change,) = seen.of(uuid)
        assert (state_of(change.before), state_of(change.after)) == (SHUTOFF, RUNNING)
        assert change.after is not None and change.after.config.title == "a title"


def test_an_own_change_that_takes_too_long_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = EventSettings(compare=0, patience=0.1)
    with other_client() as raw, defined(raw, test_guest("long")) as domain:
        with watched(settings=settings) as seen, seen.host.locks.hold(domain.UUIDString(), 1):
            domain.create()
            seen.wait(domain.UUIDString(), 1)
        assert seen.states(domain.UUIDString()) == [(SHUTOFF, RUNNING)]


def test_a_lock_without_a_change_tells_nothing() -> None:
    with other_client() as raw, defined(raw, test_guest("idle")) as domain, watched() as seen:
        looked = seen.counters.unchanged
        with seen.host.locks.hold(domain.UUIDString(), 1):
            pass
        wait_until(lambda: seen.counters.unchanged > looked, "a look at the guest")
        assert seen.of(domain.UUIDString()) == []


def test_comparisons_find_what_has_no_event() -> None:
    settings = EventSettings(compare=0.05, settle=0.05)
    with (
        other_client() as raw,
        defined(raw, test_guest("silent")) as domain,
        watched(settings=settings) as seen,
    ):
        uuid = domain.UUIDString()
        domain.setMemoryFlags(1024, CONFIG)
        (change,) = seen.wait(uuid, 1)
        assert change.before is not None and change.after is not None
        assert (change.before.config.current_kib, change.after.config.current_kib) == (2048, 1024)
        compared = seen.counters.comparisons
        wait_until(lambda: seen.counters.comparisons > compared + 2, "more comparisons")
        assert len(seen.of(uuid)) == 1


# --- listeners, connections ----------------------------------------------------------------------------


def test_several_listeners() -> None:
    with other_client() as raw, watched() as seen, defined(raw, test_guest("shared")) as domain:
        uuid = domain.UUIDString()
        seen.wait(uuid, 1)
        second = Seen(seen.host)

        def broken(_changes: list[Change[Guest]]) -> None:
            raise RuntimeError("no")

        seen.host.watchers.guests.watch(broken)
        seen.host.watchers.guests.watch(second)
        domain.create()
        seen.wait(uuid, 2)
        seen.host.watchers.guests.unwatch(seen)
        domain.destroy()
        second.wait(uuid, 2)
        assert second.states(uuid) == [(SHUTOFF, RUNNING), (RUNNING, SHUTOFF)]
        assert len(seen.of(uuid)) == 2


def test_nothing_is_told_after_the_end() -> None:
    with other_client() as raw, defined(raw, test_guest("ended")) as domain, watched() as seen:
        before = threading.active_count()
        seen.host.watchers.guests.unwatch(seen)
        assert threading.active_count() == before - 1
        events = seen.counters.events
        domain.create()
        again = Seen(seen.host)
        seen.host.watchers.guests.watch(again)
        again.settle(raw)
        assert seen.of(domain.UUIDString()) == again.of(domain.UUIDString()) == []
        # the marker's: no event was counted that came between
        assert seen.counters.events == events + 2


def test_a_hypervisor_that_comes_later(tmp_path: Path) -> None:
    """Its guests were there before anybody looked."""
    host_file = tmp_path / "host.xml"
    connection = Connection(f"test://{host_file}", settings=QUICK)
    host = Host(connection, FAMILIES["KVM"], HostSettings(side_file_dir=None, events=ONLY_EVENTS))
    seen = Seen(host)
    began = time.monotonic()
    host.watchers.guests.watch(seen)
    assert time.monotonic() - began < 5
    write_test_host(tmp_path / "new.xml", 4)
    (tmp_path / "new.xml").rename(host_file)
    assert connection.wait_open(10)
    wait_until(lambda: seen.counters.comparisons, "a comparison")
    raw = connection.call(lambda raw: raw)
    seen.settle(raw)
    assert {change.latest.name[:6] for change in seen.changes} == {"marker"}
    raw.lookupByName(guest_name(0)).suspend()
    wait_until(lambda: len(seen.changes) == 3, "a change")
    host.close()
    connection.close()


def test_an_outage(box: PrivateLibvirtd) -> None:
    """What changes while libvirtd is away is told once when it is back."""
    with ExitStack() as stack:
        raw = libvirt.open(box.qemu_uri)
        names = [f"outage-{number}" for number in range(6)]
        uuids = {name: raw.defineXML(qemu_guest(name)).UUIDString() for name in names}
        for name in ("outage-0", "outage-1"):
            raw.lookupByName(name).create()
        raw.close()
        stack.callback(_remove, box, [*names, "outage-new"])
        seen = stack.enter_context(watched(box.qemu_uri))
        box.kill_libvirtd()
        wait_until(lambda: seen.host.connection.status().libvirt_version is None, "a loss")
        _kill_qemu(box, "outage-1")
        edited = box.directory / "etc/qemu/outage-2.xml"
        edited.write_text(edited.read_text().replace("</name>", "</name><title>t</title>"))
        (box.directory / "etc/qemu/outage-3.xml").unlink()
        fresh = (box.directory / "etc/qemu/outage-4.xml").read_text()
        fresh = fresh.replace("outage-4", "outage-new").replace(uuids["outage-4"], NEW_UUID)
        (box.directory / "etc/qemu/outage-new.xml").write_text(fresh)
        box.start_libvirtd()
        wait_until(lambda: len(seen.changes) >= 4, "four changes", 30)
        with other_client(box.qemu_uri) as raw:
            raw.lookupByName("outage-0").suspend()
            seen.wait(uuids["outage-0"], 1)
        told = {c.latest.name: (state_of(c.before), state_of(c.after)) for c in seen.changes}
        assert told == {
            "outage-0": (RUNNING, PAUSED),
            "outage-1": (RUNNING, SHUTOFF),
            "outage-2": (SHUTOFF, SHUTOFF),
            "outage-3": (SHUTOFF, GONE),
            "outage-new": (GONE, SHUTOFF),
        }
        assert len(seen.changes) == 5


NEW_UUID = "5e0f3a10-0c5b-4a54-9a05-0000000000ff"


def _kill_qemu(box: PrivateLibvirtd, name: str) -> None:
    """The guest's process ends as in a crash."""
    pid_file = box.directory / f"run/qemu/{name}.pid"
    pid = pid_file.read_text().strip()
    box.run("kill", "-9", pid)
    wait_until(lambda: not _lives(box, pid), "the end of QEMU")


def _lives(box: PrivateLibvirtd, pid: str) -> bool:
    return "yes" in box.run("sh", "-c", f"kill -0 {pid} 2>/dev/null && echo yes || true").stdout


def _remove(box: PrivateLibvirtd, names: list[str]) -> None:
    with other_client(box.qemu_uri) as raw:
        for domain in raw.listAllDomains(0):
            if domain.name() in names:
                if domain.isActive():
                    domain.destroy()
                domain.undefine()


def test_a_guest_restarted_meanwhile(box: PrivateLibvirtd) -> None:
    """It has been off, as its run is another; found by comparison alone."""
    settings = EventSettings(compare=0)
    with ExitStack() as stack:
        raw = stack.enter_context(other_client(box.qemu_uri))
        domain = raw.defineXML(qemu_guest("restarted"))
        domain.create()
        uuid = domain.UUIDString()
        stack.callback(_remove, box, ["restarted"])
        seen = stack.enter_context(watched(box.qemu_uri, settings))
        seen.host.connection.call(_deaf)
        domain.destroy()
        domain.create()
        with seen.host.locks.hold(uuid, 1):
            pass
        seen.wait(uuid, 2)
        assert seen.states(uuid) == [(RUNNING, SHUTOFF), (SHUTOFF, RUNNING)]


def _deaf(raw: Any) -> None:
    """The connection gets no events any more."""
    for number in list(raw.domainEventCallbackID):
        raw.domainEventDeregisterAny(number)


@pytest.mark.parametrize("how", ["call", "guest", "stale"])
def test_a_guest_that_can_not_be_read_is_told_of_later(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often reading fails; nothing is told twice."""
    failures = iter(range(2))
    real = GuestReader.some

    def some(
        self: GuestReader, raw: Any, uuids: Iterable[str], needs: Needs
    ) -> dict[str, Guest | Exception]:
        found = real(self, raw, uuids, needs)
        if next(failures, None) is None:
            return found
        if how == "call":
            raise libvirt_error(libvirt.VIR_ERR_OPERATION_TIMEOUT, "busy")
        if how == "guest":
            error = libvirt_error(libvirt.VIR_ERR_OPERATION_TIMEOUT, "busy")
            return dict.fromkeys(found, error)
        return {u: replace(g, stale=True) for u, g in found.items() if isinstance(g, Guest)}

    with other_client() as raw, defined(raw, test_guest("unreadable")) as domain, watched() as seen:
        monkeypatch.setattr(GuestReader, "some", some)
        domain.create()
        seen.wait(domain.UUIDString(), 1)
        domain.suspend()
        seen.wait(domain.UUIDString(), 2)
        seen.settle(raw)
        assert next(failures, None) is None
        assert seen.states(domain.UUIDString()) == [(SHUTOFF, RUNNING), (RUNNING, PAUSED)]


# --- no growth -----------------------------------------------------------------------------------------


def _resources() -> tuple[int, int]:
    gc.collect()
    return threading.active_count(), psutil.Process(os.getpid()).num_fds()


def test_nothing_grows_with_events() -> None:
    process = psutil.Process(os.getpid())
    with other_client() as raw, watched() as seen:

        def round_of(count: int) -> None:
            for _ in range(count):
                domain = raw.defineXML(test_guest("again"))
                domain.create()
                domain.destroy()
                domain.undefine()
            seen.settle(raw)
            seen.changes.clear()

        round_of(300)
        before, size = _resources(), process.memory_info().rss
        for _ in range(4):
            round_of(300)
        wait_until(
            lambda: all(now <= then for now, then in zip(_resources(), before, strict=True)),
            f"{before} threads and files",
        )
        assert process.memory_info().rss - size < 4_000_000
        assert seen.counters.waiting == 0
        # of the guests that are there, and of no others, definitions are kept
        assert len(seen.host.last_seen()) <= 2 * len(raw.listAllDomains(0))


def test_nothing_grows_with_connections(box: PrivateLibvirtd) -> None:
    """Lost ones go, although callbacks were registered with them."""
    with watched(box.test_uri) as seen:

        def outage() -> None:
            compared = seen.counters.comparisons
            box.kill_libvirtd()
            box.start_libvirtd()
            wait_until(lambda: seen.counters.comparisons > compared, "a comparison", 30)

        outage()
        before = _resources()
        for _ in range(4):
            outage()
        wait_until(
            lambda: _resources() == before, f"{before} threads and files, has {_resources()}"
        )
