# SPDX-License-Identifier: LGPL-2.1-or-later
"""The DMTF classes that the providers' classes derive from and refer to, compiled ahead.

`mof/base/` declares them and is what to read and change; `base_schema.json` is its compiled form,
so that a start needs neither a MOF compiler nor the time one takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libvirtcim.cim.declare import INTEROP, VIRT
from libvirtcim.cim.schema import (
    LocalClass,
    MethodInfo,
    ParameterInfo,
    PropertyInfo,
    QualifierType,
)

if TYPE_CHECKING:
    from pywbem import CIMClass, CIMQualifierDeclaration

TABLE = "base_schema.json"
INDEX = "cim_schema.mof"
"""File of `mof/base/` that includes all others."""

HELD: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "CIM_ElementCapabilities",
            "CIM_ElementConformsToProfile",
            "CIM_FilterCollectionSubscription",
            "CIM_IndicationFilter",
            "CIM_IndicationHandlerCIMXML",
            "CIM_IndicationService",
            "CIM_IndicationServiceCapabilities",
            "CIM_IndicationSubscription",
            "CIM_ListenerDestinationCIMXML",
            "CIM_Namespace",
            "CIM_NamespaceInManager",
            "CIM_ObjectManager",
            "CIM_ReferencedProfile",
            "CIM_RegisteredProfile",
            "CIM_ServiceAffectsElement",
            "CIM_WBEMServer",
            "CIM_WBEMServerNamespace",
        ),
        (INTEROP,),
    ),
    **dict.fromkeys(("CIM_ConcreteJob", "CIM_StorageVolume"), (VIRT,)),
    "CIM_Error": (VIRT, INTEROP),
}
"""Classes that a namespace holds for their own sake. All others come into a namespace with the
providers' classes that derive from them."""


def load() -> tuple[list[LocalClass], list[QualifierType]]:
    """All base classes, each after those it needs, and all qualifier declarations."""
    return loads(Path(__file__).with_name(TABLE).read_text(encoding="utf-8"))


def loads(text: str) -> tuple[list[LocalClass], list[QualifierType]]:
    """Reads what `dumps` wrote."""
    table = json.loads(text)
    return (
        [_class_from(row) for row in table["classes"]],
        [QualifierType(**{**row, "scopes": tuple(row["scopes"])}) for row in table["qualifiers"]],
    )


def dumps(classes: Iterable[LocalClass], types: Iterable[QualifierType]) -> str:
    """The compiled form: JSON, a line per class, without what equals its field's default."""
    parts = ['{"qualifiers": [\n', ",\n".join(json.dumps(_row(q)) for q in types)]
    parts += ['\n], "classes": [\n', ",\n".join(json.dumps(_row(c)) for c in classes), "\n]}\n"]
    return "".join(parts)


def compile_base(mof_dir: Path) -> str:
    """Text of `base_schema.json` for the MOF in `mof_dir`; needs pywbem.

    Raises pywbem.MOFCompileError.
    """
    return dumps(*compile_mof(mof_dir))


def compile_mof(mof_dir: Path) -> tuple[list[LocalClass], list[QualifierType]]:
    """Compiles `mof_dir` strictly; needs pywbem. Raises pywbem.MOFCompileError."""
    from pywbem import MOFCompiler, MOFWBEMConnection

    repository = MOFWBEMConnection()
    compiler = MOFCompiler(repository, search_paths=[str(mof_dir)], log_func=None)
    compiler.compile_file(str(mof_dir / INDEX), VIRT)
    return (
        in_order(map(from_pywbem, repository.classes[VIRT].values())),
        sorted(map(type_from_pywbem, repository.qualifiers[VIRT].values()), key=lambda q: q.name),
    )


def in_order(classes: Iterable[LocalClass]) -> list[LocalClass]:
    """Every class after those of the classes that it derives from, refers to or embeds.

    Compilers that don't search for classes can take them in this order. Where references run in a
    circle, only superclasses are sure to come first.
    """
    by_name = {c.name: c for c in sorted(classes, key=lambda c: c.name)}
    names = ordered(
        {name: needed_by(c) & by_name.keys() for name, c in by_name.items()},
        {name: {c.superclass} & by_name.keys() for name, c in by_name.items()},
    )
    return [by_name[name] for name in names]


def needed_by(cls: LocalClass) -> set[str]:
    """Names of the classes that a class derives from, refers to or embeds, itself excepted."""
    items: list[PropertyInfo | ParameterInfo] = [*cls.properties]
    items += [parameter for method in cls.methods for parameter in method.parameters]
    named = {cls.superclass, *(name for i in items for name in (i.reference_class, i.embedded))}
    return {name for name in named if name} - {cls.name}


def ordered(wanted: Mapping[str, set[str]], necessary: Mapping[str, set[Any]]) -> list[str]:
    """The names, each after those that it wants, or (if these run in a circle) after the necessary.

    Raises graphlib.CycleError where the necessary run in a circle too.
    """
    try:
        return list(TopologicalSorter(_stable(wanted)).static_order())
    except CycleError:
        return list(TopologicalSorter(_stable(necessary)).static_order())


def _stable(graph: Mapping[str, set[Any]]) -> dict[str, list[Any]]:
    """The graph with an order of its own: that of a set of texts changes from run to run."""
    return {name: sorted(graph[name]) for name in sorted(graph)}


def from_pywbem(cls: CIMClass) -> LocalClass:
    """What a class compiled by pywbem declares itself."""
    own = cls.classname
    return LocalClass(
        own,
        cls.superclass,
        tuple(_property(p) for p in cls.properties.values() if p.class_origin == own),
        tuple(_method(m) for m in cls.methods.values() if m.class_origin == own),
        _qualifiers(cls.qualifiers),
        HELD.get(own, ()),
    )


def type_from_pywbem(declared: CIMQualifierDeclaration) -> QualifierType:
    """A qualifier declaration compiled by pywbem."""
    return QualifierType(
        declared.name,
        declared.type,
        bool(declared.is_array),
        _plain(declared.value),
        tuple(scope for scope, applies in declared.scopes.items() if applies),
        declared.overridable is not False,
        declared.tosubclass is not False,
        bool(declared.translatable),
    )


_FIELDS = frozenset(("Key", "EmbeddedInstance", "EmbeddedObject", "In", "Out"))
"""Qualifiers that have fields of their own."""


def _property(prop: Any) -> PropertyInfo:
    return PropertyInfo(
        prop.name,
        prop.type,
        bool(prop.is_array),
        bool(_flag(prop, "Key", False)),
        prop.reference_class,
        _embedded(prop),
        _plain(prop.value),
        prop.array_size,
        _qualifiers(prop.qualifiers),
    )


def _parameter(parameter: Any) -> ParameterInfo:
    qualifiers = _qualifiers(parameter.qualifiers)
    return ParameterInfo(
        parameter.name,
        parameter.type,
        bool(parameter.is_array),
        _flag(parameter, "In", True),
        _flag(parameter, "Out", False),
        bool(qualifiers.pop("Required", False)),
        parameter.reference_class,
        _embedded(parameter),
        qualifiers,
    )


def _method(method: Any) -> MethodInfo:
    return MethodInfo(
        method.name,
        method.return_type,
        tuple(map(_parameter, method.parameters.values())),
        _qualifiers(method.qualifiers),
    )


def _flag(item: Any, name: str, default: bool) -> bool:
    qualifier = item.qualifiers.get(name)
    return default if qualifier is None else bool(qualifier.value)


def _embedded(item: Any) -> str | None:
    if _flag(item, "EmbeddedObject", False):
        return ""
    qualifier = item.qualifiers.get("EmbeddedInstance")
    return qualifier.value if qualifier is not None else None


def _qualifiers(qualifiers: Mapping[str, Any]) -> dict[str, Any]:
    return {q.name: _plain(q.value) for q in qualifiers.values() if q.name not in _FIELDS}


def _plain(value: Any) -> Any:
    """A pywbem value as JSON has it."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def _row(item: Any) -> Any:
    if isinstance(item, tuple):
        return [_row(part) for part in item]
    if not hasattr(item, "__dataclass_fields__"):
        return item
    row = {}
    for field in fields(item):
        value = getattr(item, field.name)
        default = field.default_factory() if callable(field.default_factory) else field.default
        if default is MISSING or value != default or field.name == "scopes":
            row[field.name] = _row(value)
    return row


def _class_from(row: dict[str, Any]) -> LocalClass:
    row["properties"] = tuple([PropertyInfo(**p) for p in row.get("properties", ())])
    row["methods"] = tuple([_method_from(m) for m in row.get("methods", ())])
    row["namespaces"] = tuple(row.get("namespaces", ()))
    return LocalClass(**row)


def _method_from(row: dict[str, Any]) -> MethodInfo:
    row["parameters"] = tuple([ParameterInfo(**p) for p in row.get("parameters", ())])
    return MethodInfo(**row)
