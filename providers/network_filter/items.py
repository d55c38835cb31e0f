# SPDX-License-Identifier: LGPL-2.1-or-later
"""Network filters and their rules as items, and how they are found.

::

    KVM_HostSystem --HostedFilterList-- KVM_FilterList --EntriesInFilterList-- KVM_<rule>
                                          |        |
                               NestedFilterList   AppliedFilterList-- KVM_NetworkPort
                                          |
                                     KVM_FilterList
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic

from libvirtcim.cim.declare import Property
from libvirtcim.cim.errors import Failed, NotFound
from libvirtcim.cim.objects import InstancePath
from libvirtcim.cim.provider import Columns, ProviderRequest
from libvirtcim.providers.common import FamilyProvider, HostReading, Item, translated
from libvirtcim.providers.guest_associations import HOST
from libvirtcim.virt.host import Host, Hosts
from libvirtcim.virt.nwfilter import Filter, Rule

PREFIXES = ("KVM",)

PRIORITY = Property(
    "Priority",
    "sint16",
    "Rank: what has the lower number is looked at first.",
    default=500,
    qualifiers={"MinValue": -1000, "MaxValue": 1000},
)


@dataclass(frozen=True, slots=True)
class FilterItem:
    """A network filter of a family's host."""

    prefix: str
    reading: HostReading
    filter: Filter

    @property
    def host(self) -> Any:
        """The filter's host."""
        return self.reading.host


@dataclass(frozen=True)
class RuleItem:
    """One rule of a filter, and its place among the filter's rules."""

    owner: FilterItem
    index: int
    rule: Rule

    @property
    def prefix(self) -> str:
        """Prefix of the family."""
        return self.owner.prefix

    @property
    def host(self) -> Any:
        """The filter's host."""
        return self.owner.host

    @property
    def name(self) -> str:
        """`<filter>:<index>`."""
        return f"{self.owner.filter.name}:{self.index}"

    @property
    def protocol(self) -> str:
        """The protocol that is matched; "" where the rule is for everything."""
        return self.rule.matches[0][0] if self.rule.matches else ""

    @cached_property
    def match(self) -> Mapping[str, str]:
        """Attributes of the protocol's element."""
        return dict(self.rule.matches[0][1]) if self.rule.matches else {}


SYSTEM: Columns = {
    "SystemCreationClassName": lambda i: f"{i.prefix}_{HOST}",
    "SystemName": lambda i: i.host.name(),
}
"""Keys that filters and rules have of their host."""


def filter_items(prefix: str, reading: HostReading) -> Iterator[FilterItem]:
    """All filters of a host in libvirt's order; raises VirtError."""
    return (FilterItem(prefix, reading, found) for found in reading.filters)


def name_in(path: InstancePath) -> str:
    """The key Name of a path; raises NotFound."""
    name = path.text("Name")
    if not name:
        raise NotFound("Unable to get Name from reference")
    return name


def parts_of_name(name: str) -> tuple[str, int] | None:
    """Filter and index of what `RuleItem.name` makes; None where it is none."""
    of, _colon, index = name.rpartition(":")
    return (of, int(index)) if of and index.isascii() and index.isdigit() else None


def host_of(hosts: Hosts, request: ProviderRequest) -> Host:
    """The host on which the request changes something; raises Failed where none is configured."""
    try:
        return hosts.host(request.prefix)
    except KeyError:
        raise Failed(f"Unable to connect to hypervisor: {request.prefix} has none") from None


@contextmanager
def missing_filter(text: str, what: str = "Unable to read the network filter") -> Iterator[None]:
    """Turns libvirt errors of the block into CIM errors: a filter that isn't there is NOT_FOUND `text`.

    `what`: what is tried, before libvirt's text of other errors.
    """
    try:
        with translated(what):
            yield
    except NotFound as error:
        raise NotFound(text) from error


class FilterProvider(FamilyProvider[Item], Generic[Item]):
    """Finds filters; the name alone says which one is meant."""

    checked_keys = frozenset({"Name"})

    def filters(self, request: ProviderRequest) -> list[FilterItem]:
        """The filters of the host, if its hypervisor answers."""
        reading = self.reading(request)
        if reading is None:
            return []
        with translated("Unable to list network filters"):
            return list(filter_items(request.prefix, reading))

    def filter_named(self, request: ProviderRequest, name: str) -> FilterItem:
        """The filter of that name; raises NotFound."""
        reading = self.reading(request)
        if reading is None:
            raise NotFound(self.absent)
        with missing_filter("No such instance (Name)"):
            return FilterItem(request.prefix, reading, reading.host.filter(name))
