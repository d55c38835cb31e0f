# SPDX-License-Identifier: LGPL-2.1-or-later
"""XML documents that are edited in place: what was not edited keeps every byte.

lxml alone normalises on output: attribute quotes, character references, `<a></a>` to `<a/>`, blanks
inside tags, CRLF, the XML declaration. So a `Document` keeps its source text beside the lxml tree.
`to_text()` parses that text once more, walks both trees where they differ and copies the source wherever
the live tree still says the same; only changed attributes, changed text and new elements are written anew.
No bookkeeping happens at edit time, hence any lxml operation on the tree is honoured.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field

from lxml import etree

from libvirtcim.virt.errors import Invalid

# Larger texts are refused before they are parsed. The largest domain XML met in practice, with
# hundreds of devices, has about 300 kB.
MAX_XML_BYTES = 16 * 1024 * 1024

_MARKUP = re.compile(
    r"(?P<start><[^\s/>!?](?:[^>\"']++|\"[^\"]*\"|'[^']*')*+>)"
    r"|(?P<end></[^>]*>)"
    r"|(?P<leaf><!--.*?-->|<\?.*?\?>)"
    r"|(?P<data><!\[CDATA\[.*?\]\]>)",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"\s+([^\s=]+)\s*=\s*(?:\"[^\"]*\"|'[^']*')", re.DOTALL)
_TAG_NAME = re.compile(r"<([^\s/>]+)")
_DOCTYPE = re.compile(r"\ufeff?(?:\s+|<\?.*?\?>|<!--.*?-->)*<!DOCTYPE", re.DOTALL)
_XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"

_parsers = threading.local()


def _parser() -> etree.XMLParser:
    # One per thread: lxml serialises threads that share a parser.
    parser: etree.XMLParser | None = getattr(_parsers, "value", None)
    if parser is None:
        parser = etree.XMLParser(
            encoding="utf-8",
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            huge_tree=False,
            strip_cdata=False,
        )
        _parsers.value = parser
    return parser


def parse_root(text: str) -> etree._Element:
    """The root element of `text`; Invalid for a DTD, bad XML, or more than MAX_XML_BYTES."""
    if "<!DOCTYPE" in text and _DOCTYPE.match(text):
        raise Invalid("XML with a document type declaration is refused")
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise Invalid(f"XML is not valid Unicode: {exc.reason}") from exc
    if len(data) > MAX_XML_BYTES:
        raise Invalid(f"XML of {len(data)} bytes is larger than {MAX_XML_BYTES}")
    try:
        return etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as exc:
        raise Invalid(f"XML cannot be parsed: {exc}") from exc


@dataclass(slots=True)
class _Span:
    """Where one node stands in the source: `start:open_end` is the start tag, up to `end` the rest.

    For a self-closing element, a comment or an instruction open_end == close_start == end.
    """

    start: int
    open_end: int
    close_start: int = -1
    end: int = -1
    text: tuple[int, int] = (0, 0)
    tail: tuple[int, int] = (0, 0)
    last_child: _Span | None = field(default=None, repr=False)

    def child_begins(self, position: int) -> None:
        """Book the character data before `position`: a child's tail, or this element's text."""
        if self.last_child is None:
            self.text = (self.open_end, position)
        else:
            self.last_child.tail = (self.last_child.end, position)


def _scan(source: str) -> list[_Span]:
    """The spans of all nodes inside the root element, in document order."""
    spans: list[_Span] = []
    stack: list[_Span] = []
    for match in _MARKUP.finditer(source):
        kind = match.lastgroup
        if kind == "data":
            continue
        start, end = match.span()
        if kind == "end":
            span = stack.pop()
            span.child_begins(start)
            span.close_start, span.end = start, end
        else:
            if stack:
                stack[-1].child_begins(start)
            elif kind == "leaf":
                continue
            span = _Span(start, end)
            spans.append(span)
            if kind == "start" and source[end - 2] != "/":
                stack.append(span)
                continue
            span.close_start = span.end = end
        if stack:
            stack[-1].last_child = span
    return spans


class Document:
    """An editable XML text: change `root` freely, then `to_text()`.

    Nodes of the tree that came from the source are known by identity, so they may also be moved.
    """

    __slots__ = ("_nodes", "root", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.root = parse_root(source)
        # The list keeps lxml's proxies alive: identity is what ties a node to its source span.
        self._nodes = list(self.root.iter())

    def to_text(self) -> str:
        """The document as text; equal to the source when nothing was changed."""
        return _Writer(self.source, self._nodes).document(self.root)


class _Writer:
    """One serialisation of one document."""

    def __init__(self, source: str, nodes: list[etree._Element]) -> None:
        self._source = source
        self._spans = _scan(source)
        pristine = list(parse_root(source).iter())
        if not len(nodes) == len(pristine) == len(self._spans):
            raise AssertionError("XML scanner and parser disagree")
        self._origin = {
            node: (old, span) for node, old, span in zip(nodes, pristine, self._spans, strict=True)
        }
        self._live = dict(zip(pristine, nodes, strict=True))

    def document(self, root: etree._Element) -> str:
        top = self._spans[0]
        out = [self._source[: top.start]]
        self._node(root, out)
        out.append(self._source[top.end :])
        return "".join(out)

    def _node(self, node: etree._Element, out: list[str]) -> None:
        old, span = self._origin.get(node, (None, None))
        if isinstance(node, etree._Comment | etree._ProcessingInstruction):
            if old is not None and span is not None and node.text == old.text:
                out.append(self._source[span.start : span.end])
            else:
                out.append(etree.tostring(node, encoding="unicode", with_tail=False))
            return
        if old is None or span is None or old.tag != node.tag:
            self._new_element(node, out)
            return
        if _same(node, old):
            out.append(self._source[span.start : span.end])
            return
        opening = self._source[span.start : span.open_end]
        if node.attrib.items() != old.attrib.items():
            opening = _edited_tag(opening, node, old)
        content: list[str] = []
        first = next(iter(old), None)
        self._text(node.text, self._pieces(node, old.text, span.text, first), content)
        self._children(node, content)
        if span.end > span.open_end:
            out.append(opening)
            out.extend(content)
            out.append(self._source[span.close_start : span.end])
        elif any(content):
            match = _TAG_NAME.match(opening)
            name = match.group(1) if match else _qualified(node, str(node.tag))
            out.append(opening[:-2].rstrip() + ">")
            out.extend(content)
            out.append(f"</{name}>")
        else:
            out.append(opening)

    def _children(self, node: etree._Element, out: list[str]) -> None:
        for child in node:
            self._node(child, out)
            old, span = self._origin.get(child, (None, None))
            if old is None or span is None:
                out.append(escape_text(child.tail or ""))
            else:
                pieces = self._pieces(node, old.tail, span.tail, old.getnext())
                self._text(child.tail, pieces, out)

    def _pieces(
        self,
        node: etree._Element,
        text: str | None,
        span: tuple[int, int],
        following: etree._Element | None,
    ) -> list[tuple[str, tuple[int, int]]]:
        """The source's pieces of character data up to the next child that is still in `node`.

        More than one when children were removed: what stood around them has become one text.
        """
        pieces = [(text or "", span)]
        while following is not None:
            live = self._live[following]
            if live.getparent() is node:
                break
            pieces.append((following.tail or "", self._origin[live][1].tail))
            following = following.getnext()
        return pieces

    def _text(
        self, text: str | None, pieces: list[tuple[str, tuple[int, int]]], out: list[str]
    ) -> None:
        """Write character data, as the source has it as far as it is made of these pieces."""
        text = text or ""
        copied: list[str] = []
        position = 0
        for piece, span in pieces:
            if text.startswith(piece, position):
                copied.append(self._source[slice(*span)])
                position += len(piece)
            elif piece.strip():
                break
        out.append("".join(copied) if position == len(text) else escape_text(text))

    def _new_element(self, node: etree._Element, out: list[str]) -> None:
        name = _qualified(node, str(node.tag))
        parent = node.getparent()
        inherited = [] if parent is None else list(parent.nsmap.items())
        out.append(f"<{name}")
        for prefix, uri in node.nsmap.items():
            if (prefix, uri) not in inherited:
                declaration = f"xmlns:{prefix}" if prefix else "xmlns"
                out.append(f' {declaration}="{escape_attribute(uri)}"')
        for key, value in node.attrib.items():
            out.append(f' {_qualified(node, str(key))}="{escape_attribute(str(value))}"')
        if node.text or len(node):
            out.append(">")
            out.append(escape_text(node.text or ""))
            self._children(node, out)
            out.append(f"</{name}>")
        else:
            out.append("/>")


def _same(node: etree._Element, old: etree._Element) -> bool:
    """Whether two elements of one tag say the same, with all that is in them."""
    if len(node) != len(old):
        return False
    if not len(node):
        return bool(node.text == old.text and node.attrib.items() == old.attrib.items())
    text: bytes = etree.tostring(node, with_tail=False)
    return text == etree.tostring(old, with_tail=False)


def _edited_tag(opening: str, node: etree._Element, old: etree._Element) -> str:
    """The start tag with the attributes of `node`; attributes that kept their value keep bytes."""
    match = _TAG_NAME.match(opening)
    if match is None:
        raise AssertionError("start tag without a name")
    pieces = [opening[: match.end()]]
    position = match.end()
    written: set[str] = set()
    for attribute in _ATTRIBUTE.finditer(opening, position):
        raw_name = attribute.group(1)
        position = attribute.end()
        key = None if raw_name.partition(":")[0] == "xmlns" else _clark(old, raw_name)
        if key is None:
            pieces.append(attribute.group(0))
        elif key in node.attrib:
            written.add(key)
            value = str(node.attrib[key])
            if value == old.attrib.get(key):
                pieces.append(attribute.group(0))
            else:
                before_value = attribute.group(0)[: -len(_quoted(attribute.group(0)))]
                pieces.append(f'{before_value}"{escape_attribute(value)}"')
    for name, text in node.attrib.items():
        if str(name) not in written:
            pieces.append(f' {_qualified(node, str(name))}="{escape_attribute(str(text))}"')
    pieces.append(opening[position:])
    return "".join(pieces)


def _quoted(attribute: str) -> str:
    quote = attribute[-1]
    return attribute[attribute.index(quote, attribute.index("=")) :]


def _clark(node: etree._Element, raw_name: str) -> str:
    prefix, colon, local = raw_name.partition(":")
    if not colon:
        return raw_name
    uri = _XML_NAMESPACE if prefix == "xml" else node.nsmap[prefix]
    return f"{{{uri}}}{local}"


def _qualified(node: etree._Element, name: str) -> str:
    if not name.startswith("{"):
        return name
    uri, _, local = name[1:].partition("}")
    if uri == _XML_NAMESPACE:
        return f"xml:{local}"
    if name == node.tag:
        return f"{node.prefix}:{local}" if node.prefix else local
    for prefix, known in node.nsmap.items():
        if known == uri and prefix:
            return f"{prefix}:{local}"
    raise AssertionError(f"no prefix for namespace {uri}")


def escape_text(text: str) -> str:
    """Character data as XML writes it."""
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    )


def escape_attribute(text: str) -> str:
    """An attribute value as XML writes it between double quotes."""
    return escape_text(text).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")
