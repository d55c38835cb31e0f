# SPDX-License-Identifier: LGPL-2.1-or-later
"""A provider module for tests: indications that come whether or not anything happens.

Put on the path of `libvirtcim.providers` it is found like any other (`tests.ticking.PATH_CODE`).
A tick comes every `LIBVIRTCIM_TICK_SECONDS` (default 0.02); as many as `LIBVIRTCIM_TICK_BURST` come at once
when a source starts.
"""

from __future__ import annotations

import os
import threading

from libvirtcim.cim.declare import ClassDecl, Property, Registration
from libvirtcim.cim.indications import Publish
from libvirtcim.cim.objects import Embedded
from libvirtcim.providers.common import Provided
from libvirtcim.virt.host import Hosts

TICK = ClassDecl(
    "TickIndication",
    "CIM_InstModification",
    "A clock has ticked.",
    prefixes=("KVM",),
    properties=(Property("Number", "uint32", "How many ticks there have been."),),
    qualifiers={"Indication": True},
    registration=Registration("libvirtcim", ("indication",)),
)
STATE = (2, 3)
"""EnabledState before and after every tick."""


class Clock:
    """Ticks from `start` to `stop`."""

    classes = ("KVM_TickIndication",)

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, publish: Publish) -> None:
        """Ticks in a thread."""
        self._stopped.clear()
        self._thread = threading.Thread(target=self._tick, args=(publish,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Waits for the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _tick(self, publish: Publish) -> None:
        period = float(os.environ.get("LIBVIRTCIM_TICK_SECONDS", "0.02"))
        number = 0
        for _ in range(int(os.environ.get("LIBVIRTCIM_TICK_BURST", "0"))):
            number += 1
            publish(self.classes[0], self._values(number))
        while not self._stopped.wait(period):
            number += 1
            publish(self.classes[0], self._values(number))

    @staticmethod
    def _values(number: int) -> dict[str, object]:
        before, after = (
            Embedded("KVM_ComputerSystem", {"Name": "tick é", "EnabledState": state})
            for state in STATE
        )
        return {"Number": number, "PreviousInstance": before, "SourceInstance": after}


def provide(hosts: Hosts) -> Provided:
    """What every provider module has."""
    return Provided((TICK,), indications=(Clock(),))
