# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recorded changes of guests that run or are paused, and their ends, made again on a real libvirt."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import libvirt
import libvirt_lxc

from libvirtcim.cim.broker import Broker
from tests.hypervisor import wait_until
from tests.recorded import methods

STATES = (libvirt.VIR_DOMAIN_XML_INACTIVE, 0)
"""The stored definition, and that in force."""
_CHOSEN = re.compile(
    r"(?<=<domain type='qemu') id='\d+'| (portid|index)='[^']*'|'vnet\d+'|'macvtap\d+'"
)
"""What libvirt chooses anew each time."""
_LEFT_OUT = ("<address ", "<alias ", "<backingStore/>")


def has_init(container: Any) -> bool:
    """Whether libvirt knows the first process of a container, which its devices need."""
    try:
        namespaces = libvirt_lxc.lxcOpenNamespace(container, 0)
    except libvirt.libvirtError:
        return False
    for handle in namespaces:
        os.close(handle)
    return True


@dataclass
class Real:
    """A hypervisor and a broker over it."""

    raw: Any
    broker: Broker

    def start_from(self, text: str, state: str) -> None:
        """Has exactly one guest, with that definition, in that state."""
        self.clear()
        domain = self.raw.defineXML(text)
        if state in ("running", "paused"):
            domain.create()
            if self.raw.getType() == "LXC":
                wait_until(lambda: has_init(domain), "the container has its first process")
        if state == "paused":
            domain.suspend()

    def clear(self) -> None:
        """Has no guests."""
        for domain in self.raw.listAllDomains():
            persistent = domain.isPersistent()
            if domain.isActive():
                domain.destroy()
            if persistent:
                domain.undefine()

    def text(self, name: str, flags: int) -> list[str]:
        """A definition by lines, without what libvirt chooses anew each time."""
        secure: int = libvirt.VIR_DOMAIN_XML_SECURE
        return [
            line
            for line in map(plain, self.raw.lookupByName(name).XMLDesc(flags | secure).splitlines())
            if line
        ]


def plain(line: str) -> str:
    """A line without what libvirt chooses anew each time; "" where that is all it says."""
    return "" if line.strip().startswith(_LEFT_OUT) else _CHOSEN.sub("", line)


def changed(before: list[str], after: list[str]) -> list[str]:
    """The lines that went and came."""
    lines = difflib.ndiff(before, after)
    return [line[0] + line[2:] for line in lines if line.startswith(("+", "-"))]


def recorded_lines(difference: str) -> list[str]:
    """The same of a recorded difference."""
    kept = [line for line in difference.splitlines() if line.startswith(("+", "-"))]
    return [line[0] + plain(line[1:]) for line in kept if plain(line[1:])]


def unlike(recorded: list[str], ours: list[str], what: str) -> Iterator[str]:
    """`-`: changed then and not now; `+`: changed now and not then."""
    yield from (f"{what} -{line}" for line in recorded if line not in ours)
    yield from (f"{what} +{line}" for line in ours if line not in recorded)


def differences(row: dict[str, Any], host: Real, name: str) -> Iterator[str]:
    """Each respect in which a change is answered differently, or does something else."""
    before = [host.text(name, flags) for flags in STATES]
    expected, failed = row.get("error"), methods.call(row, host.broker)
    yield from methods.answers_unlike(expected, failed)
    domain = row["domains"].get(name, {})
    for flags, lines, key in zip(STATES, before, ("diff", "live_diff"), strict=True):
        ours = changed(lines, host.text(name, flags))
        yield from unlike(recorded_lines(domain.get(key, "")), ours, key)
