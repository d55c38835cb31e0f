# SPDX-License-Identifier: LGPL-2.1-or-later
"""The senders of all destinations, in the server's event loop, and the HTTP client that they share."""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from libvirtcim.server.indications import destinations, export
from libvirtcim.server.indications.destinations import DestinationRefused, Resolver
from libvirtcim.server.indications.reach import Reach
from libvirtcim.server.indications.sender import Persistence, Sender, Unreachable
from libvirtcim.server.workers import WorkerPool
from libvirtcim.server.writer import Writer

_log = logging.getLogger(__name__)

_RESOLVER_THREADS = 4
_DRAIN_TIME = 2.0
"""Seconds that a stopping server waits for what is queued to be delivered."""


class Delivery:
    """An asynchronous context in which senders run; `add` and `remove` for any thread."""

    def __init__(
        self, writer: Writer, persistence: Persistence, reach: Reach, tls: ssl.SSLContext
    ) -> None:
        self._writer = writer
        self._persistence = persistence
        self._reach = reach
        self._tls = tls
        self._tasks: dict[Sender, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._resolving = WorkerPool(_RESOLVER_THREADS, "cim-resolver")
        self._session = aiohttp.ClientSession(
            # A connection for each indication: one that was kept may be closed by the listener in the
            # moment in which it is used again.
            connector=aiohttp.TCPConnector(
                limit=0,
                force_close=True,
                resolver=Resolver(self._reach, self._resolving),
                ssl=self._tls,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            headers=export.HEADERS,
            skip_auto_headers=("Accept-Encoding",),
        )
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Waits a little for what is queued."""
        for sender in self._tasks:
            sender.close()
        if tasks := list(self._tasks.values()):
            _done, late = await asyncio.wait(tasks, timeout=_DRAIN_TIME)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._session.close()
        self._resolving.shutdown(wait=False, cancel_futures=True)

    def add(self, name: str, destination: str) -> Sender:
        """A running sender for a destination; raises DestinationRefused."""
        url = destinations.parse(destination, self._reach)
        sender = Sender(name, url, self._persistence, self._writer, self._loop)
        self._loop.call_soon_threadsafe(self._begin, sender)
        return sender

    def remove(self, sender: Sender) -> None:
        """Ends a sender; what it has not delivered is lost."""
        self._loop.call_soon_threadsafe(self._cancel, sender)

    def _begin(self, sender: Sender) -> None:
        task = self._tasks[sender] = self._loop.create_task(sender.run(self._post))
        task.add_done_callback(functools.partial(self._ended, sender))

    def _cancel(self, sender: Sender) -> None:
        if sender in self._tasks:
            self._tasks[sender].cancel()

    def _ended(self, sender: Sender, task: asyncio.Task[None]) -> None:
        del self._tasks[sender]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s gets nothing any more", sender, exc_info=error)

    async def _post(self, url: URL, body: bytes) -> None:
        """Sends one export message; what `sender.Post` says."""
        try:
            destinations.check(url, self._reach)
            async with self._session.post(url, data=body, allow_redirects=False) as response:
                answer = await _read(response.content)
        except (aiohttp.ClientError, OSError, ValueError, DestinationRefused) as error:
            raise Unreachable(_reason(error)) from None
        if response.status >= 500:
            raise Unreachable(f"HTTP status {response.status}")
        export.check_answer(response.status, answer)


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    return str(error) or type(error).__name__


async def _read(content: aiohttp.StreamReader) -> bytes:
    """All of an answer; raises export.NotTaken where that is too much."""
    answer = bytearray()
    async for chunk in content.iter_any():
        answer += chunk
        if len(answer) > export.MAX_ANSWER_BYTES:
            limit = export.MAX_ANSWER_BYTES
            raise export.NotTaken(f"the answer is larger than {limit} bytes")
    return bytes(answer)


def tls_context(ca_file: Path | None, *, verify: bool) -> ssl.SSLContext:
    """How listeners with HTTPS are checked; raises OSError naming the file."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise OSError(error.errno, f"indication_ca_file {ca_file}: no certificates") from None
    except OSError as error:
        raise OSError(error.errno, f"indication_ca_file {ca_file}: {error.strerror}") from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
