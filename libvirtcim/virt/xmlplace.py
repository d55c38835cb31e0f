# SPDX-License-Identifier: LGPL-2.1-or-later
"""Paths below an element; insertion and removal of elements that keep the layout around them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache

from lxml import etree

# The prefix under which a new element of a namespace is written.
NAMESPACE_PREFIXES: dict[str, str] = {}

_STEP = re.compile(
    r"(?P<tag>(?:\{[^}]*\})?[^/\[\]{}]+)"
    r"(?:\[@(?P<name>[^=\]]+)='(?P<value>[^']*)'\])?(?:/|$)"
)


class Path:
    """A chain of child steps, `a/b[@mode='bind']`; the empty path is the element itself.

    A tag may be in Clark notation (`{namespace}name`). Every step takes the first match.
    """

    __slots__ = ("rest", "steps", "tag", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        matches = tuple(_STEP.finditer(text))
        self.steps: tuple[tuple[str, str | None, str | None], ...] = tuple(
            (match["tag"], match["name"], match["value"]) for match in matches
        )
        # The path without its first step, and the tag where that step is all there is.
        self.rest = Path(text[matches[0].end() :]) if matches else self
        self.tag = text if matches and matches[0]["tag"] == text else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Path) and self.steps == other.steps

    def __hash__(self) -> int:
        return hash(self.steps)

    @property
    def first_tags(self) -> tuple[str, ...]:
        """The tag of the first step, as a tuple that is empty for the empty path."""
        return tuple(step[0] for step in self.steps[:1])

    def find(self, element: etree._Element) -> etree._Element | None:
        """The first element at the path, or None."""
        current = element
        for tag, name, value in self.steps:
            for child in current.iterchildren(tag):
                if name is None or child.get(name) == value:
                    current = child
                    break
            else:
                return None
        return current

    def find_all(self, element: etree._Element) -> Iterator[etree._Element]:
        """All elements of the last step below the first match of the steps before it."""
        parent = self._parent().find(element)
        if parent is not None and self.steps:
            tag, name, value = self.steps[-1]
            for child in parent.iterchildren(tag):
                if name is None or child.get(name) == value:
                    yield child

    def ensure(self, element: etree._Element, order: tuple[str, ...]) -> etree._Element:
        """The element at the path, created with its parents where missing."""
        current = element
        for depth, step in enumerate(self.steps):
            found = _matching(current, step)
            if found is None:
                found = _make(current, step, order if depth == 0 else ())
            current = found
        return current

    def append(self, element: etree._Element, order: tuple[str, ...]) -> etree._Element:
        """One more element of the last step, behind the others."""
        parent = self._parent().ensure(element, order)
        return _make(parent, self.steps[-1], order if parent is element else ())

    def drop(self, element: etree._Element, found: etree._Element) -> None:
        """Remove `found`, then its parents below `element` as far as that left them empty."""
        parent = found.getparent()
        if found is element or parent is None:
            return
        remove(found)
        if parent is not element:
            self.prune(element, parent)

    def prune(self, element: etree._Element, found: etree._Element) -> None:
        """Remove `found` if nothing is left in it but what the path itself demands."""
        if found is element or len(found) or (found.text or "").strip():
            return
        demanded = {name for _tag, name, _value in self.steps if name is not None}
        if set(found.attrib) - demanded:
            return
        self.drop(element, found)

    def _parent(self) -> Path:
        parent = Path("")
        parent.steps = self.steps[:-1]
        return parent


class Finder:
    """Finds paths below one element that does not change meanwhile; looks at its children once."""

    __slots__ = ("_below", "_children", "element")

    def __init__(self, element: etree._Element) -> None:
        self.element = element
        self._children: dict[object, list[etree._Element]] = {}
        for child in element:
            self._children.setdefault(child.tag, []).append(child)
        self._below: dict[str, Finder] = {}

    @property
    def tags(self) -> Collection[object]:
        """The tags of the element's children."""
        return self._children.keys()

    def find(self, path: Path) -> etree._Element | None:
        """The first element at the path, or None; the same as `path.find(element)`."""
        if path.tag is not None:
            found = self._children.get(path.tag)
            return None if found is None else found[0]
        there = self._at(path)
        return None if there is None else there.element

    def children(self, path: Path, tags: Sequence[str]) -> Sequence[etree._Element]:
        """The children with these tags of the first element at the path, in their order."""
        there = self._at(path)
        if there is None:
            return ()
        if len(tags) == 1:
            return there._children.get(tags[0], ())
        return [child for child in there.element if child.tag in tags]

    def _at(self, path: Path) -> Finder | None:
        """Finds below the first element at the path."""
        if not path.steps:
            return self
        tag, name, _value = path.steps[0]
        if name is not None:
            found = path.find(self.element)
            return None if found is None else Finder(found)
        below = self._below.get(tag)
        if below is None:
            if tag not in self._children:
                return None
            below = self._below[tag] = Finder(self._children[tag][0])
        return below._at(path.rest)


def _matching(
    parent: etree._Element, step: tuple[str, str | None, str | None]
) -> etree._Element | None:
    tag, name, value = step
    for child in parent.iterchildren(tag):
        if name is None or child.get(name) == value:
            return child
    return None


def make_element(tag: str) -> etree._Element:
    """A new element; a namespace gets its prefix from NAMESPACE_PREFIXES."""
    namespace = tag[1:].partition("}")[0] if tag.startswith("{") else ""
    prefix = NAMESPACE_PREFIXES.get(namespace)
    return etree.Element(tag, nsmap={prefix: namespace} if prefix else None)


def _make(
    parent: etree._Element, step: tuple[str, str | None, str | None], order: tuple[str, ...]
) -> etree._Element:
    tag, name, value = step
    made = make_element(tag)
    if name is not None and value is not None:
        made.set(name, value)
    insert(parent, made, order)
    return made


def insert(parent: etree._Element, element: etree._Element, order: tuple[str, ...]) -> None:
    """Put `element` behind the last child whose tag comes no later in `order`, indented alike.

    A tag that `order` does not know goes behind the last of its own tag, else to the end.
    """
    children = list(parent)
    if not children:
        element.tail = None
        parent.append(element)
        return
    position = _position(children, str(element.tag), _ranks(order))
    before = parent.text
    if position:
        previous = children[position - 1]
        before = previous.tail
    indent = parent.text if not (parent.text or "").strip() else None
    if position == len(children) and position:
        # Last place: what stood before the end tag now follows the new element.
        element.tail = before if not (before or "").strip() else None
        if not (before or "").strip():
            children[-1].tail = indent
    else:
        element.tail = indent
    parent.insert(position, element)


def _position(children: Sequence[etree._Element], tag: str, rank: Mapping[str, int]) -> int:
    """Where an element of this tag belongs among the children of its parent."""
    tags = [str(child.tag) for child in children]
    if tag in tags:
        return len(tags) - tags[::-1].index(tag)
    own, end = rank.get(tag), len(tags)
    if own is None:
        return end
    for index in reversed(range(len(tags))):
        other = rank.get(tags[index])
        if other is None:
            continue
        if other <= own:
            return index + 1
        end = 0
    return end


@cache
def _ranks(order: tuple[str, ...]) -> Mapping[str, int]:
    return {tag: index for index, tag in enumerate(order)}


def remove(element: etree._Element) -> None:
    """Take the element out with the blanks that indented it; other text around it stays."""
    parent = element.getparent()
    if parent is None:
        return
    previous = element.getprevious()
    before = parent.text if previous is None else previous.tail
    after = element.tail
    if not (before or "").strip() and not (after or "").strip():
        # Only blanks on both sides: the indentation before it goes, unless it was the only child.
        only = len(parent) == 1
        kept = None if only else (after if element.getnext() is None else before)
    else:
        kept = ((before or "") + (after or "")) or None
    # lxml's remove() takes the tail along, so it is given to the previous node by hand.
    element.tail = None
    parent.remove(element)
    if previous is None:
        parent.text = kept
    else:
        previous.tail = kept
