# SPDX-License-Identifier: LGPL-2.1-or-later
"""Moving guests to other hosts such that each is, at every moment, on one of the two.

A running guest is moved by libvirt itself, from libvirtd to libvirtd (peer to peer), so that it arrives
or stays even where this process ends meanwhile; definition and autostart go with it. A guest that is off
is defined there before its definition is removed here; what fails is undone. Disks are shared, not copied.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

import libvirt

from libvirtcim.virt.connection import Connection
from libvirtcim.virt.errors import Failed, Invalid, ObjectNotFound, VirtError, from_libvirt
from libvirtcim.virt.families import Family
from libvirtcim.virt.host import Host
from libvirtcim.virt.settings import ConnectionSettings, MigrationSettings

_log = logging.getLogger(__name__)


class MigrationType(IntEnum):
    """How a guest is moved (CIM_VirtualSystemMigrationSettingData.MigrationType)."""

    OFFLINE = 1
    LIVE = 2
    RESUME = 3
    RESTART = 4


class Transport(IntEnum):
    """How the other host's libvirtd is reached (…SettingData.TransportType)."""

    SSH = 2
    TLS_UNVERIFIED = 3
    TLS = 4
    TCP = 5
    UNIX = 32768


_SCHEME = {
    Transport.SSH: "ssh",
    Transport.TLS_UNVERIFIED: "tls",
    Transport.TLS: "tls",
    Transport.TCP: "tcp",
    Transport.UNIX: "unix",
}


class WrongState(Invalid):
    """A guest in this state can't be moved like this."""


class Progress(Protocol):
    """Who is told how far it is, and says when it shall end."""

    cancelled: threading.Event

    def report(self, status: str | None = None, *, percent: int | None = None) -> None:
        """How far it is."""

    def on_cancel(self, abort: Callable[[], None] | None) -> None:
        """What ends it early."""

    def check(self) -> None:
        """Raises an exception of its own where it shall end."""


# --- the other host ------------------------------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_PLACE = re.compile(
    r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<name>[^\[\]:]*))(?::(?P<port>[0-9]{1,5}))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Destination:
    """Another host's hypervisor: libvirt's URI, and the shorter one that clients are told of."""

    uri: str
    shown: str


def destination(
    family: Family, host_name: str, transport: Transport, key_file: str | None = None
) -> Destination:
    """The destination that a client names. Raises Invalid where it is none.

    A host name is a name, an IPv4 or an IPv6 address (in brackets or not), with `:port` or without; it may be
    empty for the transport UNIX, which then leads to this host.
    """
    if family.remote_path is None:
        raise Invalid(f"guests of {family.title} can't be moved")
    place = _place(host_name, transport)
    scheme = f"{min(family.schemes)}+{_SCHEME[transport]}"
    shown_path, options = family.remote_path, []
    if transport is Transport.TLS_UNVERIFIED:
        options.append("no_verify=1")
        shown_path += "/"
    if key_file is not None:
        options.append(f"keyfile={key_file}")
    shown = f"{scheme}://{place}{shown_path}" + (f"?{'&'.join(options)}" if options else "")
    if transport is Transport.SSH:
        options.append("no_tty=1")  # nobody is there to answer ssh's questions
    query = f"?{'&'.join(options)}" if options else ""
    return Destination(f"{scheme}://{place}/system{query}", shown)


def _place(text: str, transport: Transport) -> str:
    """Host and port of a URI, out of what a client says."""
    if not text and transport is Transport.UNIX:
        return ""
    with contextlib.suppress(ValueError):
        return f"[{ipaddress.IPv6Address(text)}]"
    found = _PLACE.fullmatch(text)
    port = found["port"] if found else None
    if found and (port is None or 0 < int(port) < 65536):
        suffix = f":{port}" if port else ""
        with contextlib.suppress(ValueError):
            if found["v6"]:
                return f"[{ipaddress.IPv6Address(found['v6'])}]{suffix}"
        if found["name"] and _NAME.fullmatch(found["name"]):
            return f"{found['name']}{suffix}"
    raise Invalid(f"{text!r} is no name or address of a host")


@contextmanager
def connected(target: Destination, settings: MigrationSettings) -> Iterator[Connection]:
    """A connection to the other host. Raises Unreachable with libvirt's text."""
    connection = Connection(
        target.uri, settings=ConnectionSettings(open_timeout=settings.connect_timeout)
    )
    try:
        connection.call(lambda raw: raw.getVersion())
        yield connection
    finally:
        connection.close()


# --- one migration -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Route:
    """What is moved where: a guest's name, the way, and for a running guest the speed in MiB/s."""

    guest: str
    kind: MigrationType
    uri: str
    bandwidth: int | None = None


def migrate(
    host: Host,
    target: Connection,
    route: Route,
    progress: Progress,
    settings: MigrationSettings,
) -> None:
    """Moves a guest from `host` to `target`; nobody else changes it meanwhile.

    Raises GuestNotFound, WrongState, and Failed: the other host has such a guest; or with libvirt's text and
    where the guest is.
    """
    uuid = host.connection.call(lambda raw: str(raw.lookupByName(route.guest).UUIDString()))
    with host.locks.hold(uuid, host.settings.lock_timeout):
        _Migration(host, target, route, uuid, progress, settings).run()


class _Migration:
    def __init__(
        self,
        host: Host,
        target: Connection,
        route: Route,
        uuid: str,
        progress: Progress,
        settings: MigrationSettings,
    ) -> None:
        self.host = host
        self.target = target
        self.route = route
        self.uuid = uuid
        self.progress = progress
        self.settings = settings

    def run(self) -> None:
        self._refuse_others()
        active = self._ask(lambda domain: bool(domain.isActive()))
        kind = self.route.kind
        if kind is MigrationType.OFFLINE and active:
            raise WrongState(f"Guest '{self.route.guest}' runs: it can't be moved offline")
        if kind is not MigrationType.OFFLINE and not active:
            raise WrongState(f"Guest '{self.route.guest}' does not run")
        if kind in (MigrationType.OFFLINE, MigrationType.RESTART):
            self._refuse_loss()
        self.progress.check()
        self.host.migrating.add(self.uuid)
        try:
            if kind in (MigrationType.LIVE, MigrationType.RESUME):
                self._move_running()
            elif kind is MigrationType.RESTART:
                self._restart()
            else:
                self._move_definition()
        except WrongState:
            raise
        except VirtError as error:
            raise Failed(f"{error.libvirt_message}; {self._whereabouts()}") from error
        finally:
            self.host.migrating.discard(self.uuid)

    def _ask(self, function: Callable[[Any], Any]) -> Any:
        """What a function of the guest's virDomain says on this host."""
        return self.host.connection.call(lambda raw: function(raw.lookupByUUIDString(self.uuid)))

    def _change(self, function: Callable[[Any], Any]) -> None:
        """Changes the guest's virDomain on this host, once."""
        self.host.connection.call(
            lambda raw: function(raw.lookupByUUIDString(self.uuid)), idempotent=False
        )

    def _refuse_others(self) -> None:
        def taken(raw: Any) -> bool:
            found = False
            for look_up, key in (
                (raw.lookupByName, self.route.guest),
                (raw.lookupByUUIDString, self.uuid),
            ):
                with contextlib.suppress(libvirt.libvirtError):
                    look_up(key)
                    found = True
            return found

        if self.target.call(taken):
            raise Failed(f"Remote already has domain `{self.route.guest}'")

    # --- of a guest that runs ----------------------------------------------------------------------

    def _move_running(self) -> None:
        flags = libvirt.VIR_MIGRATE_PEER2PEER
        if self.route.kind is MigrationType.LIVE:
            flags |= libvirt.VIR_MIGRATE_LIVE
        persistent = self._ask(lambda domain: bool(domain.isPersistent()))
        if persistent:
            flags |= libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
        autostart = persistent and self._ask(lambda domain: bool(domain.autostart()))
        parameters = (
            {libvirt.VIR_MIGRATE_PARAM_BANDWIDTH: self.route.bandwidth}
            if self.route.bandwidth
            else {}
        )
        with self.host.connection.for_long_calls() as own, self._watched():
            try:
                own.call(
                    lambda raw: raw.lookupByUUIDString(self.uuid).migrateToURI3(
                        self.route.uri, parameters, flags
                    ),
                    idempotent=False,
                )
            except VirtError:
                self.progress.check()
                raise
        if not self._is_there(active=True):
            raise Failed("libvirt reports success, but the guest has not arrived")
        if autostart:
            self._set_autostart_there()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Reports how far libvirt is, and lets libvirt abort where the work shall end."""
        done = threading.Event()
        watcher = threading.Thread(
            target=self._watch, args=(done,), name=f"migration-{self.route.guest}", daemon=True
        )
        watcher.start()
        self.progress.on_cancel(self._abort)
        try:
            yield
        finally:
            self.progress.on_cancel(None)
            done.set()
            watcher.join()

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(self.settings.poll):
            try:
                statistics = self.host.connection.call(
                    lambda raw: raw.lookupByUUIDString(self.uuid).jobStats()
                )
            except VirtError:
                continue  # it has just arrived, or libvirtd is away: the call itself tells
            total = statistics.get("data_total", 0)
            if total:
                share = 1 - statistics.get("data_remaining", total) / total
                self.progress.report(percent=max(0, min(99, int(100 * share))))

    def _abort(self) -> None:
        try:
            self._change(lambda domain: domain.abortJob())
        except VirtError as error:
            _log.info("migration of %s not aborted: %s", self.route.guest, error.libvirt_message)

    # --- of a guest that is off ----------------------------------------------------------------------

    def _restart(self) -> None:
        """Shuts the guest down here and starts it there; where that fails, it is started here again."""
        self._change(lambda domain: domain.shutdown())
        try:
            self._wait_until_off()
            self.progress.check()
            self._move_definition(start=True)
        except BaseException:
            with contextlib.suppress(VirtError):
                self._change(lambda domain: None if domain.isActive() else domain.create())
            raise

    def _wait_until_off(self) -> None:
        end = time.monotonic() + self.settings.shutdown_timeout
        while self._ask(lambda domain: bool(domain.isActive())):
            self.progress.check()
            if time.monotonic() > end:
                raise Failed(
                    f"Guest '{self.route.guest}' has not shut down within "
                    f"{self.settings.shutdown_timeout:g} s"
                )
            self.progress.cancelled.wait(self.settings.poll)

    def _move_definition(self, *, start: bool = False) -> None:
        flags = self.host.connection.xml_flags(inactive=True)
        text = self._ask(lambda domain: domain.XMLDesc(flags))
        autostart = self._ask(lambda domain: bool(domain.autostart()))
        self._define_there(text)
        try:
            if start:
                self.target.call(lambda raw: self._there(raw).create(), idempotent=False)
            self._change(_undefine)
        except VirtError:
            self._clear_there()
            raise
        if autostart:
            self._set_autostart_there()

    def _refuse_loss(self) -> None:
        """Refuses to leave behind what belongs to the guest and can't be taken along."""

        def kept(domain: Any) -> str | None:
            if _or_zero(domain.hasManagedSaveImage):
                return "a saved state"
            return "snapshots" if _or_zero(domain.snapshotNum) else None

        what = self._ask(kept)
        if what is not None:
            raise WrongState(f"Guest '{self.route.guest}' has {what} that would be lost")

    def _define_there(self, text: str) -> None:
        self.target.call(lambda raw: raw.defineXML(text), idempotent=False)

    def _clear_there(self) -> None:
        """Takes back what was defined there; where that fails it is in the log, and told."""

        def clear(raw: Any) -> None:
            domain = self._there(raw)
            if domain.isActive():
                domain.destroy()
            _undefine(domain)

        try:
            self.target.call(clear, idempotent=False)
        except VirtError as error:
            _log.error(
                "guest %s is still defined at %s: %s",
                self.route.guest,
                self.route.uri,
                error.libvirt_message,
            )

    # --- on the other host -----------------------------------------------------------------------------

    def _there(self, raw: Any) -> Any:
        return raw.lookupByUUIDString(self.uuid)

    def _is_there(self, *, active: bool = False) -> bool:
        try:
            return bool(
                self.target.call(lambda raw: not active or bool(self._there(raw).isActive()))
            )
        except ObjectNotFound:
            return False

    def _set_autostart_there(self) -> None:
        try:
            self.target.call(lambda raw: self._there(raw).setAutostart(1), idempotent=False)
        except VirtError as error:
            _log.warning(
                "autostart of %s is lost at %s: %s",
                self.route.guest,
                self.route.uri,
                error.libvirt_message,
            )

    def _whereabouts(self) -> str:
        """Where the guest is now, in words."""
        here = _state_of(self.host.connection, self.uuid)
        there = _state_of(self.target, self.uuid)
        return f"the guest {here} on this host and {there} on the other"


_UNKNOWN = "is not known"


def _state_of(connection: Connection, uuid: str) -> str:
    try:
        active = connection.call(lambda raw: raw.lookupByUUIDString(uuid).isActive())
    except ObjectNotFound:
        return _UNKNOWN
    except VirtError as error:
        return f"can't be asked for ({error.libvirt_message})"
    return "runs" if active else "is off"


def _or_zero(ask: Callable[[], int]) -> int:
    try:
        return ask()
    except libvirt.libvirtError as exc:
        if from_libvirt(exc).code == libvirt.VIR_ERR_NO_SUPPORT:
            return 0
        raise


def _undefine(domain: Any) -> None:
    """Removes a definition alone: firmware variables and TPM state are the guest's, wherever it is."""
    try:
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)
    except libvirt.libvirtError as exc:
        if exc.get_error_code() not in (
            libvirt.VIR_ERR_NO_SUPPORT,
            libvirt.VIR_ERR_INVALID_ARG,
            libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
        ):
            raise
        domain.undefine()
