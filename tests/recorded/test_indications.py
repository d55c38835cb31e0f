# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recorded indications of guests: the same changes bring the same properties and values, unless mended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from libvirtcim.cim.objects import Instance
from tests.recorded.test_replay import VARIABLE
from tests.subscribing import RESOURCE, SYSTEM, World, served
from tests.virt.watching import defined, other_client, test_guest

pytestmark = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"{VARIABLE} names no directory with recordings"
)

URI = "test:///default"
OF_THE_SERVER = {"SequenceNumber", "SequenceContext", "IndicationFilterName"}
OF_THE_GUEST = {"Name", "ElementName", "UUID", "Caption", "OtherIdentifyingInfo", "RequestedState"}
OFF, ON = 3, 2

Key = tuple[str, int | None, int]
"""Class of the indication, EnabledState before and after."""


def recorded() -> list[dict[str, Any]]:
    """Every indication, in the order of its recording."""
    runs = json.loads((Path(os.environ[VARIABLE]) / "indications.json").read_text())
    steps = [step for name, run in runs.items() if name.startswith("run_") for step in run]
    return [indication for step in steps for indication in step["indications"]]


def guests_of(prefix: str) -> Iterator[tuple[Key, dict[str, Any]]]:
    for indication in recorded():
        if indication["class"].startswith(f"{prefix}_{SYSTEM}"):
            properties = indication["properties"]
            before = properties.get("PreviousInstance", {}).get("EnabledState")
            after = properties["SourceInstance"]["EnabledState"]
            # the same in both: the recorded provider's mistake
            yield (indication["class"], None if before == after else before, after), properties


def told(world: World) -> dict[Key, Instance]:
    """What the life of a guest brings here; also by the state after it alone."""
    with other_client(URI) as raw, defined(raw, test_guest("recorded")) as domain:
        for requested in (2, 9, 2, 3):
            world.call(world.path("recorded"), "RequestStateChange", RequestedState=requested)
        domain.undefine()
        raw.createXML(test_guest("transient"), 0).destroy()
        world.settle(raw)
    found: dict[Key, Instance] = {}
    for indication in world.of(SYSTEM):
        before, after = indication["PreviousInstance"], indication["SourceInstance"]
        state = after["EnabledState"]
        found[indication.cls.name, before and before["EnabledState"], state] = indication
        found[indication.cls.name, None, state] = indication
    return found


@pytest.mark.parametrize("prefix", ["KVM", "LXC"])
def test_guests(prefix: str) -> None:
    with served(prefix, URI) as world:
        world.subscribe(SYSTEM)
        ours = told(world)
    compared = 0
    for key, theirs in guests_of(prefix):
        shown = {name: value for name, value in ours[key].items() if value is not None}
        assert theirs.keys() - OF_THE_SERVER <= shown.keys(), key
        for which in {"SourceInstance", "PreviousInstance"} & theirs.keys():
            assert_like(theirs[which], shown[which], key)
        compared += 1
    assert compared > (10 if prefix == "KVM" else 0)


def assert_like(theirs: dict[str, Any], ours: Instance, key: Key) -> None:
    """The same class, properties, and values that are not the guest's own."""
    expected = {name: value for name, value in theirs.items() if name != "class"}
    assert theirs["class"] == ours.cls.name
    shown = {name: value for name, value in ours.items() if value is not None}
    assert expected.keys() <= shown.keys(), key
    for name in expected.keys() - OF_THE_GUEST:
        if key[1] is None and name in STATES and "Modified" in key[0]:
            continue
        assert _texts(shown[name]) == _texts(expected[name]), (key, name)


def _texts(value: Any) -> list[str]:
    """What the recording has of a value: numbers in arrays are text there."""
    return [str(one) for one in (value if isinstance(value, list) else [value])]


STATES = {"EnabledState", "HealthState", "OperationalStatus", "OperatingStatus"}
"""Of a guest before a change, where the recorded provider shows those after it."""


def test_resources() -> None:
    """Every kind of indication that was sent is sent, and says what was said of where it comes from."""
    theirs = [i for i in recorded() if f"_{RESOURCE}" in i["class"]]
    with served("KVM", URI) as world, other_client(URI) as raw:
        world.subscribe(SYSTEM, RESOURCE)
        with defined(raw, test_guest("recorded")) as domain:
            world.settle(raw)
            domain.create()
            world.settle(raw)
        world.settle(raw)
        ours = {i.cls.name: i for i in world.of(RESOURCE)}
    assert {i["class"] for i in theirs} == ours.keys()
    for indication in theirs:
        shown = {n for n, value in ours[indication["class"]].items() if value is not None}
        assert indication["properties"].keys() - OF_THE_SERVER <= shown
