# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recorded calls that define or change guests: the same definition, or the same error, but for what has a
reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.recorded import methods
from tests.recorded.test_replay import VARIABLE

pytestmark = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"{VARIABLE} names no directory with recordings"
)

REASONS = {
    r"-domain/cputune(/shares)?\[\](0|1024)?": "no weight where none is asked for: 0 keeps QEMU from "
    "starting the guest",
    r"\+domain/metadata.*": "weight and limit are kept in the guest's metadata, not in a file",
    r"\+domain/cputune/shares\[\]1024": "containers have their family's weight by default",
    r"-domain/(vcpu|memory|currentMemory)\[\][01]": "what is not asked for is not written: libvirt "
    "gives one processor and refuses a guest without memory",
    r"-domain/features\[\]": "an empty element is not written",
    r"-domain/memory\[dumpCore=on\].*|\+domain/memory\[\]65536": "containers' memory has no dumpCore",
    r"[-+]domain/os/boot.*": "one boot device is taken as a list of one",
    r"[-+]domain/name\[\].*": "names are escaped",
    r"[-+]domain/devices/input.*": "an attribute that is not asked for is not written",
    r"[-+]domain/devices/graphics\[.*listen=\[?::1.*": "IPv6 addresses without brackets, as libvirt "
    "wants them",
    r"[-+]domain/devices/console/source.*::1.*": "IPv6 addresses without brackets, as libvirt wants them",
    r"\+domain/devices/(console|serial).*|\+domain/devices/graphics\[.*127.*": "a console or serial port "
    "that is asked for as a display is made",
    r"\+domain/devices/interface/filterref.*": "FilterRef is written",
    r"[-+]domain/devices/controller/driver.*": "the number of queues is spelt as libvirt spells it",
    r"[-+]domain/devices/controller\[index=0 model=virtio-scsi.*": "numbers are taken where text is due",
    r"[-+]domain/devices/(disk|filesystem).*": "a file that is asked for as a file system is one; "
    "libvirt refuses both",
    r"accepted, not .*(AllocationUnits|SIGSEGV|parse embedded|incompatible).*": "more is understood",
    r"accepted, not .*`VirtualQuantity' field in Memory.*": "signed numbers are read",
    r"accepted, not Failed to define domain: xml .*": "libvirt decides, and says what is wrong",
    r"accepted, not .*No NetworkPool specified.*": "this host has an active network",
    r"accepted, not .*Unsupported graphics type.*": "SPICE is known",
    r"accepted, not SystemSettings Error": "IsFullVirt is no property of containers",
    r".*Missing VirtualSystemIdentifier.*": "said before libvirt is asked",
    r".*VirtualSystemSettingData given, .*": "settings of another family are refused",
    r".*there is no class .*": "unknown classes are refused when they are read",
    r"refused: .*-5 is outside uint64.*": "a size below zero is refused",
    r"refused: .*Missing `VirtualDevice' property": "settings of a storage pool have no VirtualDevice",
    r"refused: .*abc is no port": "said before libvirt is asked",
    r".*ControllerRASD ResourceSubType field not valid.*": "said before libvirt is asked",
}
"""Pattern of a difference → why it is one."""


def test_recorded_definitions_and_the_reasons_of_all_differences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = Path(os.environ[VARIABLE])
    found: list[tuple[str, str]] = []
    for family in ("kvm", "lxc"):
        found += methods.definitions(folder, family, monkeypatch)
    methods.check_reasons(found, REASONS)


LIBVIRTS_CHOICE = "libvirt fills it in"
ASKED = "asked for"
BUG = "libvirt-cim's mistake: "
CHANGE_REASONS = {
    r"-domain/devices/disk/driver\[name=qemu type=raw\]": LIBVIRTS_CHOICE,
    r"[-+]domain/devices/disk/target\[(bus=virtio )?dev=vdb\]": LIBVIRTS_CHOICE,
    r"-domain/devices/interface/model\[type=rtl8139\]": LIBVIRTS_CHOICE,
    r"\+domain/devices/audio\[id=1 type=none\]": LIBVIRTS_CHOICE,
    r"-domain/devices/graphics/listen.*": LIBVIRTS_CHOICE,
    r"-domain/devices/controller\[index=0 type=virtio-serial\]": LIBVIRTS_CHOICE,
    r"[-+]domain/devices/console/target.*": LIBVIRTS_CHOICE,
    r"[-+]domain/devices/\w+/address\[.*": LIBVIRTS_CHOICE,
    r"-domain/cpu/model\[fallback=forbid\]qemu32|\+domain/cpu/model\[fallback=forbid\]qemu64|"
    r"-domain/devices/emulator\[\].*|-domain/os/type\[.*|\+domain/os/type\[.*": LIBVIRTS_CHOICE,
    r"-domain/devices/input\[bus=ps2 type=keyboard\]": LIBVIRTS_CHOICE,
    r"[-+]domain/cputune.*": BUG + "any change loses the weight",
    r"[-+]domain/memory\[unit=KiB\].*|[-+]domain/currentMemory\[unit=KiB\].*": BUG
    + "the maximum is read in the unit of the size, or cuts it",
    r"\+domain/metadata.*": "weight and limit are kept in the guest's metadata, not in a file",
    r"[-+]domain/devices/graphics\[.*": BUG
    + "the password is overwritten with asterisks; VNC's address "
    "becomes SDL's",
    r"\+domain/devices/video.*": "what isn't named stays",
    r"accepted, not The value supplied.*": "nothing to remove is no error",
    r"6 \(CIM_ERR_NOT_FOUND\): .*, not Missing InstanceID in RASD": "the first that is unknown is named",
}
"""The same of changes."""


def test_recorded_changes_and_the_reasons_of_all_differences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = Path(os.environ[VARIABLE])
    found = [*methods.changes(folder, "kvm", monkeypatch)]
    methods.check_reasons(found, CHANGE_REASONS)


CONTAINER_REASONS = {
    r"[-+]domain/cputune/shares\[\].*": BUG + "any change loses the weight",
    r"-domain/memory\[unit=KiB\]67108864|\+domain/memory\[unit=KiB\](65536|81920)": BUG
    + "the maximum is read in the unit of the size",
    r"-domain/devices/console(/target)?\[.*type=(pty|lxc)\]": BUG
    + "any change adds a console, and none can be taken away",
    r"[-+]domain/devices/filesystem\[.*": LIBVIRTS_CHOICE,
    r"[-+]domain/os/init\[\].*": BUG + "what is not given gets its default",
    r"accepted, not Invalid SystemSettings": "IsFullVirt is no property of containers",
    r"accepted, not .*VirtualQuantity not valid for LXC": BUG + "what isn't given is refused",
    r"accepted, not .*Missing `MountPoint' field": "what isn't named stays",
}
"""The same of changes of containers."""


def test_recorded_changes_of_containers_and_the_reasons_of_all_differences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = list(methods.changes(Path(os.environ[VARIABLE]), "lxc", monkeypatch))
    methods.check_reasons(found, CONTAINER_REASONS)


FOREIGN_REASONS = {
    r"accepted, not Internal error .xml generation failed.": "guests with interfaces of type ethernet can "
    "be changed",
    r"\+domain/devices/disk(/(driver|source|target))?\[[^]]*(file|qemu|b.img|vdd|vdb).*": ASKED,
    r"-domain/devices/disk(/(driver|source|target|serial|address))?\[.*": ASKED,
    r"[-+]domain/currentMemory\[unit=KiB\].*": ASKED,
    r"[-+]domain/devices/interface/model\[.*": ASKED,
}
"""The same of changes of guests that other tools defined."""


def test_recorded_changes_of_other_tools_guests_and_the_reasons_of_all_differences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = list(methods.foreign_changes(Path(os.environ[VARIABLE]), monkeypatch))
    methods.check_reasons(found, FOREIGN_REASONS)


REFERENCE_REASONS = {
    r"[-?]domain/cputune(/shares)?\[\](0|1024)?": "no weight where none is asked for: 0 keeps QEMU from "
    "starting the guest",
    r"[+?]domain/devices/disk/.*|\?domain/devices/interface/model.*": LIBVIRTS_CHOICE,
    r"\?domain/devices/controller\[.*|[+?]domain/devices/console/target.*": LIBVIRTS_CHOICE,
    r"[-?]domain/devices/\w+/address\[.*": LIBVIRTS_CHOICE,
    r"-domain/devices/graphics/listen.*|-domain/devices/input\[bus=ps2 type=keyboard\]": LIBVIRTS_CHOICE,
    r"[-+]domain/os/type\[.*\]exe|\?domain/devices/console\[type=pty\]": LIBVIRTS_CHOICE,
    r"\+domain/metadata.*|\+domain/cputune/shares\[\]1024": "containers have their family's weight by "
    "default, kept in the guest's metadata",
    r"\?domain/memory\[unit=KiB\].*": "the maximum stays where less is asked for",
    r"5 .*, not ReferenceConfiguration domain is not compatible": "the classes are named",
    r"4 .*has invalid InstanceID, not \w+ `InstanceID' from ReferenceConfiguration": "said as of other paths",
    r"1 .*, not Unable compare ReferenceConfiguration prefix": "the class is named",
    r"accepted, not .*SIGSEGV.*": "no crash",
}
"""The same of guests that are defined like another."""


def test_recorded_guests_like_others_and_the_reasons_of_all_differences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = Path(os.environ[VARIABLE])
    found = [
        d for family in ("kvm", "lxc") for d in methods.references(folder, family, monkeypatch)
    ]
    methods.check_reasons(found, REFERENCE_REASONS)
