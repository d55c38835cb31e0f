# SPDX-License-Identifier: LGPL-2.1-or-later
"""XML documents that are edited in place: what was not edited keeps every byte.

lxml alone normalises on output: attribute quotes, character references, `<a></a>` to `<a/>`, blanks
inside tags, CRLF, the XML declaration. So a `Document` keeps its source text beside the lxml tree.
`to_text()` copies the source wherever the live tree still says the same; only changed attributes, changed
text and new elements are written anew. No bookkeeping happens at edit time, hence any lxml operation on
the tree is honoured.

libvirt's own XML differs from lxml's in nothing but quotes, as a rule: there the part that changed is
found by comparing texts. Else the source is parsed once more, and `xmlwriter` walks both trees.
"""

from __future__ import annotations

import re
import threading

from lxml import etree

from libvirtcim.virt.errors import Invalid
from libvirtcim.virt.xmlwriter import Writer

# Larger texts are refused before they are parsed. The largest domain XML met in practice, with
# hundreds of devices, has about 300 kB.
MAX_XML_BYTES = 16 * 1024 * 1024

_TAG = re.compile("<[^>]*>")
_QUOTES = str.maketrans('"', "'")
_DOCTYPE = re.compile(r"\ufeff?(?:\s+|<\?.*?\?>|<!--.*?-->)*<!DOCTYPE", re.DOTALL)

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
        if spliced is not None:
            return spliced
        as_read = list(parse_root(self.source).iter())
        return Writer(self.source, as_read, self._nodes).document(self.root)


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
