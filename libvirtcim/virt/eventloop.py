# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirt's default event loop, registered once per process and run by one daemon thread.

It must be registered before the first connection is opened (libvirt ties a connection to the loop
at open), so `connection` calls `start()` before every open. It carries keep-alive, close callbacks
and domain events, and never stops.
"""

from __future__ import annotations

import logging
import threading
import time

import libvirt

_log = logging.getLogger(__name__)
_lock = threading.Lock()
_thread: threading.Thread | None = None

# After a failure of the loop itself (never seen) the thread pauses, so that it can't spin.
_FAILURE_PAUSE_SECONDS = 1.0
# Every remote call wakes the loop twice to hand it the socket and take it back, and the loop then
# competes with the callers for the interpreter lock: without a pause between its turns, 500 calls take
# twice as long. Events and keep-alive wait for the pause at most. A turn takes one message of each
# connection: while events come there is no pause, else 200 a second would be all that gets through.
_TURN_PAUSE_SECONDS = 0.005
_events_come = False


def start() -> None:
    """Make sure that the event loop is registered and running."""
    global _thread
    with _lock:
        if _thread is not None:
            return
        libvirt.virEventRegisterDefaultImpl()
        _thread = threading.Thread(target=_run, name="libvirt-events", daemon=True)
        _thread.start()


def event_came() -> None:
    """Said by callbacks of events, so that the next ones don't wait."""
    global _events_come
    _events_come = True


def _run() -> None:
    global _events_come
    pause = threading.Event()
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as exc:
            _log.error("libvirt event loop: %s", exc)
            pause.wait(_FAILURE_PAUSE_SECONDS)
        if not _events_come:
            time.sleep(_TURN_PAUSE_SECONDS)
        _events_come = False
