# SPDX-License-Identifier: LGPL-2.1-or-later
"""One operation reads the host once, however many classes it covers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from libvirtcim import composition
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import RequestContext
from libvirtcim.demo import sample_uri
from libvirtcim.virt.host import Host, Hosts, Needs
from libvirtcim.virt.settings import HostSettings

CONTEXT = RequestContext()


@pytest.fixture
def broker() -> Iterator[Broker]:
    hosts = Hosts({"KVM": sample_uri()}, settings=HostSettings(side_file_dir=None))
    yield composition.broker(hosts)
    hosts.close()


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Needs]:
    """What each listing of all guests asked for."""
    asked: list[Needs] = []
    listing = Host.guests

    def guests(self: Host, needs: Needs = Needs.STATE) -> Any:
        asked.append(needs)
        return listing(self, needs)

    monkeypatch.setattr(Host, "guests", guests)
    return asked


@pytest.mark.parametrize("cls", ["CIM_LogicalDevice", "CIM_ManagedElement"])
def test_names_of_many_classes_take_few_listings(
    broker: Broker, readings: list[Needs], cls: str
) -> None:
    names = list(broker.enumerate_instance_names(CONTEXT, "root/virt", cls))
    assert len({name.classname for name in names}) > 5
    # state alone comes first where a class needs no more, then what the XML tells
    assert len(readings) <= 2


def test_more_is_read_only_where_a_class_needs_more(broker: Broker, readings: list[Needs]) -> None:
    rows = list(
        broker.enumerate_instances(CONTEXT, "root/virt", "KVM_ResourceAllocationSettingData")
    )
    assert len({row.cls.name for row in rows}) > 8
    assert len(readings) == 2
    assert Needs.SCHEDULER not in readings[0]
    assert Needs.SCHEDULER in readings[1]


def test_the_next_operation_reads_again(broker: Broker, readings: list[Needs]) -> None:
    for _ in range(2):
        list(broker.enumerate_instances(CONTEXT, "root/virt", "KVM_ComputerSystem"))
    assert len(readings) == 2
