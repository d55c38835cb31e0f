# SPDX-License-Identifier: LGPL-2.1-or-later
"""The server as a whole: listeners, threads, start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from types import FrameType

from libvirtcim.cim.broker import Broker
from libvirtcim.server.auth import Authenticator, check_exposure, make_verifier, shown
from libvirtcim.server.connections import HTTPServer
from libvirtcim.server.gateway import Gateway
from libvirtcim.server.service import Service
from libvirtcim.server.settings import Endpoint, ServerSettings
from libvirtcim.server.workers import WorkerPool

logger = logging.getLogger(__name__)

_EXPIRY_INTERVAL = 5.0
"""Seconds between two looks for enumerations that were left behind."""
_TLS_CLOSE_TIMEOUT = 5.0
_SIGNAL_INTERVAL = 0.2
"""Seconds between two looks for a signal that was delivered to another thread."""


class CIMServer:
    """A CIM-XML server over a broker, running in a thread of its own.

    `background` is entered in the server's event loop before it listens, and left after the last answer,
    each time it runs. Raises ExposureError for settings that would let strangers in.
    """

    def __init__(
        self,
        broker: Broker,
        settings: ServerSettings | None = None,
        background: contextlib.AbstractAsyncContextManager[object] | None = None,
    ) -> None:
        self.settings = settings or ServerSettings()
        check_exposure(self.settings)
        self._service = Service(broker, self.settings)
        self._background = background or contextlib.nullcontext()
        self._bound: tuple[tuple[Endpoint, bool], ...] = ()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._ready = threading.Event()
        self._over = threading.Event()
        """Set when the server has ended by itself."""
        self._failure: BaseException | None = None
        self._http: HTTPServer | None = None

    @property
    def addresses(self) -> tuple[Endpoint, ...]:
        """Where the running server listens, with the ports it was given for port 0; TLS last."""
        return tuple(endpoint for endpoint, _tls in self._bound)

    @property
    def urls(self) -> tuple[str, ...]:
        """The same as URLs."""
        return tuple(f"http{'s' if tls else ''}://{shown(e)}" for e, tls in self._bound)

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return self._http.open_connections if self._http else 0

    @property
    def open_enumerations(self) -> int:
        """How many pull enumerations are open."""
        return len(self._service.operations.enumerations)

    def start(self) -> None:
        """Starts serving; returns when all addresses accept connections, raises where one cannot."""
        if self._thread is not None:
            raise RuntimeError("the server has been started already")
        self._ready.clear()
        self._over.clear()
        self._failure = None
        self._thread = threading.Thread(target=self._run, name="cim-server", daemon=True)
        self._thread.start()
        self._ready.wait()
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None and self._thread is not None:
            self._thread.join()
            self._thread = None
            raise self._failure

    def stop(self) -> None:
        """Takes no more connections, lets operations under way finish (shutdown_timeout), ends."""
        thread = self._thread
        if thread is None:
            return
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join()
        self._thread = None
        self._bound = ()

    def run_forever(self) -> None:
        """Serves, from now on or as started before, until SIGINT or SIGTERM. For the main thread."""
        with _signals() as caught:
            if self._thread is None:
                self.start()
            for url in self.urls:
                logger.info("listening on %s", url)
            while not caught and not self._over.wait(_SIGNAL_INTERVAL):
                pass
            self.stop()
            if self._failure is not None:
                raise self._failure

    def __enter__(self) -> CIMServer:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._ready.is_set():
                logger.exception("the server has failed")
            self._failure = error
        finally:
            self._ready.set()
            self._over.set()

    async def _serve(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with self._background:
            await self._answer(loop)

    async def _answer(self, loop: asyncio.AbstractEventLoop) -> None:
        settings = self.settings
        workers = WorkerPool(settings.worker_threads, "cim-worker")
        checkers: WorkerPool | None = None
        listeners: list[asyncio.Server] = []
        try:
            verifier = make_verifier(settings)
            authenticator = None
            if verifier is not None:
                checkers = WorkerPool(settings.auth_threads, "cim-auth")
                authenticator = Authenticator(
                    verifier, checkers, settings.auth_cache_time, settings.auth_failure_delay
                )
            gateway = Gateway(self._service, settings, workers, authenticator)
            http = self._http = HTTPServer(gateway, settings)
            bound: list[tuple[Endpoint, bool]] = []
            tls = _tls_context(settings)
            for endpoints, context in ((settings.listen, None), (settings.listen_tls, tls)):
                for endpoint in endpoints:
                    listener = await _listen(loop, http, endpoint, context, settings)
                    listeners.append(listener)
                    bound += _bound(listener, context is not None)
            self._bound = tuple(bound)
            self._ready.set()
            await self._wait_for_stop()
            for listener in listeners:
                listener.close()
            await http.end(settings.shutdown_timeout)
        finally:
            for listener in listeners:
                listener.close()
            self._service.operations.enumerations.close_all()
            for pool in (workers, checkers):
                if pool is not None:
                    pool.shutdown(wait=False, cancel_futures=True)

    async def _wait_for_stop(self) -> None:
        assert self._stopping is not None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EXPIRY_INTERVAL):
                    await self._stopping.wait()
                    return
            self._service.operations.enumerations.expire()


def _tls_context(settings: ServerSettings) -> ssl.SSLContext | None:
    if not settings.listen_tls or settings.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    files = f"tls_certificate {settings.tls_certificate}"
    if settings.tls_key is not None:
        files += f", tls_key {settings.tls_key}"
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except ssl.SSLError as error:
        text = f"{files}: no certificate and key in PEM form that belong together ({error})"
        raise ssl.SSLError(errno.EINVAL, text) from None
    except OSError as error:
        raise OSError(error.errno, f"{files}: {error.strerror}") from None
    return context


async def _listen(
    loop: asyncio.AbstractEventLoop,
    http: HTTPServer,
    endpoint: Endpoint,
    context: ssl.SSLContext | None,
    settings: ServerSettings,
) -> asyncio.Server:
    host, port = endpoint
    try:
        if context is None:
            return await loop.create_server(http, host or None, port)
        return await loop.create_server(
            http,
            host or None,
            port,
            ssl=context,
            ssl_handshake_timeout=settings.header_timeout,
            ssl_shutdown_timeout=_TLS_CLOSE_TIMEOUT,
        )
    except OSError as error:
        reason = error.strerror
        if error.errno == errno.EADDRINUSE:  # asyncio tells the address once more
            reason = "another program listens there"
        raise OSError(error.errno, f"cannot listen on {shown(endpoint)}: {reason}") from None


def _bound(listener: asyncio.Server, tls: bool) -> Iterator[tuple[Endpoint, bool]]:
    for listening in listener.sockets:
        if listening.family in (socket.AF_INET, socket.AF_INET6):
            name = listening.getsockname()
            yield (name[0], name[1]), tls


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM.

    The handler takes no lock: it may run in the middle of the main thread's own wait.
    """
    caught: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        caught.append(number)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
