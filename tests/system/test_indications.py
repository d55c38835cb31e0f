# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications from real guests to listeners, and what lies between: each change comes once, in order.

Another client of libvirt changes guests; libvirtd, the CIM server and listeners end, hang and come back.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
import pytest
import pywbem

from bench.served import Server
from libvirtcim.server.indications.status import StatusFile
from libvirtcim.virt.events import EventSettings
from tests import hypervisor
from tests.cimom.listener import Listener, subscribed
from tests.hypervisor import PrivateLibvirtd, qemu_guest, wait_until
from tests.migration import LIVE, Mover, move_directly
from tests.needs import skip_where
from tests.pair import pair
from tests.server.subscribing import RawListener, subscribe
from tests.system.conftest import Served, running
from tests.system.telling import EVERYTHING, GUESTS, Told, act_of, told, words
from tests.virt.watching import defined, other_client

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]

OUTAGE = float(os.environ.get("LIBVIRTCIM_OUTAGE", "0"))
LISTENER_AWAY = float(os.environ.get("LIBVIRTCIM_LISTENER_AWAY", "0"))
"""Seconds that libvirtd and a listener are away at least."""
GUEST = "told"
NIC_ID = "52:54:00:11:22:33"
NIC = f"<interface type='user'><mac address='{NIC_ID}'/><model type='virtio'/></interface>"
LIVE_DEVICE = libvirt.VIR_DOMAIN_AFFECT_LIVE
RESOURCES = (
    "vda", "mem", "proc", "mouse:ps2", "keyboard:ps2", "charconsole:0", "controller:usb:0",
    "controller:pci:0",
)  # fmt: skip
"""What the smallest guest has that boots."""
OFF, ON, PAUSED, GONE = 3, 2, 9, 1

Act = Callable[[Any], object]


def _all(change: str) -> list[str]:
    return [f"{change} {GUEST}/{resource}" for resource in RESOURCES]


def _switched(before: int, after: int) -> list[str]:
    """A guest that comes up or goes down: its processors are shown differently."""
    return [f"Modified {GUEST} {before}->{after}", f"Modified {GUEST}/proc"]


STEPS: list[tuple[Act, list[str]]] = [
    (act_of("create"), _switched(OFF, ON)),
    (act_of("suspend"), [f"Modified {GUEST} {ON}->{PAUSED}"]),
    (act_of("resume"), [f"Modified {GUEST} {PAUSED}->{ON}"]),
    (act_of("attachDeviceFlags", NIC, LIVE_DEVICE), [f"Created {GUEST}/{NIC_ID}"]),
    (act_of("detachDeviceFlags", NIC, LIVE_DEVICE), [f"Deleted {GUEST}/{NIC_ID}"]),
]
"""What another client does to a guest that is defined, and what is told of it."""
LEAVES = [
    f"Modified {GUEST} {ON}->{PAUSED}",
    *_switched(PAUSED, OFF),
    f"Deleted {GUEST} {GONE}",
    *_all("Deleted"),
]
"""What is told where a guest leaves for another host."""
ARRIVES = [f"Created {GUEST} {PAUSED}", *_all("Created"), f"Modified {GUEST} {PAUSED}->{ON}"]
"""What is told where it comes from another host."""
PERHAPS = f"Modified {GUEST} {PAUSED}->{PAUSED}"
"""It is stored: told by itself where it was read before."""
NO_PATIENCE = ("--event-settle", "60")
"""What would wait for an event that libvirt doesn't send comes too late for the test."""


def _of_systems(found: Iterable[str]) -> list[str]:
    return [one for one in found if "/" not in one]


def _check(found: list[str], expected: list[str]) -> None:
    """Each once, and those of the guest in order; those of resources come before or after them."""
    found = [one for one in found if one != PERHAPS]
    assert Counter(found) == Counter(expected)
    assert _of_systems(found) == _of_systems(expected)


def _client(server: Server) -> pywbem.WBEMConnection:
    return pywbem.WBEMConnection(server.url, default_namespace="root/virt", timeout=60)


def test_a_life_on_two_hosts() -> None:
    """Subscribed to superclasses: guests, their resources, and jobs that move them, on either host."""
    skip_where(hypervisor.why_not())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lv", dir="/tmp")))
        both = stack.enter_context(pair(folder))
        raws, told_of, clients = [], [], []
        for box in (both.a, both.b):
            raws.append(stack.enter_context(other_client(box.qemu_uri)))
            clients.append(_client(stack.enter_context(Server(box.qemu_uri, *NO_PATIENCE))))
            told_of.append(stack.enter_context(told(clients[-1], raws[-1], EVERYTHING)))
        (a, b), (on_a, on_b) = raws, told_of
        image = hypervisor.build_guest_image(folder)
        domain = stack.enter_context(defined(a, qemu_guest(GUEST, image)))
        _check(on_a.words(), [f"Created {GUEST} {OFF}", *_all("Created")])
        for act, expected in STEPS:
            act(domain)
            on_a.wait(len(expected))  # the guest lets go of a device when it likes
            _check(on_a.words(), expected)
        domain = move_directly(domain, b, both.address_b)
        on_a.wait(len(LEAVES))
        _check(on_a.words(), LEAVES)
        domain = move_directly(domain, a, both.address_a)
        on_b.wait(len(ARRIVES + LEAVES))
        _check(on_b.words(), ARRIVES + LEAVES)
        _check(on_a.words(), ARRIVES)
        mover = Mover(clients[0], both)
        stack.callback(mover.close)
        assert mover.move(GUEST, LIVE)["ErrorCode"] == 0
        on_a.wait(len(LEAVES) + 3)
        of_jobs, of_guests = [], []
        for one in on_a.words():
            (of_jobs if "MigrationJob" in one else of_guests).append(one)
        _check(of_guests, LEAVES)
        job = "ComputerSystemMigrationJob"
        steady = [one for one in of_jobs if one != f"Modified {job} 4->4"]  # how far it is
        assert steady == [f"Created {job} 2", f"Modified {job} 2->4", f"Modified {job} 4->7"]
        _check(on_b.words(), ARRIVES)
        domain = b.lookupByName(GUEST)
        domain.destroy()
        _check(on_b.words(), _switched(ON, OFF))
        domain.undefine()
        _check(on_b.words(), [f"Deleted {GUEST} {GONE}", *_all("Deleted")])


# --- libvirtd, the CIM server and listeners that end -------------------------------------------------


@dataclass(frozen=True)
class Fate:
    """What becomes of some guests while nobody can watch, and what is told of each.

    `before`: what was done to them when they had been defined; None: they were not there.
    """

    guests: int
    before: tuple[Act, ...] | None
    act: Act
    told: tuple[str, ...]


def _restart(domain: Any) -> None:
    domain.destroy()
    domain.create()


def _redefine(domain: Any) -> None:
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    domain.connect().defineXML(xml.replace("<on_crash>destroy", "<on_crash>restart"))


STARTS, STOPS = ("Modified {} 3->2", "Modified {}/proc"), ("Modified {} 2->3", "Modified {}/proc")
BARE = tuple(f"{{}}/{name}" for name in RESOURCES if name not in ("vda", "charconsole:0"))
"""Resources of a guest without an image."""
CREATE, SUSPEND = act_of("create"), act_of("suspend")
FATES = {
    "started": Fate(3, (), CREATE, STARTS),
    "paused": Fate(3, (CREATE,), SUSPEND, ("Modified {} 2->9",)),
    "resumed": Fate(3, (CREATE, SUSPEND), act_of("resume"), ("Modified {} 9->2",)),
    "stopped": Fate(3, (CREATE,), act_of("destroy"), STOPS),
    "restarted": Fate(3, (CREATE,), _restart, STOPS + STARTS),
    "redefined": Fate(11, (), _redefine, ("Modified {} 3->3",)),
    "undefined": Fate(11, (), act_of("undefine"),
                      ("Deleted {} 1", *(f"Deleted {one}" for one in BARE))),
    "new": Fate(10, None, lambda _domain: None,
                ("Created {} 3", *(f"Created {one}" for one in BARE))),
    "as it was": Fate(1, (CREATE,), lambda _domain: None, ()),
}  # fmt: skip
FATED = [(f"{kind} {n}", fate) for kind, fate in FATES.items() for n in range(fate.guests)]
CHANGES = 50
BEFORE, MEANWHILE, AFTERWARDS = FATED[::3], FATED[1::3], FATED[2::3]
"""Right before libvirtd is killed; by another one; when it is back, and the server may not know it yet."""


OTHER_CONF = "/run/libvirt/other/libvirtd.conf"
OTHER_PID = "/run/libvirt/other/pid"


@contextmanager
def _another_libvirtd(box: PrivateLibvirtd) -> Iterator[Any]:
    """A connection to a libvirtd over the same guests whose socket the server doesn't know."""
    folder = box.directory / "run/other"
    folder.mkdir(exist_ok=True)
    (folder / "libvirtd.conf").write_text(
        'unix_sock_dir = "/run/libvirt/other"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n'
    )
    box.run("libvirtd", "-d", "-f", OTHER_CONF, "-p", OTHER_PID)
    try:
        uri = f"qemu+unix:///system?socket={folder}/libvirt-sock"
        with other_client(uri) as raw:
            yield raw
    finally:
        box.run(
            "sh", "-c", f"kill $(cat {OTHER_PID}); while [ -e {OTHER_PID} ]; do sleep 0.05; done"
        )


@pytest.fixture
def fated(box: PrivateLibvirtd) -> Iterator[None]:
    """The guests whose fates differ, until the end."""
    with other_client(box.qemu_uri) as raw:
        for name, fate in FATED:
            if fate.before is not None:
                domain = raw.defineXML(qemu_guest(name))
                for act in fate.before:
                    act(domain)
    yield
    with other_client(box.qemu_uri) as raw:
        for domain in raw.listAllDomains():
            if domain.name().rpartition(" ")[0] in FATES:
                if domain.isActive():
                    domain.destroy()
                domain.undefine()


def _befall(raw: Any, fated: Iterable[tuple[str, Fate]]) -> None:
    for name, fate in fated:
        new = fate.before is None
        fate.act(raw.defineXML(qemu_guest(name)) if new else raw.lookupByName(name))


ELSEWHERE = "test:///default"
"""A hypervisor within this process, which has one guest."""
AT_ONCE = 2.0
"""Seconds in which what happens elsewhere is told, on a busy machine."""


def _change_elsewhere(listener: Listener) -> float:
    """Makes as many changes of another connection's guest as are made here; the longest way of one."""
    longest = 0.0
    with other_client(ELSEWHERE) as raw:
        (domain,) = raw.listAllDomains()
        for number in range(CHANGES):
            began = time.monotonic()
            (domain.resume if number % 2 else domain.suspend)()
            listener.until(lambda came, known=number + 1: len(came) >= known)
            longest = max(longest, time.monotonic() - began)
    states = [one["SourceInstance"]["EnabledState"] for one in listener.received]
    assert states == [PAUSED, ON] * (CHANGES // 2)
    return longest


@pytest.mark.timeout(300 + OUTAGE)
@pytest.mark.usefixtures("fated")
def test_changes_while_libvirtd_is_down(box: PrivateLibvirtd) -> None:
    """And just before and after, by another libvirtd over the same guests: each is told of once.

    Guests of another connection go on being told of at once.
    """
    expected = Counter(one.format(name) for name, fate in FATED for one in fate.told)
    assert len(_of_systems(expected.elements())) == CHANGES
    listener, elsewhere = Listener(), Listener()
    settings = EventSettings(compare=0.5, settle=1.0)
    with (
        contextmanager(running)({"KVM": box.qemu_uri, "Xen": ELSEWHERE}, settings) as served,
        subscribed(served.client(), listener, GUESTS),
        subscribed(served.client(), elsewhere, ["Xen_ComputerSystemModifiedIndication"]),
    ):
        with other_client(box.qemu_uri) as raw:
            _befall(raw, BEFORE)
        box.kill_libvirtd()
        began = time.monotonic()
        with _another_libvirtd(box) as raw:
            _befall(raw, MEANWHILE)
        longest = _change_elsewhere(elsewhere)
        assert longest < AT_ONCE
        time.sleep(max(0.0, began + OUTAGE - time.monotonic()))
        away = time.monotonic() - began
        box.start_libvirtd()
        with other_client(box.qemu_uri) as raw:
            _befall(raw, AFTERWARDS)
        listener.until(lambda came: len(came) >= expected.total())
        watcher = served.hosts.host("KVM").watcher
        compared = watcher.counters.comparisons
        wait_until(lambda: watcher.counters.comparisons > compared + 2, "comparisons", 30)
        assert Counter(map(words, listener.received)) == expected
        print(
            f"\nlibvirtd away for {away:.1f} s: {CHANGES} changes, {expected.total()} indications;"
            f" {len(elsewhere.received)} changes elsewhere, each told within {longest:.3f} s"
        )


# --- the CIM server ends -----------------------------------------------------------------------------


def test_a_server_that_is_started_again(box: PrivateLibvirtd, tmp_path: Path) -> None:
    """After SIGTERM and after a crash: it goes on to tell those who had subscribed."""
    file, listener = tmp_path / "subscriptions", Listener()
    flags = ("--subscriptions", str(file))
    with ExitStack() as stack:
        raw = stack.enter_context(other_client(box.qemu_uri))
        domain = stack.enter_context(defined(raw, qemu_guest(GUEST)))
        stack.enter_context(listener.listening())
        server = stack.enter_context(Server(box.qemu_uri, *flags))
        interop = pywbem.WBEMConnection(server.url, default_namespace="root/interop")
        subscribe(interop, f"http://127.0.0.1:{listener.port}", "SELECT * FROM CIM_InstIndication")
        on = Told(listener, raw)
        domain.create()
        assert on.words() == _switched(OFF, ON)
        for end in (Server.stop, Server.kill):
            end(server)
            domain.suspend()  # nobody is told
            server = stack.enter_context(Server(box.qemu_uri, *flags, port=server.port))
            domain.resume()
            assert on.words() == [f"Modified {GUEST} {PAUSED}->{ON}"]
        contexts = dict.fromkeys(one["SequenceContext"] for one in listener.received)
        assert len(contexts) == 3, "each start can be told from the numbers"
        for context in contexts:
            of_start = [one for one in listener.received if one["SequenceContext"] == context]
            assert [one["SequenceNumber"] for one in of_start] == list(range(len(of_start)))
        status = StatusFile(file)
        wait_until(lambda: (status.read() or {}).get("pid") == server.pid, "the status")
        found = status.read()
        assert found is not None
        assert {
            source["watched"]: (source["family"], source["comparisons"])
            for source in found["sources"]
        } == dict.fromkeys(("guests", "storage pools", "networks"), ("KVM", 1))


# --- listeners end, or never answer ------------------------------------------------------------------


@pytest.fixture
def quick(box: PrivateLibvirtd) -> Iterator[Served]:
    """A server whose longest pause between attempts to deliver is short."""
    yield from running({"KVM": box.qemu_uri}, indication_retry_longest=0.2)


@pytest.mark.timeout(300 + LISTENER_AWAY)
def test_a_listener_that_is_away(box: PrivateLibvirtd, quick: Served) -> None:
    """It gets everything when it is back, once and in order."""
    listener = Listener()
    with ExitStack() as stack:
        raw = stack.enter_context(other_client(box.qemu_uri))
        domain = stack.enter_context(defined(raw, qemu_guest(GUEST)))
        on = stack.enter_context(told(quick.client(), raw, GUESTS, listener))
        domain.create()
        assert on.words() == _switched(OFF, ON)
        listener.stop()
        began = time.monotonic()
        for _ in range(20):
            domain.suspend()
            domain.resume()
        watcher = quick.hosts.host("KVM").watcher
        wait_until(lambda: watcher.counters.changes >= 41, "all that is to be told")
        time.sleep(max(0.0, began + LISTENER_AWAY - time.monotonic()))
        away = time.monotonic() - began
        listener.start()
        expected = [f"Modified {GUEST} {ON}->{PAUSED}", f"Modified {GUEST} {PAUSED}->{ON}"]
        assert on.words() == expected * 20
        numbers = [one["SequenceNumber"] for one in listener.received]
        assert numbers == list(range(len(numbers)))
        print(f"\nlistener away for {away:.1f} s: {len(expected) * 20} changes told afterwards")


def test_a_listener_that_never_answers(box: PrivateLibvirtd, quick: Served) -> None:
    """It keeps nothing from another one."""
    silent = RawListener(answer=lambda body: None)
    with ExitStack() as stack:
        stack.enter_context(silent.listening())
        query = "SELECT * FROM KVM_ComputerSystemModifiedIndication"
        interop = pywbem.WBEMConnection(quick.url, default_namespace="root/interop")
        subscribe(interop, silent.url, query)
        raw = stack.enter_context(other_client(box.qemu_uri))
        domain = stack.enter_context(defined(raw, qemu_guest(GUEST)))
        on = stack.enter_context(told(quick.client(), raw))
        for act, expected in STEPS[:3]:
            act(domain)
            assert on.words() == expected
        silent.wait(1)
        assert len(silent.requests) == 1, "nothing comes after what is not answered"
