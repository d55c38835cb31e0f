# SPDX-License-Identifier: LGPL-2.1-or-later
"""Filters, destinations and subscriptions as clients make, find, change and delete them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import pywbem

from libvirtcim.cim.declare import INTEROP, VIRT
from tests.server.subscribing import (
    FROM_TICKS,
    HOST,
    TICKS,
    RawListener,
    Subscribed,
    running,
    subscribe,
)
from tests.server.test_clients import PYWBEMCLI, WBEMCLI, needs_pywbemcli, needs_wbemcli
from tests.server.wire import until

FILTER, SUBSCRIPTION = "CIM_IndicationFilter", "CIM_IndicationSubscription"
DESTINATION, HANDLER = "CIM_ListenerDestinationCIMXML", "CIM_IndicationHandlerCIMXML"
NOWHERE = "http://127.0.0.1:9/"
FAILED, INVALID_NAMESPACE, INVALID_PARAMETER, INVALID_CLASS = 1, 3, 4, 5
NOT_FOUND, NOT_SUPPORTED, ALREADY_EXISTS, TYPE_MISMATCH = 6, 7, 11, 13
LANGUAGE_NOT_SUPPORTED, INVALID_QUERY, LIMIT = 14, 15, 27


@pytest.fixture
def served() -> Iterator[Subscribed]:
    with running() as server:
        yield server


@pytest.fixture
def cim(served: Subscribed) -> Iterator[pywbem.WBEMConnection]:
    with served.client() as connection:
        yield connection


def create(cim: pywbem.WBEMConnection, classname: str, **values: Any) -> pywbem.CIMInstanceName:
    given = {name: value for name, value in values.items() if value is not None}
    return cim.CreateInstance(pywbem.CIMInstance(classname, given))


def a_filter(**values: Any) -> dict[str, Any]:
    return {
        "Name": "f",
        "Query": FROM_TICKS,
        "QueryLanguage": "WQL",
        "SourceNamespace": VIRT,
        **values,
    }


def refusal(cim: pywbem.WBEMConnection, classname: str, **values: Any) -> tuple[int, str]:
    with pytest.raises(pywbem.CIMError) as raised:
        create(cim, classname, **values)
    assert classname == SUBSCRIPTION or cim.EnumerateInstanceNames(classname) == []
    return raised.value.status_code, raised.value.status_description


# --- clients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("owned", [True, False])
def test_subscription_manager(served: Subscribed, owned: bool) -> None:
    listener = RawListener()
    server = pywbem.WBEMServer(pywbem.WBEMConnection(served.url))
    own: dict[str, Any] = {"owned": owned}
    names: list[dict[str, Any]] = [
        {"filter_id" if owned else "name": "f"},
        {"destination_id" if owned else "name": "d"},
    ]
    with listener.listening(), pywbem.WBEMSubscriptionManager("manager") as manager:
        server_id = manager.add_server(server)
        made = manager.add_filter(server_id, VIRT, FROM_TICKS, "DMTF:CQL", **own, **names[0])
        destination = manager.add_destination(server_id, listener.url, **own, **names[1])
        assert destination["SystemName"] == HOST and destination["PersistenceType"] == 3 - (
            not owned
        )
        (subscription,) = manager.add_subscriptions(
            server_id, made.path, destination.path, owned=owned
        )
        served.source.tick()
        listener.wait(1)
        found = manager.get_all_subscriptions(server_id)
        assert [s.path for s in found] == [subscription.path]
        assert len(manager.get_all_filters(server_id)) == 1
        manager.remove_subscriptions(server_id, subscription.path)
        manager.remove_filter(server_id, made.path)
        manager.remove_destinations(server_id, destination.path)
        assert served.source.publish is None
        assert manager.get_all_destinations(server_id) == []


def test_owned_leave_with_their_manager(served: Subscribed, cim: pywbem.WBEMConnection) -> None:
    server = pywbem.WBEMServer(pywbem.WBEMConnection(served.url))
    with pywbem.WBEMSubscriptionManager("manager") as manager:
        server_id = manager.add_server(server)
        made = manager.add_filter(server_id, VIRT, FROM_TICKS, "WQL", owned=True, filter_id="x")
        manager.add_destination(server_id, NOWHERE, owned=True, destination_id="y")
        manager.add_subscriptions(server_id, made.path, owned=True)
        assert len(cim.EnumerateInstances(SUBSCRIPTION)) == 1
    for classname in (SUBSCRIPTION, FILTER, DESTINATION):
        assert cim.EnumerateInstances(classname) == []


@needs_pywbemcli
def test_pywbemcli(served: Subscribed) -> None:
    def cli(*arguments: str) -> str:
        done = subprocess.run(
            [str(PYWBEMCLI), "-s", served.url, "-o", "simple", "subscription", *arguments],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    cli("add-destination", "d", "--listener-url", NOWHERE, "--permanent")
    cli("add-filter", "f", "--query", FROM_TICKS, "--source-namespaces", VIRT, "--permanent")
    cli("add-subscription", "d", "f", "--permanent")
    listed = cli("list-subscriptions")
    assert "d(permanent)" in listed and "f(permanent)" in listed and TICKS in listed, listed
    assert served.source.publish is not None
    cli("remove-subscription", "d", "f")
    cli("remove-filter", "f", "--permanent")
    cli("remove-destination", "d", "--permanent")
    assert served.source.publish is None


@needs_wbemcli
def test_wbemcli(served: Subscribed, cim: pywbem.WBEMConnection) -> None:
    where = f"{served.url}/{INTEROP}:"

    def wbemcli(command: str, path: str, values: str = "") -> str:
        done = subprocess.run(
            [str(WBEMCLI), command, where + path, *([values] if values else [])],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout

    system = f'SystemCreationClassName="CIM_ComputerSystem",SystemName="{HOST}"'
    keys = {name: f'CreationClassName="{name}",Name="w",{system}' for name in (FILTER, DESTINATION)}
    query = f'Query="{FROM_TICKS}",QueryLanguage="WQL",SourceNamespace="{VIRT}"'
    wbemcli("ci", f"{FILTER}.{keys[FILTER]}", f"{keys[FILTER]},{query}")
    wbemcli(
        "ci", f"{DESTINATION}.{keys[DESTINATION]}", f'{keys[DESTINATION]},Destination="{NOWHERE}"'
    )
    ends = f"Filter={FILTER}.{keys[FILTER]},Handler={DESTINATION}.{keys[DESTINATION]}"
    wbemcli("ci", f"{SUBSCRIPTION}.{ends}", ends)
    assert [i["Filter"]["Name"] for i in cim.EnumerateInstances(SUBSCRIPTION)] == ["w"]
    assert 'Name="w"' in wbemcli("ein", SUBSCRIPTION)
    assert wbemcli("ai", f"{FILTER}.{keys[FILTER]}").count(NOWHERE) == 1
    wbemcli("di", f"{SUBSCRIPTION}.{ends}")
    wbemcli("di", f"{FILTER}.{keys[FILTER]}")
    assert cim.EnumerateInstances(FILTER) == []


# --- what is made ----------------------------------------------------------------------------


def test_keys_are_filled_in(cim: pywbem.WBEMConnection) -> None:
    made = create(cim, FILTER, **a_filter())
    assert dict(made.keybindings) == {
        "SystemCreationClassName": "CIM_ComputerSystem",
        "SystemName": HOST,
        "CreationClassName": FILTER,
        "Name": "f",
    }
    assert made.namespace == INTEROP
    named = create(cim, DESTINATION, Destination=NOWHERE).keybindings["Name"]
    other = create(cim, DESTINATION, Destination=NOWHERE).keybindings["Name"]
    assert named.startswith("libvirtcim:") and named != other


def test_given_keys_stay(cim: pywbem.WBEMConnection) -> None:
    keys = {"SystemName": "elsewhere", "SystemCreationClassName": "X_System", "Name": "é<&>\"'"}
    made = create(cim, FILTER, **a_filter(CreationClassName="cim_indicationfilter", **keys))
    found = cim.GetInstance(made)
    assert dict(made.keybindings) == {**keys, "CreationClassName": FILTER}
    assert {name: found[name] for name in keys} == keys
    upper = made.copy()
    upper["SystemName"] = "ELSEWHERE"
    assert cim.GetInstance(upper).properties == found.properties


def test_what_is_given_is_shown(cim: pywbem.WBEMConnection) -> None:
    values = a_filter(
        ElementName="an element", SourceNamespaces=[VIRT, INTEROP], SourceNamespace=None,
        Query="SELECT * FROM CIM_Indication", QueryLanguage="DMTF:CQL",
    )  # fmt: skip
    assert refusal(cim, FILTER, **values)[0] == INVALID_CLASS  # root/interop has none
    values["SourceNamespaces"] = [VIRT]
    found = cim.GetInstance(create(cim, FILTER, **values))
    assert {name: found[name] for name in values} == values
    assert found["IndividualSubscriptionSupported"] is True
    for classname in (DESTINATION, HANDLER):
        shown = cim.GetInstance(create(cim, classname, Name="d", Destination=NOWHERE))
        assert (shown["Destination"], shown["Protocol"], shown["PersistenceType"]) == (
            NOWHERE,
            2,
            2,
        )
    assert len(cim.EnumerateInstances("CIM_ListenerDestination")) == 2
    assert [i.classname for i in cim.EnumerateInstances("CIM_IndicationHandler")] == [HANDLER]


def test_a_handler_of_the_older_class_gets_indications(
    served: Subscribed, cim: pywbem.WBEMConnection
) -> None:
    listener = RawListener()
    with listener.listening():
        handler = create(cim, HANDLER, Name="h", Destination=listener.url)
        create(cim, SUBSCRIPTION, Filter=create(cim, FILTER, **a_filter()), Handler=handler)
        served.source.tick()
        listener.wait(1)


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"QueryLanguage": "SQL"}, LANGUAGE_NOT_SUPPORTED, "but WQL, DMTF:CQL"),
        ({"Query": "SELECT FROM"}, INVALID_QUERY, "syntax error at column 8"),
        ({"Query": "SELECT * FROM KVM_Nothing"}, INVALID_CLASS, "KVM_Nothing"),
        ({"Query": "SELECT * FROM KVM_ComputerSystem"}, INVALID_QUERY, "no class of indications"),
        ({"Query": f"{FROM_TICKS} WHERE Nmber = 3"}, INVALID_QUERY, "no property 'nmber'"),
        ({"Query": f"SELECT Nmber FROM {TICKS}"}, INVALID_QUERY, "no property 'nmber'"),
        ({"Query": None}, INVALID_PARAMETER, "needs a value for Query"),
        ({"QueryLanguage": ""}, INVALID_PARAMETER, "needs a value for QueryLanguage"),
        ({"SourceNamespace": "root/nowhere"}, INVALID_NAMESPACE, "root/nowhere"),
        ({"SourceNamespace": None}, INVALID_CLASS, f"{INTEROP}"),
        ({"SourceNamespaces": [VIRT, "x"]}, INVALID_NAMESPACE, "'x'"),
        ({"SourceNamespaces": [""]}, INVALID_NAMESPACE, "''"),
        ({"CreationClassName": DESTINATION}, INVALID_PARAMETER, FILTER),
        ({"Name": pywbem.Uint8(3)}, TYPE_MISMATCH, "Name"),
        ({"Name": "x" * 20_000}, INVALID_PARAMETER, "more than 16384 characters"),
    ],
)
def test_filters_that_are_refused(
    cim: pywbem.WBEMConnection, change: dict[str, Any], status: int, text: str
) -> None:
    found = refusal(cim, FILTER, **a_filter(**change))
    assert found[0] == status and text in found[1], found


@pytest.mark.parametrize("classname", [DESTINATION, HANDLER])
@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "needs a value for Destination"),
        ("listener", "scheme must be http or https"),
        ("ftp://listener/", "scheme must be http or https"),
        ("file:///etc/passwd", "scheme must be http or https"),
        ("http://", "has no host"),
        ("http:///path", "has no host"),
        ("http://listener:0/", "has no port"),
        ("http://listener:70000/", "is no URL"),
        ("http://listener:port/", "is no URL"),
        ("http://user:secret@listener/", "a user in it"),
        ("http://user@listener/", "a user in it"),
        ("http://listener/#fragment", "a fragment"),
        ("http://listener/a b", "is no URL"),
        ("http://listener/\r\nX-Header: 1", "is no URL"),
        ("http://listener/\tx", "is no URL"),
        ("http://" + "x" * 3000, "is no URL"),
    ],
)
def test_destinations_that_are_refused(
    cim: pywbem.WBEMConnection, classname: str, url: str, text: str
) -> None:
    found = refusal(cim, classname, Name="d", Destination=url)
    assert found[0] == INVALID_PARAMETER and text in found[1], found


@pytest.mark.parametrize(
    "values",
    [{"Protocol": pywbem.Uint16(4)}, {"username": "me"}, {"password": "secret"}],
)
def test_what_destinations_can_not_be(cim: pywbem.WBEMConnection, values: dict[str, Any]) -> None:
    (name,) = values
    found = refusal(cim, DESTINATION, Name="d", Destination=NOWHERE, **values)
    assert found[0] == NOT_SUPPORTED and f"{name} can only be" in found[1]


def test_only_destinations_that_are_allowed() -> None:
    allowed = ("192.0.2.0/24", "::1", "listener.example.org")
    with running(indication_destinations=allowed) as served, served.client() as cim:
        for url in ("http://192.0.3.1/", "http://[::2]/", "http://[::ffff:192.0.3.1]/"):
            status, text = refusal(cim, DESTINATION, Name="d", Destination=url)
            assert status == INVALID_PARAMETER and "indication_destinations" in text
        for url in (
            "http://192.0.2.9:1/", "https://[::1]/", "http://LISTENER.example.org/",
            "http://[::ffff:192.0.2.1]/",
        ):  # fmt: skip
            create(cim, DESTINATION, Destination=url)
        # of other names the address decides, which is looked up when something is to be sent
        subscribe(cim, "http://localhost:9/")
        served.source.tick()
        until(lambda: served.status()[0]["last_error"] is not None, "an attempt")
        assert "localhost is not allowed" in served.status()[0]["last_error"]


# --- relations -------------------------------------------------------------------------------


def test_nothing_twice(cim: pywbem.WBEMConnection) -> None:
    made = subscribe(cim, NOWHERE)
    for classname, values in (
        (FILTER, a_filter(Name="ONE")),
        (DESTINATION, {"Name": "one", "Destination": "http://other/"}),
        (SUBSCRIPTION, {"Filter": made["Filter"], "Handler": made["Handler"]}),
    ):
        with pytest.raises(pywbem.CIMError) as raised:
            create(cim, classname, **values)
        assert raised.value.status_code == ALREADY_EXISTS
        assert len(cim.EnumerateInstances(classname)) == 1


def test_what_is_in_use_stays(cim: pywbem.WBEMConnection) -> None:
    made = subscribe(cim, NOWHERE)
    for end in (made["Filter"], made["Handler"]):
        with pytest.raises(pywbem.CIMError, match="has subscriptions") as raised:
            cim.DeleteInstance(end)
        assert raised.value.status_code == FAILED
    half = pywbem.CIMInstanceName(SUBSCRIPTION, {"Filter": made["Filter"]}, namespace=INTEROP)
    with pytest.raises(pywbem.CIMError, match="named by Filter and Handler"):
        cim.DeleteInstance(half)
    for path in (made, made["Filter"], made["Handler"]):
        cim.DeleteInstance(path)
        for operation in (cim.DeleteInstance, cim.GetInstance):
            with pytest.raises(pywbem.CIMError) as raised:
                operation(path)
            assert raised.value.status_code == NOT_FOUND


def test_subscriptions_that_are_refused(served: Subscribed, cim: pywbem.WBEMConnection) -> None:
    chosen, handler = (
        create(cim, FILTER, **a_filter()),
        create(cim, DESTINATION, Destination=NOWHERE),
    )
    absent = chosen.copy()
    absent["Name"] = "absent"
    unsent = create(cim, FILTER, **a_filter(Name="u", Query="SELECT * FROM KVM_UnsentIndication"))
    ends = {"Filter": chosen, "Handler": handler}
    number = pywbem.Uint16
    for values, status, text in (
        ({"Filter": absent}, INVALID_PARAMETER, "Filter: there is no"),
        ({"Handler": absent}, INVALID_PARAMETER, "Handler: there is no"),
        ({"Filter": handler, "Handler": chosen}, INVALID_PARAMETER, "there is no"),
        ({"Handler": None}, INVALID_PARAMETER, "needs a value for Handler"),
        ({"Filter": unsent}, NOT_SUPPORTED, "No indications of class KVM_UnsentIndication"),
        ({"SubscriptionState": number(1)}, NOT_SUPPORTED, "SubscriptionState"),
        ({"OnFatalErrorPolicy": number(1)}, NOT_SUPPORTED, "OnFatalErrorPolicy"),
        ({"RepeatNotificationPolicy": number(3)}, NOT_SUPPORTED, "RepeatNotificationPolicy"),
        ({"AlertOnStateChange": True}, NOT_SUPPORTED, "AlertOnStateChange"),
    ):
        found = refusal(cim, SUBSCRIPTION, **{**ends, **values})
        assert found[0] == status and text in found[1], found
    assert cim.EnumerateInstances(SUBSCRIPTION) == []
    assert served.source.publish is None


def test_limits() -> None:
    with running(max_subscriptions=1) as served, served.client() as cim:
        made = subscribe(cim, NOWHERE)
        for classname, values in (
            (FILTER, a_filter()),
            (HANDLER, {"Name": "h", "Destination": NOWHERE}),
        ):
            with pytest.raises(pywbem.CIMError, match="max_subscriptions") as raised:
                create(cim, classname, **values)
            assert raised.value.status_code == LIMIT
        cim.DeleteInstance(made)
        cim.DeleteInstance(made["Filter"])
        create(cim, FILTER, **a_filter())


def test_subscriptions_are_associations(cim: pywbem.WBEMConnection) -> None:
    made = subscribe(cim, NOWHERE)
    subscribe(cim, NOWHERE, name="two")
    for end, other in (("Filter", "Handler"), ("Handler", "Filter")):
        (found,) = cim.Associators(made[end], AssocClass=SUBSCRIPTION)
        assert found.properties == cim.GetInstance(made[other]).properties
        names = cim.AssociatorNames(made[end], AssocClass=SUBSCRIPTION, Role=end, ResultRole=other)
        assert [name.keybindings for name in names] == [made[other].keybindings]
        assert cim.AssociatorNames(made[end], AssocClass=SUBSCRIPTION, Role=other) == []
        (reference,) = cim.References(made[end], ResultClass=SUBSCRIPTION)
        shown = cim.GetInstance(made)
        assert reference.properties == shown.properties
    paths = cim.EnumerateInstanceNames(SUBSCRIPTION)
    assert [i.path for i in cim.EnumerateInstances("CIM_AbstractIndicationSubscription")] == paths
    assert [cim.GetInstance(path).path for path in paths] == paths and len(paths) == 2
    assert paths[0] == made


def test_service(cim: pywbem.WBEMConnection) -> None:
    made = subscribe(cim, NOWHERE)
    (service,) = cim.EnumerateInstances("CIM_IndicationService")
    assert service["SystemName"] == HOST and service["FilterCreationEnabled"] is True
    assert service["DeliveryRetryAttempts"] * service["DeliveryRetryInterval"] == 600
    affected = cim.AssociatorNames(service.path, AssocClass="CIM_ServiceAffectsElement")
    assert [a.keybindings for a in affected] == [made[e].keybindings for e in ("Filter", "Handler")]
    for end in ("Filter", "Handler"):
        (found,) = cim.Associators(made[end], ResultClass="CIM_IndicationService")
        assert found.properties == service.properties
    (capabilities,) = cim.Associators(service.path, AssocClass="CIM_ElementCapabilities")
    (listed,) = cim.EnumerateInstances("CIM_IndicationServiceCapabilities")
    assert capabilities.properties == listed.properties
    assert capabilities["SubscriptionsPersisted"] is False
    assert capabilities["MaxActiveSubscriptions"] == 200
    (back,) = cim.Associators(capabilities.path)
    assert back.properties == service.properties


# --- changes ---------------------------------------------------------------------------------


def modify(cim: pywbem.WBEMConnection, path: pywbem.CIMInstanceName, **values: Any) -> None:
    cim.ModifyInstance(pywbem.CIMInstance(path.classname, values, path=path))


def test_a_subscription_rests_and_works_again(
    served: Subscribed, cim: pywbem.WBEMConnection
) -> None:
    listener = RawListener()
    with listener.listening():
        made = subscribe(cim, listener.url)
        started = cim.GetInstance(made)
        modify(cim, made, SubscriptionState=pywbem.Uint16(4), SubscriptionInfo="resting")
        resting = cim.GetInstance(made)
        assert (resting["SubscriptionState"], resting["SubscriptionInfo"]) == (4, "resting")
        moments = [i["TimeOfLastStateChange"].datetime for i in (started, resting)]
        assert moments[0] < moments[1]
        assert resting["SubscriptionStartTime"] == started["SubscriptionStartTime"]
        assert served.source.publish is None
        served.source.tick()
        modify(cim, made, SubscriptionState=pywbem.Uint16(2))
        served.source.tick()
        listener.wait(1)
        assert listener.numbers == [2]


def test_what_can_not_be_modified(cim: pywbem.WBEMConnection) -> None:
    made = subscribe(cim, NOWHERE)
    before = [cim.GetInstance(path) for path in (made, made["Filter"], made["Handler"])]
    for instance in before:  # all as it is, as some clients give it
        cim.ModifyInstance(instance)
    for path, name, value in (
        (made["Filter"], "Query", "SELECT * FROM CIM_InstModification"),
        (made["Handler"], "Destination", "http://other/"),
        (made, "OnFatalErrorPolicy", pywbem.Uint16(4)),
    ):
        with pytest.raises(pywbem.CIMError, match=f"{name} can't be modified") as raised:
            modify(cim, path, **{name: value})
        assert raised.value.status_code == NOT_SUPPORTED
    nothing = pywbem.CIMProperty("Query", None, "string")
    cim.ModifyInstance(pywbem.CIMInstance(FILTER, {"Query": nothing}, path=made["Filter"]))
    with pytest.raises(pywbem.CIMError, match="SubscriptionState can only be 2 or 4"):
        modify(cim, made, SubscriptionState=pywbem.Uint16(0))
    assert [cim.GetInstance(i.path) for i in before] == before


def test_a_subscription_ends_when_its_time_is_over(
    served: Subscribed, cim: pywbem.WBEMConnection
) -> None:
    made = subscribe(cim, NOWHERE, SubscriptionDuration=pywbem.Uint64(1000))
    remaining = cim.GetInstance(made)["SubscriptionTimeRemaining"]
    assert 900 < remaining <= 1000
    modify(cim, made, SubscriptionDuration=pywbem.Uint64(1))
    until(lambda: cim.EnumerateInstances(SUBSCRIPTION) == [], "its end")
    assert served.source.publish is None
    assert len(cim.EnumerateInstances(FILTER)) == 1


@pytest.mark.parametrize(
    ("policy", "states"), [(None, [3]), (2, [3]), (3, [4]), (4, [])]
)  # fmt: skip
def test_what_happens_when_nothing_can_be_delivered(
    served: Subscribed, cim: pywbem.WBEMConnection, policy: int | None, states: list[int]
) -> None:
    values = {} if policy is None else {"OnFatalErrorPolicy": pywbem.Uint16(policy)}
    made = subscribe(cim, NOWHERE, FailureTriggerTimeInterval=pywbem.Uint64(1), **values)
    assert cim.GetInstance(made)["SubscriptionState"] == 2
    served.source.tick()

    def shown() -> list[int]:
        return [i["SubscriptionState"] for i in cim.EnumerateInstances(SUBSCRIPTION)]

    until(lambda: shown() == states, f"{states}")
    assert (served.source.publish is None) is (states != [3])
    assert len(cim.EnumerateInstances(DESTINATION)) == 1


def test_a_subscription_that_is_enabled_again_gets_its_chance(
    served: Subscribed, cim: pywbem.WBEMConnection
) -> None:
    listener = RawListener()
    policy = {
        "OnFatalErrorPolicy": pywbem.Uint16(3),
        "FailureTriggerTimeInterval": pywbem.Uint64(0),
    }
    made = subscribe(cim, listener.url, **policy)
    served.source.tick()
    until(lambda: cim.GetInstance(made)["SubscriptionState"] == 4, "giving up")
    with listener.listening():
        listener.wait(1)
        until(lambda: not served.status()[0]["failing"], "success")
    served.source.tick()
    modify(cim, made, SubscriptionState=pywbem.Uint16(2))
    with listener.listening():
        served.source.tick()
        listener.wait(2)
        assert listener.numbers == [1, 3]
    assert cim.GetInstance(made)["SubscriptionState"] == 2
