# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures how long after libvirt's own event an indication of a guest is published, and delivered.

Published: in process. Delivered: `libvirtcim serve` sends it to a listener that does nothing else, or a CIM
server that is there and has the plugin. One
guest after the other on real QEMU, and a burst: another process suspends and resumes a thousand guests of
libvirtd's test driver as fast as it can. libvirt's event counts from when another client gets it, which
does nothing else. Both are processes of their own: `python -m bench.events change URI`, `... watch URI FILE`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import libvirt
import psutil
import pywbem
from tabulate import tabulate

from bench import guests
from bench.aims import Verdict
from bench.listener import Listener, subscribe
from bench.served import Server
from libvirtcim import composition
from libvirtcim.cim.declare import INTEROP
from libvirtcim.cim.indications import Indication
from libvirtcim.cmpi import build
from libvirtcim.server.indications.status import StatusFile
from libvirtcim.virt.host import Hosts
from libvirtcim.virt.settings import HostSettings
from tests.cimom.listener import sent
from tests.cmpi.parts import ROOT
from tests.frontends.cimoms import Hosting
from tests.hypervisor import PrivateLibvirtd, qemu_guest, wait_until

LATENCY = 0.1
BURST_GUESTS = 1000
ROUNDS_PER_REPETITION = 20
ROUNDS_OF_CIM_SERVERS = 10
"""However many repetitions: SFCB holds each delivery's place for 5 s, and has 30."""
SYSTEM = "KVM_ComputerSystemModifiedIndication"
RESOURCES = "KVM_ResourceAllocationSettingDataModifiedIndication"
_PATIENCE = 10.0
"""Seconds without an indication after which no more is waited for."""
_STEP = 0.001
_CHANGES = frozenset({libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_RESUMED})


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds from libvirt's event to the indication, of `changes` of the state of `guests`.

    `lost`, `extra`: changes without and indications beyond. `changing`: seconds that the changes took.
    """

    what: str
    guests: int
    changes: int
    lost: int
    extra: int
    changing: float
    median: float
    p95: float
    longest: float
    most_waiting: int | None
    memory: int
    """Bytes by which the process has grown."""


@dataclass(frozen=True, slots=True)
class Result:
    """One after the other, and all at once."""

    repetitions: int
    delays: list[Delays]
    skipped: list[str]
    """CIM servers that were not there, and why."""


Told = tuple[str, float]
"""UUID of a guest, and when it was told of (`time.perf_counter()`)."""


class Published:
    """Indications as this process publishes them."""

    def __init__(self, uri: str, _folder: Path, stack: ExitStack) -> None:
        hosts = Hosts({"KVM": uri}, settings=HostSettings(side_file_dir=None))
        stack.callback(hosts.close)
        self._watcher = hosts.host("KVM").watchers.guests
        self._lock = threading.Lock()
        self._told: list[Told] = []
        indications = composition.broker(hosts).indications
        for name in (SYSTEM, RESOURCES):
            indications.subscribe("root/virt", name, self._receive)
        stack.callback(indications.close)
        self.process = psutil.Process()

    def _receive(self, indication: Indication) -> None:
        if indication.instance.cls.name == SYSTEM:
            with self._lock:
                self._told.append(
                    (indication.instance["IndicationIdentifier"], time.perf_counter())
                )

    def told(self) -> list[Told]:
        """What has come until now."""
        with self._lock:
            return list(self._told)

    def most_waiting(self, _changes: int) -> int:
        """High-water mark of libvirt's events that wait."""
        return self._watcher.counters.most_waiting


class Delivered:
    """Indications as a listener gets them from the embedded server, which is a process of its own."""

    def __init__(self, uri: str, folder: Path, stack: ExitStack) -> None:
        self._listener = stack.enter_context(Listener())
        file = folder / f"subscriptions-{uuid.uuid4()}"
        server = stack.enter_context(Server(uri, "--subscriptions", str(file)))
        self._status = StatusFile(file)
        with pywbem.WBEMConnection(server.url, default_namespace=INTEROP) as client:
            subscribe(client, self._listener.url, (SYSTEM, RESOURCES))
        self.process = psutil.Process(server.pid)

    def told(self) -> list[Told]:
        """What has come until now."""
        return _told_of_systems(self._listener)

    def most_waiting(self, changes: int) -> int:
        """High-water mark of libvirt's events that wait, when so many changes were told."""

        def counters() -> dict[str, int] | None:
            (found,) = (self._status.read() or {"sources": [{"changes": 0}]})["sources"]
            return found if found["changes"] >= changes else None

        return int(wait_until(counters, "the server's status")["most_waiting"])


class Relayed:
    """Indications as a listener gets them from a CIM server with the plugin."""

    def __init__(self, hosting: Hosting, uri: str, folder: Path, stack: ExitStack) -> None:
        self._listener = stack.enter_context(Listener())
        own = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="c-", dir=folder)))
        config = own / "libvirtcim.toml"
        config.write_text(f'[connections]\nKVM = "{uri}"\n')
        plugin = own / build.OUTPUT.name
        objects = ROOT / "build" / "cmpi"
        build.build(plugin, python=sys.executable, config=str(config), objects=objects)
        server = stack.enter_context(hosting.serving(own, plugin))
        client = stack.enter_context(pywbem.WBEMConnection(server.url, timeout=60))
        stack.enter_context(sent(client, self._listener.url, (SYSTEM, RESOURCES)))
        self.process = psutil.Process(hosting.provider(server))

    def told(self) -> list[Told]:
        """What has come until now."""
        return _told_of_systems(self._listener)

    def most_waiting(self, _changes: int) -> None:
        """Nobody asks the plugin."""


class Clock:
    """When libvirt and when libvirtcim told of changes of each guest."""

    def __init__(
        self, subject: Published | Delivered | Relayed, uri: str, folder: Path, stack: ExitStack
    ) -> None:
        self.subject = subject
        self._file = folder / "events"
        command = [sys.executable, "-m", "bench.events", "watch", uri, str(self._file)]
        other = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
        stack.callback(other.kill)
        assert other.stdout is not None
        other.stdout.readline()
        self._size = self._resident()

    def _resident(self) -> int:
        return int(self.subject.process.memory_info().rss)

    def _events(self, count: int) -> dict[str, list[float]]:
        """When libvirt told of each guest."""
        wait_until(lambda: len(self._file.read_text().splitlines()) >= count, "libvirt's events")
        lines = map(str.split, self._file.read_text().splitlines())
        return _by_guest((uuid, float(when)) for uuid, when in lines)

    def await_told(self, wanted: int) -> None:
        """Returns when so much was told, or nothing more comes."""
        count, since = 0, time.monotonic()
        while count < wanted and time.monotonic() - since < _PATIENCE:
            if (now := len(self.subject.told())) > count:
                count, since = now, time.monotonic()
            time.sleep(_STEP)

    def delays(self, what: str, changes: int, changing: float) -> Delays:
        """What came of the changes."""
        grown = self._resident() - self._size
        told, came = _by_guest(self.subject.told()), self._events(changes)
        found = []
        for guest, events in came.items():
            found += [when - event for event, when in zip(events, told[guest], strict=False)]
        more = [len(told[guest]) - len(events) for guest, events in came.items()]
        return Delays(
            what,
            len(came),
            changes,
            changes - len(found),
            sum(max(count, 0) for count in more),
            changing,
            median(found),
            quantiles(found, n=20)[-1],
            max(found),
            self.subject.most_waiting(changes),
            grown,
        )


def _told_of_systems(listener: Listener) -> list[Told]:
    came = list(listener.arrivals)
    return [(one.identifier, one.when) for one in came if one.classname == SYSTEM]


def _by_guest(told: Iterable[Told]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for guest, when in told:
        found[guest].append(when)
    return found


def measure(repetitions: int, progress: Callable[[str], None]) -> Result:
    """Measures on a libvirtd of its own, which needs root."""
    with tempfile.TemporaryDirectory(prefix="lvb-", ignore_cleanup_errors=True) as folder:
        progress("events: starting a libvirtd")
        with PrivateLibvirtd(Path(folder)) as box:
            rounds = repetitions * ROUNDS_PER_REPETITION
            found, skipped = [], []
            for what, subject in OURS.items():
                found.append(_one_by_one(box, what, subject, rounds, progress))
                found.append(_burst(box, what, subject, progress))
            for name, hosting in CIM_SERVERS.items():
                if reason := hosting.missing() or build.missing():
                    skipped.append(f"{name}: {reason}")
                    continue
                what, relayed = f"delivered by {name}", partial(Relayed, hosting)
                found.append(_one_by_one(box, what, relayed, ROUNDS_OF_CIM_SERVERS, progress))
            return Result(repetitions, found, skipped)


Subject = Callable[[str, Path, ExitStack], Published | Delivered | Relayed]
"""(URI, a directory, what ends it) → what is subscribed to both kinds of indications."""
OURS: Mapping[str, Subject] = {"published": Published, "delivered": Delivered}
CIM_SERVERS = {
    "SFCB": Hosting("sfcb"),
    "OpenPegasus, agent": Hosting("pegasus"),
    "OpenPegasus, in process": Hosting("pegasus", out_of_process=False),
}


def _one_by_one(
    box: PrivateLibvirtd,
    what: str,
    subject: Subject,
    rounds: int,
    progress: Callable[[str], None],
) -> Delays:
    with ExitStack() as stack:
        raw = stack.enter_context(closing(libvirt.open(box.qemu_uri)))
        domain = raw.createXML(qemu_guest("one"))
        stack.callback(domain.destroy)
        clock = _clock(box, subject, box.qemu_uri, stack)
        progress(f"events: a QEMU guest suspended and resumed, {what}")
        began = time.perf_counter()
        for number in range(rounds):
            for count, act in ((1, domain.suspend), (2, domain.resume)):
                act()
                clock.await_told(2 * number + count)
        taken = time.perf_counter() - began
        return clock.delays(f"QEMU, one by one, {what}", 2 * rounds, taken)


def _burst(
    box: PrivateLibvirtd, what: str, subject: Subject, progress: Callable[[str], None]
) -> Delays:
    with ExitStack() as stack:
        raw = stack.enter_context(closing(libvirt.open(box.test_uri)))
        missing = BURST_GUESTS + 1 - raw.numOfDomains()  # the test driver has a guest of its own
        for number in range(missing):
            raw.createXML(guests.domain_xml(number, "test"))
        clock = _clock(box, subject, box.test_uri, stack)
        progress(f"events: {BURST_GUESTS} guests suspended and resumed at once, {what}")
        done = subprocess.run(
            [sys.executable, "-m", "bench.events", "change", box.test_uri],
            check=True,
            capture_output=True,
            text=True,
        )
        changes = 2 * (BURST_GUESTS + 1)
        clock.await_told(changes)
        return clock.delays(f"burst, {what}", changes, float(done.stdout))


def _clock(box: PrivateLibvirtd, subject: Subject, uri: str, stack: ExitStack) -> Clock:
    return Clock(subject(uri, box.directory, stack), uri, box.directory, stack)


def _change_all(uri: str) -> None:
    """Suspends all guests that run, resumes them, and prints the seconds that took."""
    with closing(libvirt.open(uri)) as raw:
        domains = raw.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING)
        began = time.perf_counter()
        for domain in domains:
            domain.suspend()
        for domain in domains:
            domain.resume()
        print(time.perf_counter() - began)


def _watch(uri: str, file: str) -> None:
    """Writes when each guest was suspended or resumed, from when it has said so."""
    libvirt.virEventRegisterDefaultImpl()
    with closing(libvirt.open(uri)) as raw, Path(file).open("w", buffering=1) as out:

        def note(_raw: Any, domain: Any, event: int, _detail: int, _opaque: object) -> None:
            if event in _CHANGES:
                out.write(f"{domain.UUIDString()} {time.perf_counter()}\n")

        raw.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, note, None)
        print("ready", flush=True)
        while True:
            libvirt.virEventRunDefaultImpl()


def tables(result: Result) -> Iterator[str]:
    """The parts of the report."""
    yield "from libvirt's event, as another client gets it, to the indication in process or at a listener"
    rows = [
        [
            d.what,
            d.guests,
            d.changes,
            d.lost,
            d.extra,
            f"{d.changing:.2f}",
            *(f"{seconds * 1e3:.1f}" for seconds in (d.median, d.p95, d.longest)),
            "" if d.most_waiting is None else d.most_waiting,
            f"{d.memory / 1e6:.1f}",
        ]
        for d in result.delays
    ]
    heads = ["", "GUESTS", "CHANGES", "LOST", "EXTRA", "IN S", "MEDIAN MS", "P95 MS", "LONGEST MS",
             "MOST WAITING", "MORE MB"]  # fmt: skip
    yield tabulate(rows, heads, tablefmt="plain", disable_numparse=True)
    for reason in result.skipped:
        yield f"SKIPPED: {reason}"


def verdicts(result: Result) -> list[Verdict]:
    """The aims of indications."""
    found = []
    for delays in result.delays:
        if delays.guests == 1:
            found.append(
                Verdict(
                    f"{delays.what}: <= {LATENCY * 1e3:g} ms after the event, median",
                    delays.median <= LATENCY,
                    f"{delays.median * 1e3:.1f} ms",
                )
            )
        found.append(
            Verdict(
                f"{delays.what}: {delays.changes} changes, none lost, none invented",
                delays.lost == delays.extra == 0,
                f"{delays.lost} lost, {delays.extra} invented",
            )
        )
    return found


if __name__ == "__main__":
    {"change": _change_all, "watch": _watch}[sys.argv[1]](*sys.argv[2:])
