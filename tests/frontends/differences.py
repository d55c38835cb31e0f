# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where front ends answer otherwise than the broker, and why: the one list.

A row says exactly what a front end answers instead. Everything that no row names must be the same;
a row that changes the answer of no case fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from libvirtcim.cim.schema import Schema
from tests.cmpi.driver import type_name
from tests.frontends.answers import Answer
from tests.frontends.cases import Case

CMPI_HOST = "cmpi-host"
BINDINGS_HOST = "cmpi-host-cmpi-bindings"
EMBEDDED = "embedded"

WIRE = frozenset({EMBEDDED})
"""Front ends behind HTTP."""
HOSTS = frozenset({CMPI_HOST, BINDINGS_HOST})
"""Front ends that call a CMPI library with no CIM server in between."""

TOLERATED = frozenset({"a property list without list or keys"})
"""What the strict CMPI host reports of cmpi-bindings: it puts the keys into the list instead."""


@dataclass(frozen=True, slots=True)
class Row:
    """One difference."""

    reason: str
    fronts: frozenset[str]
    becomes: Callable[[Case, Answer, Schema], Answer]
    """What the broker's answer becomes; the answer itself where the row does not apply."""


def _each(change: Callable[[Any, Case, Schema], Any]) -> Callable[[Case, Answer, Schema], Answer]:
    """A row that changes items."""

    def becomes(case: Case, answer: Answer, schema: Schema) -> Answer:
        if case.operation == "InvokeMethod":
            return answer
        return answer.with_items(change(item, case, schema) for item in answer.items)

    return becomes


def _no_path(item: Any, case: Case, _schema: Schema) -> Any:
    return {**item, "path": None} if case.operation == "GetInstance" else item


def _exact_class(case: Case, answer: Answer, _schema: Schema) -> Answer:
    if not case.operation.startswith("Enumerate"):
        return answer
    wanted = case.path.classname.lower()
    return answer.with_items(
        item for item in answer.items if item.get("path", item)["class"].lower() == wanted
    )


def _filled(item: Any, _case: Case, schema: Schema) -> Any:
    if "properties" not in item:
        return item
    path = item["path"]
    shown = {name: value for name, _type, value in item["properties"]}
    keys = {name: value for name, _type, value in path["keys"]}
    slots = [
        [prop.name, type_name(prop), shown.get(prop.name, keys.get(prop.name))]
        for prop in schema.get(path["ns"], path["class"]).properties
    ]
    return {**item, "properties": slots}


def _foreign_classes(case: Case, answer: Answer, _schema: Schema) -> Answer:
    is_unknown = case.kind == "unknown class" and case.operation in (
        "Associators", "AssociatorNames", "References", "ReferenceNames",
    )  # fmt: skip
    return replace(answer, status=0, message=None) if is_unknown else answer


DIFFERENCES: tuple[Row, ...] = (
    Row("answers of GetInstance have no path (DSP0201 5.4.5)", WIRE, _each(_no_path)),
    Row("a CIM server asks for each subclass by itself", HOSTS, _exact_class),
    Row(
        "a CIM server has checked that a class exists; another provider may answer for it",
        HOSTS,
        _foreign_classes,
    ),
    Row(
        "a CIM server fills an instance up: keys always, the rest with NULL",
        HOSTS,
        _each(_filled),
    ),
)


def expected(front: str, case: Case, answer: Answer, schema: Schema) -> Answer:
    """What a front end answers where the broker answers `answer`."""
    for row in DIFFERENCES:
        if front in row.fronts:
            answer = row.becomes(case, answer, schema)
    return answer
