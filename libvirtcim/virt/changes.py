# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changes of guests as transactions: what runs and what is defined change together, or not at all.

A change is worked out on copies (`Edit`) while the guests' locks are held; then libvirt is called step
by step. Where it refuses one step, those before it are taken back, in reverse.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import libvirt

from libvirtcim.virt import guestdata
from libvirtcim.virt.devids import devices
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.errors import Failed, GuestNotFound, Invalid, VirtError, from_libvirt
from libvirtcim.virt.host import Host
from libvirtcim.virt.xmlobject import XmlObject

T = TypeVar("T")
_log = logging.getLogger(__name__)

LIVE: int = libvirt.VIR_DOMAIN_AFFECT_LIVE
DEFINE = "Failed to define domain"
_NOT_KNOWN = frozenset(
    (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED)
)
"""Codes with which drivers refuse calls and flags that they don't have."""
_POLL = 0.05
"""Seconds between looks at a guest that is to release a device."""


class Refused(Failed):
    """libvirt refused a step: what was tried, and libvirt's own text."""


@dataclass(frozen=True, slots=True)
class Step:
    """A call to libvirt that changes a guest, and the call that takes it back.

    Both are given libvirt's handle of the guest. `what`: what is tried, for the error's text.
    """

    what: str
    do: Callable[[Any], object]
    undo: Callable[[Any], object]


@dataclass(slots=True)
class Edit:
    """A guest about to be changed.

    `before`, `config`: its definition, and the same to be edited; of a transient guest nobody keeps it.
    `live`: the definition of a guest that runs, to be edited together with the steps that do so.
    `live_steps`, `last_steps`: calls before and after the definition is stored.
    """

    host: Host
    name: str
    uuid: str
    persistent: bool
    before: str
    config: Domain
    live: Domain | None
    live_steps: list[Step] = field(default_factory=list)
    last_steps: list[Step] = field(default_factory=list)


def change(host: Host, names: Sequence[str], work_out: Callable[[Mapping[str, Edit]], T]) -> T:
    """Changes guests as `work_out` says, given an `Edit` of each by name; returns what it returns.

    Raises GuestNotFound with the guest's name as `guest` where there is none, `Refused` where
    libvirt refuses a step, and whatever `work_out` raises; nothing is changed then.
    """

    def run(raw: Any) -> T:
        domains = {name: _look_up(raw, name) for name in names}
        with ExitStack() as locks:
            for domain in sorted(domains.values(), key=lambda d: str(d.UUIDString())):
                locks.enter_context(
                    host.locks.hold(domain.UUIDString(), host.settings.lock_timeout)
                )
            edits = {name: _edit(host, domain) for name, domain in domains.items()}
            result = work_out(edits)
            steps = [
                (domains[name], step) for name, edit in edits.items() for step in _steps(raw, edit)
            ]
            _carry_out(steps)
            return result

    return host.connection.call(run, idempotent=False)


class NoSuchGuest(GuestNotFound):
    """The guest called `guest` does not exist."""

    def __init__(self, guest: str, error: VirtError) -> None:
        super().__init__(error.libvirt_message, error.code)
        self.guest = guest


def _look_up(raw: Any, name: str) -> Any:
    try:
        return raw.lookupByName(name)
    except libvirt.libvirtError as exc:
        error = from_libvirt(exc)
        if isinstance(error, GuestNotFound):
            raise NoSuchGuest(name, error) from exc
        raise


def _edit(host: Host, domain: Any) -> Edit:
    active = bool(domain.isActive())
    persistent = not active or bool(domain.isPersistent())
    secure: int = libvirt.VIR_DOMAIN_XML_SECURE
    live = domain.XMLDesc(secure) if active else None
    stored = domain.XMLDesc(secure | libvirt.VIR_DOMAIN_XML_INACTIVE) if persistent else live
    if stored is None:
        raise Invalid(f"guest {domain.name()} is gone")
    return Edit(
        host,
        domain.name(),
        domain.UUIDString(),
        persistent,
        stored,
        Domain.parse(stored),
        Domain.parse(live) if live is not None else None,
    )


def _steps(raw: Any, edit: Edit) -> list[Step]:
    steps = list(edit.live_steps)
    after = edit.config.to_xml()
    if after != edit.before and edit.persistent:
        steps.append(
            Step(
                DEFINE,
                lambda _domain: raw.defineXML(after),
                lambda _domain: raw.defineXML(edit.before),
            )
        )
    elif after != edit.before and not steps:
        raise Invalid(
            f"guest {edit.name} has no stored definition, and this can't be changed while it runs"
        )
    return steps + edit.last_steps


def _carry_out(steps: Sequence[tuple[Any, Step]]) -> None:
    done: list[tuple[Any, Step]] = []
    try:
        for domain, step in steps:
            _do(domain, step)
            done.append((domain, step))
    except BaseException:
        for domain, step in reversed(done):
            _take_back(domain, step)
        raise


def _do(domain: Any, step: Step) -> None:
    with _refusals(step.what):
        step.do(domain)


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    """What libvirt refuses in the block is `Refused`, with `what` before libvirt's text."""
    try:
        yield
    except libvirt.libvirtError as exc:
        error = from_libvirt(exc)
        raise Refused(f"{what}: {error.libvirt_message}", error.code) from exc


def _take_back(domain: Any, step: Step) -> None:
    try:
        step.undo(domain)
    except (libvirt.libvirtError, VirtError) as exc:
        _log.error("guest %s: %s could not be taken back: %s", domain.name(), step.what, exc)


# --- steps ----------------------------------------------------------------------------------------


def attach(what: str, edit: Edit, xml: str, kind: str, devid: str) -> Step:
    """Plugs a device into a guest that runs; `kind` and `devid` are what it is known by then."""
    return Step(
        what,
        lambda domain: domain.attachDeviceFlags(xml, LIVE),
        lambda domain: _detach(edit.host, domain, xml, kind, devid),
    )


def detach(what: str, edit: Edit, xml: str, kind: str, devid: str) -> Step:
    """Unplugs a device; waits until the guest has released it."""
    return Step(
        what,
        lambda domain: _detach(edit.host, domain, xml, kind, devid),
        lambda domain: domain.attachDeviceFlags(xml, LIVE),
    )


def _replaced(what: str, call: str, before: Any, after: Any, *more: Any) -> Step:
    """A call of libvirt's handle that gives something another value; taken back with the one before."""
    return Step(
        what,
        lambda domain: getattr(domain, call)(after, *more),
        lambda domain: getattr(domain, call)(before, *more),
    )


def update(what: str, device: XmlObject, write: Callable[[Any], None]) -> list[Step]:
    """Changes a device of a guest that runs as `write` does its definition; no step if that stays."""
    before = device.to_xml()
    write(device)
    after = device.to_xml()
    return [] if after == before else [_replaced(what, "updateDeviceFlags", before, after, LIVE)]


def set_memory(what: str, before: int, after: int) -> Step:
    """Changes the memory, in KiB, of a guest that runs."""
    return _replaced(what, "setMemoryFlags", before, after, LIVE)


def set_vcpus(what: str, before: int, after: int) -> Step:
    """Changes the number of virtual CPUs of a guest that runs."""
    return _replaced(what, "setVcpusFlags", before, after, LIVE)


def set_autostart(what: str, before: bool, after: bool) -> Step:
    """Sets whether the guest starts with the host."""
    return _replaced(what, "setAutostart", int(before), int(after))


def set_scheduler(what: str, values: Mapping[str, int]) -> Step:
    """Changes scheduler parameters of a guest that runs."""
    before: dict[str, int] = {}

    def do(domain: Any) -> None:
        known = _of_running(domain, "schedulerParameters")
        before.update({name: known[name] for name in values if name in known})
        _of_running(domain, "setSchedulerParameters", dict(values))

    return Step(
        what, do, lambda domain: _of_running(domain, "setSchedulerParameters", dict(before))
    )


def keep_data(what: str, edit: Edit) -> list[Step]:
    """Gives what runs libvirtcim's own data of the definition; no step if they are the same.

    What runs is what is read, and written back with each requested state.
    """
    before, after = (
        guestdata.stored(view, edit.name, edit.uuid, edit.host.side_files)
        for view in (edit.live, edit.config)
        if view is not None
    )
    if before == after:
        return []
    return [
        Step(
            what,
            lambda domain: guestdata.set_element(domain, after, LIVE),
            lambda domain: guestdata.set_element(domain, before, LIVE),
        )
    ]


def _of_running(domain: Any, call: str, *arguments: Any) -> Any:
    """A call about the guest that runs; drivers that refuse the flag for that (Xen) mean it anyway."""
    try:
        return getattr(domain, f"{call}Flags")(*arguments, LIVE)
    except libvirt.libvirtError as exc:
        if exc.get_error_code() not in _NOT_KNOWN:
            raise
    return getattr(domain, call)(*arguments)


def _detach(host: Host, domain: Any, xml: str, kind: str, devid: str) -> None:
    """Counts the devices of the kind: the id of one that is gone may become that of the next."""
    before = _count(domain, kind)
    domain.detachDeviceFlags(xml, LIVE)
    until = time.monotonic() + host.settings.unplug_timeout
    while not _released(domain, kind, devid, before):
        if time.monotonic() > until:
            raise Refused(
                f"guest {domain.name()} doesn't release {devid} within "
                f"{host.settings.unplug_timeout:g} s"
            )
        time.sleep(_POLL)


def _released(domain: Any, kind: str, devid: str, before: int) -> bool:
    """Whether a guest has a device less; not while libvirt doesn't tell, since it may go any time."""
    try:
        return _count(domain, kind) < before
    except libvirt.libvirtError as exc:
        _log.info("guest %s: not known whether it has released %s: %s", domain.name(), devid, exc)
        return False


def _count(domain: Any, kind: str) -> int:
    return len(devices(Domain.view(domain.XMLDesc(0)), kind))


# --- whole guests ---------------------------------------------------------------------------------

UNDEFINE: int = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)
"""What goes with a definition: saved state, libvirt's knowledge of snapshots, firmware variables."""


def define(host: Host, xml: str, *, autostart: bool) -> None:
    """Defines a new guest; where autostart can't be set, it is gone again.

    Raises `Refused` with libvirt's text.
    """

    def run(raw: Any) -> None:
        with _refusals(DEFINE):
            domain = raw.defineXML(xml)
        if autostart:
            try:
                domain.setAutostart(1)
            except libvirt.libvirtError:
                _undefine(domain)
                raise

    host.connection.call(run, idempotent=False)


def remove(host: Host, name: str) -> None:
    """Switches a guest off and removes its definition; its disks stay.

    Raises GuestNotFound where there is none.
    """

    def run(raw: Any) -> None:
        domain = raw.lookupByName(name)
        with host.locks.hold(domain.UUIDString(), host.settings.lock_timeout):
            persistent = domain.isPersistent()
            if domain.isActive():
                domain.destroy()
            if persistent:
                _undefine(domain)

    host.connection.call(run, idempotent=False)


UNDEFINE_BY_DRIVER = (
    UNDEFINE,
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA,
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE,  # Xen
)
"""What drivers can be asked for, most first: each refuses flags that it doesn't know."""


def _undefine(domain: Any) -> None:
    for flags in UNDEFINE_BY_DRIVER:
        try:
            domain.undefineFlags(flags)
        except libvirt.libvirtError as exc:
            if exc.get_error_code() not in _NOT_KNOWN:
                raise
        else:
            return
    domain.undefine()  # a driver that has none of these things
