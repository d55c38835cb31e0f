# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures guests being defined and changed against libvirt's own calls, in turns, on real QEMU.

The floor of a definition is libvirt's define of the same text. The floor of a disk that is added is libvirt's
attach of it: to the stored definition of a guest that is off.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import libvirt
from tabulate import tabulate

from bench import guests
from bench.aims import Verdict
from libvirtcim import composition
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import Given, InstancePath, RequestContext
from libvirtcim.virt.host import Hosts, HostSettings
from tests.hypervisor import PrivateLibvirtd

RATIO = 1.5
GUESTS = 100
"""Guests that are there besides."""
ROUNDS_PER_REPETITION = 10
SERVICE = InstancePath(
    "KVM_VirtualSystemManagementService", (("Name", "Management Service"),), "root/virt"
)
CONTEXT = RequestContext()


@dataclass(frozen=True, slots=True)
class Compared:
    """Seconds of one method and of libvirt's own calls for the same: medians."""

    method: str
    ours: float
    floor: float

    @property
    def ratio(self) -> float:
        """How many times as long as libvirt's own."""
        return self.ours / self.floor


@dataclass(frozen=True, slots=True)
class Result:
    """What methods cost."""

    repetitions: int
    guests: int
    compared: list[Compared]


def measure(repetitions: int, progress: Callable[[str], None]) -> Result:
    """Measures on a libvirtd of its own, which needs root."""
    with tempfile.TemporaryDirectory(prefix="lvb-", ignore_cleanup_errors=True) as folder:
        progress("manage: starting a libvirtd")
        with PrivateLibvirtd(Path(folder)) as box:
            guests.define_all(box.qemu_uri, GUESTS, progress)
            image = Path(folder) / "disk.img"
            image.write_bytes(bytes(1 << 20))
            hosts = Hosts({"KVM": box.qemu_uri}, settings=HostSettings(side_file_dir=None))
            with closing(hosts), closing(libvirt.open(box.qemu_uri)) as raw:
                broker = composition.broker(hosts)
                rounds = repetitions * ROUNDS_PER_REPETITION
                progress("manage: DefineSystem, AddResourceSettings")
                return Result(repetitions, GUESTS, _compare(broker, raw, str(image), rounds))


def _compare(broker: Broker, raw: Any, image: str, rounds: int) -> list[Compared]:
    def call(method: str, **arguments: Any) -> None:
        given = {name: Given(value) for name, value in arguments.items()}
        broker.invoke_method(CONTEXT, SERVICE, method, given)

    def define(name: str) -> None:
        call(
            "DefineSystem",
            SystemSettings=_settings("VirtualSystem", f'VirtualSystemIdentifier = "{name}";'),
            ResourceSettings=[
                _resource("Mem", 'VirtualQuantity = 64; AllocationUnits = "MegaBytes";'),
                _resource("Proc", "VirtualQuantity = 2;"),
                _resource("Net", 'NetworkType = "user";'),
            ],
        )

    def add(name: str) -> None:
        call(
            "AddResourceSettings",
            AffectedConfiguration=InstancePath(
                "KVM_VirtualSystemSettingData", (("InstanceID", f"KVM:{name}"),), "root/virt"
            ),
            ResourceSettings=[
                _resource(
                    "Disk", f'VirtualDevice = "vdb"; Address = "{image}"; BusType = "virtio";'
                )
            ],
        )

    disk = (
        f"<disk type='file' device='disk'><source file='{image}'/>"
        "<target dev='vdb' bus='virtio'/></disk>"
    )
    define("model")
    text = raw.lookupByName("model").XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    text = re.sub("<uuid>.*?</uuid>|<mac .*?/>", "", text)
    times: dict[str, list[float]] = {"define": [], "define raw": [], "add": [], "add raw": []}
    for number in range(rounds):
        ours, theirs = f"ours-{number}", f"theirs-{number}"
        named = text.replace("<name>model<", f"<name>{theirs}<")
        times["define"].append(_seconds(lambda name=ours: define(name)))
        times["define raw"].append(_seconds(lambda xml=named: raw.defineXML(xml)))
        times["add"].append(_seconds(lambda name=ours: add(name)))
        domain = raw.lookupByName(theirs)
        times["add raw"].append(
            _seconds(lambda d=domain: d.attachDeviceFlags(disk, libvirt.VIR_DOMAIN_AFFECT_CONFIG))
        )
        for name in (ours, theirs):
            raw.lookupByName(name).undefine()
    middle = {name: median(found) for name, found in times.items()}
    return [
        Compared("DefineSystem", middle["define"], middle["define raw"]),
        Compared("AddResourceSettings, a disk", middle["add"], middle["add raw"]),
    ]


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _settings(base: str, properties: str) -> str:
    return f"instance of KVM_{base}SettingData {{ {properties} }};"


def _resource(kind: str, properties: str) -> str:
    return _settings(f"{kind}ResourceAllocation", properties)


def tables(result: Result) -> Iterator[str]:
    """The parts of the report."""
    yield (
        f"methods in process and libvirt's own calls, in turns, beside {result.guests} guests; "
        f"medians of {result.repetitions * ROUNDS_PER_REPETITION}"
    )
    rows = [
        [c.method, f"{c.ours * 1e3:.1f}", f"{c.floor * 1e3:.1f}", f"{c.ratio:.2f}x", f"{1 / c.ours:.0f}"]
        for c in result.compared
    ]  # fmt: skip
    heads = ["METHOD", "MS", "LIBVIRT MS", "RATIO", "PER SECOND"]
    yield tabulate(rows, heads, tablefmt="plain", disable_numparse=True)


def verdicts(result: Result) -> list[Verdict]:
    """The aims of methods."""
    return [
        Verdict(f"{c.method}: <= {RATIO:g}x libvirt's own", c.ratio <= RATIO, f"{c.ratio:.2f}x")
        for c in result.compared
    ]
