# SPDX-License-Identifier: LGPL-2.1-or-later
"""CIM values as the text of CIM-XML elements (DSP0201 5.2.4.1, DSP0004 5.2 for the literals).

Each function takes one Python value of its CIM type and raises TypeError for anything else: a wrong
value then ends in the log with its property's name instead of reaching a client as nonsense.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

_FORBIDDEN = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff"
_TEXT_SPECIAL = re.compile(f"[&<>\r{_FORBIDDEN}]")
_ATTRIBUTE_SPECIAL = re.compile(f'[&<>"\r\n\t{_FORBIDDEN}]')

# Line feeds and tabs stay raw: older clients print character references as they are. A raw carriage
# return would be lost to every XML parser (XML 1.0 2.11).
_TEXT = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_ATTRIBUTE = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "\r": " ",
    "\n": " ",
    "\t": " ",
}


def _text_replacement(match: re.Match[str]) -> str:
    return _TEXT.get(match[0], "\ufffd")


def _attribute_replacement(match: re.Match[str]) -> str:
    return _ATTRIBUTE.get(match[0], "\ufffd")


def escape(value: str) -> str:
    """Element content; characters that XML does not allow become U+FFFD."""
    if _TEXT_SPECIAL.search(value) is None:
        return value
    return _TEXT_SPECIAL.sub(_text_replacement, value)


def escape_attribute(value: str) -> str:
    """An attribute value for double quotes; line breaks and tabs become spaces."""
    if _ATTRIBUTE_SPECIAL.search(value) is None:
        return value
    return _ATTRIBUTE_SPECIAL.sub(_attribute_replacement, value)


def boolean(value: bool) -> str:
    """`TRUE` or `FALSE`."""
    if value is True:
        return "TRUE"
    if value is False:
        return "FALSE"
    raise TypeError(f"expected a boolean, not {type(value).__name__}")


def real(value: float) -> str:
    """A real literal: always with a point (DSP0201 5.2.4.1), and the three that have none."""
    number = float.__float__(value) if isinstance(value, float) else float(int.__index__(value))
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "INF" if number > 0 else "-INF"
    literal = repr(number)
    mantissa, exponent, power = literal.partition("e")
    return f"{mantissa}.0e{power}" if exponent and "." not in mantissa else literal


integer: Callable[[int], str] = int.__repr__

SCALARS: Mapping[str, Callable[[Any], str]] = {
    **{f"{sign}int{bits}": integer for sign in "us" for bits in (8, 16, 32, 64)},
    "boolean": boolean,
    "real32": real,
    "real64": real,
    "string": escape,
    "char16": escape,
    "datetime": escape,
}
"""CIM type → function that writes one value as element content."""


def percent_encode(value: str) -> str:
    """`value` as an HTTP header can carry it (DSP0200 7.3.1)."""
    return "".join(
        character if character.isascii() and character.isprintable() and character != "%"
        else "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "replace"))
        for character in value
    )  # fmt: skip
