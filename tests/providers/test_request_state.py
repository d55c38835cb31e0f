# SPDX-License-Identifier: LGPL-2.1-or-later
"""RequestStateChange: every requested state from every libvirt state, of every family."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from libvirtcim.cim import errors
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import Given, InstancePath
from tests.providers.wiring import (
    ALL,
    CONTEXT,
    KVM,
    LXC,
    NAME,
    XEN,
    Actor,
    broker_of,
    guest,
    metadata,
    path,
    system_path,
)

METHOD = "RequestStateChange"
NOSTATE, RUNNING, BLOCKED, PAUSED, STOPPING, OFF, CRASHED, ASLEEP = range(8)
STATES = range(9)
ENABLED, DISABLED, SHUT_DOWN, QUIESCE, REBOOT, RESET = 2, 3, 4, 9, 10, 11

ACTIONS: dict[int, tuple[dict[int, list[Any]], str]] = {
    ENABLED: ({OFF: ["create"], PAUSED: ["resume"]}, "Invalid state transition"),
    DISABLED: (
        {RUNNING: ["destroy"], BLOCKED: ["destroy"], PAUSED: ["destroy"]},
        "Invalid state transition",
    ),
    SHUT_DOWN: ({RUNNING: ["shutdown"], BLOCKED: ["shutdown"]}, "Invalid state transition"),
    QUIESCE: ({RUNNING: ["suspend"], BLOCKED: ["suspend"]}, "Domain not running"),
    REBOOT: (
        {RUNNING: [("reboot", 0)], BLOCKED: [("reboot", 0)], PAUSED: [("reboot", 0)]},
        "Domain not running",
    ),
    RESET: (
        {
            RUNNING: ["destroy", "create"],
            BLOCKED: ["destroy", "create"],
            PAUSED: ["destroy", "create"],
        },
        "Domain not running",
    ),
}
"""Requested state → what is done from which state, and the error from the others."""

XEN_NO_STATE: dict[int, list[Any]] = {
    DISABLED: ["destroy"],
    SHUT_DOWN: ["shutdown"],
    QUIESCE: ["suspend"],
    REBOOT: [("reboot", 0)],
    RESET: ["destroy", "create"],
}
"""A Xen guest without state counts as running for all of these, but can't be enabled."""


def actor(prefix: str, state: int, **more: Any) -> Actor:
    number = -1 if state in (OFF, CRASHED) else 4
    domain: Actor = guest(prefix, state=state, number=number, kind=Actor, **more)
    return domain


def change(
    broker: Broker,
    target: InstancePath,
    requested: object,
    arguments: Mapping[str, Given] | None = None,
) -> Any:
    given = {"RequestedState": Given(requested, "uint16"), **(arguments or {})}
    return broker.invoke_method(CONTEXT, target, METHOD, given)


def stored(requested: int) -> list[str]:
    return [f'<guest reqstate="{requested}"/>']


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("requested", ACTIONS)
def test_every_transition(prefix: str, state: int, requested: int) -> None:
    allowed, refusal = ACTIONS[requested]
    expected = allowed.get(state)
    if prefix == XEN and state == NOSTATE:
        expected = XEN_NO_STATE.get(requested)
    domain = actor(prefix, state)
    broker = broker_of({prefix: [domain]})
    if expected is None:
        with pytest.raises(errors.Failed, match=refusal):
            change(broker, system_path(prefix), requested)
        assert (domain.calls, domain.metadata_written) == ([], [])
        return
    assert change(broker, system_path(prefix), requested) == (0, {})
    assert (domain.calls, domain.metadata_written) == (expected, stored(requested))


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize("state", [RUNNING, OFF])
@pytest.mark.parametrize("requested", [0, 1, 5, 6, 7, 8, 12, 32768, 65535])
def test_other_states_are_not_supported_and_not_stored(
    prefix: str, state: int, requested: int
) -> None:
    domain = actor(prefix, state)
    with pytest.raises(errors.NotSupported, match="State not supported"):
        change(broker_of({prefix: [domain]}), system_path(prefix), requested)
    assert (domain.calls, domain.metadata_written) == ([], [])


@pytest.mark.parametrize("prefix", ALL)
def test_a_guest_with_a_snapshot_is_not_started(prefix: str, save_directory: Path) -> None:
    (save_directory / f"{NAME}.save").write_text("memory")
    domain = actor(prefix, OFF)
    broker = broker_of({prefix: [domain]})
    with pytest.raises(errors.NotSupported, match="Domain has a snapshot"):
        change(broker, system_path(prefix), ENABLED)
    assert (domain.calls, domain.metadata_written) == ([], [])


@pytest.mark.parametrize("prefix", ALL)
def test_a_paused_guest_with_a_snapshot_is_resumed(prefix: str, save_directory: Path) -> None:
    (save_directory / f"{NAME}.save").write_text("memory")
    domain = actor(prefix, PAUSED)
    change(broker_of({prefix: [domain]}), system_path(prefix), ENABLED)
    assert domain.calls == ["resume"]


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize(
    ("requested", "state"), [(ENABLED, OFF), (DISABLED, RUNNING), (RESET, RUNNING)]
)
def test_what_libvirt_refuses_is_failed_with_its_text(
    prefix: str, requested: int, state: int
) -> None:
    domain = actor(prefix, state, refusal="no space left")
    with pytest.raises(errors.Failed, match="no space left"):
        change(broker_of({prefix: [domain]}), system_path(prefix), requested)
    assert domain.metadata_written == []


@pytest.mark.parametrize(
    ("prefix", "data", "applied"),
    [
        (XEN, {"weight": 512, "limit": 50}, [{"weight": 512, "cap": 50}]),
        (XEN, {"weight": 512}, [{"weight": 512}]),
        (XEN, {"weight": 0, "limit": 50}, [{"cap": 50}]),
        (XEN, {"weight": 0, "limit": 0}, []),
        (LXC, {"weight": 512, "limit": 50}, [{"cpu_shares": 512}]),
        (LXC, {"limit": 50}, []),
        (KVM, {"weight": 512, "limit": 50}, []),
    ],
)
@pytest.mark.parametrize(
    ("requested", "state", "before"),
    [(ENABLED, OFF, ["create"]), (RESET, RUNNING, ["destroy", "create"])],
)
def test_scheduler_values_are_applied_after_a_start(
    prefix: str,
    data: dict[str, int],
    applied: list[dict[str, int]],
    requested: int,
    state: int,
    before: list[str],
) -> None:
    domain = actor(prefix, state, head=metadata(**data))
    change(broker_of({prefix: [domain]}), system_path(prefix), requested)
    assert domain.calls == [*before, *applied]


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize("timeout", ["00000000000030.000000:000", "garbage", 5, None])
def test_a_timeout_is_ignored(prefix: str, timeout: object) -> None:
    domain = actor(prefix, RUNNING)
    answer = change(
        broker_of({prefix: [domain]}),
        system_path(prefix),
        QUIESCE,
        {"TimeoutPeriod": Given(timeout), "Unknown": Given("x")},
    )
    assert answer == (0, {})
    assert domain.calls == ["suspend"]


def named(prefix: str, **keys: Any) -> InstancePath:
    return path(prefix, "ComputerSystem", **keys)


UINT16 = {"RequestedState": Given(2, "uint16")}

# (what, keys, method, arguments, error, its text)
REFUSED: list[tuple[str, dict[str, Any], str, dict[str, Given], type[errors.CIMError], str]] = [
    ("argument missing", {}, METHOD, {}, errors.InvalidParameter, "RequestedState"),
    (
        "argument NULL",
        {},
        METHOD,
        {"RequestedState": Given(None, "uint16")},
        errors.InvalidParameter,
        "RequestedState",
    ),
    (
        "wrong type",
        {},
        METHOD,
        {"RequestedState": Given(2, "uint32")},
        errors.TypeMismatch,
        "RequestedState is uint16",
    ),
    (
        "text for a number",
        {},
        METHOD,
        {"RequestedState": Given("2", "string")},
        errors.TypeMismatch,
        "RequestedState is uint16",
    ),
    ("argument before key", {"Name": ""}, METHOD, {}, errors.InvalidParameter, "RequestedState"),
    ("no name", {"Name": None}, METHOD, UINT16, errors.Failed, "Name key not specified"),
    ("empty name", {"Name": ""}, METHOD, UINT16, errors.Failed, "Name key not specified"),
    (
        "no such guest",
        {"Name": "nosuch"},
        METHOD,
        UINT16,
        errors.InvalidParameter,
        "no domain with matching name 'nosuch'",
    ),
    (
        "name in another case",
        {"Name": "G1"},
        METHOD,
        UINT16,
        errors.InvalidParameter,
        "no domain with matching name 'G1'",
    ),
    ("number for a name", {"Name": 5}, METHOD, UINT16, errors.InvalidParameter, "name '5'"),
    ("method in another case", {}, "requeststatechange", UINT16, errors.Failed, "Unknown Method"),
    ("method of the superclass", {}, "SetPowerState", {}, errors.Failed, "Unknown Method"),
    ("no such method", {}, "Explode", {}, errors.Failed, "Unknown Method"),
]


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize(
    ("what", "keys", "method", "arguments", "error", "text"), REFUSED, ids=[r[0] for r in REFUSED]
)
def test_calls_that_cannot_be_right(
    prefix: str,
    what: str,
    keys: dict[str, Any],
    method: str,
    arguments: dict[str, Given],
    error: type[errors.CIMError],
    text: str,
) -> None:
    domain = actor(prefix, OFF)
    given = {"CreationClassName": f"{prefix}_ComputerSystem", "Name": NAME, **keys}
    target = named(prefix, **{name: value for name, value in given.items() if value is not None})
    with pytest.raises(errors.CIMError) as raised:
        broker_of({prefix: [domain]}).invoke_method(CONTEXT, target, method, arguments)
    assert type(raised.value) is error
    # LXC's driver begins its text with a capital
    assert text.lower() in raised.value.message.lower()
    assert domain.calls == []


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize("configured", [True, False])
def test_a_hypervisor_that_is_not_there(prefix: str, configured: bool) -> None:
    broker = broker_of({prefix: None} if configured else {})
    with pytest.raises(errors.InvalidParameter, match=NAME):
        change(broker, system_path(prefix), ENABLED)


@pytest.mark.parametrize("prefix", ALL)
def test_the_class_name_among_the_keys_is_not_checked(prefix: str) -> None:
    domain = actor(prefix, OFF)
    change(
        broker_of({prefix: [domain]}),
        named(prefix, CreationClassName="CIM_Other", name=NAME),
        ENABLED,
    )
    assert domain.calls == ["create"]


@pytest.mark.parametrize("prefix", ALL)
@pytest.mark.parametrize("base", ["HostSystem", "Processor", "VirtualSystemSettingData"])
def test_other_classes_have_no_methods(prefix: str, base: str) -> None:
    with pytest.raises((errors.MethodNotFound, errors.MethodNotAvailable)):
        change(broker_of({prefix: []}), path(prefix, base), ENABLED)
