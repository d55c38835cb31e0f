# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starting, stopping and resetting guests.

Every function takes the host and the guest's name, holds the guest's lock while it works, raises
`VirtError`, and is never repeated after a lost connection. Whether a change is allowed in the
guest's state is the caller's rule; libvirt's own refusals arrive as `Invalid`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import libvirt

from libvirtcim.virt import guestdata
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.errors import Invalid
from libvirtcim.virt.families import Family
from libvirtcim.virt.guestdata import GuestData
from libvirtcim.virt.host import Host

T = TypeVar("T")
_log = logging.getLogger(__name__)


def _change(host: Host, name: str, function: Callable[[Any, Any], T]) -> T:
    """Run `function(virConnect, virDomain)` under the guest's lock, once."""

    def run(raw: Any) -> T:
        domain = raw.lookupByName(name)
        with host.locks.hold(domain.UUIDString(), host.settings.lock_timeout):
            return function(raw, domain)

    return host.connection.call(run, idempotent=False)


def start(host: Host, name: str) -> None:
    """Start a guest that is off, then apply its stored scheduler values."""

    def run(_raw: Any, domain: Any) -> None:
        domain.create()
        _apply_scheduler(host, domain)

    _change(host, name, run)


def resume(host: Host, name: str) -> None:
    """Let a paused guest run on."""
    _change(host, name, lambda _raw, domain: domain.resume())


def suspend(host: Host, name: str) -> None:
    """Pause a running guest."""
    _change(host, name, lambda _raw, domain: domain.suspend())


def destroy(host: Host, name: str) -> None:
    """Switch a guest off hard; a transient guest is gone then."""
    _change(host, name, lambda _raw, domain: domain.destroy())


def shutdown(host: Host, name: str) -> None:
    """Ask the guest to shut down; returns before it has."""
    _change(host, name, lambda _raw, domain: domain.shutdown())


def reboot(host: Host, name: str) -> None:
    """Ask the guest to reboot; returns before it has."""
    _change(host, name, lambda _raw, domain: domain.reboot(0))


def reset(host: Host, name: str) -> None:
    """Switch a guest off and on again.

    A persistent guest comes back from its stored definition; a transient one is made anew, as a
    transient guest, from the definition it ran with. Stored scheduler values are applied again.
    """

    def run(raw: Any, domain: Any) -> None:
        if domain.isPersistent():
            domain.destroy()
            domain.create()
            _apply_scheduler(host, domain)
            return
        text = domain.XMLDesc(host.connection.xml_flags())
        domain.destroy()
        _apply_scheduler(host, raw.createXML(text, 0))

    _change(host, name, run)


def scheduler_values(family: Family, data: GuestData) -> dict[str, int]:
    """The scheduler parameters that a guest's stored data ask for; zero means not set."""
    values: dict[str, int] = {}
    if family.weight_parameter and data.weight:
        values[family.weight_parameter] = data.weight
    if family.limit_parameter and data.limit:
        values[family.limit_parameter] = data.limit
    return values


def _apply_scheduler(host: Host, domain: Any) -> None:
    """Give the running guest its stored scheduler values; it runs on if libvirt refuses them."""
    if not (host.family.weight_parameter or host.family.limit_parameter):
        return
    try:
        view = Domain.view(domain.XMLDesc(0))
        data = guestdata.stored(view, domain.name(), domain.UUIDString(), host.side_files)
        values = scheduler_values(host.family, data)
        if values:
            domain.setSchedulerParameters(values)
    except (libvirt.libvirtError, Invalid) as exc:
        _log.warning("scheduler values of guest %s not applied: %s", domain.name(), exc)
