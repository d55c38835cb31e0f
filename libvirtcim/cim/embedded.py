# SPDX-License-Identifier: LGPL-2.1-or-later
"""Embedded instances as text: read in both forms that clients send, written as MOF.

Text that begins with `<` is CIM-XML (an INSTANCE element, DSP0201 5.2.5); other text is one MOF
`instance of` declaration (DSP0004 Annex A). Beyond the grammar that older clients rely on
(keywords in any case, strings in either quote) escapes, adjacent strings, comments, empty and numeric
arrays, signed, real and datetime values are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lxml import etree

from libvirtcim.cim.errors import Failed
from libvirtcim.cim.objects import Given, GivenInstance, Instance, Value
from libvirtcim.cim.values import MOF_ESCAPES

MAX_EMBEDDED_TEXT = 1 << 20
"""Characters that one embedded instance may have."""
MAX_EMBEDDED_DEPTH = 8
"""How deep embedded instances may hold embedded instances."""

PARSE_ERROR = "Unable to parse embedded object"


def read(text: str, depth: int = 0) -> GivenInstance:
    """The instance that `text` describes, not yet checked against its class.

    Raises Failed where the text is no instance in either form, or exceeds a limit.
    """
    if len(text) > MAX_EMBEDDED_TEXT or depth > MAX_EMBEDDED_DEPTH:
        raise Failed(f"{PARSE_ERROR}: larger than this server accepts")
    if text.lstrip("\ufeff \t\r\n").startswith("<"):
        return _read_xml(text, depth)
    return _read_mof(text)


def _read_xml(text: str, depth: int) -> GivenInstance:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(text.strip().encode(errors="replace"), parser)
    except etree.XMLSyntaxError as error:
        raise Failed(f"{PARSE_ERROR}: {error}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise Failed(f"{PARSE_ERROR}: document type declarations are refused")
    classname = root.get("CLASSNAME")
    if _tag(root) != "INSTANCE" or not classname:
        raise Failed(f"{PARSE_ERROR}: the root element must be INSTANCE with a CLASSNAME")
    values: dict[str, Given] = {}
    for child in root:
        tag, name = _tag(child), child.get("NAME")
        if tag not in ("PROPERTY", "PROPERTY.ARRAY") or not name:
            continue
        embedded = child.get("EmbeddedObject") or child.get("EMBEDDEDOBJECT")
        values[name] = Given(_xml_value(child, tag, bool(embedded), depth), child.get("TYPE"))
    return GivenInstance(classname, values)


def _tag(element: etree._Element) -> str:
    return element.tag.upper() if isinstance(element.tag, str) else ""


def _xml_value(element: etree._Element, tag: str, embedded: bool, depth: int) -> Any:
    def one(value: etree._Element) -> Any:
        content = "".join(str(part) for part in value.itertext(with_tail=False))
        return read(content, depth + 1) if embedded else content

    if tag == "PROPERTY":
        found = next((c for c in element if _tag(c) == "VALUE"), None)
        return None if found is None else one(found)
    array = next((c for c in element if _tag(c) == "VALUE.ARRAY"), None)
    if array is None:
        return None
    return [
        None if _tag(c) == "VALUE.NULL" else one(c)
        for c in array
        if _tag(c) in ("VALUE", "VALUE.NULL")
    ]


def _read_mof(text: str) -> GivenInstance:
    # here, since most processes never need the parser, and it takes 30 ms to load
    from libvirtcim.cim import mof_instance

    try:
        return mof_instance.parse(text)
    except mof_instance.NoInstance as error:
        raise Failed(f"{PARSE_ERROR}: no MOF instance declaration{error}") from None


def write_mof(instance: Instance) -> str:
    """The instance as one MOF `instance of` declaration; NULL properties are left out."""
    lines = [
        f"    {name} = {_mof_value(value, instance.cls.by_name[name.lower()].type)};"
        for name, value in instance.items()
        if value is not None
    ]
    return "\n".join([f"instance of {instance.cls.name} {{", *lines, "};"])


def _mof_value(value: Value, cim_type: str) -> str:
    if isinstance(value, list):
        return "{" + ", ".join(_mof_value(v, cim_type) for v in value) + "}"
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Instance):
        return _quoted(write_mof(value))
    if isinstance(value, (int, float)) and cim_type not in ("string", "datetime", "char16"):
        return repr(value)
    return _quoted(str(value))


_TO_ESCAPE: Mapping[int, str] = {
    ord("\\"): "\\\\",
    ord('"'): '\\"',
    **{ord(plain): f"\\{letter}" for letter, plain in MOF_ESCAPES.items()},
}


def _quoted(text: str) -> str:
    return '"' + text.translate(_TO_ESCAPE) + '"'
