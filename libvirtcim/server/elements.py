# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads the elements below a method call: values, names, paths, instances (DSP0201 5.2).

Values stay text: their types are those of the class declaration, which the broker knows.
Attributes that are not needed are passed over, since clients differ in what they add.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lxml import etree

from libvirtcim.cim.objects import Given, GivenInstance, InstancePath, KeyValue
from libvirtcim.server.messages import (
    Argument,
    ClassName,
    GivenKey,
    NamedInstance,
    Unread,
    not_valid,
)

Element = etree._Element


def attribute(element: Element, name: str) -> str:
    """A required attribute."""
    value = element.get(name)
    if value is None:
        raise not_valid(f"{element.tag} has no {name}")
    return value


def children(element: Element) -> list[Element]:
    """The child elements; text between them must be white space."""
    found = list(element)
    for text in (element.text, *(child.tail for child in found)):
        if text and not text.isspace():
            raise not_valid(f"{element.tag} holds text")
    return found


def only_child(element: Element) -> Element:
    """The one child element."""
    found = children(element)
    if len(found) != 1:
        raise not_valid(f"{element.tag} must hold one element, not {len(found)}")
    return found[0]


def text(element: Element) -> str:
    """The text of an element that may hold nothing else."""
    if len(element):
        raise not_valid(f"{element.tag} holds elements")
    return element.text or ""


def _unexpected(element: Element, parent: Element) -> Exception:
    return not_valid(f"{element.tag} is not expected in {parent.tag}")


# --- names and paths -------------------------------------------------------------------------


def local_namespace(element: Element) -> str:
    """LOCALNAMESPACEPATH, as `root/virt`."""
    if element.tag != "LOCALNAMESPACEPATH":
        raise not_valid(f"LOCALNAMESPACEPATH expected, not {element.tag}")
    parts = children(element)
    if not parts or any(part.tag != "NAMESPACE" for part in parts):
        raise not_valid("LOCALNAMESPACEPATH must hold NAMESPACE elements")
    return "/".join(attribute(part, "NAME") for part in parts)


def _namespace_path(element: Element) -> str:
    """NAMESPACEPATH without its HOST: clients put their own idea of the host there."""
    parts = children(element)
    if [part.tag for part in parts] != ["HOST", "LOCALNAMESPACEPATH"]:
        raise not_valid("NAMESPACEPATH must hold HOST and LOCALNAMESPACEPATH")
    return local_namespace(parts[1])


def instance_name(element: Element, namespace: str | None = None) -> InstancePath:
    """INSTANCENAME; key values stay text whatever their VALUETYPE says."""
    keys: list[GivenKey] = []
    for child in children(element):
        if child.tag == "KEYBINDING":
            keys.append((attribute(child, "NAME"), _key_value(only_child(child))))
        elif child.tag in ("KEYVALUE", "VALUE.REFERENCE"):
            keys.append(("", _key_value(child)))
        else:
            raise _unexpected(child, element)
    return InstancePath(attribute(element, "CLASSNAME"), tuple(keys), namespace)


def _key_value(element: Element) -> KeyValue:
    if element.tag == "KEYVALUE":
        return text(element)
    if element.tag == "VALUE.REFERENCE":
        return reference(element)
    raise not_valid(f"{element.tag} is no key value")


def _local_instance_path(element: Element) -> InstancePath:
    namespace, name = _pair(element, "INSTANCENAME")
    return instance_name(name, local_namespace(namespace))


def _instance_path(element: Element) -> InstancePath:
    namespace, name = _pair(element, "INSTANCENAME")
    return instance_name(name, _namespace_path(namespace))


def _class_name(element: Element, namespace: str | None = None) -> InstancePath:
    return InstancePath(attribute(element, "NAME"), (), namespace)


def _local_class_path(element: Element) -> InstancePath:
    namespace, name = _pair(element, "CLASSNAME")
    return _class_name(name, local_namespace(namespace))


def _class_path(element: Element) -> InstancePath:
    namespace, name = _pair(element, "CLASSNAME")
    return _class_name(name, _namespace_path(namespace))


def _pair(element: Element, second: str) -> tuple[Element, Element]:
    parts = children(element)
    if len(parts) != 2 or parts[1].tag != second:
        raise not_valid(f"{element.tag} must hold a namespace and {second}")
    return parts[0], parts[1]


_PATHS: Mapping[str, Callable[[Element], InstancePath]] = {
    "INSTANCENAME": instance_name,
    "LOCALINSTANCEPATH": _local_instance_path,
    "INSTANCEPATH": _instance_path,
    "CLASSNAME": _class_name,
    "LOCALCLASSPATH": _local_class_path,
    "CLASSPATH": _class_path,
}


def path(element: Element) -> InstancePath:
    """Any of the six elements that name an instance or a class (the latter: no keys)."""
    read = _PATHS.get(element.tag)
    if read is None:
        raise not_valid(f"{element.tag} is no object path")
    return read(element)


def reference(element: Element) -> InstancePath:
    """VALUE.REFERENCE."""
    return path(only_child(element))


# --- values ----------------------------------------------------------------------------------


def value_array(element: Element) -> list[str | None]:
    """VALUE.ARRAY."""
    found: list[str | None] = []
    for child in children(element):
        if child.tag == "VALUE":
            found.append(text(child))
        elif child.tag == "VALUE.NULL":
            found.append(None)
        else:
            raise _unexpected(child, element)
    return found


def reference_array(element: Element) -> list[InstancePath | None]:
    """VALUE.REFARRAY."""
    found: list[InstancePath | None] = []
    for child in children(element):
        if child.tag == "VALUE.REFERENCE":
            found.append(reference(child))
        elif child.tag == "VALUE.NULL":
            found.append(None)
        else:
            raise _unexpected(child, element)
    return found


_VALUES: Mapping[str, Callable[[Element], Any]] = {
    "VALUE": text,
    "VALUE.ARRAY": value_array,
    "VALUE.REFERENCE": reference,
    "VALUE.REFARRAY": reference_array,
}


def _value_of(parent: Element, allowed: Iterable[str], skipped: str = "") -> Any:
    """The value among the children; None where there is none, which is NULL."""
    found = [child for child in children(parent) if child.tag != skipped]
    if not found:
        return None
    if len(found) > 1 or found[0].tag not in allowed:
        raise _unexpected(found[-1], parent)
    return _VALUES[found[0].tag](found[0])


_PROPERTIES: Mapping[str, tuple[str, ...]] = {
    "PROPERTY": ("VALUE",),
    "PROPERTY.ARRAY": ("VALUE.ARRAY",),
    "PROPERTY.REFERENCE": ("VALUE.REFERENCE",),
}


def instance(element: Element) -> GivenInstance:
    """INSTANCE; qualifiers on it and on its properties are passed over (DSP0200 5.4.2.6)."""
    values: dict[str, Given] = {}
    seen: set[str] = set()
    for child in children(element):
        if child.tag == "QUALIFIER":
            continue
        allowed = _PROPERTIES.get(child.tag)
        if allowed is None:
            raise _unexpected(child, element)
        name = attribute(child, "NAME")
        if name.lower() in seen:
            raise not_valid(f"property {name} is given twice")
        seen.add(name.lower())
        stated = "reference" if child.tag == "PROPERTY.REFERENCE" else child.get("TYPE")
        values[name] = Given(_value_of(child, allowed, "QUALIFIER"), stated)
    return GivenInstance(attribute(element, "CLASSNAME"), values)


def named_instance(element: Element) -> NamedInstance:
    """VALUE.NAMEDINSTANCE."""
    parts = children(element)
    if [part.tag for part in parts] != ["INSTANCENAME", "INSTANCE"]:
        raise not_valid("VALUE.NAMEDINSTANCE must hold INSTANCENAME and INSTANCE")
    return NamedInstance(instance_name(parts[0]), instance(parts[1]))


def _argument_class(element: Element) -> ClassName:
    return ClassName(attribute(element, "NAME"))


_ARGUMENTS: Mapping[str, Callable[[Element], Argument]] = {
    **_VALUES,
    "INSTANCENAME": instance_name,
    "CLASSNAME": _argument_class,
    "INSTANCE": instance,
    "VALUE.NAMEDINSTANCE": named_instance,
    "CLASS": lambda element: Unread(element.tag),
    "QUALIFIER.DECLARATION": lambda element: Unread(element.tag),
}


def intrinsic_argument(element: Element) -> tuple[str, Argument]:
    """IPARAMVALUE: its name and what it holds."""
    if element.tag != "IPARAMVALUE":
        raise not_valid(f"IPARAMVALUE expected, not {element.tag}")
    name = attribute(element, "NAME")
    found = children(element)
    if not found:
        return name, None
    read = _ARGUMENTS.get(found[0].tag)
    if len(found) > 1 or read is None:
        raise _unexpected(found[-1], element)
    return name, read(found[0])


def method_argument(element: Element) -> tuple[str, Given]:
    """PARAMVALUE: its name, the type it states (if any) and its value."""
    if element.tag != "PARAMVALUE":
        raise not_valid(f"PARAMVALUE expected, not {element.tag}")
    value = _value_of(element, _VALUES)
    return attribute(element, "NAME"), Given(value, element.get("PARAMTYPE"))
