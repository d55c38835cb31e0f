# SPDX-License-Identifier: LGPL-2.1-or-later
"""`libvirtcim register`, `unregister` and `status`: options, choice of the CIM servers, output."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from libvirtcim.cim.declare import ClassDecl
from libvirtcim.register.cimom import Cimom, Offer, Status
from libvirtcim.register.doors import DOORS
from libvirtcim.register.plan import NotInstalled, Plan, RegistrationError

T = TypeVar("T")

CIMOMS = ("sfcb", "pegasus")
"""Names on the command line, in the order in which they are looked for."""

EXAMPLES = """\
examples:
  libvirtcim register                     with every CIM server on this machine
  libvirtcim register sfcb --dry-run      only say what would be done
  libvirtcim status                       what is registered where, and whether it is current
  libvirtcim unregister sfcb              leave SFCB as it was before

It works on running servers, which are restarted where they must, and on stopped ones. To register
again, or another version, is an upgrade: what was registered before is removed first.
`status` ends with 0 where every CIM server has what this libvirtcim would register, else with 1.
"""


def add_options(parser: argparse.ArgumentParser, *, registers: bool, changes: bool) -> None:
    """Adds the options of `register` (both true), `unregister` (`changes`) or `status`."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "cimom",
        nargs="?",
        choices=CIMOMS,
        help="the CIM server; default: every one that is on this machine",
    )
    if changes:
        parser.add_argument("--dry-run", action="store_true", help="only print the steps")
    parser.add_argument("--json", action="store_true", help="print JSON")
    if registers:
        parser.add_argument(
            "--via",
            choices=DOORS,
            default=next(iter(DOORS)),
            help="what the server loads: libvirtcim's plugin, or cmpi-bindings' (%(default)s)",
        )
        parser.add_argument(
            "--plugin",
            type=Path,
            metavar="FILE",
            help="its library, where it isn't found by itself",
        )
    parser.add_argument(
        "--prefix",
        type=Path,
        metavar="DIR",
        help="where the CIM server is installed: the directory with its bin, sbin, lib",
    )
    sfcb = parser.add_argument_group("SFCB")
    sfcb.add_argument("--config", type=Path, metavar="FILE", help="its sfcb.cfg")
    sfcb.add_argument("--staging", type=Path, metavar="DIR", help="its staging area")
    sfcb.add_argument("--schema", type=Path, metavar="DIR", help="its DMTF schema")


def register(options: argparse.Namespace, declarations: Sequence[ClassDecl]) -> int:
    """The command `register`; returns its exit status."""
    door = DOORS[options.via]
    offer = Offer(declarations, door, door.find(options.plugin))
    return _carry_out(options, lambda cimom: cimom.register(offer))


def unregister(options: argparse.Namespace) -> int:
    """The command `unregister`; returns its exit status."""
    try:
        return _carry_out(options, lambda cimom: cimom.unregister())
    except NotInstalled as error:
        if options.cimom is not None:
            raise
        print(f"nothing to do: {error}", file=sys.stderr)
        if options.json:
            print("[]")
        return 0


def status(options: argparse.Namespace, declarations: Sequence[ClassDecl]) -> int:
    """The command `status`; returns its exit status: 0 where all is registered and current."""

    offered = partial(_offer, declarations)
    found = _with_each(options, lambda cimom: cimom.status(offered))
    if options.json:
        print(json.dumps([s.as_json() for s in found], indent=2))
    else:
        print("\n".join(line for s in found for line in _lines(s)))
    return 0 if all(s.registered and s.current and not s.problems for s in found) else 1


def _offer(
    declarations: Sequence[ClassDecl], named: str | None, library: str | None
) -> Offer | None:
    """What `register` would register now through a door; None where its library is not there."""
    door = DOORS.get(named or "")
    if door is None:
        return None
    try:
        return Offer(declarations, door, door.find(Path(library) if library else None))
    except RegistrationError:
        return None


def _carry_out(options: argparse.Namespace, planned: Callable[[Cimom], Plan]) -> int:
    # where JSON is asked for, what is done meanwhile goes where it disturbs no parser
    out = sys.stderr if options.json else sys.stdout

    def change(cimom: Cimom) -> Plan:
        with cimom.locked():
            plan = planned(cimom)
            print(f"{plan.cimom}:", file=out)
            if options.dry_run:
                print("".join(f"  would {step}\n" for step in plan.steps), end="", file=out)
            else:
                plan.carry_out(lambda text: print(f"  {text}", file=out, flush=True))
                already = "" if plan.steps else ", as it was already"
                print(f"  {plan.outcome}{already}", file=out)
        return plan

    plans = _with_each(options, change)
    if options.json:
        print(json.dumps([plan.as_json() for plan in plans], indent=2))
    return 0


def _with_each(options: argparse.Namespace, work: Callable[[Cimom], T]) -> list[T]:
    """Does something with the CIM server that is named, or with all that are on this machine.

    Raises NotInstalled where there is none, and, when all have had their turn, RegistrationError
    where one of them failed.
    """
    if options.cimom is not None:
        return [work(_find(options.cimom, options))]
    if any((options.prefix, options.config, options.staging, options.schema)):
        raise RegistrationError(
            f"--prefix, --config, --staging and --schema are of one CIM server: name it "
            f"({' or '.join(CIMOMS)})"
        )
    done: list[T] = []
    absent, failed = [], []
    for name in CIMOMS:
        try:
            done.append(work(_find(name, options)))
        except NotInstalled as error:
            absent.append(str(error))
        except RegistrationError as error:
            failed.append(str(error))
    if len(absent) == len(CIMOMS):
        raise NotInstalled("there is no CIM server on this machine\n" + "\n".join(absent))
    if failed:
        raise RegistrationError("\n".join(failed))
    return done


def _find(name: str, options: argparse.Namespace) -> Cimom:
    if name == "sfcb":
        from libvirtcim.register import sfcb

        return sfcb.find(options.prefix, options.config, options.staging, options.schema)
    from libvirtcim.register import pegasus

    return pegasus.find(options.prefix)


def _lines(status: Status) -> Iterator[str]:
    yield f"{status.cimom}: {'running' if status.running else 'stopped'}"
    if status.registered:
        version = f"libvirtcim {status.version or '(version unknown)'}"
        door = f" through {status.door}" if status.door else ""
        currency = {
            True: "",
            False: "; not what this libvirtcim would register: run `libvirtcim register`",
            None: "; not compared, its library is not where it is looked for",
        }[status.current]
        yield f"  {version} is registered{door}{currency}"
    else:
        yield "  libvirtcim is not registered"
    yield from (f"  problem: {problem}" for problem in status.problems)
