# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whatever a guest is called, clients find it, its devices and its settings by the ids they are given."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

import libvirt
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.system.conftest import Served, running

TEST_HYPERVISOR = "test:///default"
GUEST = (
    "<domain type='test'><name>{name}</name><memory>4096</memory><vcpu>2</vcpu><os><type>hvm</type></os>"
    "<devices><disk type='file' device='disk'><source file='/img/x'/><target dev='vda' bus='virtio'/></disk>"
    "</devices></domain>"
)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    # the test hypervisor keeps its state as long as somebody in the process is connected
    keeper = libvirt.open(TEST_HYPERVISOR)
    yield from running({"KVM": TEST_HYPERVISOR})
    keeper.close()


names = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/"), min_size=1)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=names)
def test_ids_round_trip(served: Served, name: str) -> None:
    connection = libvirt.open(TEST_HYPERVISOR)
    try:
        domain = connection.defineXML(GUEST.format(name=escape(name)))
    except libvirt.libvirtError:
        connection.close()
        assume(False)
    try:
        # libvirt may have its own idea of blanks: what counts is what it calls the guest now
        called = domain.name()
        client = served.client()
        paths = client.EnumerateInstanceNames("KVM_ComputerSystem")
        (path,) = [p for p in paths if p["Name"] == called]
        assert client.GetInstance(path)["ElementName"] == called
        found = client.AssociatorNames(path, AssocClass="KVM_SystemDevice")
        assert {p["DeviceID"] for p in found} == {
            f"{called}/{device}" for device in ("vda", "mem", "0", "1")
        }
        for device in found:
            assert client.GetInstance(device)["SystemName"] == called
            (setting,) = client.AssociatorNames(device, AssocClass="KVM_SettingsDefineState")
            assert client.GetInstance(setting)["InstanceID"] == setting["InstanceID"]
            (back,) = client.AssociatorNames(device, AssocClass="KVM_SystemDevice")
            assert back.keybindings == path.keybindings
    finally:
        domain.undefine()
        connection.close()
