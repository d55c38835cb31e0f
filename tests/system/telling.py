# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a server tells a listener of guests, in words that tests compare."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import libvirt
import pywbem

from tests.cimom.listener import Listener, subscribed
from tests.hypervisor import qemu_guest

GUESTS = tuple(
    f"KVM_{subject}{change}Indication"
    for subject in ("ComputerSystem", "ResourceAllocationSettingData")
    for change in ("Created", "Modified", "Deleted")
)
EVERYTHING = ("CIM_InstCreation", "CIM_InstModification", "CIM_InstDeletion")
MARKER = "marker"
_CLASS = re.compile(r"KVM_(\w+?)(Created|Modified|Deleted)Indication")
_STATE = {
    "ComputerSystem": "EnabledState",
    "ComputerSystemMigrationJob": "JobState",
    "ResourceAllocationSettingData": None,
}


def words(one: pywbem.CIMInstance) -> str:
    """An indication in words: what has changed, how, and between which states."""
    match = _CLASS.fullmatch(one.classname)
    assert match is not None, one.classname
    subject, change = match.groups()
    after = one["SourceInstance"]
    state = _STATE[subject]
    if state is None:
        return f"{change} {after['InstanceID']}"
    name = after["Name"] if subject == "ComputerSystem" else subject
    if change == "Modified":
        return f"{change} {name} {one['PreviousInstance'][state]}->{after[state]}"
    return f"{change} {name} {after[state]}"


class Told:
    """What a listener was told until now, without what the means of waiting for it bring."""

    def __init__(self, listener: Listener, raw: Any) -> None:
        self._listener = listener
        self._raw = raw
        self._seen = 0

    def settle(self) -> list[pywbem.CIMInstance]:
        """What has come since the last call, of everything that has happened until now."""
        begin = self._seen
        domain = self._raw.defineXML(qemu_guest(MARKER))
        self._listener.until(lambda came: _has_told("Created", came[begin:]))
        domain.undefine()
        came = self._listener.until(lambda came: _has_told("Deleted", came[begin:]))
        self._seen = len(came)
        return [one for one in came[begin:] if not _is_marker(one)]

    def words(self) -> list[str]:
        """The same in words."""
        return [words(one) for one in self.settle()]

    def wait(self, count: int) -> None:
        """Waits until so many have come since `settle`."""
        self._listener.until(lambda came: len(came) - self._seen >= count)


def _is_marker(one: pywbem.CIMInstance) -> bool:
    return words(one).split()[1].partition("/")[0] == MARKER


def _has_told(change: str, came: Iterable[pywbem.CIMInstance]) -> bool:
    """Whether both sources, that of guests and that of resources, have told of the marker."""
    said = {tuple(words(one).split()[:2]) for one in came}
    return {(change, MARKER), (change, f"{MARKER}/mem")} <= said


@contextmanager
def told(
    client: pywbem.WBEMConnection,
    raw: Any,
    classes: Iterable[str] = GUESTS,
    listener: Listener | None = None,
) -> Iterator[Told]:
    """A listener that is subscribed to the classes; `raw`: libvirt's connection to the hypervisor."""
    listener = listener or Listener()
    with subscribed(client, listener, classes):
        yield Told(listener, raw)


def act_of(name: str, *arguments: Any) -> Callable[[libvirt.virDomain], Any]:
    """Calls a method of libvirt's guest."""
    return lambda domain: getattr(domain, name)(*arguments)
