# SPDX-License-Identifier: LGPL-2.1-or-later
"""What every typed XML object is made of: properties, computed properties, and the frozen form.

`xmltree` has the kinds of properties that classes are declared with, and an example.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar, cast, overload
from weakref import WeakValueDictionary

from lxml import etree

from libvirtcim.virt.errors import Invalid
from libvirtcim.virt.xmldoc import Document, parse_root
from libvirtcim.virt.xmlplace import Finder, Path, make_element

T = TypeVar("T")
Memo = dict[tuple[etree._Element, type["XmlObject"]], "XmlObject"]


class Property(Generic[T]):
    """One declared property: how it is read from and written to an object's element."""

    name = ""
    # Where below the object's element the value is.
    path = Path("")
    secret = False
    # The child elements that belong to the property, for the order of insertion.
    tags: tuple[str, ...] = ()
    # For lists: where the members stand, and their tags.
    container: Path | None = None
    members: tuple[str, ...] = ()

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
        return self.value_of(self.path.find(element))

    def value_of(self, target: etree._Element | None) -> T:
        """The value that stands in the element at `path`; None: there is no such element."""
        raise NotImplementedError

    def write(self, obj: XmlObject, value: T) -> None:
        """Change the element so that `read` gives the value."""
        raise NotImplementedError

    def freeze(self, finder: Finder, memo: Memo) -> T:
        """The value in a form that holds no tree."""
        value = self.value_of(finder.find(self.path))
        return cast(T, sys.intern(value)) if isinstance(value, str) else value


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


class _Step(NamedTuple):
    """How one property is frozen: its slot, and what it is without the child that it needs (if any)."""

    assign: Callable[[Any, Any], None]
    prop: Property[Any]
    tag: str | None
    absent: Any


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
    _nested_orders: ClassVar[dict[Path, tuple[str, ...]]] = {}
    _frozen: ClassVar[type[XmlObject] | None] = None
    _plan: ClassVar[tuple[_Step, ...]] = ()
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
        cls._nested_orders = {}
        for prop in declared.values():
            if prop.container is not None:
                known = cls._nested_orders.get(prop.container, ())
                cls._nested_orders[prop.container] = tuple(dict.fromkeys((*known, *prop.members)))

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
        return cls._nested_orders.get(parent, ())

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
        finder = Finder(self.element)
        present = finder.tags
        for assign, prop, tag, absent in frozen_class._plan:
            # Most of what a class declares is absent in any one document.
            missing = tag is not None and tag not in present
            assign(frozen, absent if missing else prop.freeze(finder, memo))
        for assign, function in frozen_class._computed_plan:
            assign(frozen, function(frozen))
        memo[key] = frozen
        return cast(Self, frozen)

    def freeze_shared(self, memo: Memo) -> Self:
        """As `freeze`; elements that are written alike, in whatever documents, become one shared object."""
        text = (type(self), etree.tostring(self.element, with_tail=False))
        known = _SHARED.get(text)
        if known is None:
            known = _SHARED[text] = self.freeze(memo)
        return cast(Self, known)

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


_SHARED: WeakValueDictionary[tuple[type[XmlObject], bytes], XmlObject] = WeakValueDictionary()
"""The frozen objects in use by what they say: guests of one host have many devices in common."""


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
        "__slots__": (*names, "__weakref__"),
        "__module__": live.__module__,
        "__doc__": f"Frozen form of {live.__name__}.",
    }
    made = cast(type[XmlObject], _Slotted(live.__name__, (_Frozen, live), body))
    empty = Finder(etree.Element("empty"))
    made._plan = tuple(
        _Step(
            assign=vars(made)[name].__set__,
            prop=prop,
            tag=prop.tags[0] if len(prop.tags) == 1 else None,
            absent=prop.freeze(empty, {}),
        )
        for name, prop in live.properties.items()
    )
    made._computed_plan = tuple(
        (vars(made)[n].__set__, c.function) for n, c in live.computed_properties.items()
    )
    live._frozen = made
    return made
