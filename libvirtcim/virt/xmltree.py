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
from typing import Any, ClassVar, Generic, Self, TypeVar, cast, overload

from lxml import etree

from libvirtcim.virt.errors import Invalid
from libvirtcim.virt.units import parse_int, to_kib
from libvirtcim.virt.xmldoc import Document, parse_root
from libvirtcim.virt.xmlplace import Path, insert, make_element, remove

T = TypeVar("T")
ObjectT = TypeVar("ObjectT", bound="XmlObject")
Index = frozenset[str]
Memo = dict[tuple[etree._Element, type["XmlObject"]], "XmlObject"]


class Property(Generic[T]):
    """One declared property: how it is read from and written to an object's element."""

    name = ""
    secret = False
    # The child elements that belong to the property, for the order of insertion.
    tags: tuple[str, ...] = ()
    # What is read where the first of them is missing.
    absent: Any = None

    def __set_name__(self, owner: type[XmlObject], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, obj: None, owner: type[XmlObject]) -> Self: ...
    @overload
    def __get__(self, obj: XmlObject, owner: type[XmlObject]) -> T: ...
    def __get__(self, obj: XmlObject | None, owner: type[XmlObject]) -> Self | T:
        return self if obj is None else self.read(obj.element)

    def __set__(self, obj: XmlObject, value: T) -> None:
        try:
            self.write(obj, value)
        except (ValueError, TypeError) as exc:
            # lxml refuses what XML cannot hold: control characters, lone surrogates, non-strings.
            raise Invalid(f"{type(obj).__name__}.{self.name}: {exc}") from exc

    def read(self, element: etree._Element) -> T:
        """The value as the element has it now."""
        raise NotImplementedError

    def write(self, obj: XmlObject, value: T) -> None:
        """Change the element so that `read` gives the value."""
        raise NotImplementedError

    def freeze(self, element: etree._Element, index: Index, memo: Memo) -> T:
        """The value in a form that holds no tree; `index` holds the tags of the element's children."""
        first = self.tags[0] if len(self.tags) == 1 else None
        if first is not None and first not in index:
            # Most of what a class declares is absent in any one document.
            return cast(T, self.absent)
        value = self.read(element)
        return cast(T, sys.intern(value)) if isinstance(value, str) else value


class _Located(Property[T]):
    """A property that lives at a path below the object's element, in an attribute or as text."""

    def __init__(self, path: str, attribute: str | None, secret: bool = False) -> None:
        self.path = Path(path)
        self.attribute = attribute
        self.secret = secret
        self.tags = self.path.first_tags

    def raw(self, element: etree._Element) -> str | None:
        """The text as it stands in the XML, or None."""
        target = self.path.find(element)
        if target is None:
            return None
        if self.attribute is None:
            return target.text or ""
        return target.get(self.attribute)

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

    def read(self, element: etree._Element) -> T | None:
        text = self.raw(element)
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
    """An attribute: `Attr("type")` of the element itself, `Attr("target", "dev")` of a child."""

    def __init__(self, first: str, second: str | None = None, *, secret: bool = False) -> None:
        super().__init__(*_where(first, second), secret=secret)


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


class Memory(_Located[int | None]):
    """A size in KiB, whatever unit the element states; written in KiB."""

    def __init__(self, path: str) -> None:
        super().__init__(path, None)

    def read(self, element: etree._Element) -> int | None:
        target = self.path.find(element)
        return None if target is None else to_kib(target.text or "", target.get("unit") or "KiB")

    def write(self, obj: XmlObject, value: int | None) -> None:
        target = self.path.find(obj.element)
        if value is None:
            self.put(obj, None)
            return
        if target is not None and target.get("unit", "KiB") not in ("KiB", "k"):
            target.set("unit", "KiB")
        self.put(obj, str(int(value)))


class Flag(Property[bool]):
    """An empty child element whose presence means true."""

    absent = False

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.tags = self.path.first_tags

    def read(self, element: etree._Element) -> bool:
        return self.path.find(element) is not None

    def write(self, obj: XmlObject, value: bool) -> None:
        if value:
            self.path.ensure(obj.element, obj.child_order())
            return
        while (found := self.path.find(obj.element)) is not None:
            self.path.drop(obj.element, found)


class Values(Property[tuple[str, ...]]):
    """One string per repeated child: the named attribute of each, or its text."""

    absent = ()

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

    absent = ()

    def __init__(self, path: str = "") -> None:
        self.path = Path(path)
        self.tags = self.path.first_tags

    def read(self, element: etree._Element) -> tuple[tuple[str, str], ...]:
        found = self.path.find(element)
        if found is None:
            return ()
        return tuple((sys.intern(str(k)), sys.intern(str(v))) for k, v in found.attrib.items())

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

    def read(self, element: etree._Element) -> ObjectT | None:
        found = self.path.find(element)
        return None if found is None else self.kind(found)

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

    def freeze(self, element: etree._Element, index: Index, memo: Memo) -> ObjectT | None:
        found = self.path.find(element) if self.tags[0] in index else None
        return None if found is None else self.kind(found).freeze(memo)


class Children(Property[tuple[ObjectT, ...]], Generic[ObjectT]):
    """The child objects at one or more paths, together in document order.

    Assigning a sequence keeps the listed ones, removes the others and inserts the new ones behind
    the last of their tag.
    """

    absent = ()

    def __init__(self, parent: str, *kinds: type[ObjectT]) -> None:
        self.kinds: dict[str, type[ObjectT]] = {kind.TAG: kind for kind in kinds}
        self.parent = Path(parent)
        self.tags = self.parent.first_tags or tuple(self.kinds)

    def _elements(self, element: etree._Element) -> list[etree._Element]:
        parent = self.parent.find(element)
        return [] if parent is None else list(parent.iterchildren(*self.kinds))

    def read(self, element: etree._Element) -> tuple[ObjectT, ...]:
        return tuple(self.kinds[str(e.tag)](e) for e in self._elements(element))

    def write(self, obj: XmlObject, value: tuple[ObjectT, ...]) -> None:
        wanted = [item.element for item in value]
        for item in wanted:
            if item.tag not in self.kinds:
                raise ValueError(f"<{item.tag}> does not belong here")
        present = self._elements(obj.element)
        for old in present:
            if old not in wanted:
                remove(old)
        if present and not wanted:
            parent = self.parent.find(obj.element)
            if parent is not None:
                self.parent.prune(obj.element, parent)
        new = [item for item in wanted if item not in present]
        if new:
            parent = self.parent.ensure(obj.element, obj.child_order())
            order = obj.child_order() if parent is obj.element else obj.nested_order(self.parent)
            for item in new:
                insert(parent, item, order)

    def freeze(self, element: etree._Element, index: Index, memo: Memo) -> tuple[ObjectT, ...]:
        return tuple(self.kinds[str(e.tag)](e).freeze(memo) for e in self._elements(element))


class Computed(Generic[T]):
    """A read-only property worked out from declared ones; evaluated once when frozen."""

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type[XmlObject], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, obj: None, owner: type[XmlObject]) -> Self: ...
    @overload
    def __get__(self, obj: XmlObject, owner: type[XmlObject]) -> T: ...
    def __get__(self, obj: XmlObject | None, owner: type[XmlObject]) -> Self | T:
        return self if obj is None else self.function(obj)

    def __set__(self, obj: XmlObject, value: object) -> None:
        raise AttributeError(f"{self.name} is computed")


def computed(function: Callable[[Any], T]) -> Computed[T]:
    """Declare a method as a `Computed` property."""
    return Computed(function)


class _Slotted(type):
    """No instance has a `__dict__`: a misspelt property is an error, and a view stays small."""

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> _Slotted:
        namespace.setdefault("__slots__", ())
        return super().__new__(mcs, name, bases, namespace, **options)


class XmlObject(metaclass=_Slotted):
    """An object whose declared properties live in one XML element."""

    __slots__ = ("document", "element")

    TAG: ClassVar[str] = ""
    properties: ClassVar[dict[str, Property[Any]]] = {}
    computed_properties: ClassVar[dict[str, Computed[Any]]] = {}
    _order: ClassVar[tuple[str, ...]] = ()
    _frozen: ClassVar[type[XmlObject] | None] = None
    _plan: ClassVar[tuple[tuple[Callable[[Any, Any], None], Property[Any]], ...]] = ()
    _computed_plan: ClassVar[
        tuple[tuple[Callable[[Any, Any], None], Callable[[Any], Any]], ...]
    ] = ()

    element: etree._Element
    document: Document | None

    def __init_subclass__(cls) -> None:
        cls._frozen = None
        if issubclass(cls, _Frozen):
            return
        declared: dict[str, Property[Any]] = {}
        worked_out: dict[str, Computed[Any]] = {}
        for base in reversed(cls.__mro__):
            for name, value in vars(base).items():
                if isinstance(value, Property):
                    declared[name] = value
                elif isinstance(value, Computed):
                    worked_out[name] = value
        cls.properties = declared
        cls.computed_properties = worked_out
        cls._order = tuple(dict.fromkeys(tag for p in declared.values() for tag in p.tags))

    def __init__(self, element: etree._Element, document: Document | None = None) -> None:
        self.element = element
        self.document = document

    @classmethod
    def parse(cls, text: str) -> Self:
        """An editable object from its XML text; Invalid when the root is another element."""
        document = Document(text)
        cls._check(document.root)
        return cls(document.root, document)

    @classmethod
    def view(cls, text: str) -> Self:
        """The frozen object of an XML text, without keeping text or tree."""
        root = parse_root(text)
        cls._check(root)
        return cls(root).freeze()

    @classmethod
    def new(cls, **values: object) -> Self:
        """A new element with these property values, attached to no document."""
        obj = cls(make_element(cls.TAG))
        for name, value in values.items():
            if name not in cls.properties:
                raise TypeError(f"{cls.__name__} has no property {name}")
            setattr(obj, name, value)
        return obj

    @classmethod
    def _check(cls, root: etree._Element) -> None:
        if cls.TAG and root.tag != cls.TAG:
            raise Invalid(f"expected <{cls.TAG}>, not <{root.tag}>")

    @classmethod
    def child_order(cls) -> tuple[str, ...]:
        """Tags of the children in the order in which new ones are inserted."""
        return cls._order

    @classmethod
    def nested_order(cls, parent: Path) -> tuple[str, ...]:
        """The same for the container at `parent`: tags of all lists that share it, as declared."""
        return tuple(
            dict.fromkeys(
                tag
                for prop in cls.properties.values()
                if isinstance(prop, Children) and prop.parent == parent
                for tag in prop.kinds
            )
        )

    def to_xml(self) -> str:
        """The XML text: byte for byte the parsed one wherever nothing was changed."""
        if self.document is not None and self.document.root is self.element:
            return self.document.to_text()
        return etree.tostring(self.element, encoding="unicode", with_tail=False)

    def freeze(self, memo: Memo | None = None) -> Self:
        """The object as a read-only value in slots, with no tree behind it.

        One element frozen through several properties of one document becomes one shared object.
        """
        memo = {} if memo is None else memo
        key = (self.element, type(self))
        known = memo.get(key)
        if known is not None:
            return cast(Self, known)
        frozen_class = type(self)._frozen or _make_frozen(type(self))
        frozen = object.__new__(frozen_class)
        element = self.element
        index = frozenset(str(child.tag) for child in element)
        for assign, prop in frozen_class._plan:
            assign(frozen, prop.freeze(element, index, memo))
        for assign, function in frozen_class._computed_plan:
            assign(frozen, function(frozen))
        memo[key] = frozen
        return cast(Self, frozen)

    def values(self) -> dict[str, Any]:
        """All declared properties by name."""
        return {name: getattr(self, name) for name in self.properties}

    def __repr__(self) -> str:
        shown = (
            f"{name}={'***' if self.properties[name].secret else value!r}"
            for name, value in self.values().items()
            if value not in (None, False, ())
        )
        return f"{type(self).__name__}({', '.join(shown)})"


class _Frozen:
    """Mixed into generated classes: comparable, hashable, read-only."""

    __slots__ = ()
    properties: ClassVar[dict[str, Property[Any]]]

    def _key(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.properties)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) is not type(self):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def freeze(self, memo: Memo | None = None) -> Self:
        """A frozen object is its own frozen form."""
        return self


def _make_frozen(live: type[XmlObject]) -> type[XmlObject]:
    """Generate the frozen subclass of a declared class: one slot per property."""
    names = (*live.properties, *live.computed_properties)
    body: dict[str, Any] = {
        "__slots__": names,
        "__module__": live.__module__,
        "__doc__": f"Frozen form of {live.__name__}.",
    }
    made = cast(type[XmlObject], _Slotted(live.__name__, (_Frozen, live), body))
    made._plan = tuple((vars(made)[n].__set__, p) for n, p in live.properties.items())
    made._computed_plan = tuple(
        (vars(made)[n].__set__, c.function) for n, c in live.computed_properties.items()
    )
    live._frozen = made
    return made
