# SPDX-License-Identifier: LGPL-2.1-or-later
"""One lock per guest, so that two clients that change the same guest take turns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from libvirtcim.virt.errors import Busy


class GuestLocks:
    """Locks by guest UUID; a lock exists only while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.RLock, int]] = {}
        self._observers: tuple[Callable[[str], None], ...] = ()

    def observe(self, observer: Callable[[str], None]) -> None:
        """Call `observer(uuid)` whenever the last holder of a guest's lock has let go of it."""
        with self._guard:
            self._observers = (*self._observers, observer)

    def unobserve(self, observer: Callable[[str], None]) -> None:
        """Call it no more."""
        with self._guard:
            self._observers = tuple(o for o in self._observers if o != observer)

    def held(self, uuid: str) -> bool:
        """Whether somebody holds the guest's lock or waits for it."""
        return uuid in self._locks

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
                observers = () if users > 1 else self._observers
                if users > 1:
                    self._locks[uuid] = (lock, users - 1)
            for observer in observers:
                observer(uuid)

    def __len__(self) -> int:
        return len(self._locks)
