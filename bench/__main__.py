# SPDX-License-Identifier: LGPL-2.1-or-later
"""`python -m bench`: measure and report."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import aims, events, guests, manage, pools, report, scenario
from bench.cmpi import compare
from bench.cmpi import report as cmpi_report
from libvirtcim.cmpi import build
from tests.hypervisor import PrivateLibvirtd, why_not

SCENARIOS = ("libvirtd", "test", "pools", "manage", "events", "cmpi")

_DESCRIPTION = """\
Measures libvirtcim against libvirt itself.

scenarios:
  libvirtd  QEMU guests that are defined and off, behind a libvirtd of their own (needs root)
  test      guests of libvirt's test driver, which runs inside the process: what libvirtcim alone costs
  pools     what is read from resource pools with 100, 300 and 1000 guests: what grows, and how
  manage    guests defined and changed, against libvirt's own calls on real QEMU (needs root)
  events    indications after libvirt's own events, in process and at a listener of `libvirtcim serve`, one by
            one and 1000 guests at once, and through the CIM servers that are there (needs root)
  cmpi      the CMPI plugin against a provider in plain C, in the CMPI host of the tests

columns of the first two:
  COLD        request to answer in process, the host freshly connected, nothing parsed
  WARM        the same again
  HTTP        round trip of a bare client to a server in a process of its own, warm
  WRITE       writing one instance as XML
  .../FLOOR   as a multiple of the time libvirt takes to list all guests and give the XML and the state
              of each, one call after the other
"""
_EPILOG = """\
examples:
  python -m bench                               all scenarios, about three minutes
  python -m bench test --test-guests 10000 -n 3
  python -m bench --json result.json            the numbers for a program too

The exit status is 1 where an aim was missed with --strict.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m bench",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("scenario", nargs="*", metavar="SCENARIO", help=f"{', '.join(SCENARIOS)} (default: all)")
    add("--libvirtd-guests", type=int, default=500, metavar="N", help="(default: %(default)s)")
    add("--test-guests", type=int, default=1000, metavar="N", help="(default: %(default)s)")
    add("-n", "--repetitions", type=int, default=5, metavar="N", help="(default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the results as JSON: s, bytes")
    add("--strict", action="store_true", help="fail where an aim is missed")
    return parser


class _Progress:
    """One line on stderr that is overwritten; nothing where stderr is no terminal but the steps' names."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()

    def __call__(self, text: str) -> None:
        end = "\r" if self._terminal else "\n"
        print(f"\033[K{text}" if self._terminal else text, end=end, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Make room for a table."""
        if self._terminal:
            print("\033[K", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _hypervisor(name: str, count: int, progress: guests.Progress) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="lvb-", ignore_cleanup_errors=True) as folder:
        if name == "test":
            yield guests.write_test_host(Path(folder) / "host.xml", count)
            return
        progress("starting a libvirtd")
        with PrivateLibvirtd(Path(folder)) as box:
            guests.define_all(box.qemu_uri, count, progress)
            yield box.qemu_uri


@dataclasses.dataclass(frozen=True, slots=True)
class _Report:
    """What one scenario came to."""

    tables: list[str]
    verdicts: list[aims.Verdict]
    result: scenario.Result | pools.Result | manage.Result | events.Result | compare.Result


def _measure(name: str, options: argparse.Namespace, progress: _Progress) -> _Report | str:
    """Runs a scenario; a text is the reason why it can't be run here."""
    if name == "cmpi":
        if (lacking := build.missing()) is not None:
            return lacking
        plugin = compare.measure(options.repetitions, progress)
        return _Report([*cmpi_report.tables(plugin)], cmpi_report.verdicts(plugin), plugin)
    if name == "pools":
        grown = pools.measure(options.repetitions, progress)
        return _Report([*pools.tables(grown)], pools.verdicts(grown), grown)
    if name in ("libvirtd", "manage", "events") and (reason := why_not()):
        return reason
    if name == "manage":
        managed = manage.measure(options.repetitions, progress)
        return _Report([*manage.tables(managed)], manage.verdicts(managed), managed)
    if name == "events":
        told = events.measure(options.repetitions, progress)
        return _Report([*events.tables(told)], events.verdicts(told), told)
    count = options.libvirtd_guests if name == "libvirtd" else options.test_guests
    with _hypervisor(name, count, progress) as uri:
        found = scenario.measure(name, uri, count, options.repetitions, progress)
    return _Report([*report.tables(found)], aims.verdicts(found), found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures the chosen scenarios and prints a report on each."""
    parser = _parser()
    options = parser.parse_args(arguments)
    chosen: list[str] = options.scenario or list(SCENARIOS)
    if unknown := set(chosen) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    if min(options.libvirtd_guests, options.test_guests, options.repetitions) < 1:
        parser.error("counts must be positive")
    progress = _Progress()
    reports: dict[str, _Report] = {}
    for name in chosen:
        found = _measure(name, options, progress)
        progress.clear()
        if isinstance(found, str):
            print(f"SKIPPED: scenario {name}: {found}\n", flush=True)
            continue
        reports[name] = found
        print("\n\n".join([*found.tables, aims.table(found.verdicts)]), end="\n\n", flush=True)
    if options.json:
        content = [
            {
                "scenario": name,
                **dataclasses.asdict(made.result),
                "aims": [dataclasses.asdict(verdict) for verdict in made.verdicts],
            }
            for name, made in reports.items()
        ]
        options.json.write_text(json.dumps(content, indent=2) + "\n")
    missed = any(not verdict.met for made in reports.values() for verdict in made.verdicts)
    return int(options.strict and missed)


if __name__ == "__main__":
    sys.exit(main())
