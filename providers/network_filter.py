# SPDX-License-Identifier: LGPL-2.1-or-later
"""Network filters: KVM_FilterList, its rules, and what they are tied to.

::

    KVM_HostSystem --HostedFilterList-- KVM_FilterList --EntriesInFilterList-- KVM_<rule>
                                          |        |
                               NestedFilterList   AppliedFilterList-- KVM_NetworkPort
                                          |
                                     KVM_FilterList

A rule is a KVM_Hdr8021Filter or KVM_IPHeadersFilter after the protocol that it matches, otherwise a
KVM_FilterEntry.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic

from libvirtcim.cim.associations import Association, Handler, Target
from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.cim.errors import NotFound
from libvirtcim.cim.objects import InstancePath
from libvirtcim.cim.provider import Columns, ProviderRequest
from libvirtcim.providers.common import (
    FamilyProvider,
    GuestItem,
    HostItem,
    HostReading,
    Item,
    Provided,
    association,
    end,
    registered,
    translated,
)
from libvirtcim.providers.device import CLASS_OF_KIND, DeviceItem, device_items
from libvirtcim.providers.guest_associations import HOST
from libvirtcim.virt.host import Hosts, Needs
from libvirtcim.virt.nwfilter import Filter, Rule

PREFIXES = ("KVM",)

ACTIONS = {"1": "Permit", "2": "Deny", "3": "Reject", "4": "Return", "5": "Continue"}
_ACTION = {"accept": 1, "drop": 2, "reject": 3, "return": 4, "continue": 5}
DIRECTIONS = {"0": "Not Applicable", "1": "Input", "2": "Output", "3": "Both", "4": "Mirrored"}
_DIRECTION = {"in": 1, "out": 2, "inout": 3}

_PRIORITY = Property(
    "Priority",
    "sint16",
    "Rank: what has the lower number is looked at first.",
    default=500,
    qualifiers={"MinValue": -1000, "MaxValue": 1000},
)
_ACTION_PROPERTY = Property("Action", "uint16", "What happens to what matches.", values=ACTIONS)
_DIRECTION_PROPERTY = Property(
    "Direction", "uint16", "Direction of the traffic, as the guest sees it.", values=DIRECTIONS
)

MAX_VARIABLE = 48
"""Characters of a variable's name that stand for an address."""


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


# --- values ---------------------------------------------------------------------------------------

_ETHERNET_IDS = {"ipv4": 0x0800, "arp": 0x0806, "rarp": 0x8035, "ipv6": 0x86DD}
ETHERNET_PROTOCOLS = frozenset({"mac", "arp", "rarp"})
IP_NUMBERS = {
    "icmp": 1,
    "igmp": 2,
    "tcp": 6,
    "udp": 17,
    "esp": 50,
    "ah": 51,
    "icmpv6": 58,
    "sctp": 132,
    "udplite": 136,
}
"""Protocol above IP → its number (IANA)."""
IP_PROTOCOLS = frozenset(
    {"ip", "ipv6", "icmpv6", "all", "all-ipv6"}
    | {f"{name}{suffix}" for name in IP_NUMBERS for suffix in ("", "-ipv6") if name != "icmpv6"}
)


def _octets(attribute: str) -> Callable[[RuleItem], list[int] | None]:
    """A hardware address."""

    def value(item: RuleItem) -> list[int] | None:
        text = item.match.get(attribute)
        if text is None:
            return None
        if text.startswith("$"):
            return _variable(text)
        try:
            octets = [int(part, 16) for part in text.split(":")]
        except ValueError:
            octets = []
        return octets if len(octets) == 6 and max(octets) < 256 else [0] * 6

    return value


def _variable(text: str) -> list[int]:
    """A variable that each interface sets for itself: the characters of its name."""
    return list(text.encode("ascii", "replace")[:MAX_VARIABLE])


def _protocol_id(item: RuleItem) -> int | None:
    text = item.match.get("protocolid") if item.protocol == "mac" else item.protocol
    if text is None:
        return None
    known = _ETHERNET_IDS.get(text)
    try:
        return int(text, 16) if known is None else known
    except ValueError:
        return None


def _is_v6(item: RuleItem) -> bool:
    return "v6" in item.protocol


def _address(attribute: str) -> Callable[[RuleItem], list[int] | None]:
    """An IP address in network order."""

    def value(item: RuleItem) -> list[int] | None:
        text = item.match.get(attribute)
        return None if text is None else _ip_octets(text, _is_v6(item))

    return value


def _ip_octets(text: str, v6: bool) -> list[int]:
    if text.startswith("$"):
        return _variable(text)
    try:
        return list((ipaddress.IPv6Address if v6 else ipaddress.IPv4Address)(text).packed)
    except ValueError:
        return [0] * (16 if v6 else 4)


def _mask(end_of: str) -> Callable[[RuleItem], list[int] | None]:
    """The mask of an address: given as one, or as the length of a prefix."""

    def value(item: RuleItem) -> list[int] | None:
        text = item.match.get(f"{end_of}ipmask")
        if text is None or _is_range(item, end_of):
            return None
        v6 = _is_v6(item)
        if not text.isdigit():
            return _ip_octets(text, v6)
        bits, length = (128 if v6 else 32), int(text)
        if length > bits:
            return None
        return list(((1 << bits) - (1 << (bits - length))).to_bytes(bits // 8, "big"))

    return value


def _is_range(item: RuleItem, end_of: str) -> bool:
    return f"{end_of}ipfrom" in item.match and f"{end_of}ipto" in item.match


def _from(end_of: str) -> Callable[[RuleItem], list[int] | None]:
    """An address, or the first one of a range."""
    single, first = _address(f"{end_of}ipaddr"), _address(f"{end_of}ipfrom")
    return lambda item: (first if _is_range(item, end_of) else single)(item)


def _to(end_of: str) -> Callable[[RuleItem], list[int] | None]:
    """The last address of a range."""
    last = _address(f"{end_of}ipto")
    return lambda item: last(item) if _is_range(item, end_of) else None


def _port(attribute: str) -> Callable[[RuleItem], int | None]:
    """A port; one that is a variable is 0."""

    def value(item: RuleItem) -> int | None:
        text = item.match.get(attribute)
        if text is None:
            return None
        return int(text) if text.isdigit() else 0

    return value


_SYSTEM: Columns = {
    "SystemCreationClassName": lambda i: f"{i.prefix}_{HOST}",
    "SystemName": lambda i: i.host.name(),
}

_RULE: Columns = {
    **_SYSTEM,
    "Name": lambda i: i.name,
    "Action": lambda i: _ACTION.get(i.rule.action or "", 0),
    "Direction": lambda i: _DIRECTION.get(i.rule.direction or "", 0),
    "Priority": lambda i: i.rule.priority or 0,
    "IsNegated": lambda i: i.match.get("match") == "no",
}


@dataclass(frozen=True, slots=True)
class RuleClass:
    """A class of rules: declaration, which protocols are its, what it shows."""

    decl: ClassDecl
    has: Callable[[str], bool]
    columns: Columns


def _rule_decl(base: str, description: str, *properties: Property) -> ClassDecl:
    return ClassDecl(
        base,
        f"CIM_{base}",
        description,
        PREFIXES,
        properties,
        registration=registered("Virt_FilterEntry"),
    )


RULES = (
    RuleClass(
        _rule_decl(
            "Hdr8021Filter",
            "A rule about Ethernet frames.",
            _ACTION_PROPERTY,
            _DIRECTION_PROPERTY,
            _PRIORITY,
        ),
        ETHERNET_PROTOCOLS.__contains__,
        {
            "HdrSrcMACAddr8021": _octets("srcmacaddr"),
            "HdrSrcMACMask8021": _octets("srcmacmask"),
            "HdrDestMACAddr8021": _octets("dstmacaddr"),
            "HdrDestMACMask8021": _octets("dstmacmask"),
            "HdrProtocolID8021": _protocol_id,
        },
    ),
    RuleClass(
        _rule_decl(
            "IPHeadersFilter",
            "A rule about IP packets.",
            _ACTION_PROPERTY,
            _DIRECTION_PROPERTY,
            _PRIORITY,
        ),
        IP_PROTOCOLS.__contains__,
        {
            "HdrIPVersion": lambda i: 6 if _is_v6(i) else 4,
            "HdrProtocolID": lambda i: IP_NUMBERS.get(i.protocol.removesuffix("-ipv6")),
            "HdrSrcAddress": _from("src"),
            "HdrSrcAddressEndOfRange": _to("src"),
            "HdrSrcMask": _mask("src"),
            "HdrDestAddress": _from("dst"),
            "HdrDestAddressEndOfRange": _to("dst"),
            "HdrDestMask": _mask("dst"),
            "HdrSrcPortStart": _port("srcportstart"),
            "HdrSrcPortEnd": _port("srcportend"),
            "HdrDestPortStart": _port("dstportstart"),
            "HdrDestPortEnd": _port("dstportend"),
        },
    ),
    RuleClass(
        _rule_decl("FilterEntry", "A rule about anything else.", _DIRECTION_PROPERTY, _PRIORITY),
        lambda protocol: protocol not in ETHERNET_PROTOCOLS | IP_PROTOCOLS,
        {},
    ),
)

FILTER_LIST = ClassDecl(
    "FilterList",
    "CIM_FilterList",
    "A network filter: rules, and other filters that it includes.",
    PREFIXES,
    (_PRIORITY,),
    registration=registered("Virt_FilterList"),
)


# --- instances ------------------------------------------------------------------------------------


def filter_items(prefix: str, reading: HostReading) -> Iterator[FilterItem]:
    """All filters of a host in libvirt's order; raises VirtError."""
    return (FilterItem(prefix, reading, found) for found in reading.filters)


def rule_items(item: FilterItem) -> Iterator[tuple[str, RuleItem]]:
    """(base name of its class, rule) of every rule of a filter."""
    for index, rule in enumerate(item.filter.view.rules):
        found = RuleItem(item, index, rule)
        yield next(c.decl.base for c in RULES if c.has(found.protocol)), found


def name_in(path: InstancePath) -> str:
    """The key Name of a path; raises NotFound."""
    name = path.text("Name")
    if not name:
        raise NotFound("Unable to get Name from reference")
    return name


class _FilterProvider(FamilyProvider[Item], Generic[Item]):
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
        try:
            with translated("Unable to read the network filter"):
                return FilterItem(request.prefix, reading, reading.host.filter(name))
        except NotFound as error:
            raise NotFound("No such instance (Name)") from error


class FilterListProvider(_FilterProvider[FilterItem]):
    """Serves KVM_FilterList."""

    def items(self, request: ProviderRequest) -> Iterable[FilterItem]:
        """All filters."""
        return self.filters(request)

    def find(self, request: ProviderRequest, path: InstancePath) -> FilterItem:
        """The filter called `Name`."""
        return self.filter_named(request, name_in(path))


class RuleProvider(_FilterProvider[RuleItem]):
    """Serves one class of rules."""

    def __init__(self, rules: RuleClass, hosts: Hosts) -> None:
        super().__init__(rules.decl, hosts, {**_RULE, **rules.columns})
        self._base = rules.decl.base

    def items(self, request: ProviderRequest) -> Iterable[RuleItem]:
        """The rules of all filters that are of this class."""
        for item in self.filters(request):
            yield from (rule for base, rule in rule_items(item) if base == self._base)

    def find(self, request: ProviderRequest, path: InstancePath) -> RuleItem:
        """The rule called `<filter>:<index>`."""
        name = name_in(path)
        of, _colon, index = name.rpartition(":")
        if not (of and index.isdigit()):
            raise NotFound("Could not parse filter name")
        for base, rule in rule_items(self.filter_named(request, of)):
            if rule.name == name and base == self._base:
                return rule
        raise NotFound("No such instance (Name)")


# --- associations ---------------------------------------------------------------------------------

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
    for name in item.filter.view.references:
        if name in by_name:
            yield by_name[name]


def _parents(item: FilterItem) -> Iterator[FilterItem]:
    for found in filter_items(item.prefix, item.reading):
        if item.filter.name in found.filter.view.references:
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

ASSOCIATIONS = (
    HOSTED_FILTER_LIST,
    ENTRIES_IN_FILTER_LIST,
    NESTED_FILTER_LIST,
    APPLIED_FILTER_LIST,
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    columns: Columns = {
        **_SYSTEM,
        "Name": lambda i: i.filter.name,
        "InstanceID": lambda i: i.filter.uuid,
        "Direction": lambda i: 0,
        "Priority": lambda i: i.filter.view.priority or 0,
    }
    return Provided(
        (FILTER_LIST, *(c.decl for c in RULES), *(a.decl for a in ASSOCIATIONS)),
        (
            FilterListProvider(FILTER_LIST, hosts, columns),
            *(RuleProvider(rules, hosts) for rules in RULES),
        ),
        ASSOCIATIONS,
    )
