# SPDX-License-Identifier: LGPL-2.1-or-later
"""A bounded pool of daemon threads.

Unlike `ThreadPoolExecutor`, the interpreter does not wait for its threads at exit: a call that hangs in
a hypervisor cannot keep a stopped server from ending.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_Task = tuple["Future[Any]", Callable[[], Any]]


class WorkerPool(Executor):
    """Runs calls on a fixed number of daemon threads, in order of submission."""

    def __init__(self, threads: int, name: str) -> None:
        self._queue: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        self._closed = False
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Queues a call."""
        if self._closed:
            raise RuntimeError("the pool is shut down")
        future: Future[R] = Future()
        self._queue.put((future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Lets the threads end after what they are doing; waits for them only if `wait`."""
        self._closed = True
        if cancel_futures:
            while True:
                try:
                    task = self._queue.get_nowait()
                except queue.Empty:
                    break
                if task is not None:
                    task[0].cancel()
        for _ in self._threads:
            self._queue.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            future, call = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            # Hold on to nothing while waiting for the next task.
            del task, future, call
