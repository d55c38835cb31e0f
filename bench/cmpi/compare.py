# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same 1,000 instances of 25 properties out of the plugin and out of plain C, turn and turn about.

The CMPI host is as strict as two CIM servers together and does about as much work per property as they do;
its time is in both columns, as a CIM server's would be.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from bench import messages
from bench.cmpi.rows.sample_row import COUNT, PLAIN, ROW
from bench.cmpi.servers import SERVERS, Plugin
from bench.messages import Request
from bench.served import Client
from libvirtcim import composition
from libvirtcim.cim.declare import VIRT
from libvirtcim.cim.objects import InstancePath
from tests.cmpi.driver import Host
from tests.cmpi.parts import compile_c, compile_host

HERE = Path(__file__).parent
FEW = ["Text3", "Small1"]
OPERATIONS = {
    f"EnumerateInstances {COUNT} x 25": ("enumerateInstances", {}),
    f"EnumerateInstances {COUNT} x 2": ("enumerateInstances", {"properties": FEW}),
    f"EnumerateInstanceNames {COUNT}": ("enumerateInstanceNames", {}),
}
REQUESTS: dict[str, Callable[[str], Request]] = {
    f"EnumerateInstances {COUNT} x 25": messages.enumerate_instances,
    f"EnumerateInstances {COUNT} x 2": lambda cls: messages.enumerate_instances(cls, FEW),
    f"EnumerateInstanceNames {COUNT}": messages.enumerate_instance_names,
}
"""The same operations over HTTP."""
ROUNDS_PER_REPETITION = 4


@dataclass(frozen=True, slots=True)
class Compared:
    """Seconds of one operation out of plain C and out of the plugin: medians and the median ratio."""

    where: str
    operation: str
    plain_c: float
    plugin: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Result:
    """What the plugin costs: `start` in seconds, `memory` resident in bytes, idle after one answer."""

    repetitions: int
    compared: list[Compared]
    start: float
    memory: int
    skipped: list[str]
    """CIM servers that were not there, and why."""


def measure(repetitions: int, progress: Callable[[str], None]) -> Result:
    """Measures in the CMPI host, and in the CIM servers that are there.

    Raises `build.CannotBuild` where the plugin can't be built.
    """
    with tempfile.TemporaryDirectory(prefix="lvb-") as name:
        folder = Path(name)
        progress("cmpi: building the plugin and the provider in C")
        program = compile_host(folder / "host", ("-O2",))
        sample = folder / "libsample.so"
        compile_c(HERE / "provider.c", sample, "-O2", "-fPIC", "-shared")
        plugin = Plugin.build(folder)
        compared = []
        with _host(program, sample) as plain, _host(program, plugin.library) as ours:
            for title, (operation, more) in OPERATIONS.items():
                progress(f"cmpi: {title}")
                compared.append(_compare(title, plain, ours, operation, more, repetitions))
        starts, sizes = [], []
        for _ in range(repetitions):
            progress("cmpi: start of the plugin")
            with _host(program, plugin.library) as host:
                starts.append(_seconds(host, "factory") + _seconds(host, "enumerateInstanceNames"))
                sizes.append(_resident(host))
        skipped = []
        for name, (lacking, start) in SERVERS.items():
            reason = lacking()
            if reason is not None:
                skipped.append(f"{name}: {reason}")
                continue
            progress(f"cmpi: {name}")
            with start(folder, plugin, sample) as url:
                compared += _compare_over_http(name, url, repetitions)
        return Result(repetitions, compared, median(starts), int(median(sizes)), skipped)


def _compare_over_http(name: str, url: str, repetitions: int) -> Iterator[Compared]:
    with closing(Client(*_address(url))) as client:
        for title, make in REQUESTS.items():
            plain, ours = (make(decl.class_name("KVM")) for decl in (PLAIN, ROW))
            for request in (plain, ours):
                client.answer(request)
            pairs = [
                (client.answer(plain), client.answer(ours))
                for _ in range(repetitions * ROUNDS_PER_REPETITION)
            ]
            yield _compared(name, title, pairs)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None and parts.port is not None
    return parts.hostname, parts.port


@contextmanager
def _host(program: Path, library: Path) -> Iterator[Host]:
    with Host(program, library) as host:
        schema = composition.schema([*composition.declarations(), ROW])
        host.declare([schema.get(VIRT, ROW.class_name("KVM"))])
        yield host


def _compare(
    title: str,
    plain: Host,
    ours: Host,
    operation: str,
    more: dict[str, list[str]],
    repetitions: int,
) -> Compared:
    answers = [_ask(host, operation, **more) for host in (plain, ours)]
    if answers[0] != answers[1]:
        raise AssertionError(f"{title}: the plugin's answer differs from that of the provider in C")
    pairs = [
        (_seconds(plain, operation, **more), _seconds(ours, operation, **more))
        for _ in range(repetitions * ROUNDS_PER_REPETITION)
    ]
    return _compared("CMPI host", title, pairs)


def _compared(where: str, title: str, pairs: list[tuple[float, float]]) -> Compared:
    """Out of pairs of seconds: plain C, plugin."""
    return Compared(
        where, title, median(c for c, _ in pairs), median(p for _, p in pairs),
        median(p / c for c, p in pairs),
    )  # fmt: skip


def _ask(host: Host, operation: str, **more: list[str]) -> list[str]:
    answer = host.call(operation, InstancePath(ROW.class_name("KVM"), (), VIRT), **more)
    if answer.rc != 0 or answer.violations or len(answer.results) != COUNT:
        raise AssertionError(f"{operation}: {answer.rc} {answer.message} {answer.violations}")
    return [json.dumps(item, sort_keys=True) for item in answer.results]


def _seconds(host: Host, operation: str, **more: list[str]) -> float:
    path = InstancePath(ROW.class_name("KVM"), (), VIRT)
    return host.call(operation, path, **more).micros / 1e6


def _resident(host: Host) -> int:
    lines = Path(f"/proc/{host.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
