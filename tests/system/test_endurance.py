# SPDX-License-Identifier: LGPL-2.1-or-later
"""A day in minutes: guests change as often as in a day, and a server that tells of it does not grow.

By default a small part of a day; `LIBVIRTCIM_CHANGES=86400` is one change each second for 24 hours.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt
import psutil
import pytest
import pywbem

from bench.listener import Arrival, Listener, subscribe
from bench.served import Server
from libvirtcim.cim.declare import INTEROP
from libvirtcim.server.indications.status import StatusFile
from tests.hypervisor import PrivateLibvirtd, wait_until
from tests.system.telling import GUESTS
from tests.virt.watching import other_client, test_guest

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]

CHANGES = int(os.environ.get("LIBVIRTCIM_CHANGES", "1200"))
WARM_UP = 800
FEW = 50
"""Guests that live at once."""
MAX_GROWTH = 3_000_000
"""Bytes; what Python's and libvirt's allocators keep varies."""
MINUTE = 0.2
"""Seconds between comparisons of all guests: about what a minute takes of a day in five minutes."""
STEP_DEADLINE = 60.0
CONFIG = libvirt.VIR_DOMAIN_AFFECT_CONFIG

Act = Callable[[Any, str], object]


def _entitle(domain: Any, text: str) -> None:
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, text, None, None, CONFIG)


def _describe(domain: Any, text: str) -> None:
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    domain.connect().defineXML(
        xml.replace("</domain>", f"<description>{text}</description></domain>")
    )


LIFE: tuple[tuple[Act, str], ...] = (
    (lambda domain, _text: domain.create(), "Modified"),
    (lambda domain, _text: domain.suspend(), "Modified"),
    (lambda domain, _text: domain.resume(), "Modified"),
    (_entitle, "Modified"),
    (lambda domain, _text: domain.destroy(), "Modified"),
    (_describe, "Modified"),
    (lambda domain, _text: domain.undefine(), "Deleted"),
)
"""What becomes of a guest that has been defined, and the indication of each."""


class Day:
    """Guests that are born, live and die, and the listener that is told."""

    def __init__(self, raw: Any, listener: Listener) -> None:
        self._raw = raw
        self._listener = listener
        self._lives = 0
        self._looked_at = 0
        self.changes = 0

    def pass_by(self, changes: int) -> None:
        """So many changes and some more; each is told of once, before the next of the same guest."""
        end = self.changes + changes
        while self.changes < end:
            self._lives += 1
            domains = [self._raw.defineXML(test_guest(f"day-{n}")) for n in range(FEW)]
            self._check("Created")
            for act, change in LIFE:
                for domain in domains:
                    act(domain, f"{self._lives}")
                self._check(change)

    def _check(self, change: str) -> None:
        """The last change of all guests was told, and nothing else of guests."""
        self.changes += FEW
        told: list[Arrival] = []

        def all_told() -> bool:
            fresh = self._listener.arrivals[self._looked_at :]
            self._looked_at += len(fresh)
            told.extend(one for one in fresh if "_ComputerSystem" in one.classname)
            return len(told) >= FEW

        wait_until(all_told, "indications", STEP_DEADLINE)
        assert {one.classname for one in told} == {f"KVM_ComputerSystem{change}Indication"}
        assert len({one.identifier for one in told}) == len(told) == FEW


def _usage(process: psutil.Process) -> tuple[int, int, int]:
    """Bytes, threads, descriptors."""
    return process.memory_info().rss, process.num_threads(), process.num_fds()


@pytest.mark.timeout(300 + CHANGES // 50)
def test_a_day(box: PrivateLibvirtd, tmp_path: Path) -> None:
    file = tmp_path / "subscriptions"
    flags = ("--subscriptions", str(file), "--event-compare", str(MINUTE))
    with (
        Listener() as listener,
        Server(box.test_uri, *flags) as server,
        other_client(box.test_uri) as raw,
    ):
        with pywbem.WBEMConnection(server.url, default_namespace=INTEROP) as client:
            subscribe(client, listener.url, GUESTS)
        day, process = Day(raw, listener), psutil.Process(server.pid)
        day.pass_by(WARM_UP)
        memory, threads, descriptors = _usage(process)
        began = time.monotonic()
        day.pass_by(CHANGES)
        taken = time.monotonic() - began
        wait_until(lambda: process.num_threads() <= threads, "threads that end")
        wait_until(lambda: process.num_fds() <= descriptors, "descriptors that close")
        grown = process.memory_info().rss - memory
        (source,), (destination,) = _status(file, listener)
        numbers = [one.number for one in listener.arrivals]
        assert numbers == list(range(len(numbers)))
        print(
            f"\n{day.changes} changes, {len(numbers)} indications, the last {CHANGES} changes"
            f" in {taken:.0f} s: {memory} bytes {grown:+}, {threads} threads, {descriptors} files,"
            f" {source['comparisons']} comparisons"
        )
        assert grown < MAX_GROWTH
        assert source["overflows"] == 0 and source["comparisons"] > 1
        assert destination["dropped"] == destination["retried"] == destination["expired"] == 0


def _status(file: Path, listener: Listener) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the server counts where indications come from, and where they go, when all have come."""

    def found() -> dict[str, Any] | None:
        status = StatusFile(file).read()
        assert status is not None
        (destination,) = status["destinations"]
        delivered = destination["delivered"] == len(listener.arrivals)
        return status if delivered and destination["queued"] == 0 else None

    status = wait_until(found, "the server's status")
    return status["sources"], status["destinations"]
