# SPDX-License-Identifier: LGPL-2.1-or-later
"""What libvirtcim is to reach, and whether it did."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tabulate import tabulate

from bench.scenario import COMPUTER_SYSTEM, Enumeration, Result

COLD_RATIO, WARM_RATIO = 2.0, 1.0
COMPUTER_SYSTEMS_PER_SECOND = 10_000
GET_INSTANCE_P99 = 0.005
BYTES_PER_GUEST = 20_000
START = 1.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One aim: what was to be reached, what was, and in the worst case of what."""

    aim: str
    met: bool
    measured: str
    worst: str = ""


def table(found: Iterable[Verdict]) -> str:
    """Verdicts for people."""
    rows = [["met" if v.met else "MISSED", v.aim, v.measured, v.worst] for v in found]
    return tabulate(rows, ["AIM", "", "MEASURED", "WORST OF ALL"], tablefmt="plain")


def verdicts(result: Result) -> list[Verdict]:
    """The aims that hold for the scenario."""
    found = _against_floor(result) if result.scenario == "libvirtd" else _throughput(result)
    for single in result.single:
        if single.operation == "GetInstance":
            found.append(
                Verdict(
                    f"GetInstance p99 <= {GET_INSTANCE_P99 * 1e3:.0f} ms ({single.where})",
                    single.p99 <= GET_INSTANCE_P99,
                    f"{single.p99 * 1e3:.2f} ms",
                )
            )
    found.append(
        Verdict(
            f"memory <= {BYTES_PER_GUEST // 1000} kB per guest (RSS)",
            result.memory_rss <= BYTES_PER_GUEST,
            f"{result.memory_rss / 1e3:.1f} kB",
        )
    )
    found.append(
        Verdict(
            f"first answer < {START:.0f} s after the start",
            result.start < START,
            f"{result.start:.2f} s",
        )
    )
    return found


def _against_floor(result: Result) -> list[Verdict]:
    return [
        _ratio("cold", COLD_RATIO, [(e.cold_ratio, e) for e in result.enumerations]),
        _ratio("warm", WARM_RATIO, [(e.warm_ratio, e) for e in result.enumerations]),
    ]


def _ratio(when: str, aim: float, found: list[tuple[float, Enumeration]]) -> Verdict:
    worst, of = max(found, key=lambda pair: pair[0])
    reached = sum(ratio <= aim for ratio, _enumeration in found)
    return Verdict(
        f"{when} <= {aim:g}x libvirt's floor ({reached} of {len(found)} enumerations)",
        reached == len(found),
        f"{worst:.2f}x",
        f"{of.operation} {of.cls}",
    )


def _throughput(result: Result) -> list[Verdict]:
    found = next(
        e
        for e in result.enumerations
        if e.cls == COMPUTER_SYSTEM and e.operation == "EnumerateInstances"
    )
    return [
        Verdict(
            f"ComputerSystem >= {COMPUTER_SYSTEMS_PER_SECOND:,} instances/s, warm",
            found.rate >= COMPUTER_SYSTEMS_PER_SECOND,
            f"{found.rate:,.0f}/s",
        )
    ]
