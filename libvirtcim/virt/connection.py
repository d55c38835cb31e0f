# SPDX-License-Identifier: LGPL-2.1-or-later
"""One supervised libvirt connection per URI.

A `Connection` opens when it is first needed, notices when it is lost (close callback, keep-alive,
a call that fails on a dead connection), and comes back by itself:

::

    IDLE ─call─> OPENING ──ok──> OPEN ──lost──> OPENING ──ok──> OPEN ...
                      └──fails──> BACKOFF ──due──> OPENING

While it is in BACKOFF every call fails at once with `Unreachable`, so that one dead hypervisor
can't slow requests down. Attempts run in a thread of their own: a host that doesn't answer blocks
a caller for `open_timeout` at most. A connection that was open before, or that somebody listens to,
retries without being asked; one that never worked is retried by the next call when it is due.

Open connections are never reopened needlessly: `test:///FILE` is a private state per connection.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import urlsplit

import libvirt

from libvirtcim.virt import eventloop
from libvirtcim.virt.errors import Unreachable, VirtError, from_libvirt
from libvirtcim.virt.settings import ConnectionSettings

T = TypeVar("T")
_log = logging.getLogger(__name__)


class ConnectionState(Enum):
    """Where a connection stands."""

    IDLE = "idle"
    OPENING = "opening"
    OPEN = "open"
    BACKOFF = "waiting to retry"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """What `doctor` shows of a connection; `since` is Unix time, versions are integers."""

    uri: str
    readonly: bool
    state: ConnectionState
    since: float
    attempts: int
    last_error: str | None
    libvirt_version: int | None
    hypervisor_type: str | None
    hypervisor_version: int | None


# Called with the new virConnect after every successful open, with None when it was lost.
Listener = Callable[[Any], None]


class _Died(Unreachable):
    """The call found its connection dead."""


class Connection:
    """The one connection to a libvirt URI; every method may be called from any thread."""

    def __init__(
        self, uri: str, readonly: bool = False, settings: ConnectionSettings | None = None
    ) -> None:
        self.uri = uri
        self.readonly = readonly
        self.settings = settings or ConnectionSettings()
        self._changed = threading.Condition()
        self._state = ConnectionState.IDLE
        self._since = time.time()
        self._raw: Any = None
        self._generation = 0
        self._attempts = 0
        self._last_error: VirtError | None = None
        self._retry_at = 0.0
        self._failures = 0
        self._was_open = False
        self._supervising = False
        self._companion: Connection | None = None
        self._buried: list[Any] = []
        self._listeners: list[Listener] = []

    # -- use ------------------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """A number that grows with every successful open."""
        return self._generation

    @property
    def is_local(self) -> bool:
        """Whether the driver runs inside this process, so that calls cost no round trip."""
        parts = urlsplit(self.uri)
        return (parts.scheme == "test" and not parts.netloc) or parts.path == "/embed"

    @property
    def shares_files(self) -> bool:
        """Whether the hypervisor sees this machine's files: it runs here, not on another host."""
        return not urlsplit(self.uri).hostname

    @property
    def ever_connected(self) -> bool:
        """Whether the connection has been open since it was made."""
        return self._was_open

    def call(self, function: Callable[[Any], T], *, idempotent: bool = True) -> T:
        """Run `function(virConnect)` and return its result; libvirt's errors become `VirtError`.

        If the call failed because the connection had died, an idempotent one is repeated once on a
        new connection; one that changes something never is. `function` must look its objects up
        itself: handles of an older connection are dead.

        Changes go over a second connection where there is a wire. They may take long, and libvirt
        clients before 10.1 can lose the wake-up of a call that is made while another thread of the
        same connection waits for its answer: it would stall until the next keep-alive.
        """
        target = self if idempotent else self._for_changes()
        try:
            return target._once(function)
        except _Died:
            if not idempotent:
                raise
        return self._once(function)

    def _once(self, function: Callable[[Any], T]) -> T:
        raw = self._connected()
        try:
            return function(raw)
        except libvirt.libvirtError as exc:
            error = from_libvirt(exc)
            if self._is_dead(raw, exc):
                self._lost(raw, error)
                raise _Died(error.libvirt_message, error.code) from exc
            raise error from exc

    def xml_flags(self, *, inactive: bool = False) -> int:
        """libvirt's flags for the XML of a guest: with secrets unless read-only; `inactive`: as stored."""
        flags: int = 0 if self.readonly else libvirt.VIR_DOMAIN_XML_SECURE
        return flags | (libvirt.VIR_DOMAIN_XML_INACTIVE if inactive else 0)

    def _for_changes(self) -> Connection:
        # A test hypervisor from a file is a state of its own for each connection.
        if self.is_local or self.readonly or self.uri.startswith("test"):
            return self
        with self._changed:
            if self._companion is None:
                self._companion = Connection(self.uri, settings=self.settings)
                if self._state is ConnectionState.CLOSED:
                    self._companion.close()
            return self._companion

    @contextmanager
    def for_long_calls(self) -> Iterator[Connection]:
        """A connection that others don't wait behind, for the block."""
        if self._for_changes() is self:
            yield self
            return
        own = Connection(self.uri, settings=self.settings)
        try:
            yield own
        finally:
            own.close()

    def listen(self, listener: Listener) -> None:
        """Call `listener` after every open and loss, from now on; at once if it is open already.

        Called from the supervising thread, in order; a listener must not call `close`.
        """
        with self._changed:
            self._listeners.append(listener)
            raw = self._raw
            if raw is None and not self._supervising:
                self._start_opening()
        if raw is not None:
            self._tell(listener, raw)

    def unlisten(self, listener: Listener) -> None:
        """Call it no more, but for a call that is under way."""
        with self._changed:
            self._listeners = [known for known in self._listeners if known != listener]

    def status(self) -> ConnectionStatus:
        """How the connection stands; never opens it and never waits for a dead one."""
        with self._changed:
            raw, state, since = self._raw, self._state, self._since
            attempts, error = self._attempts, self._last_error
        library = kind = version = None
        if raw is not None:
            # A loss is noticed by the next call; a status only reports.
            with contextlib.suppress(libvirt.libvirtError):
                library = raw.getLibVersion()
                kind = raw.getType()
                version = raw.getVersion()
        return ConnectionStatus(
            uri=self.uri,
            readonly=self.readonly,
            state=state,
            since=since,
            attempts=attempts,
            last_error=error.libvirt_message if error else None,
            libvirt_version=library,
            hypervisor_type=kind,
            hypervisor_version=version,
        )

    def wait_open(self, timeout: float) -> bool:
        """Wait until the connection is open; False when it isn't after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._raw is not None, timeout)

    def close(self) -> None:
        """Close for good; later calls raise Unreachable."""
        with self._changed:
            raw, self._raw = self._raw, None
            self._set_state(ConnectionState.CLOSED)
            self._listeners.clear()
            companion = self._companion
        if companion is not None:
            companion.close()
        if raw is not None:
            _forget(raw)

    # -- opening --------------------------------------------------------------------------------

    def _connected(self) -> Any:
        deadline = time.monotonic() + self.settings.open_timeout
        with self._changed:
            while self._raw is None:
                if self._state is ConnectionState.CLOSED:
                    raise Unreachable(f"connection to {self.uri} is closed")
                waiting = self._supervising or time.monotonic() < self._retry_at
                if self._state is ConnectionState.BACKOFF and waiting:
                    raise self._unreachable()
                if self._state is not ConnectionState.OPENING:
                    self._start_opening()
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._changed.wait(remaining):
                    # The attempt goes on by itself; until it ends, calls fail at once.
                    self._retry_at = float("inf")
                    self._last_error = Unreachable(f"{self.uri} did not answer in time")
                    self._set_state(ConnectionState.BACKOFF)
                    raise self._unreachable()
                if self._raw is None and self._state is ConnectionState.BACKOFF:
                    raise self._unreachable()
            return self._raw

    def _unreachable(self) -> Unreachable:
        error = self._last_error
        if error is None:
            return Unreachable(f"no connection to {self.uri}")
        return Unreachable(error.libvirt_message, error.code)

    def _start_opening(self) -> None:
        """Let the supervisor make an attempt; the lock is held."""
        self._set_state(ConnectionState.OPENING)
        if not self._supervising:
            self._supervising = True
            threading.Thread(
                target=self._supervise, name=f"libvirt-open {self.uri}", daemon=True
            ).start()

    def _supervise(self) -> None:
        """Attempt to open until it works, or once when nobody waits for the connection.

        There is never more than one of these threads, so listeners hear of losses and opens in
        the order in which they happened.
        """
        pause = self.settings.backoff_first
        while True:
            self._bury()
            raw, error = self._open()
            with self._changed:
                self._attempts += 1
                if self._state is ConnectionState.CLOSED:
                    self._supervising = False
                    if raw is not None:
                        _forget(raw)
                    return
                if error is not None:
                    if not self._back_off(error, pause):
                        return
                    pause = min(pause * self.settings.backoff_factor, self.settings.backoff_max)
                    continue
                self._raw = raw
                self._generation += 1
                self._failures = 0
                self._was_open = True
                self._set_state(ConnectionState.OPEN)
                listeners = list(self._listeners)
            _log.info("connected to %s", self.uri)
            for listener in listeners:
                self._tell(listener, raw)
            with self._changed:
                if self._raw is not None or self._is_closed():
                    self._supervising = False
                    return
            # Lost again while the listeners were told.
            pause = self.settings.backoff_first

    def _back_off(self, error: VirtError, pause: float) -> bool:
        """Wait for the next attempt; False when there is none to make. The lock is held."""
        supervised = self._was_open or bool(self._listeners)
        if not supervised:
            # The pause grows with the attempts that callers caused.
            grown = self.settings.backoff_factor ** min(self._failures, 32)
            pause = min(self.settings.backoff_first * grown, self.settings.backoff_max)
        self._failures += 1
        self._last_error = error
        self._retry_at = time.monotonic() + pause
        self._set_state(ConnectionState.BACKOFF)
        # One warning per outage; the following attempts are routine.
        level = logging.WARNING if self._failures == 1 else logging.DEBUG
        _log.log(level, "cannot open %s: %s; next attempt in %.2f s", self.uri, error, pause)
        if supervised:
            self._changed.wait_for(self._is_closed, pause)
        if not supervised or self._is_closed():
            self._supervising = False
            return False
        self._set_state(ConnectionState.OPENING)
        return True

    def _is_closed(self) -> bool:
        return self._state is ConnectionState.CLOSED

    def _open(self) -> tuple[Any, VirtError | None]:
        eventloop.start()
        try:
            opener = libvirt.openReadOnly if self.readonly else libvirt.open
            raw = opener(self.uri)
        except libvirt.libvirtError as exc:
            return None, from_libvirt(exc)
        if self.settings.keepalive_interval:
            # In-process drivers have no wire to keep alive and say so.
            with contextlib.suppress(libvirt.libvirtError):
                raw.setKeepAlive(self.settings.keepalive_interval, self.settings.keepalive_count)
        with contextlib.suppress(libvirt.libvirtError):
            raw.registerCloseCallback(self._closed, None)
        return raw, None

    # -- loss -----------------------------------------------------------------------------------

    def _closed(self, raw: Any, reason: int, _opaque: object) -> None:
        """libvirt's close callback, on the event loop thread."""
        words = {0: "error", 1: "end of file", 2: "keep-alive timeout", 3: "client"}
        self._lost(raw, Unreachable(f"connection closed: {words.get(reason, reason)}"))

    def _is_dead(self, raw: Any, exc: Any) -> bool:
        if raw is not self._raw:
            return True
        try:
            if not raw.isAlive():
                return True
        except libvirt.libvirtError:
            return True
        # The wire failed but the client object has not noticed yet.
        return bool(
            exc.get_error_domain() == libvirt.VIR_FROM_RPC
            and exc.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR
        )

    def _lost(self, raw: Any, error: VirtError) -> None:
        with self._changed:
            if self._raw is not raw:
                return
            self._buried.append(raw)
            self._raw = None
            self._last_error = error
            self._start_opening()
        _log.warning("lost %s: %s", self.uri, error)

    def _bury(self) -> None:
        """Tell the listeners of lost connections and let go of them."""
        with self._changed:
            buried, self._buried = self._buried, []
            listeners = list(self._listeners)
        for raw in buried:
            for listener in listeners:
                self._tell(listener, None)
            _forget(raw)

    def _tell(self, listener: Listener, raw: Any) -> None:
        try:
            listener(raw)
        except Exception:
            _log.exception("listener of %s failed", self.uri)

    def _set_state(self, state: ConnectionState) -> None:
        if state is not self._state:
            self._state = state
            self._since = time.time()
        self._changed.notify_all()


def _forget(raw: Any) -> None:
    """Drop our part of a connection.

    Never `close()`: it would pull the handle away from other threads' calls. The connection ends
    when the last object that refers to it goes; the close callback is such a reference.
    """
    with contextlib.suppress(libvirt.libvirtError):
        raw.unregisterCloseCallback()
