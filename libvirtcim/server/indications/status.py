# SPDX-License-Identifier: LGPL-2.1-or-later
"""How deliveries stand, in a small file beside the subscriptions: for `libvirtcim doctor`."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)


class StatusFile:
    """The file that goes with a file of subscriptions; None: there is none, and nothing is written."""

    def __init__(self, subscriptions: Path | None) -> None:
        self._path = subscriptions and subscriptions.with_name(f"{subscriptions.name}.status")
        self._written: str | None = None

    def write(
        self, destinations: Sequence[dict[str, Any]], sources: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Replaces the content, if it has changed; without destinations no file is begun.

        `sources`: what is counted where indications come from.
        """
        content = {"pid": os.getpid(), "destinations": destinations, "sources": sources}
        text = json.dumps(content, indent=1)
        first_of_none = not destinations and self._written is None
        if self._path is None or text == self._written or first_of_none:
            return
        fresh = self._path.with_name(f"{self._path.name}.new")
        try:
            with os.fdopen(
                os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"
            ) as out:
                out.write(text)
            fresh.replace(self._path)
        except OSError as error:
            _log.warning("%s can't be written: %s", self._path, error.strerror)
        self._written = text

    def read(self) -> dict[str, Any] | None:
        """`pid` of the server, `destinations` (as `Sender.status`), `sources`; None: nothing is known."""
        if self._path is None:
            return None
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        whole = isinstance(found, dict) and {"pid", "destinations", "sources"} <= found.keys()
        return found if whole else None
