# SPDX-License-Identifier: LGPL-2.1-or-later
"""Values that clients give, converted to the types that the class declares (DSP0004 section 5.2)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from libvirtcim.cim.errors import TypeMismatch
from libvirtcim.cim.objects import Given, GivenInstance, InstancePath, Value
from libvirtcim.cim.schema import INTEGER_RANGES, ParameterInfo, PropertyInfo

_DATETIME = re.compile(
    r"(?:\d{14}\.[\d*]{6}[+-]\d{3}|[\d*]{14}\.[\d*]{6}[+-][\d*]{3}|\d{8}[\d*]{6}\.[\d*]{6}:000)"
)
_INTEGER = re.compile(r"[+-]?\d+|[+-]?0[xX][0-9a-fA-F]+")
_TIMESTAMP = "%Y%m%d%H%M%S.%f+000"
MOF_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}
"""Letter after a backslash in MOF → control character (DSP0004 Annex A)."""
MAX_INTEGER_TEXT = 24
"""Characters that an integer may have: 64 bits in decimal with sign, and some room."""


def timestamp(moment: datetime) -> str:
    """A moment (with its time zone) as a CIM datetime, in UTC."""
    return moment.astimezone(UTC).strftime(_TIMESTAMP)


def moment(text: str) -> datetime:
    """The moment that `timestamp` wrote."""
    return datetime.strptime(text, _TIMESTAMP).replace(tzinfo=UTC)


def scalar(text: Any, cim_type: str, what: str) -> Value:
    """One value of `cim_type` from its text (or from a Python value of that kind).

    Raises TypeMismatch naming `what` for text that is no such value or out of the type's range.
    """
    limits = INTEGER_RANGES.get(cim_type)
    if limits is not None:
        return _integer(text, cim_type, limits, what)
    if cim_type == "boolean":
        return _boolean(text, what)
    if cim_type in ("real32", "real64"):
        try:
            return float(text)
        except (TypeError, ValueError):
            raise TypeMismatch(f"{what}: {_shown(text)} is not a number ({cim_type})") from None
    if cim_type == "reference":
        if isinstance(text, InstancePath):
            return text
        raise TypeMismatch(f"{what}: expected a reference to an instance")
    if not isinstance(text, str):
        raise TypeMismatch(f"{what}: expected text ({cim_type}), got {type(text).__name__}")
    if cim_type == "datetime" and not _DATETIME.fullmatch(text):
        raise TypeMismatch(
            f"{what}: {_shown(text)} is not a CIM datetime "
            "(yyyymmddhhmmss.mmmmmm+uuu or ddddddddhhmmss.mmmmmm:000)"
        )
    if cim_type == "char16" and len(text) != 1:
        raise TypeMismatch(f"{what}: a char16 is one character")
    return text


def _integer(text: Any, cim_type: str, limits: tuple[int, int], what: str) -> int:
    number: int | None = None
    if isinstance(text, int) and not isinstance(text, bool):
        number = text
    elif isinstance(text, str):
        stripped = text.strip()
        if len(stripped) <= MAX_INTEGER_TEXT and _INTEGER.fullmatch(stripped):
            number = int(stripped, 16 if "x" in stripped.lower() else 10)
    if number is None:
        raise TypeMismatch(f"{what}: {_shown(text)} is not an integer ({cim_type})")
    low, high = limits
    if not low <= number <= high:
        raise TypeMismatch(f"{what}: {number} is outside {cim_type} ({low} to {high})")
    return number


def _boolean(text: Any, what: str) -> bool:
    if isinstance(text, bool):
        return text
    if isinstance(text, str) and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    raise TypeMismatch(f"{what}: {_shown(text)} is not TRUE or FALSE")


def _shown(text: Any) -> str:
    shown = repr(text)
    return shown if len(shown) <= 60 else shown[:57] + "...'"


def typed(given: Given, declared: PropertyInfo | ParameterInfo) -> Value:
    """The given value in the declared type and shape; None stays None.

    A type that the client states must be the declared one; a scalar given for an array becomes an
    array of one (clients that know no types write it so). Raises TypeMismatch.
    """
    what = declared.name
    value = given.value
    if value is None:
        return None
    if given.type is not None and given.type.lower() != declared.type:
        raise TypeMismatch(f"{what} is {declared.type}, not {given.type}")
    if isinstance(value, list):
        if not declared.array:
            raise TypeMismatch(f"{what} is a single {declared.type}, not an array")
        return [None if v is None else _element(v, declared) for v in value]
    element = _element(value, declared)
    return [element] if declared.array else element


def _element(value: Any, declared: PropertyInfo | ParameterInfo) -> Value:
    if isinstance(value, GivenInstance):
        if declared.embedded is None:
            raise TypeMismatch(f"{declared.name} is no embedded instance")
        return value
    return scalar(value, declared.type, declared.name)


def unique_id() -> str:
    """A random UUID as text, for ids that nothing else gives."""
    from uuid import uuid4  # which takes longer to load than most modules here

    return str(uuid4())
