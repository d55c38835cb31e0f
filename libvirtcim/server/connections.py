# SPDX-License-Identifier: LGPL-2.1-or-later
"""HTTP connections: aiohttp's low-level server, with limits on everything a client can hold up.

aiohttp parses (llhttp) and keeps connections alive; this module adds time limits for headers, bodies
and answers, a bound on header bytes, a bound on connections, and answers without a body for errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from libvirtcim.server.settings import ServerSettings

logger = logging.getLogger(__name__)

SERVER_NAME = "libvirtcim"
_LINGERING_TIME = 2.0
"""Seconds for which the rest of a refused body is read, so that the client gets to see the answer."""
_CLOSING_TIME = 1.0
_TLS_HANDSHAKE = 0x16
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n"
    b"Retry-After: 5\r\n\r\n"
)
_HEADERS_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def empty(status: int) -> web.Response:
    """An answer without a body; with Content-Length, lest clients wait for one."""
    return web.Response(status=status, headers={"Server": SERVER_NAME, "Content-Length": "0"})


class Connection(RequestHandler):
    """One client connection."""

    def __init__(
        self, server: HTTPServer, settings: ServerSettings, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=settings.keepalive_timeout,
            access_log=cast(logging.Logger, None),
            max_line_size=settings.max_header_bytes,
            max_field_size=settings.max_header_bytes,
            lingering_time=_LINGERING_TIME,
            auto_decompress=False,
            logger=logger,
        )
        self.busy = False
        """Whether a request of this connection is being answered."""
        self._server = server
        self._settings = settings
        self._stream: asyncio.Transport | None = None
        self._stream_socket: Any = None
        self._refused = False
        self._virgin = True
        self._plain = True
        self._header_bytes = 0
        self._header_timer: asyncio.TimerHandle | None = None
        self._payload: StreamReader | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the connection, or turns it away when there are too many."""
        stream = self._stream = cast(asyncio.Transport, transport)
        if not self._server.admit(self):
            self._refused = True
            stream.write(_BUSY)
            stream.close()
            return
        self._stream_socket = stream.get_extra_info("socket")
        self._plain = stream.get_extra_info("sslcontext") is None
        # An answer counts as sent, and its time limit ends, when the kernel has all of it.
        # (Not high=0: asyncio's TLS transports then pause when nothing at all is buffered.)
        stream.set_write_buffer_limits(high=1)
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forgets the connection."""
        self._disarm()
        self._server.release(self)
        if not self._refused:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses, and watches how long and how large the headers get."""
        if self._refused:
            return
        if self._virgin and data:
            self._virgin = False
            if self._plain and data[0] == _TLS_HANDSHAKE:
                self.abort()
                return
        in_headers = self._payload is None or self._payload.is_eof()
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            self._disarm()
            self._header_bytes = 0
            if self._messages:
                self._payload = self._messages[-1][1]
        elif in_headers and data:
            self._header_bytes += len(data)
            if self._header_bytes > self._settings.max_header_bytes and not self.busy:
                self._refuse_headers()
            elif self._header_timer is None:
                self._arm()

    def _refuse_headers(self) -> None:
        if self.transport is not None:
            self.transport.write(_HEADERS_TOO_LARGE)
        self.force_close()

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._header_timer = loop.call_later(
            self._settings.header_timeout, self._headers_late, self._request_count
        )

    def _disarm(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _headers_late(self, count: int) -> None:
        self._header_timer = None
        if count == self._request_count and not self.busy:
            self.force_close()

    def abort(self) -> None:
        """Ends the connection at once, whatever has not been sent yet."""
        if self._stream is None:
            return
        try:
            self._stream.abort()
        except AttributeError:
            # A TLS transport that was closed twice has lost its protocol (CPython 3.11.2); the loop
            # then ends it when it sees the end of the socket.
            with contextlib.suppress(OSError):
                self._stream_socket.shutdown(socket.SHUT_RDWR)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends the answer; a client that does not take it in time is cut off."""
        try:
            async with asyncio.timeout(self._settings.send_timeout):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            self.abort()
            return resp, True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no HTTP request (or to a bug of ours): a bare status, then the end."""
        if isinstance(exc, BadHttpMethod):
            status = 501  # M-POST among them: clients then use POST (DSP0200 7.2.1)
        elif isinstance(exc, LineTooLong):
            status = 431
        if status == 500:
            logger.error("unhandled exception in a request", exc_info=exc)
        else:
            logger.debug("bad HTTP request from %s: %s", request.remote, message)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has been sent in part")
        response = empty(status)
        response.force_close()
        return response


class HTTPServer(web.Server):
    """Makes connections and counts them."""

    def __init__(self, handler: Handler, settings: ServerSettings) -> None:
        super().__init__(cast(Any, handler))
        self._settings = settings
        self._admitted: set[Connection] = set()
        self._empty = asyncio.Event()

    def __call__(self) -> RequestHandler:
        """The protocol of a new connection."""
        return Connection(self, self._settings, self._loop)

    @property
    def open_connections(self) -> int:
        """How many connections are open."""
        return len(self._admitted)

    def admit(self, connection: Connection) -> bool:
        """Counts a connection in, unless there are too many."""
        if len(self._admitted) >= self._settings.max_connections:
            logger.warning("connection refused: %d are open (max_connections)", len(self._admitted))
            return False
        self._admitted.add(connection)
        return True

    def release(self, connection: Connection) -> None:
        """Counts it out."""
        self._admitted.discard(connection)
        if not self._admitted:
            self._empty.set()

    async def end(self, timeout: float) -> None:
        """Closes all connections; those that are busy may finish within `timeout` seconds."""
        self.pre_shutdown()
        await self.shutdown(timeout)
        if not await self._emptied():
            for connection in list(self._admitted):
                connection.abort()
            await self._emptied()

    async def _emptied(self) -> bool:
        """Whether all connections are closed within the time that a polite TLS closure takes."""
        self._empty.clear()
        if not self._admitted:
            return True
        try:
            async with asyncio.timeout(_CLOSING_TIME):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True
