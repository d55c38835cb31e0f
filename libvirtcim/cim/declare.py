# SPDX-License-Identifier: LGPL-2.1-or-later
"""The vocabulary in which provider modules declare their classes: once, for everything.

A `ClassDecl` stands for one class per hypervisor family (prefix). From it follow the schema entry
(`expand`), MOF, registration, dispatch and the class reference. In superclass and reference names
`{P}` stands for the family's prefix.

::

    ClassDecl("LogicalDisk", "CIM_LogicalDisk", "A disk of a guest.", prefixes=ALL)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from libvirtcim.cim.schema import LocalClass, MethodInfo, ParameterInfo, PropertyInfo

VIRT = "root/virt"
INTEROP = "root/interop"
PG_INTEROP = "root/PG_InterOp"
INTEROP_NAMES = (INTEROP, PG_INTEROP, "interop")
"""What CIM servers call the interop namespace; ours comes first."""
CIMV2 = "root/cimv2"

ProviderType = Literal["instance", "association", "indication", "method"]


@dataclass(frozen=True, slots=True)
class Property:
    """A property that a class adds to, or overrides in, its superclass."""

    name: str
    type: str
    description: str
    array: bool = False
    values: Mapping[str, str] = field(default_factory=dict)
    """Value map: number or text → meaning, in order."""
    reference_class: str | None = None
    embedded: str | None = None
    default: Any = None
    override: bool = False
    key: bool = False
    qualifiers: Mapping[str, Any] = field(default_factory=dict)
    prefixes: tuple[str, ...] | None = None
    """Families whose class has the property; None: all that have the class."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a declared method."""

    name: str
    type: str
    description: str
    array: bool = False
    out: bool = False
    required: bool = False
    reference_class: str | None = None
    embedded: str | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """A method that a class adds to its superclass."""

    name: str
    type: str
    description: str
    parameters: tuple[Parameter, ...] = ()
    prefixes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """How a CIMOM is told about the class: one row per namespace."""

    provider: str
    """Provider name (for all classes one library serves them)."""
    types: tuple[ProviderType, ...]
    namespaces: tuple[str, ...] = (VIRT,)


@dataclass(frozen=True, slots=True)
class ClassDecl:
    """One class of the model, for every family in `prefixes`."""

    base: str
    """Name after the prefix and underscore, e.g. "LogicalDisk"."""
    superclass: str
    description: str
    prefixes: tuple[str, ...]
    properties: tuple[Property, ...] = ()
    methods: tuple[Method, ...] = ()
    qualifiers: Mapping[str, Any] = field(default_factory=dict)
    namespaces: tuple[str, ...] = (VIRT,)
    """Namespaces whose schema holds the class."""
    registration: Registration | None = None
    """None: the class has no provider of its own (a superclass, an embedded-only class)."""

    def class_name(self, prefix: str) -> str:
        """`<prefix>_<base>`."""
        return f"{prefix}_{self.base}"

    def with_family(self, prefix: str, model: str) -> ClassDecl:
        """The same for one family more, if its model has the class, with all that the model has of it."""
        if model not in self.prefixes:
            return self
        return replace(
            self,
            prefixes=(*self.prefixes, prefix),
            properties=tuple(_also_of(p, prefix, model) for p in self.properties),
            methods=tuple(_also_of(m, prefix, model) for m in self.methods),
        )

    def expand(self, prefix: str) -> LocalClass:
        """The class of one family, as the schema wants it."""
        return LocalClass(
            name=self.class_name(prefix),
            superclass=self.superclass.format(P=prefix),
            properties=tuple(
                _property(p, prefix) for p in self.properties if _has(p.prefixes, prefix)
            ),
            methods=tuple(_method(m, prefix) for m in self.methods if _has(m.prefixes, prefix)),
            qualifiers={"Description": self.description, **self.qualifiers},
            namespaces=self.namespaces,
        )


def expand_all(declarations: Iterable[ClassDecl]) -> list[LocalClass]:
    """Every class of every family."""
    return [decl.expand(prefix) for decl in declarations for prefix in decl.prefixes]


def _also_of(limited: Any, prefix: str, model: str) -> Any:
    """A property or method that the model has, for one family more."""
    if limited.prefixes is None or model not in limited.prefixes:
        return limited
    return replace(limited, prefixes=(*limited.prefixes, prefix))


def _has(prefixes: tuple[str, ...] | None, prefix: str) -> bool:
    return prefixes is None or prefix in prefixes


def _named(name: str | None, prefix: str) -> str | None:
    return name.format(P=prefix) if name is not None else None


def _property(prop: Property, prefix: str) -> PropertyInfo:
    qualifiers: dict[str, Any] = {"Description": prop.description}
    if prop.values:
        qualifiers["ValueMap"] = list(prop.values)
        qualifiers["Values"] = list(prop.values.values())
    if prop.override:
        qualifiers["Override"] = prop.name
    qualifiers.update(prop.qualifiers)
    return PropertyInfo(
        prop.name,
        prop.type,
        prop.array,
        prop.key,
        _named(prop.reference_class, prefix),
        _named(prop.embedded, prefix),
        prop.default,
        None,
        qualifiers,
    )


def _parameter(parameter: Parameter, prefix: str) -> ParameterInfo:
    return ParameterInfo(
        parameter.name,
        parameter.type,
        parameter.array,
        not parameter.out,
        parameter.out,
        parameter.required,
        _named(parameter.reference_class, prefix),
        _named(parameter.embedded, prefix),
        {"Description": parameter.description},
    )


def _method(method: Method, prefix: str) -> MethodInfo:
    return MethodInfo(
        method.name,
        method.type,
        tuple(_parameter(p, prefix) for p in method.parameters),
        {"Description": method.description},
    )
