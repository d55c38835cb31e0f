# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client that takes indications from a CIM server, and lets tests wait for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pywbem

from tests.cimom.ports import free_port

QUERY = "SELECT * FROM KVM_TickIndication"
"""Filter for what `tests/ticking` sends."""
DEADLINE = 60.0


class Listener:
    """Takes indications, and lets tests wait for them."""

    def __init__(self) -> None:
        self.port = free_port()
        self.received: list[pywbem.CIMInstance] = []
        self._more = threading.Condition()

    def take(self, indication: pywbem.CIMInstance, _host: str) -> None:
        """A callback of pywbem's listener."""
        with self._more:
            self.received.append(indication)
            self._more.notify_all()

    def next(self, number: int = 3) -> list[pywbem.CIMInstance]:
        """Waits for so many more; returns these."""
        with self._more:
            before = len(self.received)
            assert self._more.wait_for(lambda: len(self.received) >= before + number, DEADLINE)
            return self.received[before:]

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes what comes during the block."""
        serving = pywbem.WBEMListener("127.0.0.1", http_port=self.port)
        serving.add_callback(self.take)
        serving.start()
        try:
            yield
        finally:
            serving.stop()
