# SPDX-License-Identifier: LGPL-2.1-or-later
"""Typed objects over a live lxml tree: one declared line per property.

The line gives reading, editing, writing and freezing:

::

    class Disk(XmlObject):
        TAG = "disk"
        device = Attr("device")               # <disk device=...>
        target = Attr("target", "dev")        # <target dev=...> below it
        readonly = Flag("readonly")           # <readonly/> present or not
        address = Child("address", Address)

Writing creates missing parents, in the order in which the class declares its children; writing None
removes the value and the parents that become empty by it. Everything not declared stays as it is.
`freeze()` turns an object into an instance of a generated subclass that holds the values in slots,
with no tree behind it: same attribute names, read-only, comparable, small.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar, cast

from lxml import etree

from libvirtcim.virt.units import parse_int, to_bytes, to_kib
from libvirtcim.virt.xmlobject import Computed, Memo, Property, XmlObject, computed
from libvirtcim.virt.xmlplace import Finder, Path, insert, remove

__all__ = [
    "Attr",
    "Child",
    "Children",
    "Choice",
    "Computed",
    "Flag",
    "IntAttr",
    "IntText",
    "Memory",
    "OnOff",
    "Pairs",
    "Property",
    "Size",
    "Text",
    "Values",
    "XmlObject",
    "YesNo",
    "computed",
]

T = TypeVar("T")
ObjectT = TypeVar("ObjectT", bound=XmlObject)


class _Located(Property[T]):
    """A property that lives at a path below the object's element, in an attribute or as text."""

    def __init__(self, path: str, attribute: str | None, secret: bool = False) -> None:
        self.path = Path(path)
        self.attribute = attribute
        self.secret = secret
        self.tags = self.path.first_tags

    def put(self, obj: XmlObject, text: str | None) -> None:
        """Write the text, or remove it with the parents that become empty."""
        if text is not None:
            target = self.path.ensure(obj.element, obj.child_order())
            if self.attribute is None:
                target.text = text
            else:
                target.set(self.attribute, text)
            return
        found = self.path.find(obj.element)
        if found is None:
            return
        if self.attribute is None:
            found.text = None
            found.attrib.clear()
        elif self.attribute in found.attrib:
            del found.attrib[self.attribute]
        else:
            return
        self.path.prune(obj.element, found)


class _Scalar(_Located[T | None]):
    """A single value, None when absent or unreadable."""

    def decode(self, text: str) -> T | None:
        raise NotImplementedError

    def encode(self, value: T) -> str:
        raise NotImplementedError

    def value_of(self, target: etree._Element | None) -> T | None:
        if target is None:
            return None
        text = target.text or "" if self.attribute is None else target.get(self.attribute)
        return None if text is None else self.decode(text)

    def write(self, obj: XmlObject, value: T | None) -> None:
        self.put(obj, None if value is None else self.encode(value))


def _where(first: str, second: str | None) -> tuple[str, str]:
    return ("", first) if second is None else (first, second)


class _String(_Scalar[str]):
    def decode(self, text: str) -> str | None:
        return text

    def encode(self, value: str) -> str:
        return value


class Attr(_String):
    """An attribute: `Attr("type")` of the element itself, `Attr("target", "dev")` of a child.

    `whole`: the child means nothing without it; removing the attribute removes the child with all
    that is in it.
    """

    def __init__(
        self, first: str, second: str | None = None, *, secret: bool = False, whole: bool = False
    ) -> None:
        super().__init__(*_where(first, second), secret=secret)
        self.whole = whole

    def put(self, obj: XmlObject, text: str | None) -> None:
        """Write the text, or remove it with what becomes empty or meaningless."""
        found = self.path.find(obj.element) if text is None and self.whole else None
        if found is not None:
            self.path.drop(obj.element, found)
        else:
            super().put(obj, text)


class Text(_String):
    """The text of a child, or of the element itself without a path."""

    def __init__(self, path: str = "") -> None:
        super().__init__(path, None)


class Choice(Attr):
    """An attribute that is written only with one of the known values; reading takes any."""

    def __init__(self, first: str, second: str | None = None, *, known: Iterable[str]) -> None:
        super().__init__(first, second)
        self.known = tuple(known)

    def encode(self, value: str) -> str:
        if value not in self.known:
            raise ValueError(f"{value!r} is not one of {', '.join(self.known)}")
        return value


class _Integer(_Scalar[int]):
    def decode(self, text: str) -> int | None:
        return parse_int(text)

    def encode(self, value: int) -> str:
        return str(int(value))


class IntAttr(_Integer):
    """An attribute holding an integer; garbage reads as None."""

    def __init__(self, first: str, second: str | None = None) -> None:
        super().__init__(*_where(first, second))


class IntText(_Integer):
    """A child's text holding an integer; garbage reads as None."""

    def __init__(self, path: str = "") -> None:
        super().__init__(path, None)


class _Switch(_Scalar[bool]):
    def __init__(self, path: str, attribute: str, true: str, false: str) -> None:
        super().__init__(path, attribute)
        self.words = {true: True, false: False}
        self.true, self.false = true, false

    def decode(self, text: str) -> bool | None:
        return self.words.get(text)

    def encode(self, value: bool) -> str:
        return self.true if value else self.false


class YesNo(_Switch):
    """An attribute saying yes or no."""

    def __init__(self, first: str, second: str | None = None) -> None:
        super().__init__(*_where(first, second), "yes", "no")


class OnOff(_Switch):
    """An attribute saying on or off."""

    def __init__(self, first: str, second: str | None = None) -> None:
        super().__init__(*_where(first, second), "on", "off")


class _Size(_Located[int | None]):
    """A size in one unit, whatever unit the element states; written in that unit."""

    UNIT = ""
    SAME: tuple[str, ...] = ()
    """Spellings of the unit that an element may keep."""
    convert: Callable[[str, str], int | None]

    def __init__(self, path: str) -> None:
        super().__init__(path, None)

    def value_of(self, target: etree._Element | None) -> int | None:
        if target is None:
            return None
        return type(self).convert(target.text or "", target.get("unit") or self.UNIT)

    def write(self, obj: XmlObject, value: int | None) -> None:
        target = self.path.find(obj.element)
        if value is None:
            self.put(obj, None)
            return
        if target is not None and target.get("unit", self.UNIT) not in self.SAME:
            target.set("unit", self.UNIT)
        self.put(obj, str(int(value)))


class Memory(_Size):
    """A size in KiB, whatever unit the element states; written in KiB."""

    UNIT = "KiB"
    SAME = ("KiB", "k")
    convert = staticmethod(to_kib)


class Size(_Size):
    """A size in bytes, whatever unit the element states; written in bytes."""

    UNIT = "bytes"
    SAME = ("bytes", "byte", "B")
    convert = staticmethod(to_bytes)


class Flag(Property[bool]):
    """An empty child element whose presence means true."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.tags = self.path.first_tags

    def value_of(self, target: etree._Element | None) -> bool:
        return target is not None

    def write(self, obj: XmlObject, value: bool) -> None:
        if value:
            self.path.ensure(obj.element, obj.child_order())
            return
        while (found := self.path.find(obj.element)) is not None:
            self.path.drop(obj.element, found)


class Values(Property[tuple[str, ...]]):
    """One string per repeated child: the named attribute of each, or its text."""

    def __init__(self, path: str, attribute: str | None = None) -> None:
        self.path = Path(path)
        self.attribute = attribute
        self.tags = self.path.first_tags

    def _one(self, element: etree._Element) -> str | None:
        if self.attribute is None:
            return element.text or ""
        return element.get(self.attribute)

    def read(self, element: etree._Element) -> tuple[str, ...]:
        values = (self._one(found) for found in self.path.find_all(element))
        return tuple(sys.intern(value) for value in values if value is not None)

    def freeze(self, finder: Finder, memo: Memo) -> tuple[str, ...]:
        return self.read(finder.element) if finder.find(self.path) is not None else ()

    def write(self, obj: XmlObject, value: tuple[str, ...]) -> None:
        if tuple(value) == self.read(obj.element):
            return
        spare = list(self.path.find_all(obj.element))
        for text in value:
            found = spare.pop(0) if spare else self.path.append(obj.element, obj.child_order())
            if self.attribute is None:
                found.text = text
            else:
                found.set(self.attribute, text)
        for found in spare:
            self.path.drop(obj.element, found)


class Pairs(Property[tuple[tuple[str, str], ...]]):
    """All attributes of the element (or of the child at `path`), name and value, in order."""

    def __init__(self, path: str = "") -> None:
        self.path = Path(path)
        self.tags = self.path.first_tags

    def value_of(self, target: etree._Element | None) -> tuple[tuple[str, str], ...]:
        if target is None:
            return ()
        return tuple((sys.intern(str(k)), sys.intern(str(v))) for k, v in target.attrib.items())

    def write(self, obj: XmlObject, value: tuple[tuple[str, str], ...]) -> None:
        found = self.path.find(obj.element)
        if not value:
            if found is not None:
                found.attrib.clear()
                self.path.prune(obj.element, found)
            return
        if found is None:
            found = self.path.ensure(obj.element, obj.child_order())
        if tuple((str(k), str(v)) for k, v in found.attrib.items()) == tuple(value):
            return
        found.attrib.clear()
        for name, text in value:
            found.set(name, text)


class Child(Property[ObjectT | None], Generic[ObjectT]):
    """The first child object at a path, or None."""

    def __init__(self, path: str, kind: type[ObjectT]) -> None:
        self.path = Path(path)
        self.kind = kind
        self.tags = self.path.first_tags

    def value_of(self, target: etree._Element | None) -> ObjectT | None:
        return None if target is None else self.kind(target)

    def write(self, obj: XmlObject, value: ObjectT | None) -> None:
        found = self.path.find(obj.element)
        if value is not None and value.element is found:
            return
        if value is not None:
            if found is None:
                found = self.path.ensure(obj.element, obj.child_order())
            parent = cast(etree._Element, found.getparent())
            # lxml's replace() would take the old element's tail away with it.
            value.element.tail = found.tail
            parent.replace(found, value.element)
        elif found is not None:
            self.path.drop(obj.element, found)

    def freeze(self, finder: Finder, memo: Memo) -> ObjectT | None:
        found = self.value_of(finder.find(self.path))
        return None if found is None else found.freeze(memo)


class Children(Property[tuple[ObjectT, ...]], Generic[ObjectT]):
    """The child objects at one or more paths, together in document order.

    Assigning a sequence keeps the listed ones, removes the others and inserts the new ones behind
    the last of their tag.
    """

    def __init__(self, parent: str, *kinds: type[ObjectT]) -> None:
        self.kinds: dict[str, type[ObjectT]] = {kind.TAG: kind for kind in kinds}
        self.path = Path(parent)
        self.tags = self.path.first_tags or tuple(self.kinds)
        self.container = self.path
        self.members = tuple(self.kinds)

    def _elements(self, parent: etree._Element | None) -> list[etree._Element]:
        return [] if parent is None else list(parent.iterchildren(*self.members))

    def value_of(self, target: etree._Element | None) -> tuple[ObjectT, ...]:
        return tuple([self.kinds[str(e.tag)](e) for e in self._elements(target)])

    def freeze(self, finder: Finder, memo: Memo) -> tuple[ObjectT, ...]:
        elements = finder.children(self.path, self.members)
        return tuple([self.kinds[str(e.tag)](e).freeze_shared(memo) for e in elements])

    def write(self, obj: XmlObject, value: tuple[ObjectT, ...]) -> None:
        wanted = [item.element for item in value]
        for item in wanted:
            if item.tag not in self.kinds:
                raise ValueError(f"<{item.tag}> does not belong here")
        present = self._elements(self.path.find(obj.element))
        for old in present:
            if old not in wanted:
                remove(old)
        if present and not wanted:
            parent = self.path.find(obj.element)
            if parent is not None:
                self.path.prune(obj.element, parent)
        new = [item for item in wanted if item not in present]
        if new:
            parent = self.path.ensure(obj.element, obj.child_order())
            order = obj.child_order() if parent is obj.element else obj.nested_order(self.path)
            for item in new:
                insert(parent, item, order)
