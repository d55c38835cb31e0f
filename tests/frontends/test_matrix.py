# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every class, every operation, good and bad arguments: every front end answers as the broker does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pytest

from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import InstancePath
from tests.frontends import cases, differences
from tests.frontends.answers import Answer, in_order, marked, unlike
from tests.frontends.cases import Case
from tests.frontends.conftest import SCHEMA, SERVED, STARTS, Pair, Start, each, reference
from tests.frontends.fronts import WireFront

# paths without keys are among the bad arguments
pytestmark = pytest.mark.filterwarnings("ignore::pywbem.MissingKeybindingsWarning")

MAX_SHOWN = 5
"""Differences that a failure shows."""


def compare(pair: Pair, asked: Iterable[Case]) -> int:
    """Asks front end and broker the same; returns how many cases there were."""
    found, count = [], 0
    for case in asked:
        if differences.not_asked(pair.front, case):
            continue
        count += 1
        wanted = differences.expected(pair.front.name, case, pair.reference.ask, SCHEMA)
        difference = unlike(
            _comparable(pair, case, pair.front.ask(case)), _comparable(pair, case, wanted)
        )
        if difference:
            found.append(f"{case}\n{difference}")
    shown = "\n\n".join(found[:MAX_SHOWN])
    assert not found, f"{len(found)} of {count} cases are answered otherwise:\n{shown}"
    return count


def _comparable(pair: Pair, case: Case, answer: Answer) -> Answer:
    """Without what others serve or what is new each time; in one order, where order is free."""
    items = answer.items
    if case.kind == "superclass":
        names = {classname for _namespace, classname in pair.start.classes}
        items = tuple(item for item in items if item.get("path", item)["class"] in names)
    if pair.front.name not in differences.ORDERED:
        items = tuple(map(in_order, items))
    return answer.with_items(marked(item, pair.guests) for item in items)


@each(lambda start: start.classes, "namespace", "classname")
def test_class(pair: Pair, namespace: str, classname: str) -> None:
    asked = cases.of_class(
        pair.reference.broker, namespace, classname, pair.start.samples(classname)
    )
    assert compare(pair, asked) > 15


@each(lambda start: cases.superclasses(SCHEMA, start.classes), "namespace", "classname")
def test_superclass(pair: Pair, namespace: str, classname: str) -> None:
    if isinstance(pair.front, WireFront) and not pair.front.knows(namespace, classname):
        pytest.skip(f"the DMTF schema of this {pair.front.name} has no {classname}")
    assert compare(pair, cases.of_superclass(namespace, classname)) >= 2


@each(lambda _start: [()])
def test_what_does_not_exist(pair: Pair) -> None:
    compare(pair, cases.of_unknown(pair.reference.broker))


@each(lambda _start: [()])
def test_state_changes(pair: Pair) -> None:
    """The last one: it changes guests, here and there."""
    cls = InstancePath("KVM_ComputerSystem", (), "root/virt")
    guests = pair.reference.broker.enumerate_instance_names(
        cases.CONTEXT, cls.namespace or "", cls.classname
    )
    after = Case("EnumerateInstances", "no property list", cls)
    for case in cases.state_changes(list(guests)):
        compare(pair, [case, after])


def test_there_is_something_to_compare() -> None:
    with reference() as own:
        filled = [
            name
            for name in SERVED
            if list(own.broker.enumerate_instance_names(cases.CONTEXT, *name))
        ]
    assert len(SERVED) > 50 and len(filled) > len(SERVED) / 2


def _all_cases(broker: Broker, start: Start) -> Iterator[Case]:
    for name in start.classes:
        yield from cases.of_class(broker, *name, start.samples(name[1]))
    for name in cases.superclasses(SCHEMA, start.classes):
        yield from cases.of_superclass(*name)
    yield from cases.of_unknown(broker)


def test_every_difference_is_met() -> None:
    """Rows that explain nothing hide something."""
    lacking = []
    with reference() as own:
        ask = _remembering(own.ask)
        for front, start in STARTS.items():
            rows = {row.reason for row in differences.DIFFERENCES if front in row.fronts}
            for case in _all_cases(own.broker, start):
                if not rows:
                    break
                rows -= differences.met(front, case, ask, SCHEMA)
            lacking += [f"{front}: {reason}" for reason in sorted(rows)]
    assert not lacking, "\n".join(lacking)


def _remembering(ask: Callable[[Case], Answer]) -> Callable[[Case], Answer]:
    """Asks each case once; what the kind of a case says about it doesn't matter to the answer."""
    known: dict[str, Answer] = {}

    def remembered(case: Case) -> Answer:
        key = repr(replace(case, kind=""))
        if key not in known:
            known[key] = ask(case)
        return known[key]

    return remembered
