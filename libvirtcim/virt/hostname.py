# SPDX-License-Identifier: LGPL-2.1-or-later
"""The name of this host, as managers know it.

The rule: gethostname; if it has no dot it is resolved, and the first alias with a dot and without
"localhost" is taken; else the canonical name if it has no "localhost"; else the short name if that
has none; else "unknown".
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

# Resolving may ask a name server, so the answer is kept a little while.
CACHE_SECONDS = 60.0

Resolver = Callable[[str], tuple[str, list[str]]]


def _resolve(name: str) -> tuple[str, list[str]]:
    """Canonical name and aliases; an empty name when it can't be resolved."""
    try:
        canonical, aliases, _addresses = socket.gethostbyname_ex(name)
    except OSError:
        return "", []
    return canonical, aliases


def full_name(short: str, resolve: Resolver = _resolve) -> str:
    """The full name of the host that calls itself `short`."""
    if "." in short:
        return short
    canonical, aliases = resolve(short)
    for alias in aliases:
        if "." in alias and "localhost" not in alias:
            return alias
    if canonical and "localhost" not in canonical:
        return canonical
    return short if short and "localhost" not in short else "unknown"


def short_name() -> str:
    """What gethostname says, "localhost" when it fails."""
    try:
        return socket.gethostname() or "localhost"
    except OSError:
        return "localhost"


class HostName:
    """The host's full name, resolved at most once in CACHE_SECONDS; `override` replaces it."""

    def __init__(self, override: str | None = None) -> None:
        self.override = override
        self._lock = threading.Lock()
        self._short = ""
        self._full = ""
        self._until = 0.0

    def get(self) -> str:
        """The full name now."""
        if self.override:
            return self.override
        short = short_name()
        now = time.monotonic()
        with self._lock:
            if short != self._short or now >= self._until:
                self._full = full_name(short)
                self._short, self._until = short, now + CACHE_SECONDS
            return self._full
