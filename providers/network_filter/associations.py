# SPDX-License-Identifier: LGPL-2.1-or-later
"""What network filters are tied to: their host, their rules, each other, and the ports that they guard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from libvirtcim.cim.associations import Association, Handler, Target
from libvirtcim.cim.provider import ProviderRequest
from libvirtcim.providers.common import (
    GuestItem,
    HostItem,
    Provided,
    association,
    end,
    registered,
    translated,
)
from libvirtcim.providers.device import CLASS_OF_KIND, DeviceItem, device_items
from libvirtcim.providers.guest_associations import HOST
from libvirtcim.providers.network_filter.items import (
    PREFIXES,
    FilterItem,
    RuleItem,
    filter_items,
)
from libvirtcim.providers.network_filter.links import AppliedFilters, NestedFilters
from libvirtcim.providers.network_filter.lists import FILTER_LIST
from libvirtcim.providers.network_filter.rules import RULES, rule_items
from libvirtcim.virt.host import Hosts, Needs

LIST = FILTER_LIST.base
RULE_BASES = tuple(c.decl.base for c in RULES)
PORT = CLASS_OF_KIND["net"].decl.base


def _lists_of_host(
    _request: ProviderRequest, _base: str, item: HostItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    with translated("Unable to list network filters"):
        yield from (Target(LIST, found) for found in filter_items(item.prefix, item.reading))


def _host_of(
    _request: ProviderRequest, _base: str, item: FilterItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    yield Target(HOST, HostItem(item.prefix, item.reading))


def _rules_of(
    _request: ProviderRequest, _base: str, item: FilterItem, wanted: frozenset[str]
) -> Iterable[Target]:
    yield from (Target(base, rule) for base, rule in rule_items(item) if base in wanted)


def _list_of_rule(
    _request: ProviderRequest, _base: str, item: RuleItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    yield Target(LIST, item.owner)


def _children(item: FilterItem) -> Iterator[FilterItem]:
    by_name = {found.filter.name: found for found in filter_items(item.prefix, item.reading)}
    for name in item.filter.view.included:
        if name in by_name:
            yield by_name[name]


def _parents(item: FilterItem) -> Iterator[FilterItem]:
    for found in filter_items(item.prefix, item.reading):
        if item.filter.name in found.filter.view.included:
            yield found


def _nested(
    _request: ProviderRequest, _base: str, item: FilterItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    """The filters that this one includes; then those that include it, which have the other role."""
    with translated("Unable to list network filters"):
        yield from (Target(LIST, child) for child in _children(item))
        yield from (Target(LIST, parent, swapped=True) for parent in _parents(item))


def _nesting(
    _request: ProviderRequest, _base: str, item: FilterItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    with translated("Unable to list network filters"):
        yield from (Target(LIST, parent) for parent in _parents(item))


def _ports_with(
    _request: ProviderRequest, _base: str, item: FilterItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    """The interfaces of all guests that the filter guards."""
    wanted = item.filter.name.lower()
    with translated("Unable to list guests"):
        for guest in item.reading.guests(Needs.LIVE):
            for port in device_items(GuestItem(item.prefix, item.reading, guest), "net"):
                if (port.device.filter or "").lower() == wanted:
                    yield Target(PORT, port)


def _filter_of_port(
    _request: ProviderRequest, _base: str, item: DeviceItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    name = (item.device.filter or "").lower()
    with translated("Unable to list network filters"):
        for found in filter_items(item.prefix, item.owner.reading):
            if name and found.filter.name.lower() == name:
                yield Target(LIST, found)


HOSTED_FILTER_LIST = Association(
    association("HostedFilterList", "A host and a filter that it has.", prefixes=PREFIXES),
    (
        Handler((HOST,), "Antecedent", (LIST,), "Dependent", _lists_of_host, enumerated=True),
        Handler((LIST,), "Dependent", (HOST,), "Antecedent", _host_of),
    ),
)

ENTRIES_IN_FILTER_LIST = Association(
    association("EntriesInFilterList", "A filter and one of its rules.", prefixes=PREFIXES),
    (
        Handler((LIST,), "GroupComponent", RULE_BASES, "PartComponent", _rules_of, enumerated=True),
        Handler(RULE_BASES, "PartComponent", (LIST,), "GroupComponent", _list_of_rule),
    ),
)

NESTED_FILTER_LIST = Association(
    replace(
        association(
            "NestedFilterList",
            "A filter, and one that it includes.",
            superclass="CIM_ConcreteDependency",
            prefixes=PREFIXES,
            properties=(
                end("Antecedent", "CIM_FilterList", "The filter that includes."),
                end("Dependent", "CIM_FilterList", "The filter that is included."),
            ),
        ),
        registration=registered("Virt_NestedFilterList", "instance", "association"),
    ),
    (
        Handler((LIST,), "Antecedent", (LIST,), "Dependent", _nested, enumerated=True),
        Handler((LIST,), "Dependent", (LIST,), "Antecedent", _nesting),
    ),
)

# Older clients ask with the roles the other way round.
APPLIED_FILTER_LIST = Association(
    replace(
        association(
            "AppliedFilterList",
            "A network port and the filter that guards it.",
            superclass="CIM_ConcreteDependency",
            prefixes=PREFIXES,
            properties=(
                end("Antecedent", "CIM_NetworkPort", "The network port."),
                end("Dependent", "CIM_FilterList", "The filter."),
            ),
        ),
        registration=registered("Virt_AppliedFilterList", "instance", "association"),
    ),
    (
        Handler(
            (LIST,),
            "Dependent",
            (PORT,),
            "Antecedent",
            _ports_with,
            enumerated=True,
            also_roles=("Antecedent", "Dependent"),
        ),
        Handler(
            (PORT,),
            "Antecedent",
            (LIST,),
            "Dependent",
            _filter_of_port,
            also_roles=("Dependent", "Antecedent"),
        ),
    ),
)


def provide(hosts: Hosts) -> Provided:
    """The association classes, and what creates and deletes their instances."""
    associations = (
        HOSTED_FILTER_LIST,
        ENTRIES_IN_FILTER_LIST,
        replace(NESTED_FILTER_LIST, writer=NestedFilters(hosts)),
        replace(APPLIED_FILTER_LIST, writer=AppliedFilters(hosts)),
    )
    return Provided(tuple(a.decl for a in associations), associations=associations)
