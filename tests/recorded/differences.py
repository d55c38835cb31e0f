# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where answers differ from the recorded ones on purpose, and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.recorded.replay import Difference


@dataclass(frozen=True)
class Row:
    """Differences of one kind, with their reason."""

    reason: str
    kind: str
    """Pattern of the kind or property name."""
    subject: str = ""
    """Pattern of the class name."""
    when: Callable[[Difference], bool] = lambda _: True

    def explains(self, difference: Difference) -> bool:
        return (
            re.fullmatch(self.kind, difference.kind) is not None
            and re.search(self.subject, difference.subject) is not None
            and self.when(difference)
        )


def _answered(pattern: str) -> Callable[[Difference], bool]:
    return lambda d: re.search(pattern, str(d.answered)) is not None


def _recorded(pattern: str) -> Callable[[Difference], bool]:
    return lambda d: re.search(pattern, str(d.recorded)) is not None


def _target(pattern: str) -> Callable[[Difference], bool]:
    return lambda d: re.search(pattern, str(d.question.target)) is not None


def _enumerated(d: Difference) -> bool:
    return d.question.operation.startswith("Enumerate")


ASSOCIATIONS = "|".join(
    (
        "SystemDevice",
        "SettingsDefineState",
        "ElementSettingData",
        "HostedDependency",
        "VirtualSystemSettingDataComponent",
    )
)
NET, DISK, GRAPHICS = (
    f"{kind}ResourceAllocationSettingData" for kind in ("Net", "Disk", "Graphics")
)

DIFFERENCES: tuple[Row, ...] = (
    # what libvirt-cim's CIMOM did, not its providers
    Row(
        "CIMOM: key values lost a trailing non-ASCII character",
        "status|text",
        "",
        _target(r"gespeichert-"),
    ),
    Row("CIMOM: key values lost trailing blanks", "status", "", _target(r' "$')),
    Row(
        "CIMOM: GetInstance ignored property lists",
        ".*",
        "",
        lambda d: "PropertyList" in d.question.arguments,
    ),
    Row(
        "CIMOM: paths without keys became class-level requests",
        "status",
        "",
        _recorded("operation for classes not supported"),
    ),
    Row(
        "CIMOM: did not know these class defaults of the schema",
        "NameFormat|NameNamespace",
        "LogicalDisk",
    ),
    Row(
        "CIMOM: properties that the class does not declare were passed through",
        "VirtualDevice|EmulatedType|AccessMode|Emulator|NetworkType|NetworkName|BusType|readonly",
        "^(?i:LXC)_",
        lambda d: d.answered is None,
    ),
    Row("CIMOM: order of the subclasses of a class", "order", "_ResourceAllocationSettingData$"),
    Row("libvirtd sorted this guest's controllers anew between recordings", "order", "_Controller"),
    # weak points mended
    Row("a provider crashed on a number for a string key", "status", "", _recorded("SIGSEGV")),
    Row(
        "class names are compared ignoring case everywhere",
        "status",
        "",
        _target(r"^root/virt:(kvm|lxc)_"),
    ),
    Row(
        "ids of devices are compared whole and with case",
        "status|text",
        "",
        lambda d: re.search(r'/\S+ x"$|:AA:BB:', str(d.question.target)) is not None,
    ),
    Row(
        "VSSD to system with a blank in the guest's name",
        "status",
        "VirtualSystemSettingData",
        _target(r"(run two|off container)"),
    ),
    Row(
        "a missing display attribute was printed as (null)",
        "missing|status",
        "",
        lambda d: "(null)" in str(d),
    ),
    Row("a missing display was printed as (null)", "extra", "", _answered(r"/sdl'")),
    Row(
        "a missing path was printed as (null)", "Address|VideoProcessor", "", _recorded(r"\(null\)")
    ),
    Row(
        "devices that were dropped silently are shown",
        "extra",
        "",
        _answered(
            r"off-all/(52:54:00:aa:bc:0[bc]|charconsole:15|fda|hda|vda|vdb)'"
            r"|run two/(fdb|sda)'|/spice|off container//(tmpfs|img)'"
        ),
    ),
    Row(
        "a second device of the same id has an id of its own",
        "extra",
        "",
        _answered(r"(mouse:usb|vnc):1'"),
    ),
    Row(
        "a second device of the same id shows its own values",
        "Address|VideoProcessor|KeyMap",
        f"{GRAPHICS}|DisplayController",
        lambda d: "127.0.0.1:-1" in str(d.recorded) or d.answered == "en-us",
    ),
    Row("the caption names a real display rather than a pty console", "Caption", "ComputerSystem"),
    Row(
        "Arch and Machine are shown without a boot device too",
        "Arch|Machine",
        "VirtualSystemSettingData",
    ),
    Row(
        "FilterRef, MountPoint and IsIPv6Only are filled in", "FilterRef|MountPoint|IsIPv6Only", ""
    ),
    Row("a mounted directory has EmulatedType 3", "EmulatedType", DISK, lambda d: d.answered == 3),
    Row("a read-only mounted directory says so", "readonly", DISK, lambda d: d.answered is True),
    Row(
        "the network is told by the interface's type, not by its attributes",
        "NetworkName|PoolID",
        NET,
    ),
    Row(
        "a direct connection through a network shows device and mode",
        "SourceDevice|NetworkMode",
        NET,
    ),
    Row("802.1Qbh and Open vSwitch ports are shown", "VSIType|ProfileID|VSIInstanceID", NET),
    Row("IPv6 hosts have URLs", "BindURL|ConnectURL", "Console", _answered(r"\[")),
    Row(
        "network settings of containers were not registered",
        "extra|status",
        "",
        lambda d: "lxc_netresource" in str((d.answered, d.question.target)).lower(),
    ),
    Row(
        "processor settings of running containers are complete",
        "VirtualQuantity|Weight|Limit",
        "^LXC_Proc",
        lambda d: d.recorded is None,
    ),
    # additions
    Row("enumerating an association class lists its instances", "extra", ASSOCIATIONS, _enumerated),
    Row(
        "a class answers to the name of its superclass as ResultClass",
        "extra",
        "",
        lambda d: str(d.question.arguments.get("ResultClass", "")).startswith("Virt_"),
    ),
    # the host that was recorded is not this one
    Row(
        "files of the recorded host are not on this one",
        "VirtualQuantity",
        DISK,
        lambda d: d.answered == 0,
    ),
)
