# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures resource pools: what grows with the number of guests, how, and what does not.

The guests are libvirt's test driver's, in process, each with two images in one storage pool and a port in one
network. Every operation is asked of hosts of several sizes; calls to libvirt are counted.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import libvirt
from tabulate import tabulate

from bench import guests, messages
from bench.aims import Verdict
from bench.engine import PREFIX, Engine
from bench.messages import Request

SIZES = (100, 300, 1000)
"""Numbers of guests."""
LINEAR = 1.25
"""How much longer than its share of the guests the largest host may take."""
CALLS_PER_GUEST = 1
"""For names: its XML; everything else is asked of the host."""
CONSTANT = 1.5
"""How much longer the largest host may take where guests play no part."""

_POOLS = (
    ("ProcessorPool", "0"),
    ("MemoryPool", "0"),
    ("NetworkPool", "default"),
    ("DiskPool", "images"),
    ("GraphicsPool", "0"),
    ("InputPool", "0"),
)


@dataclass(frozen=True, slots=True)
class Size:
    """One operation on a host of one size: seconds, objects of the answer, calls to libvirt."""

    guests: int
    objects: int
    cold: float
    warm: float
    calls: int
    """Of a warm answer."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation over all sizes; `grows`: whether its answer depends on the guests."""

    title: str
    grows: bool
    sizes: list[Size]

    @property
    def growth(self) -> float:
        """Warm time of the largest host by that of the smallest, per guest where the answer grows."""
        first, last = self.sizes[0], self.sizes[-1]
        share = last.guests / first.guests if self.grows else 1
        return last.warm / first.warm / share

    @property
    def calls_per_guest(self) -> float:
        """Calls to libvirt that each further guest costs."""
        first, last = self.sizes[0], self.sizes[-1]
        return (last.calls - first.calls) / (last.guests - first.guests)


@dataclass(frozen=True, slots=True)
class Result:
    """All that was measured."""

    repetitions: int
    operations: list[Operation]


@dataclass(frozen=True, slots=True)
class _Question:
    title: str
    request: Request
    grows: bool
    sizes: list[Size] = field(default_factory=list)


_LOCAL = re.compile("Free$|Event|Get(Name|UUID|UUIDString|ID|Connect|Key|LastError)$|Ref$")
"""Functions of libvirt that ask no hypervisor: what they tell is in the handle."""


class _Counted:
    """libvirt's C module; counts the calls that reach a hypervisor."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if not name.startswith("vir") or _LOCAL.search(name):
            return found

        def call(*arguments: Any) -> Any:
            self.calls += 1
            return found(*arguments)

        return call


@contextlib.contextmanager
def _counting() -> Iterator[_Counted]:
    module = libvirt.libvirtmod
    libvirt.libvirtmod = counted = _Counted(module)
    try:
        yield counted
    finally:
        libvirt.libvirtmod = module


def _questions() -> Iterator[_Question]:
    for (base, tag), operation in itertools.product(_POOLS, ("AssociatorNames", "Associators")):
        pool = {"InstanceID": f"{base}/{tag}"}
        request = messages.of_object(operation, f"{PREFIX}_{base}", pool)
        yield _Question(f"{operation} {base}/{tag}", request, grows=True)
    capabilities = f"{PREFIX}_AllocationCapabilities"
    yield _Question(
        f"EnumerateInstances {capabilities}",
        messages.enumerate_instances(capabilities),
        grows=False,
    )
    for base, tag in _POOLS:
        if base != "DiskPool":  # whose templates are its volumes
            pool = {"InstanceID": f"{base}/{tag}"}
            templates = f"{PREFIX}_SettingsDefineCapabilities"
            request = messages.of_object("Associators", capabilities, pool, templates)
            yield _Question(f"templates of {base}/{tag}", request, grows=False)


def measure(repetitions: int, progress: Callable[[str], None]) -> Result:
    """Asks everything of hosts of all sizes."""
    questions = list(_questions())
    for count in SIZES:
        with tempfile.TemporaryDirectory(prefix="lvb-") as folder:
            uri = guests.write_test_host(Path(folder) / "host.xml", count, pools=True)
            for question in questions:
                progress(f"pools: {count} guests, {question.title}")
                question.sizes.append(_once(uri, count, question, repetitions))
    return Result(repetitions, [Operation(q.title, q.grows, q.sizes) for q in questions])


def _once(uri: str, count: int, question: _Question, repetitions: int) -> Size:
    # short answers more often, since a noisy moment is long for them
    times = repetitions if question.grows else 10 * repetitions
    with Engine(uri) as engine:
        cold = engine.answer(question.request).seconds
        warm = [engine.answer(question.request) for _ in range(times)]
        with _counting() as counted:
            engine.answer(question.request)
    seconds = median(t.seconds for t in warm)
    return Size(count, warm[-1].objects, cold, seconds, counted.calls)


def tables(result: Result) -> Iterator[str]:
    """The parts of the report."""
    yield (
        f"resource pools: hosts of {', '.join(map(str, SIZES))} guests of libvirt's test driver, in process; "
        f"medians of {result.repetitions}"
    )
    rows = []
    for operation in result.operations:
        first, last = operation.sizes[0], operation.sizes[-1]
        warm = [f"{size.warm * 1e3:.1f}" for size in operation.sizes]
        calls = [f"{first.calls}", f"{last.calls}"]
        growth = f"{operation.growth:.2f}x{' per guest' if operation.grows else ''}"
        cold = f"{last.cold * 1e3:.1f}"
        rows.append([operation.title, f"{last.objects}", *warm, cold, *calls, growth])
    heads = ["OPERATION", f"OBJECTS {SIZES[-1]}", *(f"WARM {n} ms" for n in SIZES)]
    heads += [f"COLD {SIZES[-1]} ms", f"CALLS {SIZES[0]}", f"CALLS {SIZES[-1]}", "GROWTH"]
    align = ["left"] + ["right"] * (len(heads) - 2) + ["left"]
    yield tabulate(rows, heads, tablefmt="plain", disable_numparse=True, colalign=align)


def verdicts(result: Result) -> list[Verdict]:
    """The aims of pools and capabilities."""
    growing = [o for o in result.operations if o.grows]
    constant = [o for o in result.operations if not o.grows]
    linear = max(growing, key=lambda o: o.growth)
    names = [o for o in growing if o.title.startswith("AssociatorNames")]
    calls = max(names, key=lambda o: o.calls_per_guest)
    still = max(constant, key=lambda o: o.growth)
    return [
        Verdict(
            f"linear in guests: {SIZES[-1]} guests take per guest <= {LINEAR:g}x of {SIZES[0]}",
            linear.growth <= LINEAR,
            f"{linear.growth:.2f}x",
            linear.title,
        ),
        Verdict(
            f"AssociatorNames: calls to libvirt per guest <= {CALLS_PER_GUEST}",
            calls.calls_per_guest <= CALLS_PER_GUEST,
            f"{calls.calls_per_guest:.2f}",
            calls.title,
        ),
        Verdict(
            f"capabilities of {SIZES[-1]} guests <= {CONSTANT:g}x of {SIZES[0]}",
            still.growth <= CONSTANT,
            f"{still.growth:.2f}x",
            still.title,
        ),
    ]
