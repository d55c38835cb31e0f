# SPDX-License-Identifier: LGPL-2.1-or-later
"""Enumeration contexts of pull operations (DSP0200 5.3.2 and 5.4.2.24 ff.).

A context is a secret handed to one client: it is bound to namespace, kind of object and user, ends at
the end of its sequence, at an error, when closed or when it is not asked for in time.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from libvirtcim.cim.errors import (
    InvalidEnumerationContext,
    InvalidOperationTimeout,
    PullHasBeenAbandoned,
    ServerLimitsExceeded,
)

Kind = Literal["instances", "paths"]
"""What a context yields: objects for PullInstancesWithPath or for PullInstancePaths."""


@dataclass(slots=True, eq=False)
class Enumeration:
    """One open enumeration; `items` are objects written as CIM-XML, one at a time."""

    items: Iterator[str]
    namespace: str
    kind: Kind
    user: str | None
    timeout: float
    deadline: float = 0.0
    closed: bool = False
    ahead: list[str] = field(default_factory=list)
    """One object read ahead, to know whether the sequence has ended."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, count: int) -> tuple[list[str], bool]:
        """Up to `count` objects, and whether that was the end."""
        taken = self.ahead[:count]
        del self.ahead[:count]
        taken.extend(islice(self.items, count - len(taken)))
        if not self.ahead:
            self.ahead.extend(islice(self.items, 1))
        return taken, not self.ahead


class Enumerations:
    """The open enumerations of a server; every method may be called from any thread."""

    def __init__(
        self,
        limit: int,
        default_timeout: float,
        max_timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._default_timeout = default_timeout
        self._max_timeout = max_timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, Enumeration] = {}

    def __len__(self) -> int:
        return len(self._open)

    def timeout(self, asked: int | None) -> float:
        """The time between operations that the client asked for; raises InvalidOperationTimeout."""
        if asked is None:
            return self._default_timeout
        if not 0 < asked <= self._max_timeout:
            raise InvalidOperationTimeout(
                f"OperationTimeout must be 1 to {self._max_timeout:g} seconds (pull_max_timeout)"
            )
        return float(asked)

    def check_room(self) -> None:
        """Raises ServerLimitsExceeded if no enumeration can be opened now."""
        self.expire()
        if len(self._open) >= self._limit:
            raise ServerLimitsExceeded(
                f"{self._limit} enumerations are open (max_open_enumerations)"
            )

    def open(self, enumeration: Enumeration, count: int) -> tuple[list[str], str | None]:
        """The first `count` objects, and the context for the rest (None: there is no rest)."""
        taken, ended = enumeration.take(count)
        if ended:
            return taken, None
        context = secrets.token_urlsafe(24)
        with self._lock:
            self._remove_expired()
            if len(self._open) >= self._limit:
                raise ServerLimitsExceeded(
                    f"{self._limit} enumerations are open (max_open_enumerations)"
                )
            enumeration.deadline = self._clock() + enumeration.timeout
            self._open[context] = enumeration
        return taken, context

    def pull(
        self, context: str, namespace: str, kind: Kind, user: str | None, count: int
    ) -> tuple[list[str], str | None]:
        """The next `count` objects, and the context unless the sequence has ended."""
        enumeration = self._find(context, namespace, user, kind)
        with enumeration.lock:
            if enumeration.closed:
                raise InvalidEnumerationContext("The enumeration has been closed")
            enumeration.deadline = float("inf")
            try:
                taken, ended = enumeration.take(count)
            except BaseException:
                self._forget(context)
                raise
            if enumeration.closed:
                raise PullHasBeenAbandoned("The enumeration was closed during this pull")
            if ended:
                self._forget(context)
                return taken, None
            enumeration.deadline = self._clock() + enumeration.timeout
        return taken, context

    def close(self, context: str, namespace: str, user: str | None) -> None:
        """Ends an enumeration, also while a pull is under way."""
        enumeration = self._find(context, namespace, user, None)
        enumeration.closed = True
        self._forget(context)

    def expire(self) -> None:
        """Drops the enumerations that were not asked for in time."""
        with self._lock:
            self._remove_expired()

    def close_all(self) -> None:
        """Drops every enumeration."""
        with self._lock:
            for enumeration in self._open.values():
                enumeration.closed = True
            self._open.clear()

    def _find(
        self, context: str, namespace: str, user: str | None, kind: Kind | None
    ) -> Enumeration:
        with self._lock:
            self._remove_expired()
            found = self._open.get(context)
        # One text for every reason: whoever guesses learns nothing.
        if (
            found is None
            or found.user != user
            or found.namespace.lower() != namespace.lower()
            or (kind is not None and found.kind != kind)
        ):
            raise InvalidEnumerationContext("The enumeration context is unknown, closed or expired")
        return found

    def _forget(self, context: str) -> None:
        with self._lock:
            self._open.pop(context, None)

    def _remove_expired(self) -> None:
        now = self._clock()
        for context in [c for c, e in self._open.items() if e.deadline < now]:
            self._open.pop(context).closed = True
