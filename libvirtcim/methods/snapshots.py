# SPDX-License-Identifier: LGPL-2.1-or-later
"""The methods of VirtualSystemSnapshotService: jobs that are waited for.

A memory snapshot, of which a guest has one at most, is named by the guest's own settings, as clients of
libvirt-cim know it; it is no instance of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from libvirtcim.cim.errors import Failed, InvalidParameter, NotFound, NotSupported
from libvirtcim.cim.jobs import Jobs, Progress, Purpose
from libvirtcim.cim.objects import Instance, InstancePath
from libvirtcim.cim.provider import ProviderRequest
from libvirtcim.methods.operation import (
    COMPLETED,
    STARTED,
    Arguments,
    Operation,
    Operations,
    Outputs,
    at_once,
)
from libvirtcim.providers.common import translated
from libvirtcim.providers.jobs import SNAPSHOT_JOB, job_path
from libvirtcim.providers.snapshots import (
    DISKS,
    FULL,
    MEMORY,
    MEMORY_STOPPED,
    SNAPSHOT_SETTING,
    snapshot_id,
    snapshot_types,
)
from libvirtcim.virt import snapshots
from libvirtcim.virt.errors import ObjectNotFound, VirtError
from libvirtcim.virt.host import Host

DONE = "Snapshot complete"


@dataclass(frozen=True, slots=True)
class _Named:
    """What a client's path says: a guest, and the name of one of its snapshots or None for its memory."""

    guest: str
    snapshot: str | None


def _named(path: InstancePath, prefix: str) -> _Named:
    given, colon, rest = path.text("InstanceID").partition(":")
    if not colon or not rest or given.lower() != prefix.lower():
        raise Failed("Invalid InstanceID in Snapshot")
    if path.classname.lower() != SNAPSHOT_SETTING.class_name(prefix).lower():
        return _Named(rest, None)
    guest, slash, name = rest.rpartition("/")
    if not (slash and guest and name):
        raise Failed("Invalid InstanceID in Snapshot")
    return _Named(guest, name)


def _settings_path(request: ProviderRequest, named: _Named) -> InstancePath:
    if named.snapshot is None:
        classname, identifier = "VirtualSystemSettingData", f"{request.prefix}:{named.guest}"
    else:
        classname = SNAPSHOT_SETTING.base
        identifier = snapshot_id(request.prefix, named.guest, named.snapshot)
    keys = (("InstanceID", identifier),)
    return InstancePath(f"{request.prefix}_{classname}", keys, request.namespace)


def create(
    jobs: Jobs, host: Host, request: ProviderRequest, path: InstancePath, arguments: Arguments
) -> tuple[int, Outputs]:
    """Makes a snapshot of AffectedSystem: SnapshotType → ResultingSnapshot, Job."""
    kind: int = arguments["SnapshotType"]
    offered = snapshot_types(host.family)
    if kind not in offered:
        more = f", full ({FULL}) and disk ({DISKS}) ones" if FULL in offered else ""
        raise NotSupported(f"Only memory({MEMORY},{MEMORY_STOPPED}) snapshots are supported{more}")
    system: InstancePath = arguments["AffectedSystem"]
    guest = system.text("Name")
    if not guest:
        raise InvalidParameter("Missing Name property of AffectedSystem")
    if system.classname.partition("_")[0].lower() != request.prefix.lower():
        raise Failed(f"Invalid REF in AffectedSystem: {system.classname}")
    uuid = _uuid(host, guest)
    settings: Instance = arguments["SnapshotSettings"]
    if kind in (MEMORY, MEMORY_STOPPED):
        named = _Named(guest, None)
        work = _save_memory(host, guest, resume=kind == MEMORY)
    else:
        named = _Named(guest, settings["ElementName"] or time.strftime("snapshot-%Y%m%d%H%M%S"))
        work = _take(host, named, settings["Description"], disks_only=kind == DISKS)
    return _outcome(jobs, host, request, _purpose(request, path, uuid), work, named)


def apply(
    jobs: Jobs, host: Host, request: ProviderRequest, path: InstancePath, arguments: Arguments
) -> tuple[int, Outputs]:
    """Brings a guest back to a snapshot: Snapshot → Job. A memory snapshot is used up."""
    named = _named(arguments["Snapshot"], request.prefix)
    if named.snapshot is None and snapshots.has_memory(host, named.guest):
        uuid = ""  # a transient guest is known again when it is restored
    else:
        uuid = _uuid(host, named.guest)
    return _outcome(
        jobs, host, request, _purpose(request, path, uuid), _go_back(host, named), named
    )


def destroy(host: Host, request: ProviderRequest, arguments: Arguments) -> Outputs:
    """Removes AffectedSnapshot."""
    named = _named(arguments["AffectedSnapshot"], request.prefix)
    try:
        if named.snapshot is None:
            snapshots.delete_memory(host, named.guest)
        else:
            snapshots.delete(host, named.guest, named.snapshot)
    except ObjectNotFound as error:
        raise NotFound(f"Unable to remove snapshot: {error.libvirt_message}") from error
    except VirtError as error:
        raise Failed(f"Unable to remove snapshot: {error.libvirt_message}") from error
    return {}


def _uuid(host: Host, guest: str) -> str:
    with translated(f"No such instance ({guest})"):
        return host.guest(guest).uuid


def _purpose(request: ProviderRequest, service: InstancePath, uuid: str) -> Purpose:
    kind = SNAPSHOT_JOB.class_name(request.prefix)
    return Purpose(kind, "Snapshot", service, uuid, request.context.user)


def _outcome(
    jobs: Jobs,
    host: Host,
    request: ProviderRequest,
    purpose: Purpose,
    work: Callable[[Progress], None],
    named: _Named,
) -> tuple[int, Outputs]:
    """The answer: that it is done where it is soon, else that a job goes on. Raises what the job raised."""
    job = jobs.start(purpose, work)
    ended = jobs.wait(job.id, host.settings.work.wait)
    if ended.error is not None:
        raise ended.error
    if ended.has_ended and ended.status != DONE:
        raise Failed(f"The job was ended by another client: {ended.status}")
    outputs = {"Job": job_path(job), "ResultingSnapshot": _settings_path(request, named)}
    return (COMPLETED if ended.has_ended else STARTED), outputs


def _save_memory(host: Host, guest: str, *, resume: bool) -> Callable[[Progress], None]:
    def work(progress: Progress) -> None:
        progress.report(description=f"Snapshot of {guest} ({snapshots.memory_file(host, guest)})")
        with translated("Save failed", Failed):
            snapshots.save_memory(host, guest)
        progress.report("Save finished", percent=50)
        if resume:
            with translated("Restore failed", Failed):
                snapshots.restore_memory(host, guest)
            progress.report("Restore finished", percent=90)
        progress.report(DONE)

    return work


def _take(
    host: Host, named: _Named, description: str | None, *, disks_only: bool
) -> Callable[[Progress], None]:
    def work(progress: Progress) -> None:
        progress.report(description=f"Snapshot of {named.guest} ({named.snapshot})")
        with translated("Unable to create the snapshot", Failed):
            snapshots.take(
                host, named.guest, named.snapshot or "", description, disks_only=disks_only
            )
        progress.report(DONE)

    return work


def _go_back(host: Host, named: _Named) -> Callable[[Progress], None]:
    def work(progress: Progress) -> None:
        source = named.snapshot or snapshots.memory_file(host, named.guest)
        progress.report(description=f"Restore of {named.guest} ({source})")
        with translated("Restore failed", Failed):
            if named.snapshot is not None:
                snapshots.revert(host, named.guest, named.snapshot)
            else:
                snapshots.restore_memory(host, named.guest)
                progress.report("Restore finished", percent=90)
                snapshots.delete_memory(host, named.guest)
        progress.report(DONE)

    return work


OPERATIONS: Operations = {
    "CreateSnapshot": Operation(
        create, frozenset({"AffectedSystem", "SnapshotSettings", "SnapshotType"})
    ),
    "ApplySnapshot": Operation(apply, frozenset({"Snapshot"})),
    "DestroySnapshot": Operation(at_once(destroy), frozenset({"AffectedSnapshot"})),
}
