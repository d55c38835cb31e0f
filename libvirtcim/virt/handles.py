# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lists of libvirt's objects, and what is read of each: some drivers know none, some objects vanish."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import libvirt

T = TypeVar("T")
_log = logging.getLogger(__name__)


def listed(list_all: Callable[[int], Iterable[Any]], flags: int = 0) -> list[Any]:
    """The handles in libvirt's order; none where the driver has no such objects."""
    try:
        return list(list_all(flags))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            return []
        raise


def readable(raw: Any, handles: Iterable[Any], read: Callable[[Any], T], what: str) -> list[T]:
    """What is read of each; one that can't be read, as it vanished meanwhile, is left out.

    `what`: the kind of objects, for the log. Raises libvirtError where the connection is lost.
    """
    found = []
    for handle in handles:
        try:
            found.append(read(handle))
        except libvirt.libvirtError as error:
            if not raw.isAlive():
                raise
            _log.info("%s %s left out: %s", what, handle.name(), error)
    return found
