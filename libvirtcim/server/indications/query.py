# SPDX-License-Identifier: LGPL-2.1-or-later
"""Queries of indication filters: WQL, and of DMTF:CQL (DSP0202) what filters need.

`SELECT * FROM class [WHERE condition]`, with paths into embedded instances
(`SourceInstance.EnabledState`, `SourceInstance.CIM_ComputerSystem::Name`, `OperationalStatus[0]`),
comparisons, `ISA`, `IS [NOT] NULL`, `ANY` over arrays, `AND`, `OR`, `NOT`, and in WQL `LIKE`. Conditions
have three values: what compares with NULL, or with a value of another kind, is unknown, and lets nothing
through. Names are compared ignoring case, texts exactly.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeAlias

import lark

from libvirtcim.cim.errors import InvalidQuery, QueryLanguageNotSupported
from libvirtcim.cim.objects import Instance, Value

MAX_QUERY_TEXT = 8192
"""Characters that a query may have."""
MAX_QUERY_DEPTH = 32
"""How deep conditions may be nested."""

WQL = "WQL"
LANGUAGES: Mapping[str, str] = {"wql": WQL, "dmtf:cql": "DMTF:CQL", "cim:cql": "DMTF:CQL"}
"""Lower-case name of a query language → the language's own."""

Truth: TypeAlias = "bool | None"
"""None: unknown."""
Tree: TypeAlias = "dict[str, Tree | None]"
"""Lower-case property name → what is chosen of the instance in it; None: all of it."""

_GRAMMAR = r"""
start: "SELECT"i columns "FROM"i NAME ["WHERE"i condition]
columns: "*" | path ("," path)*
?condition: conjunction ("OR"i conjunction)* -> disjunction
?conjunction: term ("AND"i term)*
?term: "(" condition ")"
    | "NOT"i term -> negation
    | operand COMPARISON operand -> comparison
    | "ANY"i path COMPARISON operand -> any_element
    | path "IS"i "NULL"i -> absence
    | path "IS"i "NOT"i "NULL"i -> presence
    | path "ISA"i (NAME | STRING) -> kinship
    | path "LIKE"i STRING -> likeness
?operand: path | literal
path: step ("." step)*
step: [NAME "::"] NAME ["[" index "]"]
?index: INDEX -> position | "*" -> whole
?literal: STRING -> text | (NUMBER | INDEX) -> number | "TRUE"i -> true | "FALSE"i -> false
    | "NULL"i -> null
COMPARISON: "<>" | "!=" | "<=" | ">=" | "=" | "<" | ">"
NAME: /[A-Za-z_]\w*/
INDEX: /\d{1,20}/
NUMBER: /[+-]?\d{1,20}(\.\d{1,20}([eE][+-]?\d{1,3})?)?/
STRING: /"([^"\\]|\\.)*"|'([^'\\]|\\.)*'/
%import common.WS
%ignore WS
"""

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_GLOB = {"%": "*", "_": "?", **{c: f"[{c}]" for c in "*?["}}
"""Character of a WQL pattern → what stands for it in a glob pattern."""
_EQUALITY = frozenset({"=", "<>", "!="})


class Operand(Protocol):
    """Something that has a value for each indication."""

    def value(self, instance: Instance) -> Value:
        """The value; None: NULL."""


class Condition(Protocol):
    """Something that holds for an indication, or doesn't."""

    @property
    def depth(self) -> int:
        """How many conditions lie within each other."""

    def holds(self, instance: Instance) -> Truth:
        """Whether it holds."""


# --- operands --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that stands in the query."""

    constant: Value

    def value(self, instance: Instance) -> Value:
        """The constant."""
        return self.constant


@dataclass(frozen=True, slots=True)
class Step:
    """One property of a path; `scope`: only of instances of that class; `index`: one element of it."""

    name: str
    scope: str | None = None
    index: int | None = None

    def value(self, instance: Instance) -> Value:
        """The property's value; NULL where the instance lacks it."""
        declared = instance.cls.by_name.get(self.name)
        if declared is None or (self.scope is not None and not instance.cls.is_a(self.scope)):
            return None
        found = instance[declared.name]
        if self.index is None or found is None:
            return found
        is_there = isinstance(found, list) and self.index < len(found)
        return found[self.index] if is_there else None


@dataclass(frozen=True, slots=True)
class Path:
    """A property, or one of an instance that is embedded in a property."""

    steps: tuple[Step, ...]

    def value(self, instance: Instance) -> Value:
        """The last property's value."""
        for step in self.steps[:-1]:
            inner = step.value(instance)
            if not isinstance(inner, Instance):
                return None
            instance = inner
        return self.steps[-1].value(instance)


# --- conditions ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values compared; of any or no order where they are of the same kind."""

    left: Operand
    sign: str
    right: Operand
    depth: int = 1

    def holds(self, instance: Instance) -> Truth:
        """Whether the values compare so."""
        return _compared(self.sign, self.left.value(instance), self.right.value(instance))


@dataclass(frozen=True, slots=True)
class AnyElement:
    """One of an array's elements compares so."""

    path: Path
    sign: str
    right: Operand
    depth: int = 1

    def holds(self, instance: Instance) -> Truth:
        """Whether an element does."""
        elements, right = self.path.value(instance), self.right.value(instance)
        if not isinstance(elements, list):
            return None
        return any(_compared(self.sign, element, right) for element in elements)


@dataclass(frozen=True, slots=True)
class Absence:
    """A value is NULL."""

    path: Operand
    depth: int = 1

    def holds(self, instance: Instance) -> Truth:
        """Whether it is."""
        return self.path.value(instance) is None


@dataclass(frozen=True, slots=True)
class Kinship:
    """An embedded instance is of a class or a subclass of it."""

    path: Path
    classname: str
    depth: int = 1

    def holds(self, instance: Instance) -> Truth:
        """Whether it is."""
        inner = self.path.value(instance)
        return inner.cls.is_a(self.classname) if isinstance(inner, Instance) else None


@dataclass(frozen=True, slots=True)
class Likeness:
    """A text matches a pattern of WQL: `%` any text, `_` any character."""

    path: Path
    pattern: re.Pattern[str]
    depth: int = 1

    def holds(self, instance: Instance) -> Truth:
        """Whether it does."""
        found = self.path.value(instance)
        return self.pattern.fullmatch(found) is not None if isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class Negation:
    """A condition does not hold."""

    inner: Condition
    depth: int

    def holds(self, instance: Instance) -> Truth:
        """Whether it doesn't; what is unknown stays so."""
        found = self.inner.holds(instance)
        return None if found is None else not found


@dataclass(frozen=True, slots=True)
class Combination:
    """Conditions joined by AND (`decisive` False: one that doesn't hold decides) or OR (True)."""

    parts: tuple[Condition, ...]
    decisive: bool
    depth: int

    def holds(self, instance: Instance) -> Truth:
        """Whether all hold, or one does."""
        unknown = False
        for part in self.parts:
            found = part.holds(instance)
            if found is self.decisive:
                return self.decisive
            unknown = unknown or found is None
        return None if unknown else not self.decisive


def _compared(sign: str, left: Value, right: Value) -> Truth:
    kind = _kind(left)
    if kind is None or kind is not _kind(right):
        return None
    if sign not in _EQUALITY and kind not in (str, float):
        return None
    return _COMPARE[sign](left, right)


def _kind(value: Value) -> type | None:
    """What a value can be compared with; None: with nothing."""
    if value is None:
        return None
    return float if type(value) is int else type(value)


# --- queries ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Query:
    """What a filter lets through, and what it shows of that."""

    classname: str
    columns: tuple[Path, ...]
    """What is selected; empty: everything."""
    condition: Condition | None
    paths: tuple[Path, ...]
    """All paths that it names."""

    def matches(self, instance: Instance) -> bool:
        """Whether the condition holds for an indication of the class."""
        return self.condition is None or self.condition.holds(instance) is True

    def shown(self, instance: Instance) -> Instance:
        """The indication with what is selected of it."""
        return _restricted(instance, _tree(self.columns)) if self.columns else instance

    @property
    def property_names(self) -> frozenset[str]:
        """Lower-case names of the indication's own properties that it names."""
        return frozenset(path.steps[0].name for path in self.paths)


def _tree(columns: Sequence[Path]) -> Tree:
    root: Tree = {}
    for path in columns:
        at = root
        for step in path.steps[:-1]:
            inner = at.setdefault(step.name, {})
            if inner is None:
                break
            at = inner
        else:
            at[path.steps[-1].name] = None
    return root


def _restricted(instance: Instance, tree: Tree) -> Instance:
    chosen = [p.name for name in tree if (p := instance.cls.by_name.get(name)) is not None]
    values = {name: instance[name] for name in chosen}
    for name, value in values.items():
        inner = tree[name.lower()]
        if inner is not None and isinstance(value, Instance):
            values[name] = _restricted(value, inner)
    return Instance(instance.cls, instance.path, values, frozenset(chosen))


_TOO_DEEP = f"conditions are nested deeper than {MAX_QUERY_DEPTH}"


class _Refused(Exception):
    """The query is well-formed, but not accepted; the text says why."""


class _Reader(lark.Transformer[Any, Query]):
    """Makes a query about a class of the parse tree, from the leaves up."""

    def __init__(self, language: str, classname: str) -> None:
        super().__init__()
        self._language = language
        self._classname = classname
        self._paths: list[Path] = []

    def start(self, parts: list[Any]) -> Query:
        columns, _name, condition = parts
        return Query(self._classname, tuple(columns), condition, tuple(self._paths))

    def columns(self, parts: list[Any]) -> list[Path]:
        return parts

    def disjunction(self, parts: list[Condition]) -> Condition:
        return _combined(parts, decisive=True)

    def conjunction(self, parts: list[Condition]) -> Condition:
        return _combined(parts, decisive=False)

    def negation(self, parts: list[Condition]) -> Condition:
        return Negation(parts[0], _deeper(parts))

    def comparison(self, parts: list[Any]) -> Condition:
        left, sign, right = parts
        if right == Literal(None) and str(sign) in _EQUALITY:
            return self.absence([left]) if sign == "=" else self.presence([left])
        return Comparison(left, str(sign), right)

    def any_element(self, parts: list[Any]) -> Condition:
        path, sign, right = parts
        return AnyElement(path, str(sign), right)

    def absence(self, parts: list[Operand]) -> Condition:
        return Absence(parts[0])

    def presence(self, parts: list[Operand]) -> Condition:
        return Negation(Absence(parts[0]), 2)

    def kinship(self, parts: list[Any]) -> Condition:
        return Kinship(parts[0], _unquoted(parts[1]))

    def likeness(self, parts: list[Any]) -> Condition:
        if self._language != WQL:
            raise _Refused(f"LIKE is not supported in {self._language}")
        # as a glob pattern: the expressions made of these match in bounded time
        glob = "".join(_GLOB.get(c, c) for c in _unquoted(parts[1]))
        return Likeness(parts[0], re.compile(fnmatch.translate(glob)))

    def path(self, parts: list[Step]) -> Path:
        first, *more = parts
        # the class itself may stand before a path
        is_class = more and first.scope is None and first.name == self._classname.lower()
        path = Path(tuple(more if is_class else parts))
        self._paths.append(path)
        return path

    def step(self, parts: list[Any]) -> Step:
        scope, name, index = parts
        return Step(
            name.lower(),
            None if scope is None else str(scope),
            index,
        )

    def position(self, parts: list[lark.Token]) -> int:
        return int(parts[0])

    def whole(self, _parts: list[Any]) -> None:
        return None

    def text(self, parts: list[lark.Token]) -> Literal:
        return Literal(_unquoted(parts[0]))

    def number(self, parts: list[lark.Token]) -> Literal:
        return Literal(float(parts[0]) if "." in parts[0] else int(parts[0]))

    def true(self, _parts: list[Any]) -> Literal:
        return Literal(True)

    def false(self, _parts: list[Any]) -> Literal:
        return Literal(False)

    def null(self, _parts: list[Any]) -> Literal:
        return Literal(None)


def _combined(parts: Sequence[Condition], *, decisive: bool) -> Condition:
    if len(parts) == 1:
        return parts[0]
    return Combination(tuple(parts), decisive, _deeper(parts))


def _deeper(parts: Sequence[Condition]) -> int:
    depth = 1 + max(part.depth for part in parts)
    if depth > MAX_QUERY_DEPTH:
        raise _Refused(_TOO_DEEP)
    return depth


def _unquoted(token: lark.Token) -> str:
    return _ESCAPE.sub(r"\1", token[1:-1]) if token.type == "STRING" else str(token)


@cache
def _parser() -> lark.Lark:
    return lark.Lark(_GRAMMAR, parser="lalr", maybe_placeholders=True)


def language(name: str) -> str:
    """The query language of that name; raises QueryLanguageNotSupported."""
    found = LANGUAGES.get(name.lower())
    if found is None:
        known = ", ".join(dict.fromkeys(LANGUAGES.values()))
        raise QueryLanguageNotSupported(f"Query language {name!r} is not supported, but {known}")
    return found


def parse(text: str, language_name: str) -> Query:
    """The query that a text is; raises QueryLanguageNotSupported, InvalidQuery."""
    chosen = language(language_name)
    if len(text) > MAX_QUERY_TEXT:
        raise InvalidQuery(f"The query has more than {MAX_QUERY_TEXT} characters")
    try:
        tree = _parser().parse(text)
        _columns, classname, _condition = tree.children
        return _Reader(chosen, str(classname)).transform(tree)
    except RecursionError:
        raise InvalidQuery(f"The query is not supported: {_TOO_DEEP}") from None
    except lark.exceptions.VisitError as error:
        if not isinstance(error.orig_exc, _Refused):
            raise
        raise InvalidQuery(f"The query is not supported: {error.orig_exc}") from None
    except lark.exceptions.LarkError as error:
        column = getattr(error, "column", None)
        where = f" at column {column}" if isinstance(column, int) and column > 0 else ""
        raise InvalidQuery(f"The query is no {chosen} query: syntax error{where}") from None
