# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures how long after libvirt's own event an indication of a guest is published.

One guest after the other on real QEMU, and a burst: another process suspends and resumes a thousand guests
of libvirtd's test driver as fast as it can. libvirt's event counts from when another client gets it, which
does nothing else. Both are processes of their own: `python -m bench.events change URI`, `... watch URI FILE`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import libvirt
import psutil
from tabulate import tabulate

from bench import guests
from bench.aims import Verdict
from libvirtcim import composition
from libvirtcim.cim.indications import Indication
from libvirtcim.virt.events import EventCounters
from libvirtcim.virt.host import Hosts, HostSettings
from tests.hypervisor import PrivateLibvirtd, qemu_guest, wait_until

LATENCY = 0.1
BURST_GUESTS = 1000
ROUNDS_PER_REPETITION = 20
SYSTEM = "KVM_ComputerSystemModifiedIndication"
RESOURCES = "KVM_ResourceAllocationSettingDataModifiedIndication"
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
    most_waiting: int
    memory: int
    """Bytes by which the process has grown."""


@dataclass(frozen=True, slots=True)
class Result:
    """One after the other, and all at once."""

    repetitions: int
    delays: list[Delays]


class Clock:
    """When libvirt and when libvirtcim told of changes of each guest."""

    def __init__(self, uri: str, folder: Path, stack: ExitStack) -> None:
        hosts = Hosts({"KVM": uri}, settings=HostSettings(side_file_dir=None))
        stack.callback(hosts.close)
        self._watcher = hosts.host("KVM").watcher
        self._lock = threading.Lock()
        self._told: dict[str, list[float]] = defaultdict(list)
        indications = composition.broker(hosts).indications
        for name in (SYSTEM, RESOURCES):
            indications.subscribe("root/virt", name, self._receive)
        stack.callback(indications.close)
        self._file = folder / "events"
        command = [sys.executable, "-m", "bench.events", "watch", uri, str(self._file)]
        other = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
        stack.callback(other.kill)
        assert other.stdout is not None
        other.stdout.readline()

    @property
    def counters(self) -> EventCounters:
        """Of what is measured."""
        return self._watcher.counters

    def _receive(self, indication: Indication) -> None:
        if indication.instance.cls.name == SYSTEM:
            with self._lock:
                self._told[indication.instance["IndicationIdentifier"]].append(time.perf_counter())

    def told(self) -> int:
        """How many indications have come."""
        with self._lock:
            return sum(map(len, self._told.values()))

    def _events(self, count: int) -> dict[str, list[float]]:
        """When libvirt told of each guest."""
        wait_until(lambda: len(self._file.read_text().splitlines()) >= count, "libvirt's events")
        found: dict[str, list[float]] = defaultdict(list)
        for line in self._file.read_text().splitlines():
            uuid, when = line.split()
            found[uuid].append(float(when))
        return found

    def delays(self, what: str, changes: int, changing: float, memory: int) -> Delays:
        """What came of the changes."""
        found = []
        came = self._events(changes)
        for uuid, events in came.items():
            found += [told - event for event, told in zip(events, self._told[uuid], strict=False)]
        more = [len(self._told[uuid]) - len(events) for uuid, events in came.items()]
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
            self.counters.most_waiting,
            memory,
        )


def measure(repetitions: int, progress: Callable[[str], None]) -> Result:
    """Measures on a libvirtd of its own, which needs root."""
    with tempfile.TemporaryDirectory(prefix="lvb-", ignore_cleanup_errors=True) as folder:
        progress("events: starting a libvirtd")
        with PrivateLibvirtd(Path(folder)) as box:
            one = _one_by_one(box, repetitions * ROUNDS_PER_REPETITION, progress)
            return Result(repetitions, [one, _burst(box, progress)])


def _one_by_one(box: PrivateLibvirtd, rounds: int, progress: Callable[[str], None]) -> Delays:
    with ExitStack() as stack:
        raw = stack.enter_context(closing(libvirt.open(box.qemu_uri)))
        domain = raw.createXML(qemu_guest("one"))
        clock = Clock(box.qemu_uri, box.directory, stack)
        progress("events: a QEMU guest suspended and resumed")
        began, size = time.perf_counter(), _resident()
        for number in range(rounds):
            for count, act in ((1, domain.suspend), (2, domain.resume)):
                act()
                wait_until(lambda n=2 * number + count: clock.told() >= n, "an indication")
        taken = time.perf_counter() - began
        found = clock.delays("QEMU, one by one", 2 * rounds, taken, _resident() - size)
        domain.destroy()
        return found


def _burst(box: PrivateLibvirtd, progress: Callable[[str], None]) -> Delays:
    with ExitStack() as stack:
        raw = stack.enter_context(closing(libvirt.open(box.test_uri)))
        for number in range(BURST_GUESTS):
            raw.createXML(guests.domain_xml(number, "test"))
        clock = Clock(box.test_uri, box.directory, stack)
        progress(f"events: {BURST_GUESTS} guests suspended and resumed at once")
        size = _resident()
        done = subprocess.run(
            [sys.executable, "-m", "bench.events", "change", box.test_uri],
            check=True,
            capture_output=True,
            text=True,
        )
        changes = 2 * (BURST_GUESTS + 1)  # the test driver has a guest of its own
        wait_until(lambda: clock.told() >= changes, "the last indication", 120)
        return clock.delays("burst", changes, float(done.stdout), _resident() - size)


def _resident() -> int:
    return psutil.Process().memory_info().rss


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
    yield "from libvirt's event, as another client gets it, to the indication"
    rows = [
        [
            d.what,
            d.guests,
            d.changes,
            d.lost,
            d.extra,
            f"{d.changing:.2f}",
            *(f"{seconds * 1e3:.1f}" for seconds in (d.median, d.p95, d.longest)),
            d.most_waiting,
            f"{d.memory / 1e6:.1f}",
        ]
        for d in result.delays
    ]
    heads = ["", "GUESTS", "CHANGES", "LOST", "EXTRA", "IN S", "MEDIAN MS", "P95 MS", "LONGEST MS",
             "MOST WAITING", "MORE MB"]  # fmt: skip
    yield tabulate(rows, heads, tablefmt="plain", disable_numparse=True)


def verdicts(result: Result) -> list[Verdict]:
    """The aims of indications."""
    one, burst = result.delays
    return [
        Verdict(
            f"indication <= {LATENCY * 1e3:g} ms after the event, median",
            one.median <= LATENCY,
            f"{one.median * 1e3:.1f} ms",
        ),
        Verdict(
            f"burst of {burst.changes} changes: none lost, none invented",
            burst.lost == burst.extra == 0,
            f"{burst.lost} lost, {burst.extra} invented",
        ),
    ]


if __name__ == "__main__":
    {"change": _change_all, "watch": _watch}[sys.argv[1]](*sys.argv[2:])
