# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications: from a source through the plugin's queue and thread to the CIM server.

The source is `tests/ticking`, a provider module that the plugin finds beside its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from libvirtcim import composition
from libvirtcim.cim.declare import VIRT
from libvirtcim.cim.errors import CIMError
from libvirtcim.cim.indications import Indication, Indications, Publish
from libvirtcim.cim.objects import InstancePath
from libvirtcim.cmpi.subscriptions import Subscriptions
from tests.cmpi.conftest import Plugin, Start
from tests.cmpi.driver import Delivered, Host
from tests.ticking import PATH_CODE
from tests.ticking.tick_indication import STATE, TICK

pytestmark = pytest.mark.xdist_group("cmpi")

TICKS = InstancePath("KVM_TickIndication", (), VIRT)
QUERY = "SELECT * FROM KVM_TickIndication"
Ticking = Callable[..., Host]


@pytest.fixture
def ticking(
    checked_plugin: Plugin,
    checked_start: Start,
    environment: Callable[[str, bool], str],
    tmp_path: Path,
) -> Ticking:
    """Starts hosts whose plugin has a ticking clock."""

    def make(code: str = "", settings: str = "") -> Host:
        config = tmp_path / "libvirtcim.toml"
        config.write_text(f'{settings}\n[connections]\nKVM = "test:///default"\n')
        host = checked_start(checked_plugin(str(config), environment(f"{PATH_CODE}\n{code}", True)))
        schema = composition.schema([*composition.declarations(), TICK])
        host.declare([schema.get(VIRT, TICKS.classname)])
        return host

    return make


def fine(host: Host, op: str, path: InstancePath = TICKS, query: str = QUERY) -> None:
    answer = host.call(op, path, filter=query)
    assert (answer.rc, answer.message, answer.violations) == (0, None, [])


def ticks(delivered: Delivered) -> list[int]:
    assert delivered.violations == []
    return [shown(indication)["Number"] for indication in delivered.indications]


def shown(indication: Any) -> dict[str, Any]:
    return {name: value for name, _type, value in indication["properties"]}


def types(indication: Any) -> dict[str, str]:
    return {name: kind for name, kind, _value in indication["properties"]}


def test_delivered_as_declared(ticking: Ticking) -> None:
    host = ticking()
    fine(host, "authorizeFilter")
    fine(host, "activateFilter")
    fine(host, "enableIndications")
    delivered = host.indications(5)
    numbers = ticks(delivered)
    assert len(numbers) >= 5
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    first = delivered.indications[0]
    assert first["path"] == {"class": TICKS.classname, "ns": VIRT, "keys": []}
    kinds, values = types(first), shown(first)
    assert kinds["Number"] == "uint32" and kinds["IndicationTime"] == "datetime"
    assert kinds["SourceInstance"] == kinds["PreviousInstance"] == "instance"
    for name, state in zip(("PreviousInstance", "SourceInstance"), STATE, strict=True):
        inner = shown(values[name])
        assert values[name]["path"]["class"] == "KVM_ComputerSystem"
        assert (inner["Name"], inner["EnabledState"]) == ("tick é", state)


def test_nothing_needs_polling(ticking: Ticking) -> None:
    assert ticking().call("mustPoll", TICKS).rc == 7


def test_waits_until_enabled(ticking: Ticking) -> None:
    """What comes between activating and enabling isn't lost."""
    host = ticking("import os; os.environ['LIBVIRTCIM_TICK_BURST'] = '10'")
    fine(host, "activateFilter")
    fine(host, "enableIndications")
    assert ticks(host.indications(10))[:10] == list(range(1, 11))


def test_filters_are_counted(ticking: Ticking) -> None:
    """Deliveries go on to the last of them, whatever the CIM server says of first and last."""
    host = ticking()
    for query in (QUERY, QUERY, f"{QUERY} WHERE Number > 3"):
        fine(host, "activateFilter", query=query)
    fine(host, "activateFilter", InstancePath("CIM_InstModification", (), VIRT))
    fine(host, "enableIndications")
    numbers = ticks(host.indications(3))
    assert len(set(numbers)) == len(numbers)
    for query in (QUERY, f"{QUERY} WHERE Number > 3", QUERY):
        fine(host, "deActivateFilter", query=query)
    host.indications(0)
    assert ticks(host.indications(3))
    fine(host, "deActivateFilter", InstancePath("CIM_InstModification", (), VIRT))
    fine(host, "deActivateFilter", query="SELECT * FROM KVM_Never")
    host.indications(0)
    assert ticks(host.indications(1, seconds=1)) == []
    # as SFCB does: the second generation isn't enabled anew
    fine(host, "activateFilter")
    assert ticks(host.indications(2))[0] == 1


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        (InstancePath("KVM_ComputerSystem", (), VIRT), 5, "KVM_ComputerSystem is no class of indica"),
        (InstancePath("KVM_Nothing", (), VIRT), 5, "does not exist"),
        (InstancePath(TICKS.classname, (), "root/nowhere"), 3, "root/nowhere"),
        (InstancePath(TICKS.classname), 3, "Namespace '' does not exist"),
    ],
)  # fmt: skip
def test_what_can_not_be_subscribed_to(
    ticking: Ticking, path: InstancePath, code: int, words: str
) -> None:
    answer = ticking().call("activateFilter", path, filter=QUERY)
    assert answer.rc == code and not answer.violations
    assert answer.message is not None and words in answer.message


def test_a_thread_serves_a_term(ticking: Ticking) -> None:
    """After 2,000 deliveries a fresh thread goes on, and nothing is lost or doubled."""
    burst = "import os; os.environ['LIBVIRTCIM_TICK_BURST'] = '5000'"
    host = ticking(burst, "indication_queue = 10000")
    fine(host, "activateFilter")
    fine(host, "enableIndications")
    delivered = host.indications(5000, seconds=60)
    assert ticks(delivered)[:5000] == list(range(1, 5001))
    assert delivered.contexts == 1


def test_a_slow_server_costs_the_oldest_only(ticking: Ticking) -> None:
    burst = "import os; os.environ['LIBVIRTCIM_TICK_BURST'] = '50'"
    host = ticking(burst, "indication_queue = 5")
    host.slow_delivery(100)
    fine(host, "activateFilter")
    fine(host, "enableIndications")
    numbers = ticks(host.indications(6))
    assert numbers == sorted(numbers) and numbers[-1] > 40
    assert len(numbers) < 20


def test_cleanup_ends_the_thread(ticking: Ticking) -> None:
    host = ticking()
    for _ in range(2):
        fine(host, "activateFilter")
        fine(host, "enableIndications")
        assert ticks(host.indications(2))
        assert host.cleanup() == [0, 0, 0, 0]
        ended = host.indications(0, contexts=0)
        assert ended.contexts == 0 and ended.violations == []
        host.indications(0)
        assert host.indications(1, seconds=1).indications == []
    assert host.end() == (0, "")


def test_cleanup_does_not_wait_for_a_server_that_blocks(ticking: Ticking) -> None:
    host = ticking("import libvirtcim.cmpi.loader as loader; loader.CLOSE_SECONDS = 0.2")
    host.slow_delivery(1500)
    fine(host, "activateFilter")
    fine(host, "enableIndications")
    host.indications(1)
    assert host.cleanup() == [0, 0, 0, 0]
    assert host.indications(0).contexts == 1
    assert host.indications(0, contexts=0).contexts == 0


def test_a_subscription_left_behind(ticking: Ticking) -> None:
    """A server that ends with a subscription only unloads."""
    host = ticking()
    fine(host, "activateFilter")
    fine(host, "enableIndications")
    assert ticks(host.indications(1))
    assert host.end() == (0, "")


class Source:
    """Never publishes; counts."""

    classes = (TICKS.classname,)

    def __init__(self) -> None:
        self.running = 0

    def start(self, publish: Publish) -> None:
        self.running += 1

    def stop(self) -> None:
        self.running -= 1


def test_counting_from_many_threads() -> None:
    source = Source()
    schema = composition.schema([*composition.declarations(), TICK])
    counted = Subscriptions(Indications(schema, [source]), 10)

    def change() -> None:
        for _ in range(200):
            counted.activate(QUERY, VIRT, TICKS.classname)
            assert source.running == 1
            counted.deactivate(QUERY, VIRT, TICKS.classname)

    threads = [threading.Thread(target=change) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (source.running, counted.active) == (0, 0)
    counted.activate(QUERY, VIRT, TICKS.classname)
    with pytest.raises(CIMError):
        counted.activate(QUERY, VIRT, "KVM_Nothing")
    assert (source.running, counted.active) == (1, 1)
    counted.close()
    assert (source.running, counted.active) == (0, 0)
    counted.queue.put(Indication(VIRT, None))  # type: ignore[arg-type]
    assert counted.queue.take() is None
