# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications of real QEMU guests and containers that another client changes: each change once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt
import pytest

from libvirtcim.virt.guest import PAUSED as SUSPENDED
from libvirtcim.virt.guest import RUNNING, SHUTOFF
from libvirtcim.virt.settings import EventSettings
from tests import hypervisor
from tests.hypervisor import PrivateLibvirtd, lxc_guest, qemu_guest, wait_until
from tests.migration import move_directly
from tests.pair import Pair
from tests.subscribing import RESOURCE, SYSTEM, World, served
from tests.virt.watching import defined, other_client, watched

LIVE, CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
FORCE = libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE
NIC = "<interface type='user'><mac address='52:54:00:11:22:33'/><model type='virtio'/></interface>"
GUEST = "watched"
OFF, ON, PAUSED, SAVED = 3, 2, 9, 6

States = list[tuple[int, int]]
Resources = set[tuple[str, str]]


@dataclass(frozen=True)
class Step:
    """What another client does, and what is told: states of the guest, resources by change and id.

    `perhaps`: what is told of resources if the guest is read between.
    """

    what: str
    act: Callable[[Any], object]
    states: States = field(default_factory=list)
    resources: Resources = field(default_factory=set)
    perhaps: Resources = field(default_factory=set)


def _disk(path: Path | str, target: str, kind: str = "disk", bus: str = "virtio") -> str:
    source = f"<source file='{path}'/>" if path else ""
    return (
        f"<disk type='file' device='{kind}'><driver name='qemu' type='raw'/>{source}"
        f"<target dev='{target}' bus='{bus}'/>{'<readonly/>' if kind == 'cdrom' else ''}</disk>"
    )


def _redefined(domain: Any, old: str, new: str) -> None:
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    domain.connect().defineXML(xml.replace(old, new))


def _titled(flags: int) -> Callable[[Any], object]:
    kind = libvirt.VIR_DOMAIN_METADATA_TITLE
    return lambda domain: domain.setMetadata(kind, f"title {flags}", None, None, flags)


PORTS: Resources = {("Modified", "proc"), ("Modified", "vnc")}
"""Resources of the QEMU guest that are shown differently while it runs."""


def qemu_steps(images: Path) -> list[Step]:
    """A life of a guest with two processors of which one is plugged, a CD drive and a display."""

    def drive(name: str) -> str:
        return _disk(images / name if name else "", "hdc", "cdrom", "ide")

    return [
        Step("start", lambda d: d.create(), [(OFF, ON)], PORTS),
        Step("suspend", lambda d: d.suspend(), [(ON, PAUSED)], {("Modified", "proc")}),
        Step("resume", lambda d: d.resume(), [(PAUSED, ON)], {("Modified", "proc")}),
        Step(
            "suspend and resume",
            lambda d: (d.suspend(), d.resume()),
            [(ON, PAUSED), (PAUSED, ON)],
            {("Modified", "proc")},
        ),
        Step(
            "plug a network interface",
            lambda d: d.attachDeviceFlags(NIC, LIVE),
            resources={("Created", "52:54:00:11:22:33")},
        ),
        Step(
            "unplug it",
            lambda d: d.detachDeviceFlags(NIC, LIVE),
            resources={("Deleted", "52:54:00:11:22:33")},
        ),
        Step(
            "plug a disk",
            lambda d: d.attachDeviceFlags(_disk(images / "second.img", "vdb"), LIVE),
            resources={("Created", "vdb")},
        ),
        Step(
            "unplug it",
            lambda d: d.detachDeviceFlags(_disk(images / "second.img", "vdb"), LIVE),
            resources={("Deleted", "vdb")},
        ),
        Step(
            "change the medium",
            lambda d: d.updateDeviceFlags(drive("other.iso"), LIVE),
            resources={("Modified", "hdc")},
        ),
        Step(
            "eject it",
            lambda d: d.updateDeviceFlags(drive(""), LIVE | FORCE),
            resources={("Modified", "hdc")},
        ),
        Step(
            "insert the first",
            lambda d: d.updateDeviceFlags(drive("first.iso"), LIVE),
            resources={("Modified", "hdc")},
        ),
        Step(
            "share the processors",
            lambda d: d.setSchedulerParametersFlags({"cpu_shares": 500}, LIVE),
            resources={("Modified", "proc")},
        ),
        Step("title of what runs", _titled(LIVE)),
        Step("title of what is stored", _titled(CONFIG), [(ON, ON)]),
        Step(
            "define anew",
            lambda d: _redefined(d, "<on_crash>destroy", "<on_crash>restart"),
            [(ON, ON)],
        ),
        Step("define the same", lambda d: _redefined(d, "<on_crash>restart", "<on_crash>restart")),
        Step("reset", lambda d: d.reset(0)),
        Step(
            "save",
            lambda d: d.managedSave(0),
            [(ON, PAUSED), (PAUSED, SAVED)],
            PORTS,
        ),
        Step("restore", lambda d: d.create(), [(SAVED, ON)], PORTS),
        Step("destroy", lambda d: d.destroy(), [(ON, OFF)], PORTS),
        Step(
            "start paused",
            lambda d: d.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED),
            [(OFF, PAUSED)],
            PORTS,
        ),
        Step("destroy", lambda d: d.destroy(), [(PAUSED, OFF)], PORTS),
        Step(
            "start and destroy",
            lambda d: (d.create(), d.destroy()),
            [(OFF, ON), (ON, OFF)],
            {("Modified", "proc")},
            PORTS,
        ),
        Step("start", lambda d: d.create(), [(OFF, ON)], PORTS),
        Step("shut down", _shut_down, [(ON, OFF)], PORTS),
    ]


def _shut_down(domain: Any) -> None:
    """The guest answers its power button; a guest that has just begun to boot does not yet."""

    def off() -> bool:
        with suppress(libvirt.libvirtError):  # it may have ended between two calls
            domain.shutdown()
        return not domain.isActive()

    wait_until(off, "the guest's end", 30)


@pytest.fixture
def images(box: PrivateLibvirtd, guest_image: Path) -> Iterator[Path]:
    """Disk images."""
    folder = box.directory / "events"
    folder.mkdir()
    for name in ("second.img", "first.iso", "other.iso"):
        (folder / name).write_bytes(bytes(1 << 20))
    shutil.copy(guest_image, folder / "guest.img")
    yield folder
    shutil.rmtree(folder)


def _devices(images: Path) -> str:
    drive = _disk(images / "first.iso", "hdc", "cdrom", "ide")
    return f"{drive}<graphics type='vnc' port='-1' autoport='yes'/>"


def _qemu(images: Path) -> str:
    text = qemu_guest(GUEST, images / "guest.img", devices=_devices(images))
    return text.replace("<vcpu>1<", "<vcpu current='1'>2<")


def check(world: World, raw: Any, domain: Any, steps: list[Step]) -> None:
    """Each step brings what it says, nothing else, and instances like those that are read."""
    for step in steps:
        world.got.clear()
        step.act(domain)
        expected = len(step.states) + len(step.resources)
        wait_until(lambda n=expected: len(world.got) >= n, f"indications: {step.what}", 20)
        world.settle(raw)
        systems = world.of(SYSTEM)
        states = [
            (i["PreviousInstance"]["EnabledState"], i["SourceInstance"]["EnabledState"])
            for i in systems
        ]
        assert states == step.states, step.what
        resources = world.of(RESOURCE)
        told = {
            (i.cls.name.removesuffix("Indication").rpartition("Data")[2], _id(i)) for i in resources
        }
        assert step.resources <= told <= step.resources | step.perhaps, step.what
        if len(step.states) < 2:
            assert len(resources) == len(told), step.what
        if systems:
            shown = world.read(world.path(GUEST))
            assert systems[-1]["SourceInstance"].values == shown.values, step.what
        _compare(world, resources, step)


def _compare(world: World, resources: list[Any], step: Step) -> None:
    shown = world.resources(GUEST)
    last = {f"{GUEST}/{_id(i)}": i for i in resources}
    for identity, indication in last.items():
        if "Deleted" in indication.cls.name:
            assert identity not in shown, step.what
        else:
            assert indication["SourceInstance"].values == shown[identity].values, step.what
        if "Modified" in indication.cls.name:
            before, after = indication["PreviousInstance"], indication["SourceInstance"]
            assert before.values != after.values, step.what


def _id(indication: Any) -> str:
    return str(indication["SourceInstance"]["InstanceID"]).partition("/")[2]


def test_qemu(box: PrivateLibvirtd, images: Path) -> None:
    with ExitStack() as stack:
        world = stack.enter_context(served("KVM", box.qemu_uri))
        raw = stack.enter_context(other_client(box.qemu_uri))
        world.marker = qemu_guest
        world.subscribe(SYSTEM, RESOURCE)
        domain = stack.enter_context(defined(raw, _qemu(images)))
        world.settle(raw)
        assert len(world.of(SYSTEM, "Created")) == 1
        check(world, raw, domain, qemu_steps(images))
        world.got.clear()
        domain.undefine()
        world.settle(raw)
        assert len(world.of(SYSTEM, "Deleted")) == 1
        assert len(world.of(RESOURCE, "Deleted")) == len(world.of(RESOURCE)) > 4
        counters = world.host.watchers.guests.counters
        assert (counters.comparisons, counters.overflows, counters.waiting) == (1, 0, 0)


CONSOLE: Resources = {("Modified", "console:0"), ("Modified", "charconsole:0")}


def test_containers(box: PrivateLibvirtd, container_root: Path) -> None:
    steps = [
        Step("start", lambda d: d.create(), [(OFF, ON)], CONSOLE),
        Step("suspend", lambda d: d.suspend(), [(ON, PAUSED)]),
        Step("resume", lambda d: d.resume(), [(PAUSED, ON)]),
        Step("suspend and resume", lambda d: (d.suspend(), d.resume()), [(ON, PAUSED), (PAUSED, ON)]),
        Step("title of what is stored", _titled(CONFIG), [(ON, ON)]),
        Step("destroy", lambda d: d.destroy(), [(ON, OFF)], CONSOLE),
        Step(
            "define anew",
            lambda d: _redefined(d, "'KiB'>65536<", "'KiB'>131072<"),
            [(OFF, OFF)],
            {("Modified", "mem")},
        ),
    ]  # fmt: skip
    with ExitStack() as stack:
        world = stack.enter_context(served("LXC", box.lxc_uri))
        raw = stack.enter_context(other_client(box.lxc_uri))
        world.marker = lambda name: lxc_guest(name, container_root)
        world.subscribe(SYSTEM, RESOURCE)
        domain = stack.enter_context(defined(raw, lxc_guest(GUEST, container_root)))
        world.settle(raw)
        assert len(world.of(SYSTEM, "Created")) == 1
        check(world, raw, domain, steps)


SILENT: list[Step] = [
    Step("processors", lambda d: d.setVcpusFlags(2, LIVE), resources={("Modified", "proc")}),
    Step("memory", lambda d: d.setMemoryFlags(1024, CONFIG), [(ON, ON)]),
    Step("autostart", lambda d: d.setAutostart(1), [(ON, ON)]),
    Step("a stored device", lambda d: d.attachDeviceFlags(NIC, CONFIG), [(ON, ON)]),
]
"""Changes of which libvirt sends no event."""


def test_changes_without_events(box: PrivateLibvirtd, images: Path) -> None:
    """Found by comparison, told once."""
    with ExitStack() as stack:
        settings = EventSettings(compare=0.2, settle=0.2)
        world = stack.enter_context(served("KVM", box.qemu_uri, settings))
        raw = stack.enter_context(other_client(box.qemu_uri))
        world.marker = qemu_guest
        domain = stack.enter_context(defined(raw, _qemu(images)))
        domain.create()
        world.subscribe(SYSTEM, RESOURCE)
        check(world, raw, domain, SILENT)
        compared = world.host.watchers.guests.counters.comparisons
        world.got.clear()
        wait_until(
            lambda: world.host.watchers.guests.counters.comparisons > compared + 2, "comparisons"
        )
        assert world.got == []


def test_a_guest_that_moves(hosts: Pair, tmp_path: Path) -> None:
    """It goes on one host and comes on the other, in the states that it had on the way."""
    with ExitStack() as stack:
        there = stack.enter_context(other_client(hosts.b.qemu_uri))
        here = stack.enter_context(other_client(hosts.a.qemu_uri))
        image = hypervisor.build_guest_image(tmp_path)
        domain = stack.enter_context(defined(here, qemu_guest(GUEST, image)))
        domain.create()
        uuid = domain.UUIDString()
        # no event is to come that would have to be waited for
        impatient = EventSettings(compare=0, settle=60.0)
        from_here = stack.enter_context(watched(hosts.a.qemu_uri, impatient))
        to_there = stack.enter_context(watched(hosts.b.qemu_uri))
        arrived = move_directly(domain, there, hosts.address_b)
        from_here.wait(uuid, 3)
        to_there.wait(uuid, 3)
        arrived.destroy()
        to_there.wait(uuid, 4)
        arrived.undefine()
        to_there.wait(uuid, 5)
        assert from_here.states(uuid) == [
            (RUNNING, SUSPENDED),
            (SUSPENDED, SHUTOFF),
            (SHUTOFF, None),
        ]
        assert to_there.states(uuid) == [
            (None, SUSPENDED),
            (SUSPENDED, SUSPENDED),  # stored
            (SUSPENDED, RUNNING),
            (RUNNING, SHUTOFF),
            (SHUTOFF, None),
        ]
