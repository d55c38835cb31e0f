# SPDX-License-Identifier: LGPL-2.1-or-later
"""One lock per guest, so that two clients that change the same guest take turns."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from libvirtcim.virt.errors import Busy


class GuestLocks:
    """Locks by guest UUID; a lock exists only while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.RLock, int]] = {}

    @contextmanager
    def hold(self, uuid: str, timeout: float) -> Iterator[None]:
        """Hold the guest's lock; Busy when it isn't free in `timeout` seconds. Re-entrant."""
        with self._guard:
            lock, users = self._locks.get(uuid, (threading.RLock(), 0))
            self._locks[uuid] = (lock, users + 1)
        try:
            if not lock.acquire(timeout=timeout):
                raise Busy(f"guest {uuid} is being changed by another request")
            try:
                yield
            finally:
                lock.release()
        finally:
            with self._guard:
                lock, users = self._locks.pop(uuid)
                if users > 1:
                    self._locks[uuid] = (lock, users - 1)

    def __len__(self) -> int:
        return len(self._locks)
