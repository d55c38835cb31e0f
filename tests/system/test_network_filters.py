# SPDX-License-Identifier: LGPL-2.1-or-later
"""Network filters of a real QEMU host made, changed, put on interfaces and deleted through CIM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import libvirt
import pytest
import pywbem
from lxml import etree
from pywbem import Sint16, Uint8, Uint16

from tests import hypervisor
from tests.network_filters import Filters
from tests.system.conftest import Served

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]

MAC = "52:54:00:99:00:01"
PARENT = """<filter name='nf-parent' chain='ipv4' priority='-700'>
  <rule action='accept' direction='out' priority='100'>
    <ip srcipaddr='10.0.0.0' srcipmask='8' protocol='udp' srcportstart='68' dstportstart='67'/>
  </rule>
  <filterref filter='no-mac-spoofing'>
    <parameter name='MAC' value='00:11:22:33:44:55'/>
  </filterref>
  <rule action='drop' direction='inout' priority='500' statematch='false'>
    <all comment='the &lt;rest&gt;' state='NEW'/>
  </rule>
</filter>"""


@pytest.fixture
def filters(real: Served, box: hypervisor.PrivateLibvirtd) -> Iterator[Filters]:
    raw = libvirt.open(box.qemu_uri)
    before = {found.name() for found in raw.listAllNWFilters()}
    yield Filters(real.client(), raw)
    for name in {found.name() for found in raw.listAllNWFilters()} - before:
        raw.nwfilterLookupByName(name).undefine()
    raw.close()


@pytest.fixture
def parent(filters: Filters) -> str:
    """A filter with more in it than anybody knows; its definition as libvirt gives it."""
    filters.raw.nwfilterDefineXML(PARENT)
    return filters.xml("nf-parent")


def refused(call: Callable[[], Any], status: int, text: str) -> None:
    with pytest.raises(pywbem.CIMError) as raised:
        call()
    assert raised.value.status_code == status
    assert text in raised.value.status_description


def test_a_filter_is_made_and_deleted(filters: Filters) -> None:
    path = filters.make("nf-new", Priority=Sint16(-300))
    shown = filters.client.GetInstance(path)
    assert (shown["Name"], shown["Priority"]) == ("nf-new", -300)
    assert shown["InstanceID"] == filters.raw.nwfilterLookupByName("nf-new").UUIDString()
    assert path in filters.client.EnumerateInstanceNames("KVM_FilterList")
    refused(lambda: filters.make("nf-new"), pywbem.CIM_ERR_ALREADY_EXISTS, "already exists")
    filters.client.DeleteInstance(path)
    assert "nf-new" not in filters.names()
    gone = "Instance does not exist"
    refused(lambda: filters.client.DeleteInstance(path), pywbem.CIM_ERR_NOT_FOUND, gone)


@pytest.mark.parametrize(
    "name", ["", "a/b", "a&b", "a'b", 'a"b', "a<b>", "' x='", "a\nb", "x" * 300]
)
def test_names_that_libvirt_can_not_keep_are_refused(filters: Filters, name: str) -> None:
    """Or are kept as they are: nobody is told of a filter that can't be read."""
    before = filters.names()
    try:
        path = filters.make(name)
    except pywbem.CIMError as error:
        assert error.status_code == pywbem.CIM_ERR_FAILED
        assert "Failed to create filter: " in error.status_description
        assert filters.names() == before
    else:
        assert filters.client.GetInstance(path)["Name"] == name
        assert name in filters.names() - before
        filters.client.DeleteInstance(path)
        assert filters.names() == before


def test_nesting_leaves_the_rest_as_it_is(filters: Filters, parent: str) -> None:
    filters.make("nf-child")
    path = filters.nest("nf-parent", "nf-child")
    known = "  <filterref filter='nf-child'/>\n"
    changed = filters.xml("nf-parent")
    assert changed.replace(known, "") == parent and known in changed
    assert filters.client.GetInstance(path).path == path
    found = filters.client.AssociatorNames(
        filters.client.GetInstance(filters.path("nf-parent")).path,
        AssocClass="KVM_NestedFilterList",
        Role="Antecedent",
    )
    assert [one["Name"] for one in found] == ["no-mac-spoofing", "nf-child"]
    filters.client.DeleteInstance(path)
    assert filters.xml("nf-parent") == parent


def test_what_can_not_be_nested(filters: Filters, parent: str) -> None:
    filters.make("nf-child")
    filters.nest("nf-parent", "nf-child")
    before = filters.xml("nf-parent")
    failed = pywbem.CIM_ERR_FAILED
    refused(lambda: filters.nest("nf-parent", "nf-child"), failed, "Failed to append filter ref")
    refused(lambda: filters.nest("nf-child", "nf-parent"), failed, "Failed to update filter: ")
    refused(lambda: filters.nest("nf-parent", "nf-parent"), failed, "Failed to update filter: ")
    refused(lambda: filters.nest("nf-none", "nf-child"), failed, "Antecedent.Name object does not")
    refused(lambda: filters.nest("nf-child", "nf-none"), failed, "Dependent.Name object does not")
    refused(lambda: filters.unnest("nf-child", "nf-parent"), failed, "Failed to remove filter ref")
    assert filters.xml("nf-parent") == before


def test_a_nested_filter_that_is_gone_is_taken_out(filters: Filters, parent: str) -> None:
    filters.make("nf-child")
    filters.nest("nf-parent", "nf-child")
    filters.client.DeleteInstance(filters.path("nf-child"))
    filters.unnest("nf-parent", "nf-child")
    assert filters.xml("nf-parent") == parent


def test_clients_that_nest_at_once(filters: Filters, real: Served) -> None:
    filters.make("nf-many")
    children = [f"nf-{number}" for number in range(12)]
    for child in children:
        filters.make(child)

    def nest(child: str) -> None:
        Filters(real.client(), filters.raw).nest("nf-many", child)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(nest, children))
    root = etree.fromstring(filters.xml("nf-many"))
    assert sorted(ref.get("filter") for ref in root.iter("filterref")) == sorted(children)


RULES: list[tuple[str, dict[str, Any], str]] = [
    (
        "Hdr8021Filter",
        {
            "Action": Uint16(2),
            "Direction": Uint16(2),
            "Priority": Sint16(-5),
            "IsNegated": True,
            "HdrSrcMACAddr8021": [Uint8(n) for n in (0x52, 0x54, 0, 0, 0, 1)],
            "HdrSrcMACMask8021": [Uint8(n) for n in (255, 255, 255, 0, 0, 0)],
            "HdrDestMACAddr8021": [Uint8(n) for n in b"$MAC"],
            "HdrProtocolID8021": Uint16(0x0806),
        },
        "<mac match='no' srcmacaddr='52:54:00:00:00:01' srcmacmask='ff:ff:ff:00:00:00' "
        "dstmacaddr='$MAC' protocolid='arp'/>",
    ),
    (
        "IPHeadersFilter",
        {
            "Action": Uint16(1),
            "Direction": Uint16(1),
            "HdrProtocolID": Uint8(6),
            "HdrSrcAddress": [Uint8(n) for n in (10, 1, 0, 0)],
            "HdrSrcMask": [Uint8(n) for n in (255, 255, 0, 0)],
            "HdrDestPortStart": Uint16(22),
            "HdrDestPortEnd": Uint16(23),
        },
        "<tcp srcipaddr='10.1.0.0' srcipmask='16' dstportstart='22' dstportend='23'/>",
    ),
    (
        "IPHeadersFilter",
        {
            "Action": Uint16(3),
            "Direction": Uint16(3),
            "HdrIPVersion": Uint8(6),
            "HdrProtocolID": Uint8(17),
            "HdrSrcAddress": [Uint8(n) for n in (0x20, 1, *[0] * 13, 1)],
            "HdrSrcAddressEndOfRange": [Uint8(n) for n in (0x20, 1, *[0] * 13, 9)],
        },
        "<udp-ipv6 srcipfrom='2001::1' srcipto='2001::9'/>",
    ),
    (
        "IPHeadersFilter",
        {"Action": Uint16(4), "Direction": Uint16(2), "HdrIPVersion": Uint8(4)},
        "<all/>",
    ),
    ("FilterEntry", {"Action": Uint16(5), "Direction": Uint16(3)}, ""),
]


def test_rules_are_added_and_deleted(filters: Filters, parent: str) -> None:
    paths = []
    for number, (base, values, element) in enumerate(RULES, 2):
        path = filters.create(base, Name=f"nf-parent:{number}", **values)
        shown = filters.client.GetInstance(path)
        assert {name: shown[name] for name in values} == values
        assert element in filters.xml("nf-parent")
        paths.append(path)
    for path in reversed(paths):
        filters.client.DeleteInstance(path)
    assert filters.xml("nf-parent") == parent


NO_RULES: list[tuple[str, dict[str, Any], int, str]] = [
    ("FilterEntry", {"Name": "nf-parent:1"}, pywbem.CIM_ERR_ALREADY_EXISTS, "nf-parent:2"),
    ("FilterEntry", {"Name": "nf-parent:9"}, pywbem.CIM_ERR_FAILED, "nf-parent:2"),
    ("FilterEntry", {"Name": "nf-parent"}, pywbem.CIM_ERR_FAILED, "Name must be"),
    ("FilterEntry", {"Name": "nf-none:0"}, pywbem.CIM_ERR_NOT_FOUND, "'nf-none' does not exist"),
    ("FilterEntry", {"Action": Uint16(9)}, pywbem.CIM_ERR_INVALID_PARAMETER, "Action must be"),
    (
        "FilterEntry",
        {"Direction": Uint16(0)},
        pywbem.CIM_ERR_INVALID_PARAMETER,
        "Direction must be",
    ),
    ("FilterEntry", {"IsNegated": True}, pywbem.CIM_ERR_INVALID_PARAMETER, "IsNegated"),
    ("FilterEntry", {"Caption": "x"}, pywbem.CIM_ERR_INVALID_PARAMETER, "Caption"),
    ("FilterEntry", {"Priority": Sint16(2000)}, pywbem.CIM_ERR_INVALID_PARAMETER, "Priority"),
    (
        "Hdr8021Filter",
        {"HdrSrcMACAddr8021": [Uint8(1)]},
        pywbem.CIM_ERR_INVALID_PARAMETER,
        "HdrSrcMACAddr8021",
    ),
    (
        "IPHeadersFilter",
        {"HdrSrcMask": [Uint8(n) for n in (255, 0, 255, 0)]},
        pywbem.CIM_ERR_INVALID_PARAMETER,
        "HdrSrcMask",
    ),
    (
        "IPHeadersFilter",
        {"HdrIPVersion": Uint8(6), "HdrSrcAddress": [Uint8(n) for n in (10, 0, 0, 1)]},
        pywbem.CIM_ERR_INVALID_PARAMETER,
        "HdrSrcAddress",
    ),
    (
        "IPHeadersFilter",
        {"HdrProtocolID": Uint8(89)},
        pywbem.CIM_ERR_INVALID_PARAMETER,
        "protocol 89",
    ),
    (
        "IPHeadersFilter",
        {"HdrProtocolID": Uint8(1), "HdrDestPortStart": Uint16(80)},
        pywbem.CIM_ERR_INVALID_PARAMETER,
        "HdrDestPortStart",
    ),
]


@pytest.mark.parametrize(("base", "values", "status", "text"), NO_RULES)
def test_rules_that_nothing_can_keep_are_refused(
    filters: Filters, parent: str, base: str, values: dict[str, Any], status: int, text: str
) -> None:
    asked = {"Name": "nf-parent:2", "Action": Uint16(1), "Direction": Uint16(1), **values}
    refused(lambda: filters.create(base, **asked), status, text)
    assert filters.xml("nf-parent") == parent


@pytest.fixture
def guarded(filters: Filters, box: hypervisor.PrivateLibvirtd) -> Iterator[Any]:
    """A guest that is off, with an interface on a network and one of its own."""
    with ExitStack() as undo:
        network = filters.raw.networkDefineXML(
            "<network><name>nf-net</name><bridge name='nfbr0'/></network>"
        )
        undo.callback(network.undefine)
        network.create()
        undo.callback(network.destroy)
        nics = (
            f"<interface type='network'><mac address='{MAC}'/><source network='nf-net'/>"
            "<model type='e1000'/></interface>"
            "<interface type='user'><mac address='52:54:00:99:00:02'/></interface>"
        )
        domain = filters.raw.defineXML(hypervisor.qemu_guest("nf-guest", devices=nics))
        undo.callback(domain.undefine)
        undo.callback(lambda: domain.isActive() and domain.destroy())
        filters.raw.nwfilterDefineXML(PARENT)
        yield domain


INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE
DEVICE = f"nf-guest/{MAC}"


def test_a_filter_guards_a_guest_that_is_off(filters: Filters, guarded: Any) -> None:
    before = guarded.XMLDesc(0)
    path = filters.apply("nf-parent", DEVICE)
    assert filters.client.GetInstance(path).path == path
    assert guarded.XMLDesc(0).replace("      <filterref filter='nf-parent'/>\n", "") == before
    filters.apply("nf-parent", DEVICE)
    filters.apply("clean-traffic", DEVICE)
    assert filters.of_interface("nf-guest") == ["clean-traffic", ""]
    refused(lambda: filters.clear("nf-parent", DEVICE), pywbem.CIM_ERR_NOT_FOUND, "not guard")
    filters.clear("clean-traffic", DEVICE)
    assert guarded.XMLDesc(0) == before
    refused(lambda: filters.clear("clean-traffic", DEVICE), pywbem.CIM_ERR_NOT_FOUND, "not guard")


def test_a_filter_guards_a_guest_that_runs(filters: Filters, guarded: Any) -> None:
    guarded.create()
    filters.apply("nf-parent", DEVICE)
    for flags in (0, INACTIVE):
        assert filters.of_interface("nf-guest", flags) == ["nf-parent", ""]
    refused(
        lambda: filters.client.DeleteInstance(filters.path("nf-parent")),
        pywbem.CIM_ERR_FAILED,
        "nwfilter is in use",
    )
    filters.clear("nf-parent", DEVICE)
    for flags in (0, INACTIVE):
        assert filters.of_interface("nf-guest", flags) == ["", ""]
    filters.client.DeleteInstance(filters.path("nf-parent"))


def test_a_filter_with_values_of_variables_is_cleared(filters: Filters, guarded: Any) -> None:
    before = guarded.XMLDesc(0)
    given = "<filterref filter='clean-traffic'><parameter name='IP' value='10.0.0.9'/></filterref>"
    filters.raw.defineXML(before.replace("<model type='e1000'/>", f"<model type='e1000'/>{given}"))
    filters.clear("clean-traffic", DEVICE)
    assert guarded.XMLDesc(0) == before


def test_a_filter_that_is_gone_is_cleared(filters: Filters, guarded: Any) -> None:
    before = guarded.XMLDesc(0)
    filters.apply("nf-parent", DEVICE)
    filters.client.DeleteInstance(filters.path("nf-parent"))
    filters.clear("nf-parent", DEVICE)
    assert guarded.XMLDesc(0) == before


def test_what_can_not_be_guarded(filters: Filters, guarded: Any) -> None:
    before = guarded.XMLDesc(0)
    failed, missing = pywbem.CIM_ERR_FAILED, "Antecedent.DeviceID object does not exist"
    for device_id, text in (
        ("nf-guest/52:54:00:99:00:02", "no interfaces of type user"),
        ("nf-guest/00:00:00:00:00:00", missing),
        (f"nf-none/{MAC}", missing),
        ("x", missing),
    ):
        refused(lambda d=device_id: filters.apply("clean-traffic", d), failed, text)
    refused(lambda: filters.apply("nf-none", DEVICE), failed, "Dependent.Name object does not")
    refused(
        lambda: filters.link(
            "AppliedFilterList", filters.path("clean-traffic"), filters.port(DEVICE)
        ),
        failed,
        "Unable to get Antecedent.DeviceID property",
    )
    assert guarded.XMLDesc(0) == before
