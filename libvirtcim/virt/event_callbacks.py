# SPDX-License-Identifier: LGPL-2.1-or-later
"""Callbacks of libvirt's events of one kind of objects, registered with one connection."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import libvirt

_log = logging.getLogger(__name__)

Callback = Callable[..., None]
"""Called with libvirt's connection, the object, what the event tells, and None."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """How libvirt names what belongs to the events of one kind of objects.

    `calls`: how its functions begin that register callbacks; `ids`: how the events' numbers begin.
    """

    calls: str
    ids: str


DOMAIN = EventKind("domain", "VIR_DOMAIN_EVENT_ID_")
STORAGE_POOL = EventKind("storagePool", "VIR_STORAGE_POOL_EVENT_ID_")
NETWORK = EventKind("network", "VIR_NETWORK_EVENT_ID_")


class Registration:
    """The callbacks that are registered with one libvirt connection, by the events' names."""

    def __init__(self, raw: Any, kind: EventKind, callbacks: Mapping[str, Callback]) -> None:
        self._raw = raw
        self._kind = kind
        self._callbacks = callbacks
        self._ids: list[int] = []

    def begin(self) -> None:
        """Registers them; raises libvirtError where the connection is lost."""
        for name, callback in self._callbacks.items():
            self._register(name, callback)

    def _register(self, name: str, callback: Callback) -> None:
        number = getattr(libvirt, f"{self._kind.ids}{name}")
        register = getattr(self._raw, f"{self._kind.calls}EventRegisterAny")
        try:
            self._ids.append(register(None, number, callback, None))
        except libvirt.libvirtError as error:
            if not self._raw.isAlive():
                raise
            uri = self._raw.getURI()
            _log.info("no %s events of %ss of %s: %s", name, self._kind.calls, uri, error)

    def end(self) -> None:
        """Takes the callbacks back, from a dead connection too: they would keep it."""
        deregister = getattr(self._raw, f"{self._kind.calls}EventDeregisterAny")
        for number in self._ids:
            with contextlib.suppress(libvirt.libvirtError):
                deregister(number)
        self._ids.clear()
