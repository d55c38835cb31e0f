# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirt that refuses one call: every call in turn, to see that a request then changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import libvirt
import pytest

from libvirtcim.cim.errors import CIMError
from libvirtcim.virt.connection import Connection
from tests.standin import libvirt_error

MAX_CALLS = 300
"""More calls of libvirt than any request makes."""


class Faults:
    """Counts calls of libvirt; the one whose number is `at` is refused, with nothing done."""

    def __init__(self) -> None:
        self.at = 0
        self.refused = ""
        self._count = 0
        self._lock = threading.Lock()

    @contextmanager
    def armed(self, at: int) -> Iterator[None]:
        """In the block, call number `at` is refused."""
        self.at, self.refused, self._count = at, "", 0
        try:
            yield
        finally:
            self.at = 0

    def call(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Makes a call, or refuses it."""
        with self._lock:
            self._count += 1
            due = self._count == self.at
        if due:
            self.refused = name
            raise libvirt_error(libvirt.VIR_ERR_OPERATION_FAILED, f"{name} is refused")
        return self.wrapped(function(*arguments))

    def wrapped(self, value: Any) -> Any:
        """libvirt's objects so that calls of theirs count too; anything else as it is."""
        if isinstance(value, list | tuple):
            return type(value)(map(self.wrapped, value))
        is_handle = type(value).__module__ == "libvirt" and type(value).__name__.startswith("vir")
        return _Handle(value, self) if is_handle else value


class _Handle:
    """One of libvirt's objects, whose calls count."""

    def __init__(self, real: Any, faults: Faults) -> None:
        self._real = real
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._real, name)
        return lambda *arguments: self._faults.call(name, function, *arguments)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """Refuses calls of all connections."""
    found, once = Faults(), Connection._once

    def counted(self: Connection, function: Callable[[Any], Any]) -> Any:
        return once(self, lambda raw: function(found.wrapped(raw)))

    monkeypatch.setattr(Connection, "_once", counted)
    return found


def refuse_each_call(
    faults: Faults,
    request: Callable[[], object],
    state: Callable[[], Any],
    reset: Callable[[], None],
) -> list[str]:
    """Makes a request again and again, with one more call of libvirt let through each time, until it passes.

    Asserts that the state is as before whenever the request fails. `reset`: restores it after a request
    that succeeds, also if it does although a call was refused. Returns the calls that were refused.
    """
    refused = []
    before = state()
    request()  # what is asked once for a connection has been asked now
    reset()
    for at in range(1, MAX_CALLS):
        assert state() == before
        failed: CIMError | None = None
        with faults.armed(at):
            try:
                request()
            except CIMError as error:
                failed = error
        if not faults.refused:
            assert failed is None
            assert state() != before, "the request changes nothing at all"
            return refused
        refused.append(faults.refused)
        if failed is None:
            reset()
        assert state() == before, f"changed, though call {at}, {faults.refused}, was refused"
    raise AssertionError(f"more than {MAX_CALLS} calls")
