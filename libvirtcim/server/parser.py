# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads a CIM-XML request message (DSP0201 5.1 to 5.3) out of an HTTP body.

What is no request raises `RequestRefused` with the status and CIMError value of DSP0200 7.3.3.
DTDs, entities and network access are refused before and by the XML parser; size, depth and number of
elements are limited.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree

from libvirtcim.cim.objects import Given
from libvirtcim.server import elements
from libvirtcim.server.elements import Element, attribute, children, only_child
from libvirtcim.server.messages import (
    Argument,
    Call,
    ExtrinsicCall,
    IntrinsicCall,
    RequestRefused,
    not_valid,
    not_well_formed,
)

_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(rb"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class XMLLimits:
    """How much XML a request may hold."""

    depth: int = 64
    elements: int = 100_000


def parse_request(body: bytes, limits: XMLLimits = XMLLimits()) -> Call:
    """The call that a request body holds; raises RequestRefused."""
    return _message(read_xml(body, limits))


def read_xml(body: bytes, limits: XMLLimits) -> Element:
    """The root element; raises RequestRefused where the XML is broken, hostile or too large."""
    _refuse_doctype(body)
    # An upper bound on elements that costs one pass over the bytes, before any tree is built.
    if body.count(b"<") - body.count(b"</") > limits.elements + 8:
        raise not_well_formed(f"more than {limits.elements} elements (max_xml_elements)")
    parser = etree.XMLParser(
        # The encoding is fixed: CIM-XML is UTF-8 (DSP0201 5), whatever a declaration may say.
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise not_well_formed(str(error)) from None
    depth = 0
    for event, _element in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > limits.depth:
            raise not_well_formed(f"nested deeper than {limits.depth} (max_xml_depth)")
    return root


def _refuse_doctype(body: bytes) -> None:
    """A document type declaration can only stand between XML declaration and root element."""
    at = len(_BOM) if body.startswith(_BOM) else 0
    while True:
        space = _SPACE.match(body, at)
        at = space.end() if space else at
        if body.startswith(b"<?", at):
            closing = b"?>"
        elif body.startswith(b"<!--", at):
            closing = b"-->"
        else:
            break
        end = body.find(closing, at + 2)
        if end < 0:
            raise not_well_formed("the XML ends too early")
        at = end + len(closing)
    if body.startswith(b"<!", at):
        raise not_well_formed("document type declarations are refused")


def _version(value: str, major: str, cim_error: str) -> None:
    if value.split(".")[0] != major:
        raise RequestRefused(501, cim_error, f"version {value!r} is not supported")


def _message(root: Element) -> Call:
    if root.tag != "CIM":
        raise not_valid(f"the root element is {root.tag}, not CIM")
    _version(attribute(root, "CIMVERSION"), "2", "unsupported-cim-version")
    _version(attribute(root, "DTDVERSION"), "2", "unsupported-dtd-version")
    message = only_child(root)
    if message.tag != "MESSAGE":
        raise not_valid(f"CIM must hold MESSAGE, not {message.tag}")
    _version(attribute(message, "PROTOCOLVERSION"), "1", "unsupported-protocol-version")
    message_id = attribute(message, "ID")
    request = only_child(message)
    if request.tag == "MULTIREQ":
        raise RequestRefused(
            501, "multiple-requests-unsupported", "send each operation in a message of its own"
        )
    if request.tag != "SIMPLEREQ":
        raise not_valid(f"MESSAGE must hold SIMPLEREQ, not {request.tag}")
    # CORRELATOR elements (DSP0201 5.3.2) may stand before the call and have no effect here.
    calls = [child for child in children(request) if child.tag != "CORRELATOR"]
    if len(calls) != 1:
        raise not_valid("SIMPLEREQ must hold one call")
    if calls[0].tag == "IMETHODCALL":
        return _intrinsic(calls[0], message_id)
    if calls[0].tag == "METHODCALL":
        return _extrinsic(calls[0], message_id)
    raise not_valid(f"SIMPLEREQ must hold IMETHODCALL or METHODCALL, not {calls[0].tag}")


def _intrinsic(element: Element, message_id: str) -> IntrinsicCall:
    parts = children(element)
    if not parts:
        raise not_valid("IMETHODCALL has no LOCALNAMESPACEPATH")
    arguments: list[tuple[str, Argument]] = [elements.intrinsic_argument(e) for e in parts[1:]]
    return IntrinsicCall(
        message_id,
        attribute(element, "NAME"),
        elements.local_namespace(parts[0]),
        tuple(arguments),
    )


def _extrinsic(element: Element, message_id: str) -> ExtrinsicCall:
    parts = children(element)
    if not parts or parts[0].tag not in ("LOCALINSTANCEPATH", "LOCALCLASSPATH"):
        raise not_valid("METHODCALL must name its object by LOCALINSTANCEPATH or LOCALCLASSPATH")
    arguments: dict[str, Given] = {}
    seen: set[str] = set()
    duplicate: str | None = None
    for part in parts[1:]:
        name, value = elements.method_argument(part)
        if name.lower() in seen:
            duplicate = name
        seen.add(name.lower())
        arguments[name] = value
    return ExtrinsicCall(
        message_id, attribute(element, "NAME"), elements.path(parts[0]), arguments, duplicate
    )
