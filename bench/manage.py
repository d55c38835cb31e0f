# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures guests being defined and changed against libvirt's own calls, in turns, on real QEMU.

The floor of a definition is libvirt's define of the same text. The floor of a disk that is added to a guest
that is off is what takes any change of what is stored: the guest looked up, its state and definition read,
and defined with the disk. libvirt's attach of the disk alone is shown beside it.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import libvirt
from tabulate import tabulate

from bench import guests
from bench.aims import Verdict
from libvirtcim import composition
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import Given, GivenInstance, InstancePath, RequestContext
from libvirtcim.virt.host import Hosts
from libvirtcim.virt.settings import HostSettings
from tests.hypervisor import PrivateLibvirtd

RATIO = 1.5
GUESTS = 100
"""Guests that are there besides."""
IN_A_ROW = 20
"""Guests that each repetition defines and changes, one after the other."""
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
    attach: float
    """Seconds of libvirt's attach of a disk to a stored definition."""


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
                progress("manage: DefineSystem, AddResourceSettings")
                return Result(repetitions, GUESTS, *_compare(broker, raw, str(image), repetitions))


Form = Callable[[GivenInstance], Any]
"""How settings are sent."""
Call = Callable[[], object]
"""What is timed: its arguments are made before, as a client makes them."""


def _as_text(instance: GivenInstance) -> str:
    """An instance in MOF, as older clients send it."""
    values = "".join(f"{name} = {json.dumps(v.value)};" for name, v in instance.values.items())
    return f"instance of {instance.classname} {{ {values} }};"


def _compare(
    broker: Broker, raw: Any, image: str, repetitions: int
) -> tuple[list[Compared], float]:
    """What methods cost, and the seconds of libvirt's attach of a disk."""

    def call(method: str, **arguments: Any) -> Call:
        given = {name: Given(value) for name, value in arguments.items()}
        return partial(broker.invoke_method, CONTEXT, SERVICE, method, given)

    def define(name: str, form: Form) -> Call:
        return call(
            "DefineSystem",
            SystemSettings=form(_settings("VirtualSystem", VirtualSystemIdentifier=name)),
            ResourceSettings=[
                form(_resource("Mem", VirtualQuantity=64, AllocationUnits="MegaBytes")),
                form(_resource("Proc", VirtualQuantity=2)),
                form(_resource("Net", NetworkType="user")),
            ],
        )

    def add(name: str, form: Form) -> Call:
        return call(
            "AddResourceSettings",
            AffectedConfiguration=InstancePath(
                "KVM_VirtualSystemSettingData", (("InstanceID", f"KVM:{name}"),), "root/virt"
            ),
            ResourceSettings=[
                form(_resource("Disk", VirtualDevice="vdb", Address=image, BusType="virtio"))
            ],
        )

    disk = (
        f"<disk type='file' device='disk'><source file='{image}'/>"
        "<target dev='vdb' bus='virtio'/></disk>"
    )
    define("model", _as_it_is)()
    text = raw.lookupByName("model").XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    text = re.sub("<uuid>.*?</uuid>|<mac .*?/>", "", text)

    def define_theirs(name: str) -> Call:
        return partial(raw.defineXML, text.replace("<name>model<", f"<name>{name}<"))

    turns: list[dict[str, Callable[[str], Call]]] = [
        {"define": define_theirs, "add": lambda name: partial(_edit, raw, name, disk)},
        {"define": define_theirs, "attach": lambda name: partial(_attach, raw, name, disk)},
    ]
    for words, form in FORMS.items():
        turns.append(
            {
                f"DefineSystem{words}": partial(define, form=form),
                f"AddResourceSettings, a disk{words}": partial(add, form=form),
            }
        )
    times: dict[str, list[float]] = defaultdict(list)
    names = [f"made-{number}" for number in range(IN_A_ROW)]
    for _ in range(repetitions):
        for turn in turns:
            for what, prepare in turn.items():
                calls = [prepare(name) for name in names]
                times[what].append(_seconds(calls) / len(calls))
            for name in names:
                raw.lookupByName(name).undefine()
    middle = {name: median(found) for name, found in times.items()}
    return [
        Compared(name, seconds, middle["define" if name.startswith("Define") else "add"])
        for name, seconds in middle.items()
        if name not in FLOORS
    ], middle["attach"]


FLOORS = ("define", "add", "attach")


def _attach(raw: Any, name: str, disk: str) -> None:
    raw.lookupByName(name).attachDeviceFlags(disk, libvirt.VIR_DOMAIN_AFFECT_CONFIG)


def _edit(raw: Any, name: str, disk: str) -> None:
    """A disk added as an editor does it: what is there is read, changed, and defined."""
    domain = raw.lookupByName(name)
    domain.isActive()
    text = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
    raw.defineXML(text.replace("</devices>", f"{disk}</devices>"))


def _as_it_is(instance: GivenInstance) -> GivenInstance:
    return instance


FORMS: dict[str, Form] = {"": _as_it_is, ", settings as text": _as_text}


def _seconds(calls: Sequence[Call]) -> float:
    began = time.perf_counter()
    for call in calls:
        call()
    return time.perf_counter() - began


def _settings(base: str, **values: Any) -> GivenInstance:
    return GivenInstance(
        f"KVM_{base}SettingData", {name: Given(value) for name, value in values.items()}
    )


def _resource(kind: str, **values: Any) -> GivenInstance:
    return _settings(f"{kind}ResourceAllocation", **values)


def tables(result: Result) -> Iterator[str]:
    """The parts of the report."""
    yield (
        f"methods in process and libvirt's own calls, {IN_A_ROW} in a row and in turns, beside "
        f"{result.guests} guests; medians of {result.repetitions}"
    )
    rows = [
        [c.method, f"{c.ours * 1e3:.1f}", f"{c.floor * 1e3:.1f}", f"{c.ratio:.2f}x", f"{1 / c.ours:.0f}"]
        for c in result.compared
    ]  # fmt: skip
    heads = ["METHOD", "MS", "LIBVIRT MS", "RATIO", "PER SECOND"]
    yield tabulate(rows, heads, tablefmt="plain", disable_numparse=True)
    yield f"libvirt's attach of a disk to a stored definition: {result.attach * 1e3:.1f} ms"


def verdicts(result: Result) -> list[Verdict]:
    """The aims of methods."""
    return [
        Verdict(f"{c.method}: <= {RATIO:g}x libvirt's own", c.ratio <= RATIO, f"{c.ratio:.2f}x")
        for c in result.compared
    ]
