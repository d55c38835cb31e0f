# SPDX-License-Identifier: LGPL-2.1-or-later
"""The plugin's numbers as tables for people, and what they are to reach."""

from __future__ import annotations

from collections.abc import Iterator

from tabulate import tabulate

from bench.aims import Verdict
from bench.cmpi.compare import OPERATIONS, Result

RATIO = 1.25
"""The plugin against plain C, for whole instances."""
START = 0.2


def tables(result: Result) -> Iterator[str]:
    """The parts of the report."""
    yield (
        "the CMPI plugin and a provider in plain C, asked in turns for the same values; "
        f"medians of {result.repetitions} repetitions"
    )
    rows = [
        [c.where, c.operation, f"{c.plain_c * 1e3:.1f}", f"{c.plugin * 1e3:.1f}", f"{c.ratio:.2f}x"]
        for c in result.compared
    ]
    heads = ["WHERE", "OPERATION", "C ms", "PLUGIN ms", "PLUGIN/C"]
    align = ["left", "left", "right", "right", "right"]
    yield tabulate(rows, heads, tablefmt="plain", disable_numparse=True, colalign=align)
    yield (
        f"start: first answer {result.start * 1e3:.0f} ms after the first call of a factory; "
        f"idle after it: {result.memory / 1e6:.0f} MB resident, the host included"
    )
    for reason in result.skipped:
        yield f"SKIPPED: {reason}"


def verdicts(result: Result) -> list[Verdict]:
    """The aims of the plugin."""
    whole = next(iter(OPERATIONS))
    measured = [c for c in result.compared if c.operation == whole]
    worst = max(measured, key=lambda c: c.ratio)
    return [
        Verdict(
            f"{whole}: plugin <= {RATIO:g}x plain C",
            worst.ratio <= RATIO,
            f"{worst.ratio:.2f}x",
            worst.where,
        ),
        Verdict(
            f"first answer <= {START * 1e3:.0f} ms after loading",
            result.start <= START,
            f"{result.start * 1e3:.0f} ms",
        ),
    ]
