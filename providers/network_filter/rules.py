# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rules of network filters: read, added at the end of a filter, and deleted.

A rule is a KVM_Hdr8021Filter or KVM_IPHeadersFilter after the protocol that it matches, otherwise a
KVM_FilterEntry. It is known by its place, so that deleting one renames those behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.cim.errors import AlreadyExists, Failed, InvalidParameter, NotFound
from libvirtcim.cim.objects import GivenInstance, InstancePath, Value
from libvirtcim.cim.provider import Columns, Layout, ProviderRequest
from libvirtcim.providers.common import HostReading, Provided, registered
from libvirtcim.providers.network_filter.fields import (
    ETHERNET_PROTOCOL,
    IP_NUMBERS,
    IP_PROTOCOL,
    IP_VERSION,
    V6,
    Attributes,
    Field,
    hardware_address,
    ip_element,
    ip_end,
)
from libvirtcim.providers.network_filter.items import (
    PREFIXES,
    PRIORITY,
    SYSTEM,
    FilterItem,
    FilterProvider,
    RuleItem,
    host_of,
    missing_filter,
    name_in,
    parts_of_name,
)
from libvirtcim.virt import nwfilter_changes
from libvirtcim.virt.host import Hosts
from libvirtcim.virt.nwfilter import Filter, FilterDefinition, Rule

ACTIONS = {"1": "Permit", "2": "Deny", "3": "Reject", "4": "Return", "5": "Continue"}
_ACTION = {"accept": 1, "drop": 2, "reject": 3, "return": 4, "continue": 5}
DIRECTIONS = {"0": "Not Applicable", "1": "Input", "2": "Output", "3": "Both", "4": "Mirrored"}
_DIRECTION = {"in": 1, "out": 2, "inout": 3}

_ACTION_PROPERTY = Property("Action", "uint16", "What happens to what matches.", values=ACTIONS)
_DIRECTION_PROPERTY = Property(
    "Direction", "uint16", "Direction of the traffic, as the guest sees it.", values=DIRECTIONS
)

ETHERNET_PROTOCOLS = frozenset({"mac", "arp", "rarp"})
IP_PROTOCOLS = frozenset(
    {"ip", "ipv6", "icmpv6", "all", f"all{V6}"}
    | {f"{name}{suffix}" for name in IP_NUMBERS for suffix in ("", V6) if name != "icmpv6"}
)

_RULE: Columns = {
    **SYSTEM,
    "Name": attrgetter("name"),
    "Action": lambda i: _ACTION.get(i.rule.action or "", 0),
    "Direction": lambda i: _DIRECTION.get(i.rule.direction or "", 0),
    "Priority": lambda i: i.rule.priority or 0,
    "IsNegated": lambda i: i.match.get("match") == "no",
}
_NOT_ASKED = frozenset({"SystemCreationClassName", "SystemName", "CreationClassName", "Name"})
"""Keys: where a rule is, not what it says."""


@dataclass(frozen=True, slots=True)
class RuleClass:
    """A class of rules: declaration, which protocols are its, what it shows and keeps of them.

    `element`: (all that is given of a rule) → the protocol's element of a new one, "" for none.
    """

    decl: ClassDecl
    has: Callable[[str], bool]
    element: Callable[[Mapping[str, Value]], str]
    fields: Mapping[str, Field] = field(default_factory=dict)

    @property
    def columns(self) -> Columns:
        """Everything that is shown."""
        return {**_RULE, **{name: one.read for name, one in self.fields.items()}}

    def make(self, given: Mapping[str, Value]) -> Rule:
        """A new rule of what is given, without NULLs; raises InvalidParameter."""
        action = _word(_ACTION, given, "Action")
        direction = _word(_DIRECTION, given, "Direction")
        attributes: dict[str, str] = {"match": "no"} if given.get("IsNegated") else {}
        for name, one in self.fields.items():
            if name in given:
                attributes.update(_written(name, one, given))
        try:
            element = self.element(given)
        except ValueError as error:
            raise InvalidParameter(str(error)) from error
        rule = Rule.new(action=action, direction=direction, priority=given.get("Priority"))
        rule.matches = ((element, tuple(attributes.items())),) if element else ()
        return rule


def _word(numbers: Mapping[str, int], given: Mapping[str, Value], name: str) -> str:
    for word, number in numbers.items():
        if given.get(name) == number:
            return word
    known = ", ".join(f"{number} ({word})" for word, number in numbers.items())
    raise InvalidParameter(f"{name} must be one of {known}")


def _written(name: str, one: Field, given: Mapping[str, Value]) -> Attributes:
    try:
        return one.write(given[name], given)
    except (ValueError, TypeError) as error:
        raise InvalidParameter(f"{name}: {error}") from error


def _rule_decl(base: str, description: str, *properties: Property) -> ClassDecl:
    return ClassDecl(
        base,
        f"CIM_{base}",
        f"{description} A new one is the last of its filter: its Name is `<filter>:<number of rules>`.",
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
            PRIORITY,
        ),
        ETHERNET_PROTOCOLS.__contains__,
        lambda _given: "mac",
        {
            "HdrSrcMACAddr8021": hardware_address("srcmacaddr"),
            "HdrSrcMACMask8021": hardware_address("srcmacmask"),
            "HdrDestMACAddr8021": hardware_address("dstmacaddr"),
            "HdrDestMACMask8021": hardware_address("dstmacmask"),
            "HdrProtocolID8021": ETHERNET_PROTOCOL,
        },
    ),
    RuleClass(
        _rule_decl(
            "IPHeadersFilter",
            "A rule about IP packets.",
            _ACTION_PROPERTY,
            _DIRECTION_PROPERTY,
            PRIORITY,
        ),
        IP_PROTOCOLS.__contains__,
        ip_element,
        {
            "HdrIPVersion": IP_VERSION,
            "HdrProtocolID": IP_PROTOCOL,
            **ip_end("Src", "src"),
            **ip_end("Dest", "dst"),
        },
    ),
    RuleClass(
        _rule_decl("FilterEntry", "A rule about anything else.", _DIRECTION_PROPERTY, PRIORITY),
        lambda protocol: protocol not in ETHERNET_PROTOCOLS | IP_PROTOCOLS,
        lambda _given: "",
    ),
)


def rule_items(item: FilterItem) -> Iterator[tuple[str, RuleItem]]:
    """(base name of its class, rule) of every rule of a filter."""
    for index, rule in enumerate(item.filter.view.rules):
        found = RuleItem(item, index, rule)
        yield next(c.decl.base for c in RULES if c.has(found.protocol)), found


class RuleProvider(FilterProvider[RuleItem]):
    """Serves one class of rules."""

    def __init__(self, rules: RuleClass, hosts: Hosts) -> None:
        super().__init__(rules.decl, hosts, rules.columns)
        self._rules = rules

    def items(self, request: ProviderRequest) -> Iterable[RuleItem]:
        """The rules of all filters that are of this class."""
        for item in self.filters(request):
            yield from (rule for base, rule in rule_items(item) if base == self._rules.decl.base)

    def find(self, request: ProviderRequest, path: InstancePath) -> RuleItem:
        """The rule called `<filter>:<index>`."""
        name = name_in(path)
        parts = parts_of_name(name)
        if parts is None:
            raise NotFound("Could not parse filter name")
        for base, rule in rule_items(self.filter_named(request, parts[0])):
            if rule.name == name and base == self._rules.decl.base:
                return rule
        raise NotFound("No such instance (Name)")

    def create(self, request: ProviderRequest, instance: GivenInstance) -> InstancePath:
        """Adds a rule; raises AlreadyExists, InvalidParameter, or Failed with libvirt's text.

        What libvirt wouldn't keep as it is given is refused.
        """
        parts = parts_of_name(instance.value("Name") or "")
        if parts is None:
            raise Failed("Name must be <filter>:<number of the filter's rules>")
        name, index = parts
        given = {n: one.value for n, one in instance.values.items() if one.value is not None}
        rule = self._rules.make(given)
        host = host_of(self.hosts, request)

        def item(found: Filter) -> RuleItem:
            owner = FilterItem(request.prefix, HostReading.of(request, host), found)
            return RuleItem(owner, index, found.view.rules[index])

        def add(definition: FilterDefinition) -> None:
            _check_next(definition, name, index)
            definition.rules = (*definition.rules, rule)
            self._check_shown(given, item(Filter(name, "", definition.freeze())))

        with missing_filter(f"Filter {name!r} does not exist", "Failed to add rule"):
            made = nwfilter_changes.change(
                host, name, add, lambda found: self._check_shown(given, item(found))
            )
        return Layout(request.cls, self.columns).path(item(made), request.namespace)

    def _check_shown(self, given: Mapping[str, Value], item: RuleItem) -> None:
        """Raises InvalidParameter where a rule doesn't show what was given of it."""
        for name in given.keys() - _NOT_ASKED:
            column = self.columns.get(name)
            if column is None or column(item) != given[name]:
                raise InvalidParameter(f"{self.decl.base}: {name} can't be kept in such a rule")

    def delete(self, request: ProviderRequest, path: InstancePath) -> None:
        """Deletes the rule that has the name now; those behind it move up."""
        found = self.find(request, path)
        name, index = found.owner.filter.name, found.index

        def take_out(definition: FilterDefinition) -> None:
            rules = definition.rules
            if definition.freeze().rules[index : index + 1] != (found.rule,):
                raise NotFound("No such instance (Name)")
            definition.rules = (*rules[:index], *rules[index + 1 :])

        with missing_filter("No such instance (Name)", "Failed to delete rule"):
            nwfilter_changes.change(host_of(self.hosts, request), name, take_out)


def _check_next(definition: FilterDefinition, name: str, index: int) -> None:
    free = len(definition.rules)
    if index < free:
        raise AlreadyExists(f"The next rule of filter {name!r} is {name}:{free}")
    if index > free:
        raise Failed(f"The next rule of filter {name!r} is {name}:{free}")


def provide(hosts: Hosts) -> Provided:
    """The classes and what serves them."""
    return Provided(
        tuple(c.decl for c in RULES), tuple(RuleProvider(rules, hosts) for rules in RULES)
    )
