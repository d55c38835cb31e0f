# SPDX-License-Identifier: LGPL-2.1-or-later
"""One destination: what waits to be sent to it, and the task that sends it.

Indications are sent in the order in which they came, one at a time. One that can't be delivered is tried
again, and everything behind it waits: at most `queue` indications, of which then the oldest is dropped,
and none longer than `retention`. A listener that answers, but refuses an indication, gets it `attempts`
times, so that one that it can't read doesn't hold up all others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from yarl import URL

from libvirtcim.cim.objects import Instance
from libvirtcim.cim.values import unique_id
from libvirtcim.server.indications import export
from libvirtcim.server.writer import Writer

_log = logging.getLogger(__name__)

_NUMBERS = 2**63
"""Sequence numbers are below this; then they begin again at 0 (DSP1054 8.2)."""

MAX_REASON_TEXT = 300
"""Characters of an error that are logged and shown."""

Post: TypeAlias = "Callable[[URL, bytes], Awaitable[None]]"
"""(destination, body) → returns when it was taken; raises Unreachable, export.NotTaken."""


class Unreachable(Exception):
    """A destination did not take an indication, and may do so later; the text says why."""


@dataclass(frozen=True, slots=True)
class Persistence:
    """How hard it is tried to deliver; times in seconds."""

    queue: int
    timeout: float
    retry_first: float
    retry_longest: float
    retention: float
    attempts: int


@dataclass(slots=True)
class Counters:
    """What has become of a destination's indications since the server started."""

    delivered: int = 0
    retried: int = 0
    """Attempts that were not the first for their indication."""
    dropped: int = 0
    """Indications that gave way to newer ones in a full queue."""
    expired: int = 0
    """Indications that could not be delivered within the retention."""
    refused: int = 0
    """Indications that the listener answered with errors only."""
    lost: int = 0
    """Indications that still waited when the server ended, or the destination was deleted."""


@dataclass(frozen=True, slots=True)
class _Item:
    indication: Instance
    filter_name: str
    sequence: export.Sequence
    accepted: float
    """`time.monotonic()`."""


class Sender:
    """Takes indications for one destination from any thread; `run` sends them in the event loop."""

    def __init__(
        self,
        name: str,
        url: URL,
        persistence: Persistence,
        writer: Writer,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.name = name
        self.url = url
        self.counters = Counters()
        self.last_error: str | None = None
        self.last_error_time: datetime | None = None
        self.failing_since: float | None = None
        """`time.monotonic()` of the first failure since something was delivered."""
        self.failed: float | None = None
        """`time.monotonic()` of the last failure."""
        self._how = persistence
        self._writer = writer
        self._context = f"libvirtcim:{unique_id()}"
        self._number = 0
        self._lock = threading.Lock()
        self._waiting: deque[_Item] = deque()
        self._sending = 0
        self._pause = 0.0
        self._loop = loop
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()

    @property
    def queued(self) -> int:
        """Indications that are not delivered yet."""
        return len(self._waiting) + self._sending

    def status(self) -> dict[str, Any]:
        """How deliveries stand, ready for JSON."""
        return {
            "name": self.name,
            "url": str(self.url),
            "queued": self.queued,
            **asdict(self.counters),
            "failing": self.failing_since is not None,
            "last_error": self.last_error,
            "last_error_time": self.last_error_time and self.last_error_time.isoformat(),
        }

    # --- any thread --------------------------------------------------------------------------

    def put(self, indication: Instance, filter_name: str) -> None:
        """Adds an indication; never waits."""
        with self._lock:
            sequence = export.Sequence(self._context, self._number)
            self._number = (self._number + 1) % _NUMBERS
            if len(self._waiting) >= self._how.queue:
                self._waiting.popleft()
                self.counters.dropped += 1
                if self.counters.dropped == 1:
                    _log.warning(
                        "%s: more than %s indications wait (indication_queue): the oldest are dropped",
                        self, self._how.queue,
                    )  # fmt: skip
            self._waiting.append(_Item(indication, filter_name, sequence, time.monotonic()))
        self._wake(self._changed)

    def close(self) -> None:
        """Lets `run` end: after what waits if the listener takes it, else at once."""
        self._wake(self._closing)
        self._wake(self._changed)

    def _wake(self, event: asyncio.Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(event.set)

    # --- event loop --------------------------------------------------------------------------

    async def run(self, post: Post) -> None:
        """Sends what there is and what comes, until `close` or cancelled. Called once."""
        try:
            while not self._is_done():
                item = self._take()
                if item is not None:
                    await self._send(item, post)
                else:
                    await self._changed.wait()
                    self._changed.clear()
        finally:
            self._lose()

    def _is_done(self) -> bool:
        over = not self._waiting or self.failing_since is not None
        return over and self._closing.is_set()

    def _take(self) -> _Item | None:
        with self._lock:
            if not self._waiting:
                return None
            self._sending = 1
            return self._waiting.popleft()

    def _lose(self) -> None:
        """Gives up everything that is not delivered."""
        with self._lock:
            lost, self._sending = self.queued, 0
            self._waiting.clear()
        self.counters.lost += lost
        if lost:
            _log.warning("%s: %s indications are not delivered any more", self, lost)

    async def _send(self, item: _Item, post: Post) -> None:
        """Tries until the indication is delivered or given up, or the sender is to end."""
        try:
            body = export.message(
                self._writer, item.indication, item.filter_name, item.sequence
            )  # fmt: skip
        except Exception:
            _log.exception("an indication of %s can't be written", item.indication.cls.name)
            self.counters.refused += 1
            self._sending = 0
            return
        refusals = attempts = 0
        while not self._is_over(item, refusals):
            if attempts:
                self.counters.retried += 1
            attempts += 1
            try:
                async with asyncio.timeout(self._how.timeout):
                    await post(self.url, body)
            except export.NotTaken as error:
                refusals += 1
                self._failed(str(error))
            except Unreachable as error:
                self._failed(str(error))
            except TimeoutError:
                self._failed(f"no answer within {self._how.timeout:g} s")
            else:
                self._delivered()
                return
            await self._rest()
            if self._closing.is_set():
                return

    def _is_over(self, item: _Item, refusals: int) -> bool:
        """Whether an indication is given up; counted then."""
        if refusals >= self._how.attempts:
            self.counters.refused += 1
        elif time.monotonic() - item.accepted > self._how.retention:
            self.counters.expired += 1
        else:
            return False
        self._sending = 0
        return True

    def _failed(self, reason: str) -> None:
        # it may be the listener's own text
        reason = "".join(c if c.isprintable() else " " for c in reason[:MAX_REASON_TEXT])
        self.last_error, self.last_error_time = reason, datetime.now(UTC)
        self._pause = min(self._pause * 2 or self._how.retry_first, self._how.retry_longest)
        self.failed = time.monotonic()
        if self.failing_since is None:
            self.failing_since = self.failed
            _log.warning("%s does not take indications, trying again: %s", self, reason)

    def _delivered(self) -> None:
        self.counters.delivered += 1
        self._sending = 0
        self._pause = 0.0
        if self.failing_since is not None:
            _log.info(
                "%s takes indications again, after %.0f s; %s wait",
                self, time.monotonic() - self.failing_since, self.queued,
            )  # fmt: skip
            self.failing_since = None

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await self._closing.wait()

    def __str__(self) -> str:
        return f"destination {self.name!r} ({self.url})"
