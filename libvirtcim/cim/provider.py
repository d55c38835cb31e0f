# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a provider is to the broker: items, the columns that turn an item into properties, and methods.

An *item* is whatever a provider finds it convenient to hold for one instance. `columns` maps property
names to functions of an item; the broker evaluates only those that the class has and the client asked
for, and only key columns for operations that return names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, TypeVar

from libvirtcim.cim.errors import NotFound, NotSupported
from libvirtcim.cim.objects import GivenInstance, Instance, InstancePath, RequestContext, Value
from libvirtcim.cim.schema import ClassInfo, ParameterInfo, PropertyInfo

Item = TypeVar("Item")
Columns: TypeAlias = Mapping[str, Callable[[Any], Value]]


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """One class of one request: what is asked of a provider."""

    context: RequestContext
    cls: ClassInfo
    prefix: str
    """Text before the first underscore of the class name."""
    namespace: str
    wanted: frozenset[str] | None = None
    """Declared names of the properties to compute; None: all."""
    shared: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """What providers keep for the rest of the operation; the same for all classes that it covers."""

    @property
    def names_only(self) -> bool:
        """Whether nothing but the names of instances is asked for."""
        return self.wanted is not None and not self.wanted

    def wants(self, *names: str) -> bool:
        """Whether any of the named properties will be shown."""
        return self.wanted is None or not self.wanted.isdisjoint(names)


@dataclass(frozen=True, slots=True)
class MethodHandler:
    """What carries out one extrinsic method."""

    call: Callable[
        [ProviderRequest, InstancePath, Mapping[str, Value]], tuple[Value, dict[str, Value]]
    ]
    """(request, path of the object, checked arguments) → (return value, output parameters)."""
    required: frozenset[str] = frozenset()
    """Parameters that must be given although the schema does not demand them."""
    undeclared: tuple[ParameterInfo, ...] = ()
    """Input parameters that the schema does not have."""


class InstanceWriter:
    """Creates, changes and deletes instances of one class per family; override what the class can do."""

    def create(self, request: ProviderRequest, instance: GivenInstance) -> InstancePath:
        """Creates an instance."""
        raise NotSupported(f"Instances of {request.cls.name} cannot be created this way")

    def modify(
        self, request: ProviderRequest, path: InstancePath, values: Mapping[str, Value]
    ) -> None:
        """Sets the given properties of an existing instance."""
        raise NotSupported(f"Instances of {request.cls.name} cannot be modified this way")

    def delete(self, request: ProviderRequest, path: InstancePath) -> None:
        """Deletes an existing instance."""
        raise NotSupported(f"Instances of {request.cls.name} cannot be deleted this way")


class InstanceProvider(InstanceWriter, Generic[Item]):
    """Serves the instances of one class per family; override what the class can do."""

    classes: tuple[str, ...] = ()
    """Full names of the classes served."""
    checked_keys: frozenset[str] | None = None
    """Keys in which a client's path must be right; None: all."""
    columns: Columns = MappingProxyType({})

    def serves(self, namespace: str) -> bool:
        """Whether it has instances in a namespace that has the class."""
        return True

    def items(self, request: ProviderRequest) -> Iterable[Item]:
        """Every instance's item, in the order that clients see."""
        raise NotSupported(f"{request.cls.name} cannot be enumerated")

    def find(self, request: ProviderRequest, path: InstancePath) -> Item:
        """The item that `path` names by its keys; raises NotFound, or Failed where a key is missing."""
        raise NotSupported(f"{request.cls.name} cannot be read")

    @property
    def methods(self) -> Mapping[str, MethodHandler]:
        """Extrinsic methods carried out here, by exact name."""
        return {}

    @property
    def has_methods(self) -> bool:
        """Whether calls are dispatched here, so that an unknown method is this provider's to refuse."""
        return bool(self.methods)


_Compute: TypeAlias = Callable[[Any], Value]
_Named: TypeAlias = tuple[str, _Compute]


@dataclass(frozen=True, slots=True)
class _Choice:
    """What a property list leaves of a layout."""

    defaults: dict[str, Value]
    plain: tuple[_Named, ...]
    """Columns of properties without default."""
    over_defaults: tuple[_Named, ...]
    """Columns whose value goes before a default, unless it is None."""
    computed_keys: tuple[str, ...] | None
    """The keys where all of them are among the properties; None: not all are."""


class Layout:
    """How items become rows of one class: key columns, value columns, class defaults."""

    __slots__ = ("_chosen", "_columns", "_constants", "cls", "keys")

    def __init__(self, cls: ClassInfo, columns: Columns) -> None:
        self.cls = cls
        declared = {p.name.lower(): p for p in cls.properties}
        self._constants: dict[str, Value] = {
            p.name: p.default for p in cls.properties if p.default is not None
        }
        if "creationclassname" in declared:
            self._constants[declared["creationclassname"].name] = cls.name
        self._columns = tuple(
            (declared[name.lower()].name, compute)
            for name, compute in columns.items()
            if name.lower() in declared
        )
        by_name = dict(self._columns)
        self.keys = tuple((p.name, self._key_column(p, by_name)) for p in cls.keys)
        self._chosen: dict[frozenset[str] | None, _Choice] = {}

    def _key_column(self, prop: PropertyInfo, by_name: Mapping[str, Any]) -> Any:
        compute = by_name.get(prop.name)
        if compute is not None:
            return compute
        constant = self._constants.get(prop.name)
        return lambda _item: constant

    def path(self, item: Any, namespace: str) -> InstancePath:
        """The path of the item's instance."""
        return InstancePath(
            self.cls.name, tuple((name, compute(item)) for name, compute in self.keys), namespace
        )

    def row(self, item: Any, namespace: str, wanted: frozenset[str] | None = None) -> Instance:
        """The item's instance with its path; only `wanted` properties (None: all) are computed."""
        choice = self._choice(wanted)
        values = {name: compute(item) for name, compute in choice.plain}
        if choice.defaults:
            values.update(choice.defaults)
        for name, compute in choice.over_defaults:
            value = compute(item)
            if value is not None:
                values[name] = value
        if choice.computed_keys is None:
            path = self.path(item, namespace)
        else:
            keys = tuple([(name, values[name]) for name in choice.computed_keys])
            path = InstancePath(self.cls.name, keys, namespace)
        return Instance(self.cls, path, values, wanted)

    def table(
        self, wanted: frozenset[str] | None
    ) -> tuple[tuple[Callable[[Any], Value] | None, Value], ...]:
        """How the values of a row come about, of each property in the class's order.

        A function of the item, or None; and what stands where that gives None. Properties that are not
        `wanted` (None: all) are left out.
        """
        choice = self._choice(wanted)
        columns = dict((*choice.plain, *choice.over_defaults))
        return tuple(
            (columns.get(p.name), choice.defaults.get(p.name))
            for p in self.cls.properties
            if wanted is None or p.name in wanted
        )

    def _choice(self, wanted: frozenset[str] | None) -> _Choice:
        found = self._chosen.get(wanted)
        if found is None:
            found = self._choose(wanted)
            if len(self._chosen) < MAX_LAYOUT_CHOICES:
                self._chosen[wanted] = found
        return found

    def _choose(self, wanted: frozenset[str] | None) -> _Choice:
        columns = [c for c in self._columns if wanted is None or c[0] in wanted]
        defaults = {n: v for n, v in self._constants.items() if wanted is None or n in wanted}
        keys = tuple(name for name, _compute in self.keys)
        return _Choice(
            defaults,
            tuple(c for c in columns if c[0] not in defaults),
            tuple(c for c in columns if c[0] in defaults),
            keys if defaults.keys() | dict(columns).keys() >= set(keys) else None,
        )


@dataclass(frozen=True, slots=True)
class Unmade:
    """Instances of one class that are made as they are taken; or by whoever knows a shorter way.

    `wanted`: names of the properties to compute; None: all.
    """

    layout: Layout
    items: Iterable[Any]
    namespace: str
    wanted: frozenset[str] | None

    def __iter__(self) -> Iterator[Instance]:
        row = self.layout.row
        return (row(item, self.namespace, self.wanted) for item in self.items)


@dataclass(frozen=True, slots=True)
class UnmadePaths:
    """The same of their paths."""

    layout: Layout
    items: Iterable[Any]
    namespace: str

    def __iter__(self) -> Iterator[InstancePath]:
        path = self.layout.path
        return (path(item, self.namespace) for item in self.items)


@dataclass(frozen=True, slots=True)
class ReadyMade:
    """An item that is an instance already: its values by property name; others are ignored."""

    values: Mapping[str, Value]


def ready_layout(cls: ClassInfo) -> Layout:
    """The layout of ready-made items of a class."""
    return Layout(cls, {p.name: _ready_value(p.name) for p in cls.properties})


def _ready_value(name: str) -> Callable[[ReadyMade], Value]:
    return lambda item: item.values.get(name)


MAX_LAYOUT_CHOICES = 64
"""Property lists per class whose layout is remembered."""


def check_reference(
    built: InstancePath, given: InstancePath, checked: frozenset[str] | None = None
) -> None:
    """Raises NotFound naming the first key in which `given` differs from the instance that was found.

    Only the `checked` keys count (None: all).
    Class names and strings are compared ignoring case; keys that `given` has too many are ignored.
    """
    if built.classname.lower() != given.classname.lower():
        raise NotFound("No such instance (CreationClassName)")
    for name, value in built.keys:
        if checked is not None and name not in checked:
            continue
        other = given.get(name)
        same = (
            value.lower() == other.lower()
            if isinstance(value, str) and isinstance(other, str)
            else value == other
        )
        if not same:
            raise NotFound(f"No such instance ({name})")
