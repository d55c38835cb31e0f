# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a server tells a listener of guests and pools, in words that tests compare."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import libvirt
import pywbem

from tests.cimom.listener import Listener, subscribed
from tests.hypervisor import qemu_guest
from tests.subscribing import directory_pool, isolated_network

GUESTS = tuple(
    f"KVM_{subject}{change}Indication"
    for subject in ("ComputerSystem", "ResourceAllocationSettingData")
    for change in ("Created", "Modified", "Deleted")
)
POOLS = tuple(
    f"KVM_ResourcePool{change}Indication" for change in ("Created", "Modified", "Deleted")
)
EVERYTHING = ("CIM_InstCreation", "CIM_InstModification", "CIM_InstDeletion")
MARKER = "marker"
_CLASS = re.compile(r"KVM_(\w+?)(Created|Modified|Deleted)Indication")
_STATE: dict[str, Callable[[pywbem.CIMInstance], Any] | None] = {
    "ComputerSystem": lambda one: one["EnabledState"],
    "ComputerSystemMigrationJob": lambda one: one["JobState"],
    "ResourceAllocationSettingData": None,
    "ResourcePool": lambda one: one["OperationalStatus"][0],
}
_NAMED = {"ComputerSystem": "Name", "ResourcePool": "InstanceID"}
"""What is called by a property; others by their kind."""


def words(one: pywbem.CIMInstance) -> str:
    """An indication in words: what has changed, how, and between which states."""
    match = _CLASS.fullmatch(one.classname)
    assert match is not None, one.classname
    subject, change = match.groups()
    after = one["SourceInstance"]
    state = _STATE[subject]
    if state is None:
        return f"{change} {after['InstanceID']}"
    name = after[_NAMED[subject]] if subject in _NAMED else subject
    if change == "Modified":
        return f"{change} {name} {state(one['PreviousInstance'])}->{state(after)}"
    return f"{change} {name} {state(after)}"


@dataclass(frozen=True)
class Marker:
    """Something that comes and goes, so that what happened before it has been told.

    `define`: makes it, with libvirt's connection; `names`: what it is called in words.
    """

    define: Callable[[Any], Iterable[Any]]
    names: frozenset[str]

    def told(self, change: str, came: Iterable[pywbem.CIMInstance]) -> bool:
        """Whether all sources have told of it."""
        said = {tuple(words(one).split()[:2]) for one in came}
        return {(change, name) for name in self.names} <= said


MARKER_GUEST = Marker(
    lambda raw: [raw.defineXML(qemu_guest(MARKER))], frozenset({MARKER, f"{MARKER}/mem"})
)
MARKER_POOLS = Marker(
    lambda raw: [
        raw.storagePoolDefineXML(directory_pool(MARKER, "/nowhere")),
        raw.networkDefineXML(isolated_network(MARKER, "10.66.66.1")),
    ],
    frozenset({f"DiskPool/{MARKER}", f"NetworkPool/{MARKER}"}),
)


class Told:
    """What a listener was told until now, without what the means of waiting for it bring."""

    def __init__(self, listener: Listener, raw: Any, marker: Marker = MARKER_GUEST) -> None:
        self._listener = listener
        self._raw = raw
        self._marker = marker
        self._seen = 0

    def settle(self) -> list[pywbem.CIMInstance]:
        """What has come since the last call, of everything that has happened until now."""
        begin = self._seen
        handles = self._marker.define(self._raw)
        self._listener.until(lambda came: self._marker.told("Created", came[begin:]))
        for handle in handles:
            handle.undefine()
        came = self._listener.until(lambda came: self._marker.told("Deleted", came[begin:]))
        self._seen = len(came)
        return [one for one in came[begin:] if not _is_marker(one)]

    def words(self) -> list[str]:
        """The same in words."""
        return [words(one) for one in self.settle()]

    def words_by(self, raw: Any) -> list[str]:
        """The same by another connection, as libvirtd has been started anew."""
        self._raw = raw
        return self.words()

    def wait(self, count: int) -> None:
        """Waits until so many have come since `settle`."""
        self._listener.until(lambda came: len(came) - self._seen >= count)


def _is_marker(one: pywbem.CIMInstance) -> bool:
    return MARKER in words(one).split()[1].split("/")


@contextmanager
def told(
    client: pywbem.WBEMConnection,
    raw: Any,
    classes: Iterable[str] = GUESTS,
    listener: Listener | None = None,
    marker: Marker = MARKER_GUEST,
) -> Iterator[Told]:
    """A listener that is subscribed to the classes; `raw`: libvirt's connection to the hypervisor."""
    listener = listener or Listener()
    with subscribed(client, listener, classes):
        yield Told(listener, raw, marker)


def act_of(name: str, *arguments: Any) -> Callable[[libvirt.virDomain], Any]:
    """Calls a method of libvirt's guest."""
    return lambda domain: getattr(domain, name)(*arguments)
