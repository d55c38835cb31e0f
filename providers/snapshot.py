# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots: the methods of VirtualSystemSnapshotService, and libvirt's snapshots as instances.

::

                     SnapshotOfVirtualSystem
    KVM_ComputerSystem ------------------- KVM_SnapshotSettingData --SnapshotDependency-- (its parent)
                     MostCurrentSnapshotInBranch

A memory snapshot, of which a guest has one at most, is named by the guest's own settings, as clients of
libvirt-cim know it; it is no instance of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from libvirtcim.cim.associations import Association, Handler, Target
from libvirtcim.cim.declare import ClassDecl
from libvirtcim.cim.errors import Failed, InvalidParameter, NotFound, NotSupported
from libvirtcim.cim.jobs import Jobs, Progress, Purpose, timestamp
from libvirtcim.cim.objects import Instance, InstancePath, Value
from libvirtcim.cim.provider import Columns, ProviderRequest
from libvirtcim.providers.common import (
    FamilyProvider,
    GuestItem,
    HostReading,
    Provided,
    association,
    end,
    has_class,
    registered,
    translated,
)
from libvirtcim.providers.guest_associations import SYSTEM
from libvirtcim.providers.jobs import SNAPSHOT_JOB, job_path
from libvirtcim.virt import snapshots
from libvirtcim.virt.errors import ObjectNotFound, VirtError
from libvirtcim.virt.families import Family
from libvirtcim.virt.host import Host, Hosts, Needs
from libvirtcim.virt.snapshots import Snapshot

Arguments = Mapping[str, Value]
Outputs = dict[str, Value]

FULL, DISKS = 2, 3
MEMORY, MEMORY_STOPPED = 32768, 32769
"""SnapshotType (CIM_VirtualSystemSnapshotService.CreateSnapshot)."""
COMPLETED, STARTED = 0, 4096
DONE = "Snapshot complete"
PREFIXES = ("KVM",)
"""Families whose hypervisor keeps snapshots by itself."""


def types(family: Family) -> list[int]:
    """The SnapshotTypes that a family offers."""
    kept = [FULL, DISKS] if has_class(family, SNAPSHOT_SETTING) else []
    return [MEMORY, MEMORY_STOPPED, *kept]


# --- instances -------------------------------------------------------------------------------------

SNAPSHOT_SETTING = ClassDecl(
    "SnapshotSettingData",
    "CIM_VirtualSystemSettingData",
    "A snapshot of a guest's disks, and of its memory where it ran, that the hypervisor keeps.",
    PREFIXES,
    registration=registered("Virt_SnapshotSettingData"),
)
BASE = SNAPSHOT_SETTING.base


@dataclass(frozen=True, slots=True)
class SnapshotItem:
    """A snapshot of a guest of a family's host."""

    prefix: str
    reading: HostReading
    snapshot: Snapshot


def snapshot_id(prefix: str, guest: str, name: str) -> str:
    """InstanceID of a snapshot: libvirt allows no slash in its name."""
    return f"{prefix}:{guest}/{name}"


COLUMNS: Columns = {
    "InstanceID": lambda i: snapshot_id(i.prefix, i.snapshot.guest, i.snapshot.name),
    "ElementName": lambda i: i.snapshot.name,
    "VirtualSystemIdentifier": lambda i: i.snapshot.guest,
    "VirtualSystemType": lambda i: i.prefix,
    "Caption": lambda i: "Snapshot",
    "Description": lambda i: i.snapshot.view.description,
    "CreationTime": lambda i: timestamp(i.snapshot.view.created),
}


def _snapshots(prefix: str, reading: HostReading) -> list[SnapshotItem]:
    """All snapshots of a host, read once for a request."""
    found: list[Snapshot] = reading.once(
        "snapshots", lambda: reading.host.connection.call(snapshots.read_snapshots)
    )
    return [SnapshotItem(prefix, reading, snapshot) for snapshot in found]


class SnapshotProvider(FamilyProvider[SnapshotItem]):
    """Serves the snapshots of all guests."""

    def items(self, request: ProviderRequest) -> Iterable[SnapshotItem]:
        """All snapshots, those of a guest together, parents first."""
        reading = self.reading(request)
        if reading is None:
            return []
        with translated("Unable to list snapshots"):
            return _snapshots(request.prefix, reading)

    def find(self, request: ProviderRequest, path: InstancePath) -> SnapshotItem:
        """The snapshot called `InstanceID`."""
        reading = self.reading(request)
        _prefix, _colon, rest = path.text("InstanceID").partition(":")
        guest, slash, name = rest.rpartition("/")
        if reading is None or not slash:
            raise NotFound("No such instance (InstanceID)")
        with translated("No such instance (InstanceID)"):
            of_guest = reading.host.connection.call(
                lambda raw: snapshots.snapshots_of(raw.lookupByName(guest))
            )
        for snapshot in of_guest:
            if snapshot.name == name:
                return SnapshotItem(request.prefix, reading, snapshot)
        raise NotFound("No such instance (InstanceID)")


# --- associations ------------------------------------------------------------------------------------


def _guest_of(
    request: ProviderRequest, _base: str, item: SnapshotItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    with translated("Unable to read the guest"):
        guest = item.reading.host.guest(item.snapshot.guest, Needs.LIVE)
    yield Target(SYSTEM, GuestItem(request.prefix, item.reading, guest))


def _of_guest(
    _request: ProviderRequest, _base: str, item: GuestItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    with translated("Unable to list snapshots"):
        for found in _snapshots(item.prefix, item.reading):
            if found.snapshot.guest == item.guest.name:
                yield Target(BASE, found)


def _current_of(
    request: ProviderRequest, base: str, item: SnapshotItem, wanted: frozenset[str]
) -> Iterable[Target]:
    return _guest_of(request, base, item, wanted) if item.snapshot.current else ()


def _current(
    request: ProviderRequest, base: str, item: GuestItem, wanted: frozenset[str]
) -> Iterable[Target]:
    return (t for t in _of_guest(request, base, item, wanted) if t.item.snapshot.current)


def _parent(
    _request: ProviderRequest, _base: str, item: SnapshotItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    """The parent; then the children, which have the other role."""
    with translated("Unable to list snapshots"):
        for found in _snapshots(item.prefix, item.reading):
            if found.snapshot.guest != item.snapshot.guest:
                continue
            if found.snapshot.name == item.snapshot.view.parent:
                yield Target(BASE, found)
            elif found.snapshot.view.parent == item.snapshot.name:
                yield Target(BASE, found, swapped=True)


def _children(
    _request: ProviderRequest, _base: str, item: SnapshotItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    with translated("Unable to list snapshots"):
        for found in _snapshots(item.prefix, item.reading):
            same = found.snapshot.guest == item.snapshot.guest
            if same and found.snapshot.view.parent == item.snapshot.name:
                yield Target(BASE, found)


SNAPSHOT_OF_SYSTEM = Association(
    association("SnapshotOfVirtualSystem", "A guest and a snapshot of it.", prefixes=PREFIXES),
    (
        Handler((BASE,), "Dependent", (SYSTEM,), "Antecedent", _guest_of, enumerated=True),
        Handler((SYSTEM,), "Antecedent", (BASE,), "Dependent", _of_guest),
    ),
)
CURRENT_SNAPSHOT = Association(
    association(
        "MostCurrentSnapshotInBranch",
        "A guest and the snapshot that its state has come from.",
        prefixes=PREFIXES,
    ),
    (
        Handler((BASE,), "Dependent", (SYSTEM,), "Antecedent", _current_of, enumerated=True),
        Handler((SYSTEM,), "Antecedent", (BASE,), "Dependent", _current),
    ),
)
SNAPSHOT_DEPENDENCY = Association(
    association(
        "SnapshotDependency",
        "A snapshot, and one that was made after it.",
        superclass="CIM_ConcreteDependency",
        prefixes=PREFIXES,
        properties=(
            end("Antecedent", "{P}_SnapshotSettingData", "The earlier one."),
            end("Dependent", "{P}_SnapshotSettingData", "The later one."),
        ),
    ),
    (
        Handler((BASE,), "Dependent", (BASE,), "Antecedent", _parent, enumerated=True),
        Handler((BASE,), "Antecedent", (BASE,), "Dependent", _children),
    ),
)
ASSOCIATIONS = (SNAPSHOT_OF_SYSTEM, CURRENT_SNAPSHOT, SNAPSHOT_DEPENDENCY)


# --- methods -------------------------------------------------------------------------------------------


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
        classname = BASE
        identifier = snapshot_id(request.prefix, named.guest, named.snapshot)
    keys = (("InstanceID", identifier),)
    return InstancePath(f"{request.prefix}_{classname}", keys, request.namespace)


def create(
    jobs: Jobs, host: Host, request: ProviderRequest, path: InstancePath, arguments: Arguments
) -> tuple[int, Outputs]:
    """Makes a snapshot of AffectedSystem: SnapshotType → ResultingSnapshot, Job."""
    kind: int = arguments["SnapshotType"]
    offered = types(host.family)
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


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return Provided(
        (SNAPSHOT_SETTING, *(a.decl for a in ASSOCIATIONS)),
        (SnapshotProvider(SNAPSHOT_SETTING, hosts, COLUMNS),),
        ASSOCIATIONS,
    )
