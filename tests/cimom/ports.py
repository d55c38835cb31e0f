# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ports for servers of tests."""

from __future__ import annotations

import contextlib
import random
import socket


def free_port() -> int:
    """A port of those that no client is given: it stays free while the server is being restarted."""
    for port in random.sample(range(15000, 32000), 100):
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                tried.bind(("127.0.0.1", port))
                return port
    raise AssertionError("no free port")
