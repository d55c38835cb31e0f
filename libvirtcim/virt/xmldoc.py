# SPDX-License-Identifier: LGPL-2.1-or-later
"""XML documents that are edited in place: what was not edited keeps every byte.

lxml alone normalises on output: attribute quotes, character references, `<a></a>` to `<a/>`, blanks
inside tags, CRLF, the XML declaration. So a `Document` keeps its source text beside the lxml tree.
`to_text()` copies the source wherever the live tree still says the same; only changed attributes, changed
text and new elements are written anew. No bookkeeping happens at edit time, hence any lxml operation on
the tree is honoured.

libvirt's own XML differs from lxml's in nothing but quotes, as a rule: there the part that changed is
found by comparing texts. Else the source is parsed once more, and both trees are walked where they differ.
"""

from __future__ import annotations

import re
import threading

from lxml import etree

from libvirtcim.virt.errors import Invalid

# Larger texts are refused before they are parsed. The largest domain XML met in practice, with
# hundreds of devices, has about 300 kB.
MAX_XML_BYTES = 16 * 1024 * 1024

_MARKUP = re.compile(
    r"<(?:[^\s/>!?](?:[^>\"']++|\"[^\"]*\"|'[^']*')*+"
    r"|/[^>]*"
    r"|!--.*?--"
    r"|\?.*?\?"
    r"|!\[CDATA\[.*?\]\])>",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"\s+([^\s=]+)\s*=\s*(?:\"[^\"]*\"|'[^']*')", re.DOTALL)
_TAG = re.compile("<[^>]*>")
_QUOTES = str.maketrans('"', "'")
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


class _Spans:
    """Where the nodes inside the root element stand in the source, by their number in document order.

    `starts` to `opened` is the start tag, `closing` to `ends` the end tag; they meet in a self-closing
    element, a comment or an instruction. The node's text goes from `opened` to `texts`, its tail from `ends`
    to `tails`.
    """

    __slots__ = ("closing", "ends", "opened", "starts", "tails", "texts")

    def __init__(self, source: str) -> None:
        self.starts: list[int] = []
        self.opened: list[int] = []
        self.closing: list[int] = []
        self.ends: list[int] = []
        self.texts: list[int] = []
        self.tails: list[int] = []
        parents: list[int] = []
        sibling = -1  # the node that ended last inside the innermost open one; -1: none yet
        for match in _MARKUP.finditer(source):
            start, end = match.span()
            kind = source[start + 1]
            if kind == "!" and source[start + 2] == "[":
                continue
            if sibling >= 0:
                self.tails[sibling] = start
            elif parents:
                self.texts[parents[-1]] = start
            if kind == "/":
                sibling = parents.pop()
                self.closing[sibling], self.ends[sibling] = start, end
                if not parents:
                    return
                continue
            is_leaf = kind in "!?" or source[end - 2] == "/"
            if not parents and kind in "!?":
                continue
            number = len(self.starts)
            self._add(start, end)
            if is_leaf:
                sibling = number
                if not parents:
                    return
            else:
                parents.append(number)
                sibling = -1

    def _add(self, start: int, end: int) -> None:
        self.starts.append(start)
        for ends in (self.opened, self.closing, self.ends, self.texts, self.tails):
            ends.append(end)

    def __len__(self) -> int:
        return len(self.starts)


class Document:
    """An editable XML text: change `root` freely, then `to_text()`.

    Nodes of the tree that came from the source are known by identity, so they may also be moved.
    """

    __slots__ = ("_as_read", "_nodes", "root", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.root = parse_root(source)
        self._as_read = etree.tostring(self.root, encoding="unicode")
        # The list keeps lxml's proxies alive: identity is what ties a node to its source span.
        self._nodes = list(self.root.iter())

    def to_text(self) -> str:
        """The document as text; equal to the source when nothing was changed."""
        text: str = etree.tostring(self.root, encoding="unicode")
        if text == self._as_read:
            return self.source
        spliced = _spliced(self.source, self._as_read, text)
        return _Writer(self.source, self._nodes).document(self.root) if spliced is None else spliced


def _spliced(source: str, before: str, after: str) -> str | None:
    """The source with the tags that changed, given as lxml writes the document before and after.

    None where a place in lxml's text isn't the same place in the source, or quotes aren't attributes'.
    """
    if (
        source[len(before) :].strip()
        or "<!" in before
        or "<?" in before
        or source[: len(before)].translate(_QUOTES) != before.translate(_QUOTES)
    ):
        return None
    # lxml writes `<` and `>` around tags only
    same = _common_prefix(before, after)
    start = before.rfind("<", 0, same)
    rest = _common_prefix(before[: same - 1 : -1], after[: same - 1 : -1])
    end = before.find(">", len(before) - rest) + 1
    fresh = after[start : len(after) - len(before) + end]
    if '"' in source[start:end] or "'" in fresh or '"' in _TAG.sub("", fresh):
        return None
    return source[:start] + fresh.translate(_QUOTES) + source[end:]


def _common_prefix(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    known, limit = 0, min(len(one), len(other))
    while known < limit:
        middle = (known + limit + 1) // 2
        if one[known:middle] == other[known:middle]:
            known = middle
        else:
            limit = middle - 1
    return known


class _Writer:
    """One serialisation of one document."""

    def __init__(self, source: str, nodes: list[etree._Element]) -> None:
        self._source = source
        self._spans = _Spans(source)
        self._nodes = nodes
        self._pristine = list(parse_root(source).iter())
        if not len(nodes) == len(self._pristine) == len(self._spans):
            raise AssertionError("XML scanner and parser disagree")
        self._number = {node: number for number, node in enumerate(nodes)}
        self._old_number = {node: number for number, node in enumerate(self._pristine)}

    def document(self, root: etree._Element) -> str:
        out = [self._source[: self._spans.starts[0]]]
        self._node(root, out)
        out.append(self._source[self._spans.ends[0] :])
        return "".join(out)

    def _node(self, node: etree._Element, out: list[str]) -> None:
        number = self._number.get(node)
        old = None if number is None else self._pristine[number]
        if isinstance(node, etree._Comment | etree._ProcessingInstruction):
            if number is not None and old is not None and node.text == old.text:
                out.append(self._source[self._spans.starts[number] : self._spans.ends[number]])
            else:
                out.append(etree.tostring(node, encoding="unicode", with_tail=False))
        elif number is None or old is None or old.tag != node.tag:
            self._new_element(node, out)
        elif _same(node, old):
            out.append(self._source[self._spans.starts[number] : self._spans.ends[number]])
        else:
            self._edited(node, number, old, out)

    def _edited(
        self, node: etree._Element, number: int, old: etree._Element, out: list[str]
    ) -> None:
        spans = self._spans
        end, opened = spans.ends[number], spans.opened[number]
        opening = self._source[spans.starts[number] : opened]
        if node.items() != old.items():
            opening = _edited_tag(opening, node, old)
        content: list[str] = []
        if node.text == old.text:
            content.append(self._source[opened : spans.texts[number]])
        else:
            first = next(iter(old), None)
            pieces = self._pieces(node, old.text, (opened, spans.texts[number]), first)
            self._text(node.text, pieces, content)
        self._children(node, content)
        if end > opened:
            out.append(opening)
            out.extend(content)
            out.append(self._source[spans.closing[number] : end])
        elif any(content):
            match = _TAG_NAME.match(opening)
            name = match.group(1) if match else _qualified(node, str(node.tag))
            out.append(opening[:-2].rstrip() + ">")
            out.extend(content)
            out.append(f"</{name}>")
        else:
            out.append(opening)

    def _children(self, node: etree._Element, out: list[str]) -> None:
        spans = self._spans
        for child in node:
            self._node(child, out)
            number = self._number.get(child)
            if number is None:
                out.append(escape_text(child.tail or ""))
                continue
            old, tail = self._pristine[number], (spans.ends[number], spans.tails[number])
            if child.tail == old.tail:
                out.append(self._source[slice(*tail)])
            else:
                pieces = self._pieces(node, old.tail, tail, old.getnext())
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
        spans = self._spans
        pieces = [(text or "", span)]
        while following is not None:
            number = self._old_number[following]
            if self._nodes[number].getparent() is node:
                break
            pieces.append((following.tail or "", (spans.ends[number], spans.tails[number])))
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
        return bool(node.text == old.text and node.items() == old.items())
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
