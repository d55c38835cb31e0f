# SPDX-License-Identifier: LGPL-2.1-or-later
"""Classes as declared (`Local…`) and as they are after inheritance (`…Info`), and their table.

The table is filled from the compiled base schema and from the providers' declarations
(`declare.ClassDecl`); both come as `LocalClass`, what one class itself declares. Inheritance is
resolved on first use of a class, so that start-up costs nothing for classes nobody asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from libvirtcim.cim.errors import InvalidClass, InvalidNamespace

INTEGER_RANGES: dict[str, tuple[int, int]] = {
    **{f"uint{n}": (0, 2**n - 1) for n in (8, 16, 32, 64)},
    **{f"sint{n}": (-(2 ** (n - 1)), 2 ** (n - 1) - 1) for n in (8, 16, 32, 64)},
}
Qualifiers = Mapping[str, Any]
"""Qualifier name → value (None: NULL). Type and flavors are those of the qualifier's declaration."""


@dataclass(frozen=True, slots=True)
class QualifierType:
    """A qualifier declaration (DSP0004 section 5.6)."""

    name: str
    type: str
    array: bool = False
    default: Any = None
    scopes: tuple[str, ...] = ("ANY",)
    """CLASS, ASSOCIATION, INDICATION, PROPERTY, REFERENCE, METHOD, PARAMETER or ANY."""
    overridable: bool = True
    tosubclass: bool = True
    translatable: bool = False


@dataclass(frozen=True, slots=True)
class PropertyInfo:
    """One property: as declared, and in `ClassInfo` with inherited qualifiers merged in."""

    name: str
    type: str
    array: bool = False
    key: bool = False
    reference_class: str | None = None
    embedded: str | None = None
    """Class name of an EmbeddedInstance, "" for an EmbeddedObject, None for neither."""
    default: Any = None
    array_size: int | None = None
    qualifiers: Qualifiers = field(default_factory=dict)
    """Declared here, without Key, EmbeddedInstance and EmbeddedObject: these have own fields."""
    origin: str = ""
    """Name of the class that introduced the property."""


@dataclass(frozen=True, slots=True)
class ParameterInfo:
    """One parameter of a method."""

    name: str
    type: str
    array: bool = False
    is_in: bool = True
    is_out: bool = False
    required: bool = False
    reference_class: str | None = None
    embedded: str | None = None
    qualifiers: Qualifiers = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """One extrinsic method with its typed parameters."""

    name: str
    type: str
    parameters: tuple[ParameterInfo, ...] = ()
    qualifiers: Qualifiers = field(default_factory=dict)
    origin: str = ""


@dataclass(frozen=True, slots=True)
class LocalClass:
    """What one class itself declares."""

    name: str
    superclass: str | None = None
    properties: tuple[PropertyInfo, ...] = ()
    methods: tuple[MethodInfo, ...] = ()
    qualifiers: Qualifiers = field(default_factory=dict)
    """Qualifiers declared on the class, Association, Indication and Abstract among them."""
    namespaces: tuple[str, ...] = ()
    """Namespaces that hold the class, and with it its superclasses and the classes it refers to."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassInfo:
    """A class after inheritance; properties in class order, superclass first."""

    name: str
    superclass: str | None
    properties: tuple[PropertyInfo, ...]
    methods: tuple[MethodInfo, ...]
    qualifiers: Qualifiers
    local: LocalClass
    lineage: tuple[str, ...]
    """Lower-case names of the class itself and all its superclasses, nearest first."""
    by_name: Mapping[str, PropertyInfo]
    """Lower-case property name → property."""
    keys: tuple[PropertyInfo, ...]

    @property
    def is_association(self) -> bool:
        """Whether the class or a superclass carries the Association qualifier."""
        return bool(self.qualifiers.get("Association"))

    @property
    def is_indication(self) -> bool:
        """Whether the class or a superclass carries the Indication qualifier."""
        return bool(self.qualifiers.get("Indication"))

    def is_a(self, name: str) -> bool:
        """Whether the class is `name` or derives from it (names compared ignoring case)."""
        return name.lower() in self.lineage

    def method(self, name: str) -> MethodInfo | None:
        """The method of that name, compared with case."""
        return next((m for m in self.methods if m.name == name), None)


class Schema:
    """All classes and qualifier types that a front end can be asked about, by namespace.

    `aliases`: names under which clients may ask for a namespace besides its own → that namespace.
    """

    def __init__(
        self,
        classes: Iterable[LocalClass],
        qualifier_types: Iterable[QualifierType],
        namespaces: Iterable[str],
        aliases: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._local = {c.name.lower(): c for c in classes}
        self._resolved: dict[str, ClassInfo] = {}
        self._qualifier_types = {q.name.lower(): q for q in qualifier_types}
        self.namespaces: tuple[str, ...] = tuple(namespaces)
        self._declared = {n: n for n in self.namespaces} | dict(aliases)
        self._spelled = {n.lower(): n for n in self._declared}
        self._children: dict[str | None, list[str]] = {}
        for local in self._local.values():
            parent = local.superclass.lower() if local.superclass else None
            self._children.setdefault(parent, []).append(local.name)
        self._members: dict[str, set[str]] = {n.lower(): set() for n in self.namespaces}
        for local in self._local.values():
            for namespace in local.namespaces:
                self._admit(namespace.lower(), local.name.lower())
        for alias, namespace in aliases.items():
            self._members[alias.lower()] = self._members[namespace.lower()]

    def _admit(self, namespace: str, name: str) -> None:
        """Holds the class in the namespace, with all classes that its declaration leads to."""
        members = self._members[namespace]
        pending = [name]
        while pending:
            lowered = pending.pop().lower()
            local = self._local.get(lowered)
            if local is None or lowered in members:
                continue
            members.add(lowered)
            pending.extend(_leads_to(local))

    @property
    def qualifier_types(self) -> Iterable[QualifierType]:
        """Every qualifier declaration; each namespace has all of them."""
        return self._qualifier_types.values()

    def qualifier_type(self, name: str) -> QualifierType | None:
        """The declaration of a qualifier, its name in any case."""
        return self._qualifier_types.get(name.lower())

    def namespace(self, name: str) -> str:
        """The namespace as it is spelled here; raises InvalidNamespace."""
        known = self._spelled.get(name.strip("/").lower())
        if known is None:
            raise InvalidNamespace(
                f"Namespace {name!r} does not exist; this server has {', '.join(self.namespaces)}"
            )
        return known

    def declared(self, namespace: str) -> str:
        """The namespace itself, of one as it is spelled here: an alias stands for another."""
        return self._declared[namespace]

    def find(self, namespace: str, name: str) -> ClassInfo | None:
        """The class of that name (any case) in the namespace, or None."""
        lowered = name.lower()
        if lowered not in self._members[self.namespace(namespace).lower()]:
            return None
        return self._resolve(lowered)

    def get(self, namespace: str, name: str) -> ClassInfo:
        """The class of that name (any case) in the namespace; raises InvalidClass."""
        found = self.find(namespace, name)
        if found is None:
            raise InvalidClass(f"Class {name!r} does not exist in namespace {namespace}")
        return found

    def subclasses(self, namespace: str, name: str | None, *, deep: bool) -> Iterator[ClassInfo]:
        """Direct (or all, `deep`) subclasses in the namespace; of None: the top-level classes."""
        members = self._members[self.namespace(namespace).lower()]
        pending = [name.lower() if name is not None else None]
        while pending:
            for child in self._children.get(pending.pop(), ()):
                lowered = child.lower()
                if lowered in members:
                    yield self._resolve(lowered)
                    if deep:
                        pending.append(lowered)

    def family(self, namespace: str, name: str) -> Iterator[ClassInfo]:
        """The class itself, then all its subclasses in the namespace."""
        cls = self.get(namespace, name)
        yield cls
        yield from self.subclasses(namespace, cls.name, deep=True)

    def _resolve(self, lowered: str) -> ClassInfo:
        found = self._resolved.get(lowered)
        if found is None:
            local = self._local[lowered]
            parent = self._resolve(local.superclass.lower()) if local.superclass else None
            found = self._resolved[lowered] = _derive(local, parent, self._qualifier_types)
        return found


def _leads_to(local: LocalClass) -> Iterator[str]:
    """Names of the superclass and of classes referred to or embedded."""
    if local.superclass is not None:
        yield local.superclass
    parameters = [p for m in local.methods for p in m.parameters]
    items: list[PropertyInfo | ParameterInfo] = [*local.properties, *parameters]
    for item in items:
        for name in (item.reference_class, item.embedded):
            if name:
                yield name


def _inherited(
    mine: Qualifiers, parents: Qualifiers, types: Mapping[str, QualifierType]
) -> dict[str, Any]:
    merged = {
        name: value
        for name, value in parents.items()
        if (declared := types.get(name.lower())) is None or declared.tosubclass
    }
    for name, value in mine.items():
        for known in [k for k in merged if k.lower() == name.lower()]:
            del merged[known]
        merged[name] = value
    return merged


KEY_ORDER = ("systemcreationclassname", "systemname", "creationclassname")
"""Keys that come first in paths, wherever a superclass first declares them."""


def _key_rank(prop: PropertyInfo) -> int:
    name = prop.name.lower()
    return KEY_ORDER.index(name) if name in KEY_ORDER else len(KEY_ORDER)


def _derive(
    local: LocalClass, parent: ClassInfo | None, types: Mapping[str, QualifierType]
) -> ClassInfo:
    properties: dict[str, PropertyInfo] = dict(parent.by_name) if parent else {}
    for prop in local.properties:
        over = properties.get(prop.name.lower())
        properties[prop.name.lower()] = PropertyInfo(
            prop.name,
            prop.type,
            prop.array,
            prop.key or (over is not None and over.key),
            prop.reference_class,
            prop.embedded if prop.embedded is not None else (over.embedded if over else None),
            prop.default if prop.default is not None else (over.default if over else None),
            prop.array_size if prop.array_size is not None else (over.array_size if over else None),
            _inherited(prop.qualifiers, over.qualifiers, types) if over else prop.qualifiers,
            over.origin if over else local.name,
        )
    methods: dict[str, MethodInfo] = {m.name.lower(): m for m in parent.methods} if parent else {}
    for method in local.methods:
        inherited = methods.get(method.name.lower())
        methods[method.name.lower()] = MethodInfo(
            method.name,
            method.type,
            method.parameters,
            _inherited(method.qualifiers, inherited.qualifiers, types)
            if inherited
            else method.qualifiers,
            inherited.origin if inherited else local.name,
        )
    ordered = tuple(properties.values())
    return ClassInfo(
        name=local.name,
        superclass=local.superclass,
        properties=ordered,
        methods=tuple(methods.values()),
        qualifiers=_inherited(local.qualifiers, parent.qualifiers, types)
        if parent
        else dict(local.qualifiers),
        local=local,
        lineage=(local.name.lower(), *(parent.lineage if parent else ())),
        by_name=properties,
        keys=tuple(sorted((p for p in ordered if p.key), key=_key_rank)),
    )
