# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes instances, paths and values as CIM-XML (DSP0201 5.2), straight into strings.

What does not change from one instance of a class to the next (tags, names, types) is prepared once per
class and choice of properties; an instance then costs some 20 µs. Every element is written as a pair
of tags where an old client's parser wants it.

Two dialects: `STANDARD` follows DSP0201. `PLAIN` is for clients that cannot read EmbeddedObject on
arrays, NULL elements of arrays, or arrays of references (wbemcli): they are left out or simplified.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from libvirtcim.cim.objects import Instance, InstancePath, KeyValue, Value
from libvirtcim.cim.schema import ClassInfo, MethodInfo, ParameterInfo, PropertyInfo
from libvirtcim.server.text import SCALARS, boolean, escape, escape_attribute, integer, real

logger = logging.getLogger(__name__)

MAX_LAYOUTS = 2048
"""Prepared layouts (class and property list) that a writer remembers."""

Render = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the client's parser can take."""

    embedded_arrays: bool = True
    """EmbeddedObject may stand on PROPERTY.ARRAY."""
    null_elements: bool = True
    """VALUE.NULL may stand in VALUE.ARRAY; else an empty VALUE stands for it."""
    reference_arrays: bool = True
    """VALUE.REFARRAY may be an output parameter; else it is left out."""


STANDARD = Dialect()
PLAIN = Dialect(embedded_arrays=False, null_elements=False, reference_arrays=False)


class _Slot(NamedTuple):
    """One property of a layout: where it stands among the parts, and how a value is written there."""

    position: int
    head: str
    render: Render
    tail: str


class _Layout(NamedTuple):
    """An instance of a class and property list: its parts while all properties are NULL, and the slots."""

    nulls: tuple[str, ...]
    slots: dict[str, _Slot]


class Writer:
    """Writes objects in one dialect, with one host name in full paths. Safe in several threads."""

    def __init__(self, host: str, dialect: Dialect = STANDARD) -> None:
        self.dialect = dialect
        self._host = escape(host)
        self._layouts: dict[tuple[ClassInfo, frozenset[str] | None, bool], _Layout] = {}
        self._namespaces: dict[str, str] = {}
        self._inner = self if dialect == STANDARD else Writer(host)

    # --- instances ---------------------------------------------------------------------------

    def instance(self, instance: Instance, origin: bool = False) -> str:
        """INSTANCE; `origin`: with CLASSORIGIN. NULL properties are written, without a value."""
        cls, values = instance.cls, instance.values
        layout = self._layouts.get((cls, instance.selected, origin))
        if layout is None:
            layout = self._prepare(cls, instance.selected, origin)
        parts, slots = list(layout.nulls), layout.slots
        name, value = "", None
        try:
            for name, value in values.items():
                slot = slots.get(name)
                if value is not None and slot is not None:
                    position, head, render, tail = slot
                    parts[position] = f"{head}{render(value)}{tail}"
        except (TypeError, AttributeError, ValueError) as error:
            raise TypeError(f"{cls.name}.{name} = {value!r:.200}: {error}") from error
        return "".join(parts)

    def named_instance(self, instance: Instance, origin: bool = False) -> str:
        """VALUE.NAMEDINSTANCE, for EnumerateInstances."""
        return (
            f"<VALUE.NAMEDINSTANCE>{self.instance_name(_path(instance))}"
            f"{self.instance(instance, origin)}</VALUE.NAMEDINSTANCE>"
        )

    def object_with_path(self, instance: Instance, origin: bool = False) -> str:
        """VALUE.OBJECTWITHPATH, for Associators and References."""
        return (
            f"<VALUE.OBJECTWITHPATH>{self.instance_path(_path(instance))}"
            f"{self.instance(instance, origin)}</VALUE.OBJECTWITHPATH>"
        )

    def instance_with_path(self, instance: Instance, origin: bool = False) -> str:
        """VALUE.INSTANCEWITHPATH, for pull operations."""
        return (
            f"<VALUE.INSTANCEWITHPATH>{self.instance_path(_path(instance))}"
            f"{self.instance(instance, origin)}</VALUE.INSTANCEWITHPATH>"
        )

    def _prepare(self, cls: ClassInfo, selected: frozenset[str] | None, origin: bool) -> _Layout:
        parts, slots = [f'<INSTANCE CLASSNAME="{cls.name}">'], {}
        for prop in cls.properties:
            if selected is None or prop.name in selected:
                opening, closing = self.property_tags(prop, origin)
                before, after = value_tags(prop.type, prop.array)
                slots[prop.name] = _Slot(
                    len(parts), f"{opening}{before}", self.render(prop), f"{after}{closing}"
                )
                parts.append(f"{opening}{closing}")
        layout = _Layout((*parts, "</INSTANCE>"), slots)
        if len(self._layouts) >= MAX_LAYOUTS:
            self._layouts.clear()
        self._layouts[cls, selected, origin] = layout
        return layout

    def property_tags(self, prop: PropertyInfo, origin: bool, extra: str = "") -> tuple[str, str]:
        """Opening and closing tag of a property of an instance or (`extra`) a class."""
        attributes = f' NAME="{prop.name}"'
        if prop.type == "reference" and not prop.array:
            tag = "PROPERTY.REFERENCE"
            if prop.reference_class:
                attributes += f' REFERENCECLASS="{prop.reference_class}"'
        else:
            tag = "PROPERTY.ARRAY" if prop.array else "PROPERTY"
            attributes += f' TYPE="{prop.type}"'
        if origin:
            attributes += f' CLASSORIGIN="{prop.origin}"'
        attributes += extra
        if not prop.array or self.dialect.embedded_arrays:
            attributes += embedded_attribute(prop.embedded)
        return f"<{tag}{attributes}>", f"</{tag}>"

    # --- values ------------------------------------------------------------------------------

    def render(self, declared: PropertyInfo | ParameterInfo) -> Render:
        """The function that writes a non-NULL value of the property or parameter, without tags."""
        if declared.type == "reference":
            one: Render = self.reference
        elif declared.embedded is not None:
            one = self.embedded
        else:
            one = SCALARS[declared.type]
        if not declared.array:
            return one
        start, end = value_tags(declared.type, False)
        null = "<VALUE.NULL/>" if self.dialect.null_elements else f"{start}{end}"

        def array(values: list[Value]) -> str:
            if not isinstance(values, (list, tuple)):
                raise TypeError(f"expected an array, not {type(values).__name__}")
            return "".join(
                [null if value is None else f"{start}{one(value)}{end}" for value in values]
            )

        return array

    def value(self, declared: PropertyInfo | ParameterInfo, value: Value) -> str:
        """VALUE, VALUE.ARRAY, VALUE.REFERENCE or VALUE.REFARRAY; "" for NULL."""
        if value is None:
            return ""
        before, after = value_tags(declared.type, declared.array)
        try:
            return f"{before}{self.render(declared)(value)}{after}"
        except (TypeError, AttributeError, ValueError) as error:
            raise TypeError(f"{declared.name} = {value!r:.200}: {error}") from error

    def embedded(self, value: Instance | str) -> str:
        """An embedded instance as escaped text; text is taken to be one already."""
        # The text inside is read by the application, not by the client's parser: standard form.
        return escape(value if isinstance(value, str) else self._inner.instance(value))

    def reference(self, path: InstancePath) -> str:
        """LOCALINSTANCEPATH (or what else names the object fully) without VALUE.REFERENCE."""
        if not path.keys:
            name = f'<CLASSNAME NAME="{escape_attribute(path.classname)}"/>'
            return self._local("LOCALCLASSPATH", path.namespace, name)
        return self._local("LOCALINSTANCEPATH", path.namespace, self.instance_name(path))

    def _local(self, tag: str, namespace: str | None, name: str) -> str:
        return f"<{tag}>{local_namespace(namespace)}{name}</{tag}>" if namespace else name

    # --- paths -------------------------------------------------------------------------------

    def instance_name(self, path: InstancePath) -> str:
        """INSTANCENAME."""
        keys = "".join(
            [
                f'<KEYBINDING NAME="{name}">{self._key(value)}</KEYBINDING>'
                for name, value in path.keys
            ]
        )
        return f'<INSTANCENAME CLASSNAME="{escape_attribute(path.classname)}">{keys}</INSTANCENAME>'

    def _key(self, value: KeyValue) -> str:
        if isinstance(value, str):
            return f'<KEYVALUE VALUETYPE="string">{escape(value)}</KEYVALUE>'
        if isinstance(value, bool):
            return f'<KEYVALUE VALUETYPE="boolean">{boolean(value)}</KEYVALUE>'
        if isinstance(value, int):
            return f'<KEYVALUE VALUETYPE="numeric">{integer(value)}</KEYVALUE>'
        if isinstance(value, float):
            return f'<KEYVALUE VALUETYPE="numeric">{real(value)}</KEYVALUE>'
        if isinstance(value, InstancePath):
            return f"<VALUE.REFERENCE>{self.reference(value)}</VALUE.REFERENCE>"
        raise TypeError(f"a key cannot be a {type(value).__name__}")

    def instance_path(self, path: InstancePath) -> str:
        """INSTANCEPATH; the host is this server's unless the path has one."""
        return f"<INSTANCEPATH>{self._where(path)}{self.instance_name(path)}</INSTANCEPATH>"

    def object_path(self, path: InstancePath) -> str:
        """OBJECTPATH of an instance, for AssociatorNames and ReferenceNames."""
        return f"<OBJECTPATH>{self.instance_path(path)}</OBJECTPATH>"

    def class_path(self, namespace: str, classname: str) -> str:
        """CLASSPATH."""
        where = self._where(InstancePath(classname, (), namespace))
        return f'<CLASSPATH>{where}<CLASSNAME NAME="{classname}"/></CLASSPATH>'

    def _where(self, path: InstancePath) -> str:
        namespace = path.namespace
        if namespace is None:
            raise TypeError(f"the path {path} has no namespace")
        if path.host is not None:
            return _namespace_path(escape(path.host), namespace)
        known = self._namespaces.get(namespace)
        if known is None:
            known = _namespace_path(self._host, namespace)
            if len(self._namespaces) < MAX_LAYOUTS:
                self._namespaces[namespace] = known
        return known

    # --- method results ----------------------------------------------------------------------

    def method_result(
        self, method: MethodInfo, result: Value, outputs: Iterable[tuple[str, Value]]
    ) -> str:
        """RETURNVALUE, then a PARAMVALUE for each output that is declared and not NULL (DSP0201 5.3)."""
        parts: list[str] = []
        if result is not None:
            declared = ParameterInfo(method.name, method.type)
            parts.append(
                f'<RETURNVALUE PARAMTYPE="{method.type}">'
                f"{self.value(declared, result)}</RETURNVALUE>"
            )
        parameters = {parameter.name.lower(): parameter for parameter in method.parameters}
        for name, value in outputs:
            parameter = parameters.get(name.lower())
            if parameter is None:
                # Clients that look the output up in the class break on one that is not there.
                logger.warning("%s returned %s, which it does not declare", method.name, name)
                continue
            is_references = parameter.array and parameter.type == "reference"
            if value is None or (is_references and not self.dialect.reference_arrays):
                continue
            parts.append(
                f'<PARAMVALUE NAME="{parameter.name}" PARAMTYPE="{parameter.type}"'
                f"{embedded_attribute(parameter.embedded)}>"
                f"{self.value(parameter, value)}</PARAMVALUE>"
            )
        return "".join(parts)


def _path(instance: Instance) -> InstancePath:
    if instance.path is None:
        raise TypeError(f"an instance of {instance.cls.name} has no path")
    return instance.path


def embedded_attribute(embedded: str | None) -> str:
    """The EmbeddedObject attribute: once and in this spelling, as all clients take it."""
    if embedded is None:
        return ""
    return ' EmbeddedObject="instance"' if embedded else ' EmbeddedObject="object"'


def value_tags(cim_type: str, array: bool) -> tuple[str, str]:
    """Opening and closing tag around a value of the type."""
    if cim_type == "reference":
        tag = "VALUE.REFARRAY" if array else "VALUE.REFERENCE"
    else:
        tag = "VALUE.ARRAY" if array else "VALUE"
    return f"<{tag}>", f"</{tag}>"


def local_namespace(namespace: str) -> str:
    """LOCALNAMESPACEPATH."""
    parts = "".join(
        f'<NAMESPACE NAME="{escape_attribute(part)}"/>' for part in namespace.strip("/").split("/")
    )
    return f"<LOCALNAMESPACEPATH>{parts}</LOCALNAMESPACEPATH>"


def _namespace_path(host: str, namespace: str) -> str:
    return f"<NAMESPACEPATH><HOST>{host}</HOST>{local_namespace(namespace)}</NAMESPACEPATH>"
