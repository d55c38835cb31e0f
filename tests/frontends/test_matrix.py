# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every class, every operation, good and bad arguments: every front end answers as the broker does."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import pytest

from libvirtcim.cim.objects import InstancePath
from tests.frontends import cases, differences
from tests.frontends.answers import Answer, unlike
from tests.frontends.cases import Case
from tests.frontends.conftest import SCHEMA, Pair, reference

# paths without keys are among the bad arguments
pytestmark = pytest.mark.filterwarnings("ignore::pywbem.MissingKeybindingsWarning")

SERVED = cases.served(SCHEMA)
MAX_SHOWN = 5
"""Differences that a failure shows."""


def compare(pair: Pair, asked: Iterable[Case]) -> int:
    """Asks front end and broker the same; returns how many cases there were."""
    found, count = [], 0
    for case in asked:
        if case.pulled and not pair.front.pulls:
            continue
        count += 1
        own = pair.reference.ask(case)
        wanted = differences.expected(pair.front.name, case, own, SCHEMA)
        answer = pair.front.ask(case)
        if case.kind == "superclass":
            answer = ours(answer)
        difference = unlike(answer, wanted)
        if difference:
            found.append(f"{case}\n{difference}")
    shown = "\n\n".join(found[:MAX_SHOWN])
    assert not found, f"{len(found)} of {count} cases are answered otherwise:\n{shown}"
    return count


def ours(answer: Answer) -> Answer:
    """Without what a server, or others in it, serve under the same superclass."""
    names = {classname for _namespace, classname in SERVED}
    return answer.with_items(
        item for item in answer.items if item.get("path", item)["class"] in names
    )


@pytest.mark.parametrize(("namespace", "classname"), SERVED)
def test_class(pair: Pair, namespace: str, classname: str) -> None:
    assert compare(pair, cases.of_class(pair.reference.broker, namespace, classname)) > 20


@pytest.mark.parametrize(("namespace", "classname"), cases.superclasses(SCHEMA))
def test_superclass(pair: Pair, namespace: str, classname: str) -> None:
    assert compare(pair, cases.of_superclass(namespace, classname)) >= 2


def test_what_does_not_exist(pair: Pair) -> None:
    compare(pair, cases.of_unknown(pair.reference.broker))


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
    with reference() as broker:
        filled = [
            classname
            for namespace, classname in SERVED
            if list(broker.broker.enumerate_instance_names(cases.CONTEXT, namespace, classname))
        ]
    assert len(SERVED) > 50 and len(filled) > len(SERVED) / 2


def test_every_difference_is_met() -> None:
    """Rows that explain nothing hide something."""
    used = set()
    with reference() as own:
        asked = chain(
            *(cases.of_class(own.broker, *name) for name in SERVED),
            *(cases.of_superclass(*name) for name in cases.superclasses(SCHEMA)),
            cases.of_unknown(own.broker),
        )
        for case in asked:
            first = own.ask(case)
            for row in differences.DIFFERENCES:
                for front in row.fronts:
                    if unlike(row.becomes(case, first, SCHEMA), first):
                        used.add((row.reason, front))
    assert used == {(row.reason, front) for row in differences.DIFFERENCES for front in row.fronts}
