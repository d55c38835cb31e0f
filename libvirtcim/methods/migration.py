# SPDX-License-Identifier: LGPL-2.1-or-later
"""The methods of VirtualSystemMigrationService (DSP1081): may a guest move, and moving it, as a job."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from libvirtcim.cim.errors import Failed, InvalidParameter, NotFound
from libvirtcim.cim.jobs import Jobs, Progress, Purpose
from libvirtcim.cim.objects import Instance, InstancePath
from libvirtcim.cim.provider import ProviderRequest
from libvirtcim.cim.schema import ParameterInfo
from libvirtcim.methods.operation import (
    STARTED,
    Arguments,
    Operation,
    Operations,
    Outputs,
    at_once,
)
from libvirtcim.providers.byte_units import bytes_per
from libvirtcim.providers.common import cim_error
from libvirtcim.providers.jobs import MIGRATION_JOB, job_path
from libvirtcim.virt import migration, migration_checks
from libvirtcim.virt.connection import Connection
from libvirtcim.virt.errors import GuestNotFound, Invalid, ObjectNotFound, VirtError
from libvirtcim.virt.host import Host
from libvirtcim.virt.migration import Destination, MigrationType, Route, Transport, WrongState

_log = logging.getLogger(__name__)

KEY_NOT_ENABLED = "Migration with special ssh key is not enabled in config file."
NO_URI = "Failed to construct a valid libvirt URI"
DEFAULT_UNIT = "MegaBytes"
MEBIBYTE = 1 << 20
_PER_SECOND = re.compile(r"\s*/\s*s(?:ec(?:ond)?)?\s*$", re.IGNORECASE)


# --- what is asked ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asks for: which guest, where, and how."""

    guest: InstancePath
    target: Destination
    kind: MigrationType
    bandwidth: int | None
    check_parameters: tuple[str, ...]

    @property
    def name(self) -> str:
        """The guest's name."""
        return self.guest.text("Name")


def _wish(host: Host, request: ProviderRequest, arguments: Arguments, place: str) -> Wish:
    """Raises Failed for anything that can't be right."""
    guest: InstancePath = arguments["ComputerSystem"]
    _check_guest(guest, request)
    settings: Instance | None = arguments.get("MigrationSettingData")
    values = settings.values if settings is not None else {}
    kind = values.get("MigrationType", int(MigrationType.LIVE))
    if kind not in list(MigrationType):
        raise Failed(f"Unsupported migration type {kind}; {_choices(MigrationType)}")
    key = _key_file(host) if arguments.get("MigrationWithoutRootKey") else None
    transport = values.get("TransportType", int(Transport.SSH))
    try:
        if transport not in list(Transport):
            raise Invalid(f"transport {transport} is unknown; {_choices(Transport)}")
        target = migration.destination(host.family, place, Transport(transport), key)
    except Invalid as error:
        raise Failed(f"{NO_URI}: {error}") from error
    return Wish(
        guest,
        target,
        MigrationType(kind),
        _bandwidth(values.get("Bandwidth"), values.get("BandwidthUnit")),
        tuple(values.get("CheckParameters") or ()),
    )


def _choices(kinds: type[MigrationType] | type[Transport]) -> str:
    words = ", ".join(f"{kind.value} ({kind.name.lower().replace('_', ' ')})" for kind in kinds)
    return f"there are {words}"


def _check_guest(guest: InstancePath, request: ProviderRequest) -> None:
    if not guest.text("Name"):
        raise Failed("Missing key (Name) in ComputerSystem")
    classname = guest.text("CreationClassName") or guest.classname
    if (
        guest.classname.partition("_")[0].lower() != request.prefix.lower()
        or classname.lower() != guest.classname.lower()
    ):
        raise Failed(
            f"Invalid REF in ComputerSystem: a {request.prefix}_ComputerSystem is expected"
        )


def _bandwidth(amount: int | None, unit: str | None) -> int | None:
    """MiB/s, at least 1; None: libvirt's own default."""
    if not amount:
        return None
    size = bytes_per(_PER_SECOND.sub("", unit or DEFAULT_UNIT))
    if size is None:
        raise Failed(f"BandwidthUnit {unit!r} is unknown; {DEFAULT_UNIT} (a second) is the default")
    return max(1, amount * size // MEBIBYTE)


def _key_file(host: Host) -> str:
    key = host.settings.migration.ssh_key
    if key is None:
        raise Failed(KEY_NOT_ENABLED)
    return str(key)


def _host_name(arguments: Arguments) -> str:
    return str(arguments["DestinationHost"])


def _system_name(arguments: Arguments) -> str:
    name: str = arguments["DestinationSystem"].text("Name")
    if not name:
        raise Failed("Missing key (Name) in DestinationSystem")
    return name


# --- the methods ------------------------------------------------------------------------------------


def check_to_host(host: Host, request: ProviderRequest, arguments: Arguments) -> Outputs:
    """Tells whether a guest may move to DestinationHost."""
    return _check(host, request, arguments, _host_name(arguments))


def check_to_system(host: Host, request: ProviderRequest, arguments: Arguments) -> Outputs:
    """Tells whether a guest may move to DestinationSystem."""
    return _check(host, request, arguments, _system_name(arguments))


def _check(host: Host, request: ProviderRequest, arguments: Arguments, place: str) -> Outputs:
    wish = _wish(host, request, arguments, place)
    with ExitStack() as stack:
        there = _connected(stack, wish, host)
        try:
            host.guest(wish.name)
        except ObjectNotFound as error:
            raise NotFound(f"No such domain: {error.libvirt_message}") from error
        except VirtError as error:
            raise cim_error(error) from error
        if not wish.guest.text("CreationClassName"):
            raise NotFound("No such instance (CreationClassName)")
        reason = _objection(host, there, wish)
    if reason is not None:
        _log.info("guest %s may not move to %s: %s", wish.name, wish.target.shown, reason)
    return {"IsMigratable": reason is None}


def migrate_to_host(
    jobs: Jobs, host: Host, request: ProviderRequest, path: InstancePath, arguments: Arguments
) -> tuple[int, Outputs]:
    """Starts a job that moves a guest to DestinationHost."""
    return _migrate(jobs, host, request, path, arguments, _host_name(arguments))


def migrate_to_system(
    jobs: Jobs, host: Host, request: ProviderRequest, path: InstancePath, arguments: Arguments
) -> tuple[int, Outputs]:
    """Starts a job that moves a guest to DestinationSystem."""
    return _migrate(jobs, host, request, path, arguments, _system_name(arguments))


def _migrate(
    jobs: Jobs,
    host: Host,
    request: ProviderRequest,
    path: InstancePath,
    arguments: Arguments,
    place: str,
) -> tuple[int, Outputs]:
    wish = _wish(host, request, arguments, place)
    purpose = Purpose(
        MIGRATION_JOB.class_name(request.prefix),
        "Migration",
        path,
        _uuid(host, wish.name),
        request.context.user,
    )
    with ExitStack() as stack:
        there = _connected(stack, wish, host)
        job = jobs.start(purpose, _work(host, wish, there, stack.pop_all()))
    return STARTED, {"Job": job_path(job)}


def _uuid(host: Host, name: str) -> str:
    """The guest's UUID; "" where there is no such guest, which its job will say."""
    try:
        return host.guest(name).uuid
    except VirtError:
        return ""


def _connected(stack: ExitStack, wish: Wish, host: Host) -> Connection:
    try:
        return stack.enter_context(migration.connected(wish.target, host.settings.migration))
    except VirtError as error:
        raise Failed(
            f"Failed to connect to remote host ({wish.target.shown}): {error.libvirt_message}"
        ) from error


def _objection(host: Host, there: Connection, wish: Wish) -> str | None:
    """Why the guest may not move; None: nothing speaks against it."""
    try:
        own = host.connection.call(lambda raw: raw.getVersion())
        other = there.call(lambda raw: raw.getVersion())
    except VirtError as error:
        raise cim_error(error) from error
    if other < own:
        return f"the hypervisor there has version {other}, which is older than {own} here"
    return migration_checks.objection(
        host.settings.migration, wish.name, host.connection.uri, wish.check_parameters
    )


def _work(
    host: Host, wish: Wish, there: Connection, opened: ExitStack
) -> Callable[[Progress], None]:
    """The job: checks, then the migration; `opened` is closed at its end."""

    def work(progress: Progress) -> None:
        with opened:
            reason = _objection(host, there, wish)
            if reason is not None:
                raise Failed(f"Guest '{wish.name}' may not move: {reason}")
            route = Route(wish.name, wish.kind, wish.target.uri, wish.bandwidth)
            with _told(wish.name):
                migration.migrate(host, there, route, progress, host.settings.migration)

    return work


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turns libvirt's errors into what the job says."""
    try:
        yield
    except GuestNotFound as error:
        raise Failed(f"Failed to lookup domain `{name}': {error.libvirt_message}") from error
    except WrongState as error:
        raise InvalidParameter(error.libvirt_message) from error
    except VirtError as error:
        raise Failed(error.libvirt_message) from error


# --- keys -------------------------------------------------------------------------------------------


def copy_key(host: Host, _request: ProviderRequest, arguments: Arguments) -> Outputs:
    """Puts the key SSH_Key_Src where ssh finds it."""
    target = _path(host)
    source = arguments.get("SSH_Key_Src")
    if not source:
        raise Failed("SSH_Key_Src is missing: it names the file of the key")
    try:
        migration_checks.copy_key(Path(source), target)
    except VirtError as error:
        raise cim_error(error) from error
    return {}


def delete_key(host: Host, _request: ProviderRequest, _arguments: Arguments) -> Outputs:
    """Removes that key."""
    try:
        migration_checks.delete_key(_path(host))
    except VirtError as error:
        raise Failed(error.libvirt_message) from error
    return {}


def _path(host: Host) -> Path:
    return Path(_key_file(host))


_TO_HOST = frozenset({"ComputerSystem", "DestinationHost"})
_TO_SYSTEM = frozenset({"ComputerSystem", "DestinationSystem"})
_OWN_KEY = (ParameterInfo("MigrationWithoutRootKey", "boolean"),)
"""Whether ssh uses the key of `MigrateSSHKeyCopy`: a parameter of the methods that name a host, which no
schema declares."""

OPERATIONS: Operations = {
    "CheckVirtualSystemIsMigratableToHost": Operation(
        at_once(check_to_host), _TO_HOST, undeclared=_OWN_KEY
    ),
    "CheckVirtualSystemIsMigratableToSystem": Operation(at_once(check_to_system), _TO_SYSTEM),
    "MigrateVirtualSystemToHost": Operation(migrate_to_host, _TO_HOST, undeclared=_OWN_KEY),
    "MigrateVirtualSystemToSystem": Operation(migrate_to_system, _TO_SYSTEM),
    "MigrateSSHKeyCopy": Operation(at_once(copy_key)),
    "MigrateSSHKeyDelete": Operation(at_once(delete_key)),
}
