# SPDX-License-Identifier: LGPL-2.1-or-later
"""One MOF `instance of` declaration (DSP0004 Annex A), as clients send it."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, cast

import lark

from libvirtcim.cim.objects import Given, GivenInstance
from libvirtcim.cim.values import MOF_ESCAPES

_GRAMMAR = r"""
start: "instance"i "of"i NAME "{" property* "}" ";"?
property: NAME "=" value ";"
?value: scalar | array
array: "{" [scalar ("," scalar)*] "}"
?scalar: strings | number | BOOLEAN -> boolean | NULL -> null
strings: STRING+
number: NUMBER
BOOLEAN.2: /true\b|false\b/i
NULL.2: /null\b/i
NAME: /[A-Za-z_][A-Za-z0-9_]*/
NUMBER: /[+-]?(0[xX][0-9a-fA-F]+|\d+(\.\d+([eE][+-]?\d+)?)?)/
STRING: /"([^"\\]|\\.)*"|'([^'\\]|\\.)*'/
COMMENT: /\/\/[^\n]*/ | /\/\*(.|\n)*?\*\//
%import common.WS
%ignore WS
%ignore COMMENT
%ignore "\ufeff"
"""

_ESCAPE = re.compile(r"\\(?:[xX]([0-9a-fA-F]{1,4})|(.))", re.DOTALL)


class NoInstance(ValueError):
    """The text is no such declaration; says where, if that is known."""


class _Values(lark.Transformer[Any, GivenInstance]):
    """Turns the parse tree into given values; MOF states no types."""

    def strings(self, parts: list[lark.Token]) -> str:
        text = "".join(_ESCAPE.sub(_unescape, part[1:-1]) for part in parts)
        # Escapes name UTF-16 units: two may be one character, and half of one is none.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def number(self, parts: list[lark.Token]) -> str:
        return str(parts[0])

    def boolean(self, parts: list[lark.Token]) -> bool:
        return parts[0].lower() == "true"

    def null(self, _parts: list[lark.Token]) -> None:
        return None

    def array(self, parts: list[Any]) -> list[Any]:
        # an optional group that matched nothing is handed over as a single None
        return [] if parts == [None] else list(parts)

    def property(self, parts: list[Any]) -> tuple[str, Given]:
        return str(parts[0]), Given(parts[1])

    def start(self, parts: list[Any]) -> GivenInstance:
        return GivenInstance(str(parts[0]), dict(parts[1:]))


def _unescape(match: re.Match[str]) -> str:
    code, character = match.groups()
    return chr(int(code, 16)) if code else MOF_ESCAPES.get(character, character)


@cache
def _mof_parser() -> lark.Lark:
    return lark.Lark(_GRAMMAR, parser="lalr", maybe_placeholders=True, transformer=_Values())


def parse(text: str) -> GivenInstance:
    """The declared instance; raises NoInstance."""
    try:
        return cast(GivenInstance, _mof_parser().parse(text))
    except lark.exceptions.LarkError as error:
        where = getattr(error, "line", None)
        at = f" (line {where}, column {getattr(error, 'column', '?')})" if where else ""
        raise NoInstance(at) from None
