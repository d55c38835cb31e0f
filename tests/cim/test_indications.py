# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sources run exactly while somebody is subscribed; every receiver gets what it wants, once."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

import pytest

from libvirtcim import composition
from libvirtcim.cim.declare import VIRT
from libvirtcim.cim.errors import InvalidClass, InvalidNamespace, NotSupported
from libvirtcim.cim.indications import Indication, IndicationQueue, Indications, Publish
from libvirtcim.cim.objects import Embedded, Instance
from tests.ticking.tick_indication import TICK

NAME = "KVM_TickIndication"
UNSENT = replace(TICK, base="UnsentIndication", superclass="CIM_InstDeletion")
SCHEMA = composition.schema([*composition.declarations(), TICK, UNSENT])


class Source:
    """Counts its starts and stops; publishes when told."""

    classes = (NAME,)

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.publish: Publish | None = None

    def start(self, publish: Publish) -> None:
        self.calls.append("start")
        self.publish = publish

    def stop(self) -> None:
        self.calls.append("stop")


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def hub(source: Source) -> Indications:
    return Indications(SCHEMA, [source])


def test_a_source_runs_only_while_it_is_needed(hub: Indications, source: Source) -> None:
    received: list[Indication] = []
    assert source.calls == []
    first = hub.subscribe(VIRT, NAME, received.append)
    second = hub.subscribe("ROOT/Virt", "cim_instindication", received.append)
    assert source.calls == ["start"]
    hub.unsubscribe(first)
    hub.unsubscribe(first)
    assert source.calls == ["start"]
    hub.unsubscribe(second)
    assert source.calls == ["start", "stop"]
    hub.subscribe(VIRT, NAME, received.append)
    hub.close()
    assert source.calls == ["start", "stop"] * 2
    assert received == []


def test_what_is_received(hub: Indications, source: Source) -> None:
    received: list[Indication] = []
    hub.subscribe(VIRT, "CIM_Indication", received.append)
    hub.subscribe(VIRT, NAME, received.append)
    assert source.publish is not None
    source.publish(
        "kvm_tickindication", {"Number": 7, "SourceInstance": Embedded("KVM_ComputerSystem", {"Name": "x"})}
    )  # fmt: skip
    (found,) = received
    shown = dict(found.instance.items())
    assert (found.namespace, found.instance.cls.name) == (VIRT, NAME)
    assert shown["Number"] == 7 and shown["PreviousInstance"] is None
    assert shown["IndicationIdentifier"] and len(shown["IndicationTime"]) == 25
    inner = shown["SourceInstance"]
    assert isinstance(inner, Instance)
    assert (inner.cls.name, inner["Name"]) == ("KVM_ComputerSystem", "x")


def test_what_the_source_says_wins(hub: Indications, source: Source) -> None:
    received: list[Indication] = []
    hub.subscribe(VIRT, NAME, received.append)
    hub.publish(
        NAME, {"IndicationIdentifier": "own", "IndicationTime": "20260101000000.000000+000"}
    )
    assert received[0].instance["IndicationIdentifier"] == "own"
    assert received[0].instance["IndicationTime"].startswith("20260101")


def test_one_bad_receiver_harms_no_other(
    hub: Indications, caplog: pytest.LogCaptureFixture
) -> None:
    received: list[Indication] = []

    def bad(indication: Indication) -> None:
        raise RuntimeError("no")

    hub.subscribe(VIRT, NAME, bad)
    hub.subscribe(VIRT, NAME, received.append)
    hub.publish(NAME, {"Number": 1})
    assert len(received) == 1
    assert f"an indication of {NAME} is lost" in caplog.text


@pytest.mark.parametrize(
    ("namespace", "classname", "error"),
    [
        (VIRT, "KVM_Nothing", InvalidClass),
        (VIRT, "KVM_ComputerSystem", InvalidClass),
        (VIRT, "CIM_InstDeletion", NotSupported),
        ("root/nowhere", NAME, InvalidNamespace),
    ],
)
def test_what_can_not_be_subscribed_to(
    hub: Indications, source: Source, namespace: str, classname: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        hub.subscribe(namespace, classname, lambda indication: None)
    assert source.calls == []


def made(number: int) -> Indication:
    return Indication(VIRT, Instance(SCHEMA.get(VIRT, NAME), None, {"Number": number}))


def numbers(queue: IndicationQueue, count: int) -> list[int]:
    taken = [queue.take() for _ in range(count)]
    return [item.instance["Number"] for item in taken if item is not None]


def test_a_full_queue_loses_the_oldest(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # heard whatever commands of other tests have set up
    monkeypatch.setattr(
        logging.getLogger("libvirtcim.cim.indications"), "handlers", [caplog.handler]
    )
    caplog.set_level(logging.INFO, "libvirtcim.cim.indications")
    queue = IndicationQueue(3)
    for number in range(5):
        queue.put(made(number))
    assert numbers(queue, 3) == [2, 3, 4]
    assert (queue.accepted, queue.dropped) == (5, 2)
    assert "more than 3 indications wait" in caplog.text


def test_held_cleared_closed() -> None:
    queue = IndicationQueue(3)
    found: list[Indication | None] = []
    threads = [threading.Thread(target=lambda: found.append(queue.take())) for _ in range(2)]
    queue.hold(True)
    queue.put(made(1))
    queue.clear()
    queue.put(made(2))
    for thread in threads:
        thread.start()
    assert found == []
    queue.hold(False)
    while len(found) < 1:
        threads[0].join(0.01)
    queue.close()
    for thread in threads:
        thread.join()
    assert [item.instance["Number"] for item in found if item is not None] == [2]
    assert found.count(None) == 1
    queue.put(made(3))
    assert queue.take() is None and queue.accepted == 2
