# SPDX-License-Identifier: LGPL-2.1-or-later
"""Answers in one form, whatever front end they come from.

Paths and instances are those of `tests.cmpi.driver`: names as they are spelled, CIM types, values,
NULLs as None; a method's answer is its return value and its output parameters.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from operator import is_
from typing import Any

from libvirtcim.cim.objects import Instance
from tests.cmpi.driver import Expected

RETURN = ""
"""The name under which a method's return value stands among its output parameters."""


@dataclass(frozen=True, slots=True, eq=False)
class Like:
    """A text that is only described."""

    pattern: str
    """A regular expression for the whole of it."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(self.pattern, other, re.DOTALL) is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """A CIM status with its message, and what was returned, in any order."""

    status: int = 0
    message: str | Like | None = None
    items: tuple[Any, ...] = ()

    def with_items(self, items: Iterable[Any]) -> Answer:
        """The same answer with other items."""
        return replace(self, items=tuple(items))


class Normal(Expected):
    """The broker's answers in this form."""

    def shown(self, row: Instance) -> Any:
        """An instance with the properties that the broker shows, NULL ones too."""
        assert row.path is not None
        namespace = row.path.namespace or ""
        slots = [
            self._slot(row.cls.by_name[name.lower()], value, namespace)
            for name, value in row.items()
        ]
        return {"path": self.path(row.path), "properties": slots}


def in_order(item: Any) -> Any:
    """An item with keys and properties in one order."""
    if isinstance(item, dict):
        slots = {
            part: sorted(in_order(slot) for slot in item[part])
            for part in ("keys", "properties")
            if part in item
        }
        return {name: in_order(value) for name, value in item.items()} | slots
    return [in_order(part) for part in item] if isinstance(item, list) else item


_IDENTIFIER = re.compile(r"\b[A-Za-z]+:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def marked(item: Any, known: Collection[str]) -> Any:
    """An item with one mark in the place of each guest's InstanceID that is not known.

    What templates of guests are called is new each time.
    """
    if isinstance(item, str):
        return _IDENTIFIER.sub(lambda m: m[0] if m[0] in known else "(new)", item)
    if isinstance(item, dict):
        return {name: marked(value, known) for name, value in item.items()}
    return [marked(part, known) for part in item] if isinstance(item, list) else item


def unlike(found: Answer, expected: Answer) -> str:
    """What is different between two answers, in words; "" for nothing."""
    if (found.status, found.message) != (expected.status, expected.message):
        return f"{found.status} {found.message!r}, not {expected.status} {expected.message!r}"
    if len(found.items) == len(expected.items) and all(map(is_, found.items, expected.items)):
        return ""
    here, there = _texts(found), _texts(expected)
    surplus, missing = here - there, there - here
    if not surplus and not missing:
        return ""
    first, other = min(missing, default="{}"), min(surplus, default="{}")
    return (
        f"{missing.total()} missing, {surplus.total()} too many:"
        f"\n  expected {_without(first, other)}\n  found    {_without(other, first)}"
    )


def _texts(answer: Answer) -> Counter[str]:
    return Counter(json.dumps(item, sort_keys=True) for item in answer.items)


def _without(shown: str, other: str) -> str:
    """An item; of an instance only the properties that the other one has not."""
    mine, theirs = json.loads(shown), json.loads(other)
    if not isinstance(mine, dict) or "properties" not in mine or "properties" not in theirs:
        return shown
    slots = [slot for slot in mine["properties"] if slot not in theirs["properties"]]
    names = [slot[0] for slot in mine["properties"]]
    return f"{mine['path']} {slots or f'in the order {names}'}"
