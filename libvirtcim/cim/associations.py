# SPDX-License-Identifier: LGPL-2.1-or-later
"""Associations as a table: two ends and a resolver per direction; one engine walks them all ways.

An association class has *handlers*, each one direction of it: source classes and role, target classes
and role, and a resolver from a source item to target items. Of an association class the first handler
that fits the request (source class, ResultClass, Role, ResultRole) is used, and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from libvirtcim.cim.declare import ClassDecl
from libvirtcim.cim.objects import Instance, InstancePath, Value
from libvirtcim.cim.provider import (
    InstanceWriter,
    Layout,
    ProviderRequest,
    ReadyMade,
    ready_layout,
)
from libvirtcim.cim.schema import ClassInfo

Find: TypeAlias = Callable[[str, str | None], ClassInfo | None]
"""Looks a class up: full name, and namespace (None: that of the request)."""


@dataclass(frozen=True, slots=True)
class Filter:
    """The filters of an association request; None: not given."""

    assoc_class: str | None = None
    result_class: str | None = None
    role: str | None = None
    result_role: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One result of a resolver: the base name of its class, and its item.

    The item is one of the class's provider, or `ReadyMade`. `extra`: further properties of the reference.
    `swapped`: the two have each other's roles. It is found where the request names no other role, and
    not when the association class is enumerated, since it is met from its other end as well.
    """

    base: str
    item: Any
    swapped: bool = False
    extra: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Handler:
    """One direction of an association."""

    source: tuple[str, ...]
    """Base names of the classes at the source end."""
    source_role: str
    target: tuple[str, ...]
    target_role: str
    resolve: Callable[[ProviderRequest, str, Any, frozenset[str]], Iterable[Target]]
    """(request of the source, source's base name, source item, wanted target bases) → targets.

    `request.wanted` tells what of the *targets* is needed: an empty set means names only.
    """
    extra: Mapping[str, Value] = field(default_factory=dict)
    """Further properties of the reference instances."""
    enumerated: bool = False
    """Whether enumerating the association class walks this direction."""
    also_roles: tuple[str, str] | None = None
    """Roles of source and target under which clients may also ask; answers have the proper ones."""
    source_namespace: str | None = None
    """Namespace of the sources that enumerating walks from; None: that of the request."""
    target_namespace: str | None = None
    """Namespace of the targets; None: that of the request."""

    def has_roles(self, filters: Filter) -> bool:
        """Whether the roles that are asked for are those of this direction."""
        pairs = [(self.source_role, self.target_role)]
        if self.also_roles is not None:
            pairs.append(self.also_roles)
        return any(
            _same(filters.role, source) and _same(filters.result_role, target)
            for source, target in pairs
        )


@dataclass(frozen=True, slots=True)
class Association:
    """An association class family and its handlers, in the order in which they are tried."""

    decl: ClassDecl
    handlers: tuple[Handler, ...]
    writer: InstanceWriter | None = None
    """What creates and deletes its instances; None: they follow from other things alone."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One association found: the reference's class, both ends' roles and the far end."""

    cls: ClassInfo
    handler: Handler
    source: InstancePath
    layout: Layout
    target: Target

    @property
    def item(self) -> Any:
        """The item of the far end."""
        return self.target.item

    @property
    def swapped(self) -> bool:
        """Whether the ends have each other's roles."""
        return self.target.swapped

    @property
    def roles(self) -> tuple[str, str]:
        """The source's role and the target's."""
        ends = self.handler.source_role, self.handler.target_role
        return (ends[1], ends[0]) if self.swapped else ends

    def fits(self, filters: Filter) -> bool:
        """Whether the roles are those that are asked for."""
        source, target = self.roles
        return _same(filters.role, source) and _same(filters.result_role, target)

    def target_path(self, namespace: str) -> InstancePath:
        """Path of the far end of an association found in a namespace."""
        return self.layout.path(self.item, self.handler.target_namespace or namespace)

    def target_row(self, namespace: str, wanted: frozenset[str] | None) -> Instance:
        """The instance at the far end of an association found in a namespace."""
        where = self.handler.target_namespace or namespace
        return self.layout.row(self.item, where, wanted)

    def reference(self, namespace: str, wanted: frozenset[str] | None = None) -> Instance:
        """The association instance, with its path; `wanted` None shows all its properties."""
        source_role, target_role = self.roles
        ends = {
            source_role.lower(): self.source,
            target_role.lower(): self.target_path(namespace),
        }
        values: dict[str, Value] = {
            p.name: p.default for p in self.cls.properties if p.default is not None
        }
        values.update(self.handler.extra)
        values.update(self.target.extra)
        for prop in self.cls.properties:
            if prop.type == "reference":
                values[prop.name] = ends.get(prop.name.lower())
        keys = tuple((p.name, values[p.name]) for p in self.cls.keys)
        if wanted is not None:
            values = {name: value for name, value in values.items() if name in wanted}
        return Instance(self.cls, InstancePath(self.cls.name, keys, namespace), values, wanted)


def choose(
    association: Association,
    cls: ClassInfo,
    source: ClassInfo,
    filters: Filter,
    find: Find,
) -> Handler | None:
    """The handler of `association` (its class `cls`) that serves a request from `source`."""
    if filters.assoc_class is not None and not cls.is_a(filters.assoc_class):
        return None
    prefix = cls.name.partition("_")[0]
    for handler in association.handlers:
        if (
            any(source.is_a(f"{prefix}_{base}") for base in handler.source)
            and handler.has_roles(filters)
            and target_classes(find, prefix, handler, filters.result_class)
        ):
            return handler
    return None


def _same(asked: str | None, role: str) -> bool:
    return asked is None or asked.lower() == role.lower()


def target_classes(
    find: Find, prefix: str, handler: Handler, result_class: str | None
) -> dict[str, ClassInfo]:
    """Base name → class, of the handler's targets that the family has and that are a `result_class`."""
    found = {base: find(f"{prefix}_{base}", handler.target_namespace) for base in handler.target}
    return {
        base: cls
        for base, cls in found.items()
        if cls is not None and (result_class is None or cls.is_a(result_class))
    }


def walk(
    request: ProviderRequest,
    cls: ClassInfo,
    handler: Handler,
    layouts: Mapping[str, Layout],
    sources: Iterable[tuple[InstancePath, Any]],
) -> Iterator[Hit]:
    """Every hit of one handler from source items; `layouts`: base name → layout of wanted targets."""
    wanted = frozenset(layouts)
    ready: dict[str, Layout] = {}
    for source, item in sources:
        base = source.classname.partition("_")[2]
        for target in handler.resolve(request, base, item, wanted):
            if target.base not in wanted:
                continue
            layout = layouts[target.base]
            if isinstance(target.item, ReadyMade):
                layout = _ready(ready, target.base, layout)
            yield Hit(cls, handler, source, layout, target)


def _ready(made: dict[str, Layout], base: str, layout: Layout) -> Layout:
    if base not in made:
        made[base] = ready_layout(layout.cls)
    return made[base]
