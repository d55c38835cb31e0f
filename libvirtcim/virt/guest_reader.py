# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests of one hypervisor, read in bulk or one at a time.

Every answer is fresh: state comes from libvirt each time, in one call where the driver can; XML is
fetched each time, several calls in flight, but parsed only when its text changed. The cache holds a
digest and the frozen view per guest, and only of guests that exist.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Self

import libvirt

from libvirtcim.virt.connection import Connection
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.errors import Busy, VirtError
from libvirtcim.virt.fanout import FanOut, Late
from libvirtcim.virt.guest import NOSTATE, Guest, Needs, bare_view

_log = logging.getLogger(__name__)


class _Wants:
    """`Needs` taken apart once, not once per guest: a flag's operators are slow."""

    __slots__ = ("config", "documents", "live", "memory", "numbers", "scheduler", "vcpus")

    def __init__(self, needs: Needs) -> None:
        self.live = Needs.LIVE in needs
        self.config = Needs.CONFIG in needs
        self.vcpus = Needs.VCPUS in needs
        self.memory = Needs.MEMORY in needs
        self.scheduler = Needs.SCHEDULER in needs
        self.numbers = self.vcpus or self.memory
        self.documents = self.live or self.config or self.scheduler


@dataclass(frozen=True, slots=True)
class _Answers:
    """What libvirt said of one guest; of a guest that is off, `config` is all there is."""

    state: int
    vcpus: int | None
    memory_kib: int | None
    live: str | None
    config: str | None
    shares: int | None


@dataclass(slots=True)
class _Known:
    """What the cache keeps of a guest: digest and view per document, and the last snapshot."""

    views: dict[str, tuple[bytes, Domain]] = field(default_factory=dict)
    guest: Guest | None = None


class GuestReader:
    """Reads a hypervisor's guests, and keeps what it has parsed of them. Thread-safe.

    `deadline`: seconds to wait for libvirt's answer about one guest. `fan_out` is the reader's to close.
    """

    def __init__(self, connection: Connection, fan_out: FanOut, deadline: float) -> None:
        self._connection = connection
        self._fan_out = fan_out
        self._deadline = deadline
        self._known: dict[str, _Known] = {}
        self._stuck: set[str] = set()
        self._bulk_stats = True
        self._nowait: int = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        self._lock = threading.Lock()

    def all(self, raw: Any, needs: Needs) -> list[Guest]:
        """All guests of libvirt's connection `raw`; see `Host.guests`."""
        states = self._bulk_states(raw)
        if states is None:
            domains = raw.listAllDomains(0)
            state_of: dict[str, int] = {}
        else:
            domains = [domain for domain, _state in states]
            state_of = {domain.UUIDString(): state for domain, state in states}
        domains.sort(key=lambda domain: domain.ID() != -1)
        active = any(domain.ID() != -1 for domain in domains)
        inactive = any(domain.ID() == -1 for domain in domains)
        transient = self._subset(raw, "TRANSIENT", "ACTIVE") if active else set()
        saved = self._subset(raw, "MANAGEDSAVE", "INACTIVE") if inactive else set()
        autostart = self._subset(raw, "AUTOSTART") if Needs.AUTOSTART in needs else None
        seeds = []
        for domain in domains:
            uuid = domain.UUIDString()
            seeds.append(
                _Seed(
                    domain=domain,
                    uuid=uuid,
                    state=state_of.get(uuid),
                    persistent=uuid not in transient,
                    managed_saved=uuid in saved,
                    autostart=None if autostart is None else uuid in autostart,
                )
            )
        guests = self._complete(raw, seeds, needs)
        self._forget_others({seed.uuid for seed in seeds})
        return guests

    def _bulk_states(self, raw: Any) -> list[tuple[Any, int]] | None:
        """All guests and their states in one call; None when the driver can't.

        Only the state: libvirt asks QEMU itself for the VCPU and BALLOON groups, so one QEMU that
        hangs would block the whole call, NOWAIT or not.
        """
        if not self._bulk_stats:
            return None
        group = libvirt.VIR_DOMAIN_STATS_STATE
        try:
            records = raw.getAllDomainStats(group, self._nowait)
        except libvirt.libvirtError as exc:
            code = exc.get_error_code()
            if code == libvirt.VIR_ERR_NO_SUPPORT:
                self._bulk_stats = False
                return None
            if code not in (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED):
                raise
            # The driver doesn't know NOWAIT.
            self._nowait = 0
            records = raw.getAllDomainStats(group, 0)
        return [(domain, values.get("state.state", NOSTATE)) for domain, values in records]

    def _subset(self, raw: Any, *filters: str) -> set[str]:
        """UUIDs of the guests that pass libvirt's list filters."""
        flags = 0
        for name in filters:
            flags |= getattr(libvirt, f"VIR_CONNECT_LIST_DOMAINS_{name}")
        return {domain.UUIDString() for domain in raw.listAllDomains(flags)}

    def _complete(self, raw: Any, seeds: list[_Seed], needs: Needs) -> list[Guest]:
        """Fill in per guest what no bulk call tells; what can't be read is left out."""
        guests = []
        for seed, outcome in self._outcomes(seeds, needs):
            if isinstance(outcome, Guest):
                guests.append(outcome)
                continue
            if isinstance(outcome, libvirt.libvirtError):
                if not raw.isAlive():
                    raise outcome
                if outcome.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    continue
            _log.warning("guest %s left out: %s", seed.domain.name(), outcome)
        return guests

    def _outcomes(
        self, seeds: list[_Seed], needs: Needs
    ) -> Iterator[tuple[_Seed, Guest | Exception]]:
        """Each guest as far as libvirt answers, or why it can't be read."""
        wants = _Wants(needs)
        for seed in seeds:
            seed.stuck = seed.uuid in self._stuck
        for seed, answers in zip(seeds, self._answers(seeds, wants), strict=True):
            if isinstance(answers, Late):
                yield seed, self._last_known(seed)
            elif isinstance(answers, _Answers):
                yield seed, self._try_assemble(seed, wants, answers)
            else:
                yield seed, answers

    def _try_assemble(self, seed: _Seed, wants: _Wants, answers: _Answers) -> Guest | Exception:
        try:
            return self._assembled(seed, wants, answers)
        except VirtError as exc:
            return exc

    def _answers(self, seeds: list[_Seed], wants: _Wants) -> list[_Answers | Exception]:
        """What libvirt says of each guest; Late where it does not answer.

        Only the waiting is done by several threads: parsing in them would be slower than in one.
        """
        if self._connection.is_local:
            return [Late() if seed.stuck else self._try_fetch(seed, wants) for seed in seeds]
        work = [seed for seed in seeds if not seed.stuck and seed.takes_calls(wants)]
        fetched = self._fan_out.map(lambda seed: self._tracked(seed, wants), work, self._deadline)
        answers = dict(zip((seed.uuid for seed in work), fetched, strict=True))
        for seed in work:
            if isinstance(answers[seed.uuid], Late):
                self._mark_stuck(seed)
        return [
            Late() if seed.stuck else answers.get(seed.uuid) or self._try_fetch(seed, wants)
            for seed in seeds
        ]

    def _try_fetch(self, seed: _Seed, wants: _Wants) -> _Answers | Exception:
        try:
            return self._fetch(seed, wants)
        except (libvirt.libvirtError, VirtError) as exc:
            return exc

    def _tracked(self, seed: _Seed, wants: _Wants) -> _Answers:
        try:
            return self._fetch(seed, wants)
        finally:
            with self._lock:
                seed.done = True
                self._stuck.discard(seed.uuid)

    def _mark_stuck(self, seed: _Seed) -> None:
        """No further calls for this guest until the one that hangs has returned."""
        with self._lock:
            if not seed.done:
                self._stuck.add(seed.uuid)
        _log.warning("guest %s does not answer; shown as last known", seed.domain.name())

    # -- one guest ------------------------------------------------------------------------------

    def one(self, domain: Any, needs: Needs) -> Guest:
        """The guest of libvirt's handle `domain`; raises libvirtError, VirtError."""
        ((_seed, outcome),) = self._outcomes([_Seed.single(domain, needs)], needs)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome.stale and outcome.any_view is None and needs & (Needs.LIVE | Needs.CONFIG):
            raise Busy(f"guest {domain.name()} does not answer")
        return outcome

    def some(self, raw: Any, uuids: Iterable[str], needs: Needs) -> dict[str, Guest | Exception]:
        """The guests of those UUIDs, each with what libvirt knows of it or why it can't be read.

        Raises libvirtError where the connection is lost.
        """
        found: dict[str, Guest | Exception] = {}
        seeds = []
        for uuid in uuids:
            try:
                seeds.append(_Seed.single(raw.lookupByUUIDString(uuid), needs))
            except libvirt.libvirtError as exc:
                found[uuid] = exc
                if exc.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    self._forget(uuid)
        found |= {seed.uuid: outcome for seed, outcome in self._outcomes(seeds, needs)}
        for outcome in found.values():
            if isinstance(outcome, libvirt.libvirtError) and not raw.isAlive():
                raise outcome
        return found

    def _fetch(self, seed: _Seed, wants: _Wants) -> _Answers:
        """Ask for everything about one guest that is needed and not known yet; raises libvirtError."""
        domain = seed.domain
        active = domain.ID() != -1
        if seed.needs_identity:
            seed.identify(active)
        state, memory, vcpus = seed.state, None, None
        if state is None or (active and wants.numbers):
            info_state, _maximum, memory, vcpus, _time = domain.info()
            state = info_state if state is None else state
        live = config = shares = None
        if active:
            if wants.live or (wants.config and not seed.persistent):
                live = domain.XMLDesc(self._connection.xml_flags(inactive=False))
            if wants.config and seed.persistent:
                config = domain.XMLDesc(self._connection.xml_flags(inactive=True))
            if wants.scheduler:
                shares = _shares(domain)
        elif wants.documents:
            config = domain.XMLDesc(self._connection.xml_flags(inactive=True))
        return _Answers(state, vcpus, memory, live, config, shares)

    def _assembled(self, seed: _Seed, wants: _Wants, answers: _Answers) -> Guest:
        """The guest as libvirt's answers show it; Invalid where its XML can't be read."""
        domain, shares = seed.domain, answers.shares
        active = domain.ID() != -1
        live = config = definition = None
        if answers.live is not None:
            _digest, live = self._view(seed, "live", answers.live)
        if answers.config is not None:
            definition, config = self._view(seed, "config", answers.config)
        if not active:
            # Of a guest that is off, both documents are the same text.
            live = config
            if wants.scheduler and config is not None:
                shares = config.cpu_shares or 0
        elif wants.config and not seed.persistent:
            config = live
        guest = Guest(
            name=domain.name(),
            uuid=seed.uuid,
            id=domain.ID(),
            state=answers.state,
            active=active,
            persistent=seed.persistent,
            managed_saved=seed.managed_saved,
            autostart=seed.autostart,
            vcpus_online=answers.vcpus if active and wants.vcpus else None,
            memory_kib=answers.memory_kib if active and wants.memory else None,
            shares=shares,
            live_view=live,
            config_view=config,
            definition=definition,
        )
        if guest.any_view is not None:
            self._remember(guest)
        return guest

    # -- cache ----------------------------------------------------------------------------------

    def _view(self, seed: _Seed, document: str, text: str) -> tuple[bytes, Domain]:
        """Digest and frozen view of one of a guest's documents."""
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        with self._lock:
            known = self._known.setdefault(seed.uuid, _Known())
            cached = known.views.get(document)
        if cached is not None and cached[0] == digest:
            return cached
        made = digest, Domain.view(text)
        with self._lock:
            known.views[document] = made
        return made

    def _remember(self, guest: Guest) -> None:
        with self._lock:
            known = self._known.setdefault(guest.uuid, _Known())
            known.guest = guest

    def _last_known(self, seed: _Seed) -> Guest:
        """A guest that libvirt did not answer for."""
        domain = seed.domain
        with self._lock:
            known = self._known.get(seed.uuid) or _Known()
            before = known.guest
            views = dict(known.views)
        state = seed.state
        if state is None:
            state = before.state if before else NOSTATE
        name = domain.name()
        bare = bare_view(name, seed.uuid)
        config = views["config"][1] if "config" in views else None
        live = views["live"][1] if "live" in views else None
        active = domain.ID() != -1
        return Guest(
            name=name,
            uuid=seed.uuid,
            id=domain.ID(),
            state=state,
            active=active,
            persistent=before.persistent if before and seed.needs_identity else seed.persistent,
            managed_saved=seed.managed_saved,
            autostart=seed.autostart if before is None else before.autostart,
            vcpus_online=before.vcpus_online if before else None,
            memory_kib=before.memory_kib if before else None,
            shares=before.shares if before else None,
            live_view=(live if active else config) or config or live or bare,
            config_view=config or live or bare,
            stale=True,
        )

    def _forget_others(self, uuids: set[str]) -> None:
        for uuid in self._known.keys() - uuids:
            self._forget(uuid)

    def _forget(self, uuid: str) -> None:
        with self._lock:
            self._known.pop(uuid, None)

    def last_seen(self) -> list[Domain]:
        """Definitions of guests as they were last read, whenever that was; asks libvirt nothing."""
        return [
            view
            for known in list(self._known.values())
            for _digest, view in list(known.views.values())
        ]

    def close(self) -> None:
        """End the threads that read."""
        self._fan_out.close()


@dataclass(slots=True)
class _Seed:
    """What is known of a guest before it is read."""

    domain: Any
    uuid: str
    state: int | None = None
    persistent: bool = True
    managed_saved: bool = False
    autostart: bool | None = None
    needs_identity: bool = False
    wants_autostart: bool = False
    stuck: bool = False
    done: bool = False

    @classmethod
    def single(cls, domain: Any, needs: Needs) -> Self:
        """A guest that is not one of a list."""
        return cls(
            domain,
            domain.UUIDString(),
            needs_identity=True,
            wants_autostart=Needs.AUTOSTART in needs,
        )

    def takes_calls(self, wants: _Wants) -> bool:
        """Whether reading this guest takes calls of its own."""
        if self.needs_identity or self.state is None or wants.documents:
            return True
        return wants.numbers and self.domain.ID() != -1

    def identify(self, active: bool) -> None:
        """Ask for a single guest what the list filters tell of many."""
        self.persistent = bool(self.domain.isPersistent()) if active else True
        if not active:
            self.managed_saved = _or_false(self.domain.hasManagedSaveImage)
        if self.wants_autostart:
            self.autostart = _or_false(self.domain.autostart)


def _shares(domain: Any) -> int | None:
    """CPU weight of a running guest; None where libvirt can't tell."""
    try:
        value = domain.schedulerParameters().get("cpu_shares", 0)
    except libvirt.libvirtError:
        return None
    return value if isinstance(value, int) else 0


def _or_false(read: Any) -> bool:
    try:
        return bool(read())
    except libvirt.libvirtError as exc:
        # Drivers without the notion, and transient guests that can't have it.
        if exc.get_error_code() in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_OPERATION_INVALID):
            return False
        raise
