# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures one hypervisor: enumerations against libvirt's floor, single reads, start, memory.

Every repetition takes its own floor and a fresh host per operation, so that a noisy moment of the machine
touches what is compared alike; medians are reported.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median, quantiles

from bench import floor, memory, messages
from bench.engine import PREFIX, Engine, Timed
from bench.floor import Floor
from bench.guests import Progress, guest_name
from bench.messages import Request
from bench.served import Server

COMPUTER_SYSTEM = f"{PREFIX}_ComputerSystem"
CLASSES = (
    COMPUTER_SYSTEM,
    f"{PREFIX}_VirtualSystemSettingData",
    f"{PREFIX}_DiskResourceAllocationSettingData",
    f"{PREFIX}_ResourceAllocationSettingData",
    f"{PREFIX}_Processor",
)
SINGLE_READS = 400
"""How many guests are read one by one for the percentiles."""
WARM_ANSWERS = 3
"""How often a repetition repeats an enumeration once its host is warm."""


@dataclass(frozen=True, slots=True)
class Enumeration:
    """Medians of one enumeration, in seconds; `write` is per instance, None for names."""

    operation: str
    cls: str
    instances: int
    cold: float
    warm: float
    http: float
    write: float | None
    rate: float
    """Instances per second, warm."""
    cold_ratio: float
    """Multiples of libvirt's floor."""
    warm_ratio: float


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of many single reads, in seconds."""

    operation: str
    where: str
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Result:
    """All that was measured of one hypervisor; times in seconds, memory in bytes per guest."""

    scenario: str
    guests: int
    repetitions: int
    floor: dict[str, float]
    enumerations: list[Enumeration]
    single: list[Percentiles]
    start: float
    """From the start of the server's process until the first answer: the names of all guests."""
    listening: float
    """From the start of the server's process until it listens."""
    memory_rss: float
    memory_traced: float


@dataclass(slots=True)
class _Samples:
    request: Request
    cold: list[Timed] = field(default_factory=list)
    warm: list[Timed] = field(default_factory=list)
    http: list[float] = field(default_factory=list)
    write: list[float] = field(default_factory=list)
    cold_ratio: list[float] = field(default_factory=list)
    warm_ratio: list[float] = field(default_factory=list)

    def result(self) -> Enumeration:
        warm = median(t.seconds for t in self.warm)
        count = self.warm[-1].objects
        return Enumeration(
            operation=self.request.operation,
            cls=self.request.cls,
            instances=count,
            cold=median(t.seconds for t in self.cold),
            warm=warm,
            http=median(self.http),
            write=median(self.write) if self.write else None,
            rate=count / warm,
            cold_ratio=median(self.cold_ratio),
            warm_ratio=median(self.warm_ratio),
        )


def measure(name: str, uri: str, guests: int, repetitions: int, progress: Progress) -> Result:
    """Measures the hypervisor at `uri`, which has the numbered guests."""
    samples = [_Samples(request) for request in _requests()]
    floors: list[Floor] = []
    for repetition in range(1, repetitions + 1):
        progress(f"{name}: repetition {repetition} of {repetitions}, libvirt's floor")
        floors.append(floor.measure(uri))
        for sample in samples:
            progress(f"{name}: repetition {repetition} of {repetitions}, {sample.request.title}")
            _once(sample, uri, floors[-1].total)
    progress(f"{name}: single reads")
    with Engine(uri) as engine:
        single = _percentiles(lambda request: engine.answer(request).seconds, "in process", guests)
    starts, listening = [], []
    for _ in range(repetitions):
        progress(f"{name}: start of the server")
        with Server(uri) as server:
            first = server.answer(messages.enumerate_instance_names(COMPUTER_SYSTEM))
            listening.append(server.ready)
            starts.append(server.ready + first)
    with Server(uri) as server:
        for sample in samples:
            progress(f"{name}: HTTP, {sample.request.title}")
            server.answer(sample.request)
            sample.http = [server.answer(sample.request) for _ in range(repetitions)]
        progress(f"{name}: HTTP, single reads")
        single += _percentiles(server.answer, "HTTP", guests)
    progress(f"{name}: memory")
    return Result(
        scenario=name,
        guests=guests,
        repetitions=repetitions,
        floor={
            part: median(getattr(found, part) for found in floors)
            for part in ("list", "xml", "state", "total", "open")
        },
        enumerations=[sample.result() for sample in samples],
        single=single,
        start=median(starts),
        listening=median(listening),
        memory_rss=memory.measure(uri, "rss"),
        memory_traced=memory.measure(uri, "traced"),
    )


def _requests() -> Iterator[Request]:
    for cls in CLASSES:
        yield messages.enumerate_instances(cls)
        yield messages.enumerate_instance_names(cls)


def _once(sample: _Samples, uri: str, libvirt_alone: float) -> None:
    with Engine(uri) as engine:
        cold = engine.answer(sample.request)
        warm = [engine.answer(sample.request) for _ in range(WARM_ANSWERS)]
        if sample.request.operation == "EnumerateInstances":
            sample.write.append(engine.write(sample.request.cls))
    sample.cold.append(cold)
    sample.warm += warm
    sample.cold_ratio.append(cold.seconds / libvirt_alone)
    sample.warm_ratio.append(median(t.seconds for t in warm) / libvirt_alone)


def _percentiles(answer: Callable[[Request], float], where: str, guests: int) -> list[Percentiles]:
    found = []
    for make in (messages.get_computer_system, messages.associators):
        numbers = itertools.islice(itertools.cycle(range(guests)), SINGLE_READS)
        requests = [make(COMPUTER_SYSTEM, guest_name(number)) for number in numbers]
        for request in requests[:20]:
            answer(request)
        hundredths = quantiles([answer(request) for request in requests], n=100)
        found.append(Percentiles(requests[0].operation, where, hundredths[49], hundredths[98]))
    return found
