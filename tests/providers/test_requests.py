# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every property that clients can write: asked for, it is in libvirt's definition, and is read back."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from libvirtcim.cim.errors import Failed
from libvirtcim.providers.resource_allocation.base import Setting
from libvirtcim.providers.resource_allocation.kinds import SETTINGS
from libvirtcim.providers.virtual_system_setting_data import COLUMNS, VIRTUAL_SYSTEM_SETTING_DATA
from libvirtcim.virt.families import FAMILIES
from tests.providers.request_rows import BLOCK, ROWS, VSSD, Row, plain, rows_of
from tests.providers.requests import Requests, served_by_test_hypervisor
from tests.providers.wiring import (
    ALL,
    KVM,
    LXC,
    NS,
    XEN,
    Case,
    Table,
    broker_of,
    case_id,
    check,
    of_families,
    vssd_path,
)

TABLE: Table = {
    f"{base}SettingData" if base == VSSD else f"{base}ResourceAllocationSettingData": [
        row.case() for row in ROWS if row.base == base and row.xml
    ]
    for base in dict.fromkeys(row.base for row in ROWS)
}


@pytest.mark.parametrize(("prefix", "base", "case"), of_families(TABLE), ids=case_id)
def test_it_is_shown(prefix: str, base: str, case: Case) -> None:
    check(prefix, base, case)


@pytest.fixture
def requests(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Requests]:
    """A family's service over an empty test hypervisor of its own."""
    parameters = request.node.callspec.params
    block = tmp_path / "disk"
    if "row" in parameters and BLOCK in parameters["row"].xml:
        make_block_device(block)
    with served_by_test_hypervisor(parameters["prefix"], tmp_path, {BLOCK: str(block)}) as made:
        yield made


def make_block_device(place: Path) -> None:
    """A node that nothing is behind."""
    try:
        os.mknod(place, stat.S_IFBLK | 0o600, os.makedev(0, 0))
    except PermissionError as error:
        pytest.skip(f"no block device can be made: {error}")


def families(*, changed: bool = False) -> list[tuple[str, Row]]:
    return [(prefix, row) for prefix in ALL for row in rows_of(prefix, changed=changed)]


@pytest.mark.parametrize(("prefix", "row"), families(), ids=str)
def test_new_guests_have_it(requests: Requests, prefix: str, row: Row) -> None:
    requests.define_with(row)
    requests.check(row)


@pytest.mark.parametrize(("prefix", "row"), families(changed=True), ids=str)
def test_guests_are_changed_to_it(requests: Requests, prefix: str, row: Row) -> None:
    devid, values = plain(prefix, row.base)
    requests.define({}, *([] if values is None else [(row.base, values)]))
    requests.modify(row, devid)
    requests.check(row)
    # what is read can be sent back, and changes nothing
    before = requests.stored()
    requests.modify(Row(row.base, row.devid, requests.shown(row).values), row.devid)
    assert requests.stored() == before


WRONG: list[tuple[str, dict[str, Any], str]] = [
    (VSSD, {"Firmware": "coreboot"}, "coreboot"),
    (VSSD, {"Firmware": "bios", "SecureBoot": True}, "SecureBoot needs Firmware efi"),
    (VSSD, {"CPUMode": "fast"}, "fast"),
    ("Video", {"Model": "warp"}, "warp"),
    ("Channel", {"SourceType": 99}, "ChannelRASD: Invalid SourceType value: 99"),
    ("Channel", {"SourceType": 8}, "ChannelRASD: Neither ConnectURL nor BindURL specified"),
    ("Channel", {"TargetType": "pigeon"}, "pigeon"),
    ("TPM", {"ResourceSubType": "chip"}, "chip"),
    ("TPM", {"Version": "3.1"}, "3.1"),
    ("RNG", {"ResourceSubType": "dice"}, "dice"),
    ("RNG", {"Model": "dice"}, "dice"),
    ("Watchdog", {"Model": "cat"}, "cat"),
    ("Watchdog", {"Action": "bark"}, "bark"),
    ("HostDevice", {"Address": "0000:06:12.5"}, "ResourceSubType '' is not one of pci, usb"),
    ("HostDevice", {"ResourceSubType": "isa", "Address": "1"}, "'isa' is not one of pci, usb"),
    ("HostDevice", {"ResourceSubType": "usb"}, "Missing `Address' field in HostDevice RASD"),
    (
        "HostDevice",
        {"ResourceSubType": "usb", "Address": "0000:06:12.5"},
        "HostDeviceRASD Address '0000:06:12.5' is no address of a usb device",
    ),
    (
        "HostDevice",
        {"ResourceSubType": "pci", "Address": "6/12"},
        "HostDeviceRASD Address '6/12' is no address of a pci device",
    ),
]


@pytest.mark.parametrize("prefix", [KVM])
@pytest.mark.parametrize(("base", "asked", "reason"), WRONG)
def test_what_cannot_be_is_refused(
    requests: Requests, prefix: str, base: str, asked: dict[str, Any], reason: str
) -> None:
    """The reason names what was asked for; there is no guest."""
    with pytest.raises(Failed) as raised:
        requests.define_with(Row(base, "", asked))
    assert reason in raised.value.message
    assert requests.host.guests() == []


@pytest.mark.parametrize("prefix", [KVM])
def test_a_host_device_stays_of_its_kind(requests: Requests, prefix: str) -> None:
    devid, values = plain(prefix, "HostDevice")
    requests.define({}, ("HostDevice", values or {}))
    with pytest.raises(Failed, match="HostDeviceRASD ResourceSubType can't be changed"):
        requests.modify(Row("HostDevice", "", {"ResourceSubType": "pci"}), devid)


@pytest.mark.parametrize("prefix", [KVM])
def test_one_end_of_a_console_that_has_two(requests: Requests, prefix: str) -> None:
    ends = {"BindURL": "udp://10.0.0.1:5000", "ConnectURL": "udp://10.0.0.2:5001"}
    requests.define({}, ("Console", {"SourceType": 7, **ends}))
    changed = {**ends, "BindURL": "udp://10.0.0.1:5002"}
    row = Row("Console", "charconsole:0", changed)
    requests.modify(row, row.devid)
    requests.check(row)


@pytest.mark.parametrize("prefix", [KVM])
def test_settings_that_contradict_each_other(requests: Requests, prefix: str) -> None:
    """As they come of what was read and partly changed: what was changed counts."""
    requests.define({"Firmware": "efi", "CPUModel": "qemu64"})
    read = requests.shown(Row(VSSD, "", {})).values
    requests.modify(Row(VSSD, "", {**read, "Firmware": "bios", "CPUMode": "host-model"}), "")
    requests.check(Row(VSSD, "", {"Firmware": "bios", "CPUMode": "host-model", "CPUModel": None}))


@pytest.mark.parametrize("prefix", [KVM])
def test_what_a_reference_has_one_of_is_replaced(requests: Requests, prefix: str) -> None:
    asked = (("Video", {"Model": "vga"}), ("Watchdog", {}), ("Channel", {"TargetName": "a"}))
    requests.define({}, *asked, ("RNG", {}))
    requests.call(
        "DefineSystem",
        SystemSettings=requests.instance(VSSD, {"VirtualSystemIdentifier": "twin"}),
        ResourceSettings=[
            requests.instance("Video", {"Model": "bochs"}),
            requests.instance("Watchdog", {"Model": "ib700"}),
            requests.instance("Channel", {"TargetName": "a", "SourceType": 2}),
        ],
        ReferenceConfiguration=vssd_path(prefix),
    )
    domain = etree.fromstring(requests.host.xml("twin", inactive=True))
    assert domain.xpath("//video/model/@type") == ["bochs"]
    assert domain.xpath("//watchdog/@model") == ["ib700"]
    assert domain.xpath("//channel/@type") == ["pty"]
    assert len(domain.findall("devices/rng")) == 1


FOLLOWS: Mapping[str, str] = {
    "": "InstanceID ResourceType OtherResourceType",
    VSSD: "VirtualSystemIdentifier ElementName VirtualSystemType Caption Description",
    "Disk": "VirtualQuantity AllocationUnits PoolID",
    "Net": "AllocationUnits",
    "Input": "Caption",
}
"""What is shown of all settings (""), and of some, that follows from the rest of a guest."""
REFUSED = {
    (LXC, kind, name)
    for kind, names in {"Input": "ResourceSubType BusType", "Proc": "VirtualQuantity Limit"}.items()
    for name in names.split()
}
"""What can be asked for, and no guest of the family can have."""


def writable(prefix: str, setting: Setting) -> set[tuple[str, str, str]]:
    """What of the properties that a family's class has can be asked for."""
    kind = setting.decl.base.removesuffix("ResourceAllocationSettingData")
    if setting.kind in FAMILIES[prefix].unmakeable_kinds:
        return set()
    return named(prefix, kind, setting.decl.base, setting.all_columns())


def named(prefix: str, kind: str, base: str, columns: Iterable[str]) -> set[tuple[str, str, str]]:
    """The columns of a family's class that don't follow from others."""
    cls = broker_of({}).schema.find(NS, f"{prefix}_{base}")
    declared = set() if cls is None else {prop.name for prop in cls.properties}
    follows = {*FOLLOWS[""].split(), *FOLLOWS.get(kind, "").split()}
    return {(prefix, kind, name) for name in declared & set(columns) - follows}


def test_every_property_that_can_be_written_is_in_some_row() -> None:
    guests = VIRTUAL_SYSTEM_SETTING_DATA.base
    wanted = {one for prefix in ALL for one in named(prefix, VSSD, guests, COLUMNS)}
    wanted |= {one for p in ALL for setting in SETTINGS.values() for one in writable(p, setting)}
    asked = {
        (prefix, row.base, name) for row in ROWS for prefix in row.prefixes for name in row.asked
    }
    assert wanted - asked == REFUSED
    # the measure itself
    assert {(KVM, "TPM", "Version"), (LXC, "Disk", "MountPoint"), (XEN, VSSD, "Kernel")} <= wanted
