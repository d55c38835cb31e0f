# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes class and qualifier declarations as CIM-XML (DSP0201 5.2.5.4 ff., 5.2.6)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from libvirtcim.cim.schema import (
    ClassInfo,
    MethodInfo,
    ParameterInfo,
    PropertyInfo,
    Qualifiers,
    QualifierType,
    Schema,
)
from libvirtcim.server.text import SCALARS, escape, escape_attribute
from libvirtcim.server.writer import Writer, value_tags

_SCOPES = ("CLASS", "ASSOCIATION", "REFERENCE", "PROPERTY", "METHOD", "PARAMETER", "INDICATION")


@dataclass(frozen=True, slots=True)
class ClassChoice:
    """Which parts of a class are shown (DSP0200 5.4.2.1)."""

    local_only: bool = True
    qualifiers: bool = True
    origin: bool = False
    properties: Collection[str] | None = None


class ClassWriter:
    """Writes declarations of one schema in the dialect of `writer`."""

    def __init__(self, schema: Schema, writer: Writer) -> None:
        self._schema = schema
        self._writer = writer

    def cls(self, cls: ClassInfo, choice: ClassChoice) -> str:
        """CLASS."""
        names = None if choice.properties is None else {n.lower() for n in choice.properties}
        own = {p.name.lower() for p in cls.local.properties}
        own_methods = {m.name.lower() for m in cls.local.methods}
        superclass = f' SUPERCLASS="{cls.superclass}"' if cls.superclass else ""
        parts = [f'<CLASS NAME="{cls.name}"{superclass}>', self._qualifiers(cls.qualifiers, choice)]
        for prop in cls.properties:
            lowered = prop.name.lower()
            if choice.local_only and lowered not in own:
                continue
            if names is None or lowered in names:
                parts.append(self._property(prop, lowered not in own, choice))
        for method in cls.methods:
            inherited = method.name.lower() not in own_methods
            if not (choice.local_only and inherited):
                parts.append(self._method(method, inherited, choice))
        parts.append("</CLASS>")
        return "".join(parts)

    def class_with_path(self, namespace: str, cls: ClassInfo, choice: ClassChoice) -> str:
        """VALUE.OBJECTWITHPATH of a class, for Associators and References on classes."""
        return (
            f"<VALUE.OBJECTWITHPATH>{self._writer.class_path(namespace, cls.name)}"
            f"{self.cls(cls, choice)}</VALUE.OBJECTWITHPATH>"
        )

    def _property(self, prop: PropertyInfo, inherited: bool, choice: ClassChoice) -> str:
        size = f' ARRAYSIZE="{prop.array_size}"' if prop.array and prop.array_size else ""
        extra = f'{size} PROPAGATED="{_flag(inherited)}"'
        opening, closing = self._writer.property_tags(prop, choice.origin, extra)
        qualifiers = self._qualifiers(
            {**_key(prop), **_embedded(prop.embedded), **prop.qualifiers}, choice
        )
        default = self._writer.value(prop, prop.default)
        return f"{opening}{qualifiers}{default}{closing}"

    def _method(self, method: MethodInfo, inherited: bool, choice: ClassChoice) -> str:
        origin = f' CLASSORIGIN="{method.origin}"' if choice.origin else ""
        parameters = "".join(self._parameter(p, choice) for p in method.parameters)
        return (
            f'<METHOD NAME="{method.name}" TYPE="{method.type}"{origin}'
            f' PROPAGATED="{_flag(inherited)}">'
            f"{self._qualifiers(method.qualifiers, choice)}{parameters}</METHOD>"
        )

    def _parameter(self, parameter: ParameterInfo, choice: ClassChoice) -> str:
        attributes = f' NAME="{parameter.name}"'
        if parameter.type == "reference":
            tag = "PARAMETER.REFARRAY" if parameter.array else "PARAMETER.REFERENCE"
            if parameter.reference_class:
                attributes += f' REFERENCECLASS="{parameter.reference_class}"'
        else:
            tag = "PARAMETER.ARRAY" if parameter.array else "PARAMETER"
            # No EmbeddedObject attribute: DSP0201 has none here, and clients refuse it.
            attributes += f' TYPE="{parameter.type}"'
        direction: dict[str, Any] = {"In": parameter.is_in}
        if parameter.is_out:
            direction["Out"] = True
        if parameter.required:
            direction["Required"] = True
        qualifiers = _merged({**direction, **_embedded(parameter.embedded)}, parameter.qualifiers)
        return f"<{tag}{attributes}>{self._qualifiers(qualifiers, choice)}</{tag}>"

    def _qualifiers(self, qualifiers: Qualifiers, choice: ClassChoice) -> str:
        if not choice.qualifiers:
            return ""
        return "".join(self._qualifier(name, value) for name, value in qualifiers.items())

    def _qualifier(self, name: str, value: Any) -> str:
        declared = self._schema.qualifier_type(name) or _guessed(name, value)
        return (
            f'<QUALIFIER NAME="{escape_attribute(name)}" TYPE="{declared.type}"'
            f"{_flavors(declared)}>{_qualifier_value(declared, value)}</QUALIFIER>"
        )

    def qualifier_declaration(self, declared: QualifierType) -> str:
        """QUALIFIER.DECLARATION."""
        array = ' ISARRAY="true"' if declared.array else ""
        scopes = {scope.upper() for scope in declared.scopes}
        shown = "".join(
            f' {scope}="true"' for scope in _SCOPES if scope in scopes or "ANY" in scopes
        )
        return (
            f'<QUALIFIER.DECLARATION NAME="{declared.name}" TYPE="{declared.type}"{array}'
            f"{_flavors(declared)}><SCOPE{shown}></SCOPE>"
            f"{_qualifier_value(declared, declared.default)}</QUALIFIER.DECLARATION>"
        )


def qualifier_declarations(writer: ClassWriter, schema: Schema) -> Iterator[str]:
    """Every QUALIFIER.DECLARATION of the schema."""
    return (writer.qualifier_declaration(declared) for declared in schema.qualifier_types)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _key(prop: PropertyInfo) -> Qualifiers:
    return {"Key": True} if prop.key else {}


def _embedded(embedded: str | None) -> Qualifiers:
    if embedded is None:
        return {}
    return {"EmbeddedInstance": embedded} if embedded else {"EmbeddedObject": True}


def _merged(fields: Mapping[str, Any], qualifiers: Qualifiers) -> Qualifiers:
    stated = {name.lower() for name in qualifiers}
    return {**{n: v for n, v in fields.items() if n.lower() not in stated}, **qualifiers}


def _flavors(declared: QualifierType) -> str:
    """Only what deviates from the defaults of DSP0201 (5.1.1, %QualifierFlavor)."""
    return (
        ("" if declared.overridable else ' OVERRIDABLE="false"')
        + ("" if declared.tosubclass else ' TOSUBCLASS="false"')
        + (' TRANSLATABLE="true"' if declared.translatable else "")
    )


def _guessed(name: str, value: Any) -> QualifierType:
    """The declaration that a qualifier without one seems to follow."""
    sample = value[0] if isinstance(value, (list, tuple)) and value else value
    kind = (
        "boolean"
        if isinstance(sample, bool)
        else "sint64"
        if isinstance(sample, int)
        else "real64"
        if isinstance(sample, float)
        else "string"
    )
    return QualifierType(name, kind, isinstance(value, (list, tuple)))


def _qualifier_value(declared: QualifierType, value: Any) -> str:
    if value is None:
        return ""
    write = SCALARS[declared.type]

    def render(one: Any) -> str:
        # Compiled schemas are not always exact about literals (a number for a string's value).
        try:
            return write(one)
        except TypeError:
            return escape(str(one))

    if declared.array:
        listed = value if isinstance(value, (list, tuple)) else (value,)
        elements = "".join(
            "<VALUE.NULL/>" if v is None else f"<VALUE>{render(v)}</VALUE>" for v in listed
        )
        return f"<VALUE.ARRAY>{elements}</VALUE.ARRAY>"
    before, after = value_tags(declared.type, False)
    return f"{before}{render(value)}{after}"
