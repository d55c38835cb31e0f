# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications of a real Xen's guest that another client changes: each change once.

Runs only where LIBVIRTCIM_XEN_URI names a Xen (see CONTRIBUTING.md).
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import libvirt

from libvirtcim.virt.settings import ConnectionSettings
from tests import xen
from tests.hypervisor import wait_until
from tests.subscribing import RESOURCE, SYSTEM, served
from tests.system.test_real_events import GUEST, OFF, ON, PAUSED, SAVED, Resources, Step, check
from tests.virt.watching import ONLY_EVENTS, defined, other_client

pytestmark = xen.MARKS

MEMORY_KIB = 98304
PATIENT = ConnectionSettings(keepalive_count=12)
"""An emulated libvirtd that starts a guest may be silent for a quarter of a minute."""
CONSOLE: Resources = {("Modified", "console:0"), ("Modified", "charconsole:0")}
PROCESSOR: Resources = {("Modified", "proc")}


def _reboot(domain: Any) -> None:
    """Returns when it is told, too, that the guest is on again: after what no event tells of."""
    before = domain.ID()
    domain.reboot()
    guests = domain.connect()
    wait_until(
        lambda: guests.lookupByName(GUEST).ID() not in (-1, before), "a new start", xen.ANSWER
    )
    time.sleep(ONLY_EVENTS.settle + 1)


NUMBERS: Resources = {*PROCESSOR, ("Modified", "mem")}
STEPS = [
    Step("start", lambda d: d.create(), [(OFF, ON)], CONSOLE, PROCESSOR),
    Step("suspend", lambda d: d.suspend(), [(ON, PAUSED)]),
    Step("resume", lambda d: d.resume(), [(PAUSED, ON)]),
    Step(
        "suspend and resume",
        lambda d: (d.suspend(), d.resume()),
        [(ON, PAUSED), (PAUSED, ON)],
    ),
    Step("destroy", lambda d: d.destroy(), [(ON, OFF)], CONSOLE, PROCESSOR),
    Step(
        "start paused",
        lambda d: d.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED),
        # libvirt tells that it has started, and nothing else
        [(OFF, ON), (ON, PAUSED)],
        CONSOLE,
        PROCESSOR,
    ),
    Step("resume", lambda d: d.resume(), [(PAUSED, ON)]),
    Step(
        "save",
        lambda d: (xen.wait_until_up(d), d.managedSave()),
        [(ON, SAVED)],
        CONSOLE,
        NUMBERS,
    ),
    Step("restore", lambda d: d.create(), [(SAVED, ON)], CONSOLE, NUMBERS),
    Step("reboot", _reboot, [(ON, OFF), (OFF, ON)], set(), CONSOLE | NUMBERS),
    Step("destroy", lambda d: d.destroy(), [(ON, OFF)], CONSOLE, NUMBERS),
    Step(
        "define anew",
        lambda d: d.connect().defineXML(xen.definition(GUEST, 2 * MEMORY_KIB, d.UUIDString())),
        [(OFF, OFF)],
        {("Modified", "mem")},
    ),
]


def test_life_of_a_guest() -> None:
    uri, _kernel, _initrd = xen.settings()
    with ExitStack() as stack:
        world = stack.enter_context(served("Xen", uri, connection=PATIENT))
        raw = stack.enter_context(other_client(uri))
        world.marker = lambda name: xen.definition(name, MEMORY_KIB)
        world.subscribe(SYSTEM, RESOURCE)
        domain = stack.enter_context(defined(raw, xen.definition(GUEST, MEMORY_KIB)))
        world.settle(raw)
        assert len(world.of(SYSTEM, "Created")) == 1
        check(world, raw, domain, STEPS)
        world.got.clear()
        domain.undefine()
        world.settle(raw)
        assert len(world.of(SYSTEM)) == len(world.of(SYSTEM, "Deleted")) == 1
        assert len(world.of(RESOURCE, "Deleted")) == len(world.of(RESOURCE)) > 2
        counters = world.host.watchers.guests.counters
        assert (counters.comparisons, counters.overflows, counters.waiting) == (1, 0, 0)
