# SPDX-License-Identifier: LGPL-2.1-or-later
"""Several calls in flight, each with a deadline: one that hangs doesn't hold up the others."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Late(Exception):
    """The call had not returned when its deadline passed; it goes on in the background."""


class _Batch(Generic[ItemT, ResultT]):
    """One list of calls: workers take the next item until none is left."""

    def __init__(self, function: Callable[[ItemT], ResultT], items: Sequence[ItemT]) -> None:
        self.function = function
        self.items = items
        self.results: list[ResultT | Exception | None] = [None] * len(items)
        self.changed = threading.Condition()
        self.started: dict[int, float] = {}
        self.next = 0
        self.finished = 0
        self.late: set[int] = set()

    def work(self) -> bool:
        """Carry out items; False when this thread had been given up and is one too many now."""
        while True:
            with self.changed:
                if self.next >= len(self.items):
                    return True
                index = self.next
                self.next += 1
                self.started[index] = time.monotonic()
            result: ResultT | Exception
            try:
                result = self.function(self.items[index])
            except Exception as exc:
                result = exc
            with self.changed:
                del self.started[index]
                if index in self.late:
                    return False
                self.results[index] = result
                self.finished += 1
                if self.finished == len(self.items):
                    self.changed.notify_all()


class FanOut:
    """A small pool of threads that carries out `function(item)` for many items at once."""

    def __init__(self, in_flight: int, name: str) -> None:
        self.in_flight = in_flight
        self._name = name
        self._queue: queue.SimpleQueue[_Batch[Any, Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._closed = False

    def map(
        self,
        function: Callable[[ItemT], ResultT],
        items: Sequence[ItemT],
        deadline: float,
    ) -> list[ResultT | Exception]:
        """The result of every item, or the exception it raised, or `Late` after the deadline.

        `deadline` is in seconds and counts for each item from its own start.
        """
        if not items:
            return []
        batch = _Batch(function, items)
        workers = min(self.in_flight, len(items))
        self._need(workers)
        for _ in range(workers):
            self._queue.put(batch)
        with batch.changed:
            while batch.finished < len(items):
                now = time.monotonic()
                for index, began in batch.started.items():
                    if index not in batch.late and now - began >= deadline:
                        batch.late.add(index)
                        batch.results[index] = Late()
                        batch.finished += 1
                        # Its thread is as good as gone; another takes over.
                        self._replace(batch)
                pending = [b for i, b in batch.started.items() if i not in batch.late]
                wait = min(pending) + deadline - now if pending else deadline
                if batch.finished < len(items):
                    batch.changed.wait(max(wait, 0.001))
            return [Late() if result is None else result for result in batch.results]

    def close(self) -> None:
        """Let the threads end; calls in flight finish first."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._queue.put(None)

    def _need(self, count: int) -> None:
        with self._lock:
            while self._threads < count and not self._closed:
                self._start()

    def _replace(self, batch: _Batch[Any, Any]) -> None:
        with self._lock:
            if not self._closed:
                self._start()
        self._queue.put(batch)

    def _start(self) -> None:
        self._threads += 1
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        while (batch := self._queue.get()) is not None:
            if not batch.work():
                break
            # Its results are the caller's; waiting for the next one must not keep them.
            del batch
        with self._lock:
            self._threads -= 1
