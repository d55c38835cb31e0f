# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changes of network filters: what is refused before libvirt is asked, and that all the rest survives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libvirtcim.cim import errors
from libvirtcim.cim.objects import Given, GivenInstance, InstancePath
from libvirtcim.providers.common import HostReading
from libvirtcim.providers.network_filter.items import FilterItem, RuleItem
from libvirtcim.providers.network_filter.rules import RULES
from libvirtcim.virt import nwfilter_changes
from libvirtcim.virt.errors import Busy, Exists, Failed
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.host import Host
from libvirtcim.virt.nwfilter import Filter, FilterDefinition, FilterReference
from libvirtcim.virt.settings import HostSettings
from tests.providers.wiring import CONTEXT, KVM, NS, broker_of, path
from tests.standin import Managed, RecordedHost, StandInConnection, libvirt_error


class Defined(Managed):
    """A filter that shows its last definition, and can be removed."""

    owner: FilterHost

    def XMLDesc(self, _flags: int = 0) -> str:
        return self.owner.nwfilterLookupByName(self.name()).xml

    def undefine(self) -> None:
        self.owner.filters = [f for f in self.owner.filters if f.name() != self.name()]


class FilterHost(RecordedHost):
    """A host that takes any definition of a filter; those that say `refused` only to refuse them."""

    forgets = ""
    """What it leaves out of a definition."""

    def nwfilterDefineXML(self, text: str) -> Managed:
        if "refused" in text:
            raise libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, "no such filter")
        text = text.replace(self.forgets, "") if self.forgets else text
        name = FilterDefinition.view(text).name or ""
        made = Defined(name, text)
        object.__setattr__(made, "owner", self)
        self.filters = [*(f for f in self.filters if f.name() != name), made]
        return made


def host_with(*texts: str, lock_timeout: float = 5) -> tuple[Host, FilterHost]:
    """A host with filters."""
    recorded = FilterHost("QEMU", [])
    for text in texts:
        recorded.nwfilterDefineXML(text)
    settings = HostSettings(side_file_dir=None, host_name="h", lock_timeout=lock_timeout)
    return Host(StandInConnection("qemu:///system", recorded), FAMILIES[KVM], settings), recorded


# --- what else is in a filter survives ------------------------------------------------------------------

PIECES = [
    "<rule action='accept' direction=\"in\"><tcp  dstportstart='22' /></rule>",
    "<rule action='drop' direction='inout' priority='1000'></rule>",
    "<!-- filterref filter='child' -->",
    "<filterref filter='other'><parameter name='IP' value='&#49;0.0.0.1'/></filterref>",
    "<filterref\tfilter='empty'></filterref>",
    "<unknown xmlns:x='urn:x' x:y='1'><![CDATA[<&>]]></unknown>",
    "<?instruction here?>",
]
GAPS = ["", "\n", "\n    ", "  \t"]


@st.composite
def definitions(draw: st.DrawFn) -> str:
    """A filter with anything in it."""
    body = "".join(
        draw(st.sampled_from(GAPS)) + draw(st.sampled_from(PIECES))
        for _ in range(draw(st.integers(0, 6)))
    )
    start = "<filter  name='parent' chain=\"ipv4\">\n  <uuid>u</uuid>"
    return f"{start}{body}{draw(st.sampled_from(GAPS))}</filter>\n"


@given(definitions())
def test_what_is_included_and_taken_out_again_leaves_no_trace(before: str) -> None:
    host, _recorded = host_with(before, "<filter name='child'/>")

    def include(definition: FilterDefinition) -> None:
        child = FilterReference.new(filter="child")
        definition.references = (*definition.references, child)

    def exclude(definition: FilterDefinition) -> None:
        definition.references = tuple(r for r in definition.references if r.filter != "child")

    nwfilter_changes.change(host, "parent", include)
    found = host.filter("parent")
    assert found.view.included[-1] == "child"
    assert found.view.rules == FilterDefinition.view(before).rules
    nwfilter_changes.change(host, "parent", exclude)
    after = host.connection.call(lambda raw: raw.nwfilterLookupByName("parent").XMLDesc(0))
    assert after == before


def test_a_change_that_libvirt_does_not_keep_is_taken_back() -> None:
    before = "<filter name='f'><rule action='drop' direction='in'/></filter>"
    host, recorded = host_with(before)
    recorded.forgets = "<filterref filter='g'/>"

    def check(made: Filter) -> None:
        if "g" not in made.view.included:
            raise Failed("not kept")

    def include(definition: FilterDefinition) -> None:
        definition.priority = 3
        definition.references = (FilterReference.new(filter="g"),)

    with pytest.raises(Failed, match="not kept"):
        nwfilter_changes.change(host, "f", include, check)
    assert recorded.nwfilterLookupByName("f").xml == before


def test_a_name_is_taken_once() -> None:
    host, recorded = host_with("<filter name='f' priority='7'/>")
    with pytest.raises(Exists):
        nwfilter_changes.create(host, FilterDefinition.new(name="f"))
    assert recorded.nwfilterLookupByName("f").xml == "<filter name='f' priority='7'/>"


def test_changes_of_a_filter_take_turns() -> None:
    host, _recorded = host_with("<filter name='f'/>", "<filter name='g'/>", lock_timeout=0.01)

    def meanwhile(_definition: FilterDefinition) -> None:
        nwfilter_changes.delete(host, "g")
        with ThreadPoolExecutor(1) as other, pytest.raises(Busy, match="network filter f is being"):
            other.submit(nwfilter_changes.delete, host, "f").result()

    nwfilter_changes.change(host, "f", meanwhile)
    assert [found.name for found in host.filters()] == ["f"]


# --- rules, in both directions --------------------------------------------------------------------------


def octets(count: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, 255), min_size=count, max_size=count)


def mask(bits: int) -> st.SearchStrategy[list[int]]:
    return st.integers(0, bits).map(
        lambda ones: list(((1 << bits) - (1 << (bits - ones))).to_bytes(bits // 8, "big"))
    )


def _optional(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"Action": st.integers(1, 5), "Direction": st.integers(1, 3)}, optional=values
    )


def _ip(version: int, count: int) -> st.SearchStrategy[dict[str, Any]]:
    ends: dict[str, st.SearchStrategy[Any]] = {}
    for end in ("Src", "Dest"):
        ends[f"Hdr{end}Address"] = octets(count) | st.just(list(b"$VARIABLE_NAME"))
        ends[f"Hdr{end}Mask"] = mask(8 * count)
        ends[f"Hdr{end}PortStart"] = ends[f"Hdr{end}PortEnd"] = st.integers(0, 65535)
    numbers = st.sampled_from([6, 17, 132, 1, 2, 50, 51, 136])
    return _optional(
        **ends, HdrIPVersion=st.just(version), HdrProtocolID=numbers, IsNegated=st.booleans()
    ).filter(lambda values: version == 4 or "HdrIPVersion" in values)


MAC = octets(6) | st.just(list(b"$MAC"))
ASKED = {
    "Hdr8021Filter": _optional(
        HdrSrcMACAddr8021=MAC,
        HdrSrcMACMask8021=octets(6),
        HdrDestMACAddr8021=MAC,
        HdrDestMACMask8021=octets(6),
        HdrProtocolID8021=st.integers(0, 65535),
        Priority=st.integers(-1000, 1000),
        IsNegated=st.booleans(),
    ),
    "IPHeadersFilter": _ip(4, 4) | _ip(6, 16),
    "FilterEntry": _optional(Priority=st.integers(-1000, 1000)),
}


@pytest.mark.parametrize("rules", RULES, ids=lambda c: c.decl.base)
@given(st.data())
def test_a_rule_shows_what_was_asked_of_it(rules: Any, data: st.DataObject) -> None:
    asked = data.draw(ASKED[rules.decl.base])
    rule = rules.make(asked).freeze()
    host, _recorded = host_with()
    owner = FilterItem(KVM, HostReading(host), Filter("f", "", FilterDefinition.new().freeze()))
    item = RuleItem(owner, 0, rule)
    assert rules.has(item.protocol)
    assert {name: rules.columns[name](item) for name in asked} == asked


RANGE = {
    "Action": 1,
    "Direction": 1,
    "HdrSrcAddress": [10, 0, 0, 1],
    "HdrSrcAddressEndOfRange": [10, 0, 0, 9],
}


def test_a_range_of_addresses() -> None:
    (ip,) = [c for c in RULES if c.decl.base == "IPHeadersFilter"]
    assert ip.make(RANGE).matches == (
        ("all", (("srcipfrom", "10.0.0.1"), ("srcipto", "10.0.0.9"))),
    )


# --- what is refused ------------------------------------------------------------------------------------

FILTER = path(KVM, "FilterList", Name="f")
PORT = path(KVM, "NetworkPort", DeviceID="g/52:54:00:00:00:01")
NO_CREATE: list[tuple[str, dict[str, Any], str]] = [
    ("FilterList", {}, "Unable to get Name property"),
    ("NestedFilterList", {"Dependent": FILTER}, "Unable to get Antecedent property"),
    ("NestedFilterList", {"Antecedent": FILTER}, "Unable to get Dependent property"),
    (
        "NestedFilterList",
        {"Antecedent": path(KVM, "FilterList", Name=""), "Dependent": FILTER},
        "Unable to get Antecedent.Name property",
    ),
    ("AppliedFilterList", {"Dependent": FILTER}, "Unable to get Antecedent property"),
    ("AppliedFilterList", {"Antecedent": PORT}, "Unable to get Dependent property"),
    (
        "AppliedFilterList",
        {"Antecedent": FILTER, "Dependent": PORT},
        "Unable to get Antecedent.DeviceID property",
    ),
    ("FilterEntry", {}, "Name must be <filter>:<number of the filter's rules>"),
]


@pytest.mark.parametrize(("base", "values", "text"), NO_CREATE)
def test_what_is_incomplete_is_not_made(base: str, values: dict[str, Any], text: str) -> None:
    broker = broker_of({KVM: []})
    asked = GivenInstance(f"{KVM}_{base}", {name: Given(value) for name, value in values.items()})
    with pytest.raises(errors.Failed) as raised:
        broker.create_instance(CONTEXT, NS, asked)
    assert raised.value.message == text


@pytest.mark.parametrize(
    ("base", "values", "text"),
    [case for case in NO_CREATE if case[0] in ("NestedFilterList", "AppliedFilterList")],
)
def test_what_is_incomplete_is_not_deleted(base: str, values: dict[str, Any], text: str) -> None:
    wrong = InstancePath(f"{KVM}_{base}", tuple(values.items()), NS)
    with pytest.raises(errors.Failed) as raised:
        broker_of({KVM: []}).delete_instance(CONTEXT, wrong)
    assert raised.value.message == text


LINK = {"Antecedent": FILTER, "Dependent": FILTER}


@pytest.mark.parametrize(
    ("base", "values"),
    [
        ("FilterList", {"Name": "f"}),
        ("NestedFilterList", LINK),
        ("AppliedFilterList", {**LINK, "Antecedent": PORT}),
        ("FilterEntry", {"Name": "f:0", "Action": 1, "Direction": 1}),
    ],
)
def test_a_hypervisor_that_is_not_there(base: str, values: dict[str, Any]) -> None:
    asked = GivenInstance(f"{KVM}_{base}", {name: Given(value) for name, value in values.items()})
    for broker in (broker_of({KVM: None}), broker_of({})):
        with pytest.raises(errors.Failed, match=r"no connection|Unable to connect"):
            broker.create_instance(CONTEXT, NS, asked)


def test_filters_are_not_modified() -> None:
    with pytest.raises(errors.NotSupported):
        broker_of({KVM: []}).modify_instance(CONTEXT, FILTER, GivenInstance(f"{KVM}_FilterList"))
