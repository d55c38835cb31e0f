# SPDX-License-Identifier: LGPL-2.1-or-later
"""XML written by copying: the source wherever an edited tree says what the source says."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lxml import etree

_MARKUP = re.compile(
    r"<(?:[^\s/>!?](?:[^>\"']++|\"[^\"]*\"|'[^']*')*+"
    r"|/[^>]*"
    r"|!--.*?--"
    r"|\?.*?\?"
    r"|!\[CDATA\[.*?\]\])>",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"\s+([^\s=]+)\s*=\s*(?:\"[^\"]*\"|'[^']*')", re.DOTALL)
_TAG_NAME = re.compile(r"<([^\s/>]+)")
_XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"


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
            if source.startswith("<![", start) or (kind in "!?" and not parents):
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
            number = len(self.starts)
            self._add(start, end)
            if kind in "!?" or source[end - 2] == "/":
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


class Writer:
    """One serialisation of one document: `nodes` are its nodes as they are now, known by identity, and
    `pristine` the same ones as `source` has them.
    """

    def __init__(
        self, source: str, pristine: Sequence[etree._Element], nodes: Sequence[etree._Element]
    ) -> None:
        self._source = source
        self._spans = _Spans(source)
        self._pristine = pristine
        self._nodes = nodes
        if not len(nodes) == len(pristine) == len(self._spans):
            raise AssertionError("XML scanner and parser disagree")
        self._number = {node: number for number, node in enumerate(nodes)}
        self._old_number = {node: number for number, node in enumerate(pristine)}

    def document(self, root: etree._Element) -> str:
        """The text of the document whose root element is now this one."""
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
