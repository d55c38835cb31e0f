# SPDX-License-Identifier: LGPL-2.1-or-later
"""Results as tables for people."""

from __future__ import annotations

from collections.abc import Iterator

from tabulate import tabulate

from bench.scenario import Result

_TITLES = {
    "libvirtd": "QEMU guests that are off, behind a real libvirtd",
    "test": "guests of libvirt's test driver, in process, every second one running",
}


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f}" if seconds >= 0.01 else f"{seconds * 1e3:.2f}"


def tables(result: Result) -> Iterator[str]:
    """The parts of a report on one scenario."""
    floor = result.floor
    yield (
        f"{result.guests} {_TITLES[result.scenario]}; medians of {result.repetitions}\n"
        f"libvirt's floor, one call after the other: list {_ms(floor['list'])} ms, XML of all "
        f"{_ms(floor['xml'])} ms, state of all {_ms(floor['state'])} ms, together "
        f"{_ms(floor['total'])} ms"
    )
    rows = [
        [
            found.operation,
            found.cls,
            found.instances,
            _ms(found.cold),
            _ms(found.warm),
            _ms(found.http),
            f"{found.rate:,.0f}",
            "" if found.write is None else f"{found.write * 1e6:.1f}",
            f"{found.cold_ratio:.2f}x",
            f"{found.warm_ratio:.2f}x",
        ]
        for found in result.enumerations
    ]
    heads = ["OPERATION", "CLASS", "INSTANCES", "COLD ms", "WARM ms", "HTTP ms", "WARM/s"]
    heads += ["WRITE µs", "COLD/FLOOR", "WARM/FLOOR"]
    yield tabulate(rows, heads, tablefmt="plain", disable_numparse=True, colalign=_align(2, 8))
    rows = [[s.operation, s.where, _ms(s.p50), _ms(s.p99)] for s in result.single]
    heads = ["ONE GUEST", "WHERE", "p50 ms", "p99 ms"]
    yield tabulate(rows, heads, tablefmt="plain", disable_numparse=True, colalign=_align(2, 2))
    yield (
        f"memory per guest: {result.memory_rss / 1e3:.1f} kB resident, "
        f"{result.memory_traced / 1e3:.1f} kB of Python objects\n"
        f"start: listening after {result.listening:.2f} s, first answer after {result.start:.2f} s, "
        f"of which libvirt's open {_ms(floor['open'])} ms"
    )


def _align(left: int, right: int) -> list[str]:
    return ["left"] * left + ["right"] * right
