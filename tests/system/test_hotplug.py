# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices plugged into a guest that runs and answers, and taken out of it, through CIM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pywbem

from tests import hypervisor
from tests.management import Manager
from tests.system.conftest import Served

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]

NAME = "answering"


@pytest.fixture(scope="module")
def kvm(real: Served, box: hypervisor.PrivateLibvirtd) -> Iterator[Manager]:
    manager = Manager(real.client(), "KVM", box.qemu_uri)
    yield manager
    manager.raw.close()


@pytest.fixture(scope="module")
def guest(kvm: Manager, guest_image: Path) -> Iterator[pywbem.CIMInstanceName]:
    """A guest that was defined through CIM, has booted, and releases what is to be unplugged."""
    output = f"{guest_image.parent}/{NAME}.serial"
    path = kvm.define(
        NAME,
        kvm.setting("Mem", VirtualQuantity=pywbem.Uint64(32), AllocationUnits="MegaBytes"),
        kvm.setting("Proc", VirtualQuantity=pywbem.Uint64(1)),
        kvm.setting("Disk", VirtualDevice="hda", Address=str(guest_image), BusType="ide"),
        kvm.setting("Disk", VirtualDevice="hdc", EmulatedType=pywbem.Uint16(1), BusType="ide"),
        kvm.setting("Console", SourceType=pywbem.Uint16(4), SourcePath=output, TargetType="serial"),
        kvm.setting("Controller", ResourceSubType="virtio-serial", Index=pywbem.Uint64(0)),
    )
    kvm.client.InvokeMethod("RequestStateChange", path, RequestedState=pywbem.Uint16(2))
    hypervisor.wait_until(
        lambda: hypervisor.READY in hypervisor.serial_output(guest_image, NAME), "boot", 60
    )
    yield path
    kvm.destroy(path)


@pytest.fixture
def image(tmp_path: Path) -> str:
    """An empty disk of 1 MiB."""
    path = tmp_path / "second.img"
    path.write_bytes(bytes(1 << 20))
    return str(path)


DEVICES: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "Disk": ({"VirtualDevice": "vdb", "BusType": "virtio"}, "disk[target/@dev='vdb']"),
    "Net": (
        {"NetworkType": "user", "ResourceSubType": "virtio", "Address": "00:16:3e:00:11:22"},
        "interface[mac/@address='00:16:3e:00:11:22']",
    ),
    "Controller": (
        {"ResourceSubType": "scsi", "Index": pywbem.Uint64(0), "Model": "virtio-scsi"},
        "controller[@type='scsi']",
    ),
    "Channel": (
        {"TargetName": "org.qemu.guest_agent.0"},
        "channel[target/@name='org.qemu.guest_agent.0']",
    ),
    "RNG": ({"Address": "/dev/urandom"}, "rng"),
    "Watchdog": ({"Model": "i6300esb"}, "watchdog"),
}
"""Kind → what is asked for, and where the definition has it."""


@pytest.mark.parametrize("kind", DEVICES)
def test_what_is_plugged_can_be_unplugged(
    kvm: Manager, guest: pywbem.CIMInstanceName, image: str, kind: str
) -> None:
    """What runs and what is stored have it, then neither has."""
    asked, place = DEVICES[kind]
    if kind == "Disk":
        asked = {**asked, "Address": image}
    count = f"count(devices/{place})"
    assert kvm.both(NAME, count) == (0, 0)
    (path,) = kvm.add(NAME, kvm.setting(kind, **asked))
    assert kvm.both(NAME, count) == (1, 1)
    shown = kvm.client.GetInstance(path)
    assert {name: shown[name] for name in asked} == asked
    kvm.remove(path)
    assert kvm.both(NAME, count) == (0, 0)


def test_of_two_alike_each_can_be_unplugged(kvm: Manager, guest: pywbem.CIMInstanceName) -> None:
    """The second takes the id of the first one when that is gone."""
    both = kvm.add(NAME, *[kvm.setting("RNG", Address="/dev/urandom")] * 2)
    assert [path["InstanceID"] for path in both] == [
        f"{NAME}/rng:/dev/urandom{number}" for number in ("", ":1")
    ]
    kvm.remove(*both)
    assert kvm.both(NAME, "count(devices/rng)") == (0, 0)


def test_media_are_changed(kvm: Manager, guest: pywbem.CIMInstanceName, image: str) -> None:
    source = "string(//disk[target/@dev='hdc']/source/@file)"
    for address in (image, ""):
        kvm.modify(kvm.setting("Disk", InstanceID=f"{NAME}/hdc", Address=address))
        assert kvm.both(NAME, source) == (address, address)
