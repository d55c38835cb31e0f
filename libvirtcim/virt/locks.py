# SPDX-License-Identifier: LGPL-2.1-or-later
"""One lock per object, so that two clients that change the same guest or filter take turns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from libvirtcim.virt.errors import Busy


class Locks:
    """Locks by key, which names one object; a lock exists only while somebody holds it or waits for it.

    `what`: the kind of objects, for the error's text.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.RLock, int]] = {}
        self._observers: tuple[Callable[[str], None], ...] = ()

    def observe(self, observer: Callable[[str], None]) -> None:
        """Call `observer(key)` whenever the last holder of an object's lock has let go of it."""
        with self._guard:
            self._observers = (*self._observers, observer)

    def unobserve(self, observer: Callable[[str], None]) -> None:
        """Call it no more."""
        with self._guard:
            self._observers = tuple(o for o in self._observers if o != observer)

    def held(self, key: str) -> bool:
        """Whether somebody holds the object's lock or waits for it."""
        return key in self._locks

    @contextmanager
    def hold(self, key: str, timeout: float) -> Iterator[None]:
        """Hold the object's lock; Busy when it isn't free in `timeout` seconds. Re-entrant."""
        with self._guard:
            lock, users = self._locks.get(key, (threading.RLock(), 0))
            self._locks[key] = (lock, users + 1)
        try:
            if not lock.acquire(timeout=timeout):
                raise Busy(f"{self._what} {key} is being changed by another request")
            try:
                yield
            finally:
                lock.release()
        finally:
            with self._guard:
                lock, users = self._locks.pop(key)
                observers = () if users > 1 else self._observers
                if users > 1:
                    self._locks[key] = (lock, users - 1)
            for observer in observers:
                observer(key)

    def __len__(self) -> int:
        return len(self._locks)
