# SPDX-License-Identifier: LGPL-2.1-or-later
"""Making, changing and deleting network filters.

Every function raises `VirtError` and is never repeated after a lost connection. A filter is changed under its
lock and edited, never rewritten: what a change doesn't name survives byte for byte.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import libvirt

from libvirtcim.virt.errors import Exists, Failed, Invalid
from libvirtcim.virt.host import Host
from libvirtcim.virt.nwfilter import Filter, FilterDefinition, filter_of

_log = logging.getLogger(__name__)


def create(host: Host, definition: FilterDefinition) -> Filter:
    """Define a new filter; returns it as libvirt has it.

    Raises Exists where there is one of its name. One whose name libvirt doesn't give back as it was
    given is removed again: libvirt 9 doesn't escape names, so nobody could read it.
    """
    name, text = definition.name or "", definition.to_xml()

    def make(raw: Any) -> Filter:
        with _lock(host, name):
            _check_free(raw, name)
            handle = raw.nwfilterDefineXML(text)
            try:
                return _made(handle, name)
            except BaseException:
                _take_away(handle)
                raise

    return host.connection.call(make, idempotent=False)


def change(
    host: Host,
    name: str,
    edit: Callable[[FilterDefinition], None],
    check: Callable[[Filter], None] = lambda _made: None,
) -> Filter:
    """Change a filter as `edit` does its definition; returns it as libvirt has it then.

    Raises whatever `edit` raises; and what `check` raises of the changed filter, which then is as before.
    """

    def run(raw: Any) -> Filter:
        with _lock(host, name):
            handle = raw.nwfilterLookupByName(name)
            before = handle.XMLDesc(0)
            definition = FilterDefinition.parse(before)
            edit(definition)
            after = definition.to_xml()
            if after == before:
                return filter_of(handle)
            raw.nwfilterDefineXML(after)
            try:
                made = filter_of(handle)
                check(made)
            except BaseException:
                _take_back(raw, name, before)
                raise
            return made

    return host.connection.call(run, idempotent=False)


def delete(host: Host, name: str) -> None:
    """Remove a filter; libvirt refuses it while a guest that runs uses it."""

    def run(raw: Any) -> None:
        with _lock(host, name):
            raw.nwfilterLookupByName(name).undefine()

    host.connection.call(run, idempotent=False)


def _lock(host: Host, name: str) -> AbstractContextManager[None]:
    return host.filter_locks.hold(name, host.settings.lock_timeout)


def _check_free(raw: Any, name: str) -> None:
    try:
        raw.nwfilterLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_NWFILTER:
            raise
    else:
        raise Exists(f"filter {name!r} already exists", None)


def _made(handle: Any, name: str) -> Filter:
    """A filter that was just made; raises Failed where it is not as it should be."""
    try:
        found = filter_of(handle)
    except Invalid:
        found = None
    if found is None or found.view.name != name:
        raise Failed(f"libvirt can't keep a filter named {name!r}")
    return found


def _take_away(handle: Any) -> None:
    try:
        handle.undefine()
    except libvirt.libvirtError as error:
        _log.error("a filter that was made could not be removed: %s", error)


def _take_back(raw: Any, name: str, before: str) -> None:
    try:
        raw.nwfilterDefineXML(before)
    except libvirt.libvirtError as error:
        _log.error("filter %s: a change could not be taken back: %s", name, error)
