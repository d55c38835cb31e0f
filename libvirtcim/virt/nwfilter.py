# SPDX-License-Identifier: LGPL-2.1-or-later
"""Network filters: rules for what a guest's interface lets through."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from lxml import etree

from libvirtcim.virt.handles import listed, readable
from libvirtcim.virt.xmlplace import Path, insert, remove
from libvirtcim.virt.xmltree import Attr, Children, IntAttr, Property, Text, XmlObject, computed

Match = tuple[str, tuple[tuple[str, str], ...]]
"""Protocol (name of the element) and its attributes."""


class _Matches(Property[tuple[Match, ...]]):
    """What a rule applies to: its child elements, one for each protocol."""

    def __init__(self) -> None:
        self.path = Path("")

    def value_of(self, target: etree._Element | None) -> tuple[Match, ...]:
        if target is None:
            return ()
        return tuple(
            (
                sys.intern(str(child.tag)),
                tuple((sys.intern(str(k)), sys.intern(str(v))) for k, v in child.attrib.items()),
            )
            for child in target
            if isinstance(child.tag, str)
        )

    def write(self, obj: XmlObject, value: tuple[Match, ...]) -> None:
        """Replaces all of them, unless they are as wanted already."""
        if value == self.read(obj.element):
            return
        for child in [c for c in obj.element if isinstance(c.tag, str)]:
            remove(child)
        for tag, attributes in value:
            insert(obj.element, etree.Element(tag, dict(attributes)), obj.child_order())


class Rule(XmlObject):
    """`<rule>` of a filter. `matches` is empty where it applies to everything."""

    TAG = "rule"

    action = Attr("action")
    direction = Attr("direction")
    priority = IntAttr("priority")
    matches = _Matches()


class FilterReference(XmlObject):
    """`<filterref>` of a filter: another that it includes, with values of its variables."""

    TAG = "filterref"

    filter = Attr("filter")


class FilterDefinition(XmlObject):
    """`<filter>`: a network filter; `references` are the filters that it includes."""

    TAG = "filter"

    name = Attr("name")
    chain = Attr("chain")
    priority = IntAttr("priority")
    uuid = Text("uuid")
    rules = Children("", Rule)
    references = Children("", FilterReference)

    @computed
    def included(self) -> tuple[str, ...]:
        """Names of the filters that it includes, each once."""
        return tuple(dict.fromkeys(r.filter for r in self.references if r.filter))


@dataclass(frozen=True, slots=True)
class Filter:
    """A network filter of a host, as one reading saw it."""

    name: str
    uuid: str
    view: FilterDefinition


def read_filters(raw: Any) -> list[Filter]:
    """All network filters in libvirt's order; none where the driver has none.

    One that can't be read is left out.
    """
    return readable(raw, listed(raw.listAllNWFilters), filter_of, "network filter")


def find_filter(raw: Any, name: str) -> Filter:
    """The network filter of that name; raises libvirtError where there is none."""
    return filter_of(raw.nwfilterLookupByName(name))


def filter_of(handle: Any) -> Filter:
    """The filter of libvirt's handle; raises Invalid where its definition is no XML."""
    return Filter(handle.name(), handle.UUIDString(), FilterDefinition.view(handle.XMLDesc(0)))
