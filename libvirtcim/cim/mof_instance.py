# SPDX-License-Identifier: LGPL-2.1-or-later
"""One MOF `instance of` declaration (DSP0004 Annex A), as clients send it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import lark

from libvirtcim.cim.objects import Given, GivenInstance
from libvirtcim.cim.values import MOF_ESCAPES

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_NUMBER = r"[+-]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+(?:[eE][+-]?\d+)?)?)"
_STRING = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
_BLANK, _BLANKS = r"[ \t\f\r\n]*", r"[ \t\f\r\n]+"
_TRUTH, _NULL = r"(?:true|false)\b", r"null\b"
_PLAIN = rf"({_NAME}){_BLANK}={_BLANK}(?:({_STRING})|({_NUMBER})|({_TRUTH})|{_NULL})"

# A token takes time, one that is ignored too: what most properties are like is one token, and
# blanks belong to the punctuation that they surround.
_GRAMMAR = rf"""
start: (HEAD | "instance"i "of"i NAME _OPEN) property* (_FOOT | _CLOSE _END?)
property: PLAIN -> plain | NAME _IS value _END
?value: scalar | array
array: _OPEN [scalar (_COMMA scalar)*] _CLOSE
?scalar: strings | NUMBER -> number | TRUTH -> truth | NULL -> null
strings: STRING+
PLAIN.3: /{_PLAIN}{_BLANK};{_BLANK}/i
HEAD.3: /instance{_BLANKS}of{_BLANKS}{_NAME}{_BLANK}\{{{_BLANK}/i
_FOOT.2: /\}}{_BLANK};{_BLANK}/
_OPEN.1: /{_BLANK}\{{{_BLANK}/
_CLOSE.1: /{_BLANK}\}}{_BLANK}/
_IS.1: /{_BLANK}={_BLANK}/
_END.1: /{_BLANK};{_BLANK}/
_COMMA.1: /{_BLANK},{_BLANK}/
TRUTH.2: /{_TRUTH}/i
NULL.2: /{_NULL}/i
NAME: /{_NAME}/
NUMBER: /{_NUMBER}/
STRING: /{_STRING}/
COMMENT: /\/\/[^\n]*/ | /\/\*(.|\n)*?\*\//
%import common.WS
%ignore WS
%ignore COMMENT
%ignore "\ufeff"
"""

_PARTS = re.compile(_PLAIN, re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:[xX]([0-9a-fA-F]{1,4})|(.))", re.DOTALL)


class NoInstance(ValueError):
    """The text is no such declaration; says where, if that is known."""


class _Values(lark.Transformer[Any, GivenInstance]):
    """Turns the parse tree into given values; MOF states no types."""

    def strings(self, parts: Sequence[str]) -> str:
        text = "".join(_ESCAPE.sub(_unescape, part[1:-1]) for part in parts)
        # Escapes name UTF-16 units: two may be one character, and half of one is none.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def number(self, parts: list[lark.Token]) -> str:
        return str(parts[0])

    def truth(self, parts: Sequence[str]) -> bool:
        return parts[0].lower() == "true"

    def null(self, _parts: list[lark.Token]) -> None:
        return None

    def array(self, parts: list[Any]) -> list[Any]:
        # an optional group that matched nothing is handed over as a single None
        return [] if parts == [None] else list(parts)

    def property(self, parts: list[Any]) -> tuple[str, Given]:
        return str(parts[0]), Given(parts[1])

    def plain(self, parts: list[lark.Token]) -> tuple[str, Given]:
        match = _PARTS.match(parts[0])
        assert match is not None
        name, string, number, truth = match.groups()
        if string is not None:
            return name, Given(self.strings([string]))
        return name, Given(number if truth is None else self.truth([truth]))

    def start(self, parts: list[Any]) -> GivenInstance:
        # a name, or all that stands before the properties
        return GivenInstance(parts[0].partition("{")[0].split()[-1], dict(parts[1:]))


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
