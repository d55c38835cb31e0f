# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications from real guests to listeners, and what lies between: each change comes once, in order.

Another client of libvirt changes guests; libvirtd, the CIM server and listeners end, hang and come back.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import libvirt
import psutil
import pytest
import pywbem

from bench.served import Server
from libvirtcim import cli
from libvirtcim.demo import sample_uri
from libvirtcim.server.indications.status import StatusFile
from libvirtcim.virt.settings import EventSettings
from tests.cimom.listener import Listener, subscribed
from tests.hypervisor import PrivateLibvirtd, build_guest_image, qemu_guest, wait_until
from tests.migration import LIVE, Mover, move_directly
from tests.pair import Pair
from tests.server.subscribing import RawListener, subscribe
from tests.system.conftest import Served, running
from tests.system.telling import EVERYTHING, GUESTS, Told, act_of, told, words
from tests.virt.watching import defined, other_client

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]

OUTAGE = float(os.environ.get("LIBVIRTCIM_OUTAGE", "0"))
LISTENER_AWAY = float(os.environ.get("LIBVIRTCIM_LISTENER_AWAY", "0"))
"""Seconds that libvirtd and a listener are away at least."""
NONE = range(1)
"""Indications that wait where all have been taken."""
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
Doctor = Callable[[int, range], dict[str, Any]]
"""(a listener's port, how many indications may wait for it) → its counters when so many wait."""


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


def test_a_life_on_two_hosts(hosts: Pair, tmp_path: Path) -> None:
    """Subscribed to superclasses: guests, their resources, and jobs that move them, on either host."""
    with ExitStack() as stack:
        raws, told_of, clients = [], [], []
        for box in (hosts.a, hosts.b):
            raws.append(stack.enter_context(other_client(box.qemu_uri)))
            clients.append(_client(stack.enter_context(Server(box.qemu_uri, *NO_PATIENCE))))
            told_of.append(stack.enter_context(told(clients[-1], raws[-1], EVERYTHING)))
        (a, b), (on_a, on_b) = raws, told_of
        image = build_guest_image(tmp_path)
        domain = stack.enter_context(defined(a, qemu_guest(GUEST, image)))
        _check(on_a.words(), [f"Created {GUEST} {OFF}", *_all("Created")])
        for act, expected in STEPS:
            act(domain)
            on_a.wait(len(expected))  # the guest lets go of a device when it likes
            _check(on_a.words(), expected)
        domain = move_directly(domain, b, hosts.address_b)
        on_a.wait(len(LEAVES))
        _check(on_a.words(), LEAVES)
        domain = move_directly(domain, a, hosts.address_a)
        on_b.wait(len(ARRIVES + LEAVES))
        _check(on_b.words(), ARRIVES + LEAVES)
        _check(on_a.words(), ARRIVES)
        mover = Mover(clients[0], hosts)
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


def _end_qemu(domain: Any) -> None:
    """QEMU ends by itself, and libvirt is not asked."""
    wanted = f"guest={domain.name()},"
    (qemu,) = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(word.startswith(wanted) for word in process.info["cmdline"] or ())
    ]
    qemu.kill()


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
    "crashed": Fate(3, (CREATE,), _end_qemu, STOPS),
    "redefined": Fate(10, (), _redefine, ("Modified {} 3->3",)),
    "undefined": Fate(10, (), act_of("undefine"),
                      ("Deleted {} 1", *(f"Deleted {one}" for one in BARE))),
    "new": Fate(9, None, lambda _domain: None,
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
AT_ONCE = 0.2
"""Seconds in which most of what happens elsewhere is told on a busy machine; comparisons take longer."""


def _change_elsewhere(listener: Listener, seconds: float) -> list[float]:
    """Makes as many changes of another connection's guest as are made here; how long each took to be told.

    `seconds`: over how long they are spread, at least.
    """
    delays: list[float] = []
    began = time.monotonic()
    with other_client(ELSEWHERE) as raw:
        (domain,) = raw.listAllDomains()
        for number in range(1, CHANGES + 1):
            changed = time.monotonic()
            (domain.suspend if number % 2 else domain.resume)()
            listener.until(lambda came, known=number: len(came) >= known)
            delays.append(time.monotonic() - changed)
            time.sleep(max(0.0, began + seconds * number / CHANGES - time.monotonic()))
    states = [one["SourceInstance"]["EnabledState"] for one in listener.received]
    assert states == [PAUSED, ON] * (CHANGES // 2)
    return delays


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
        delays = _change_elsewhere(elsewhere, OUTAGE)
        assert median(delays) < AT_ONCE
        away = time.monotonic() - began
        box.start_libvirtd()
        with other_client(box.qemu_uri) as raw:
            _befall(raw, AFTERWARDS)
        listener.until(lambda came: len(came) >= expected.total())
        watcher = served.hosts.host("KVM").watchers.guests
        compared = watcher.counters.comparisons
        wait_until(lambda: watcher.counters.comparisons > compared + 2, "comparisons", 30)
        assert Counter(map(words, listener.received)) == expected
        print(
            f"\nlibvirtd away for {away:.1f} s: {CHANGES} changes, {expected.total()} indications;"
            f" {len(delays)} changes elsewhere, told after {median(delays):.3f} s,"
            f" {max(delays):.3f} s at most"
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
def quick(box: PrivateLibvirtd, tmp_path: Path) -> Iterator[Served]:
    """A server whose longest pause between attempts to deliver is short, and that `doctor` finds."""
    yield from running(
        {"KVM": box.qemu_uri},
        indication_retry_longest=0.2,
        subscriptions=str(tmp_path / "subscriptions"),
    )


@pytest.fixture
def doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """What `libvirtcim doctor` says of listeners."""
    config = tmp_path / "libvirtcim.toml"
    config.write_text(f'[server]\nsubscriptions = "{tmp_path}/subscriptions"\n')

    def ask(port: int, queued: range) -> dict[str, Any] | None:
        cli.main(
            ["doctor", "--json", "--config", str(config), "--connection", f"KVM={sample_uri()}"]
        )
        destinations = json.loads(capsys.readouterr().out)["subscriptions"]["destinations"]
        found = [one for one in destinations if urlsplit(one["url"]).port == port]
        return found[0] if found and found[0]["queued"] in queued else None

    return lambda port, queued: wait_until(lambda: ask(port, queued), f"{queued} wait", 30)


@pytest.mark.timeout(300 + LISTENER_AWAY)
def test_a_listener_that_is_away(box: PrivateLibvirtd, quick: Served, doctor: Doctor) -> None:
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
        watcher = quick.hosts.host("KVM").watchers.guests
        wait_until(lambda: watcher.counters.changes >= 41, "all that is to be told")
        time.sleep(max(0.0, began + LISTENER_AWAY - time.monotonic()))
        waiting = doctor(listener.port, range(40, 50))  # some of the marker's too
        assert waiting["failing"] and waiting["retried"]
        assert waiting["delivered"] == len(listener.received)
        away = time.monotonic() - began
        listener.start()
        expected = [f"Modified {GUEST} {ON}->{PAUSED}", f"Modified {GUEST} {PAUSED}->{ON}"]
        assert on.words() == expected * 20
        counted = doctor(listener.port, NONE)
        numbers = [one["SequenceNumber"] for one in listener.received]
        assert numbers == list(range(len(numbers)))
        assert counted["delivered"] == len(numbers) and not counted["failing"]
        assert counted["dropped"] == counted["expired"] == counted["refused"] == 0
        print(f"\nlistener away for {away:.1f} s: {len(expected) * 20} changes told afterwards")


def test_a_listener_that_never_answers(box: PrivateLibvirtd, quick: Served, doctor: Doctor) -> None:
    """It keeps nothing from another one."""
    silent, listener = RawListener(answer=lambda body: None), Listener()
    with ExitStack() as stack:
        stack.enter_context(silent.listening())
        query = "SELECT * FROM KVM_ComputerSystemModifiedIndication"
        interop = pywbem.WBEMConnection(quick.url, default_namespace="root/interop")
        subscribe(interop, silent.url, query)
        raw = stack.enter_context(other_client(box.qemu_uri))
        domain = stack.enter_context(defined(raw, qemu_guest(GUEST)))
        on = stack.enter_context(told(quick.client(), raw, GUESTS, listener))
        for act, expected in STEPS[:3]:
            act(domain)
            assert on.words() == expected
        waiting, counted = doctor(silent.port, range(3, 4)), doctor(listener.port, NONE)
        assert waiting["delivered"] == waiting["dropped"] == 0
        assert counted["delivered"] == len(listener.received)
        assert counted["retried"] == counted["dropped"] == 0
        silent.wait(1)
        assert len(silent.requests) == 1, "nothing comes after what is not answered"
