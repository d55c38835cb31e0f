# SPDX-License-Identifier: LGPL-2.1-or-later
"""Libvirt's snapshots as instances, and how they hang together.

::

                     SnapshotOfVirtualSystem
    KVM_ComputerSystem ------------------- KVM_SnapshotSettingData --SnapshotDependency-- (its parent)
                     MostCurrentSnapshotInBranch
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from libvirtcim.cim.associations import Association, Handler, Target
from libvirtcim.cim.declare import ClassDecl
from libvirtcim.cim.errors import NotFound
from libvirtcim.cim.jobs import timestamp
from libvirtcim.cim.objects import InstancePath
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
from libvirtcim.virt import snapshots
from libvirtcim.virt.families import Family
from libvirtcim.virt.host import Hosts, Needs
from libvirtcim.virt.snapshots import Snapshot

PREFIXES = ("KVM",)
"""Families whose hypervisor keeps snapshots by itself."""
FULL, DISKS = 2, 3
MEMORY, MEMORY_STOPPED = 32768, 32769
"""SnapshotType (CIM_VirtualSystemSnapshotService.CreateSnapshot)."""


# --- instances -------------------------------------------------------------------------------------

SNAPSHOT_SETTING = ClassDecl(
    "SnapshotSettingData",
    "CIM_VirtualSystemSettingData",
    "A snapshot of a guest's disks, and of its memory where it ran, that the hypervisor keeps.",
    PREFIXES,
    registration=registered("Virt_SnapshotSettingData"),
)
BASE = SNAPSHOT_SETTING.base


def snapshot_types(family: Family) -> list[int]:
    """The SnapshotTypes that a family offers."""
    kept = [FULL, DISKS] if has_class(family, SNAPSHOT_SETTING) else []
    return [MEMORY, MEMORY_STOPPED, *kept]


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
    name = item.guest.name
    with translated("Unable to list snapshots"):
        of_guest: list[Snapshot] = item.reading.once(
            f"snapshots of {name}",
            lambda: item.reading.host.connection.call(
                lambda raw: snapshots.read_snapshots_of(raw, name)
            ),
        )
    for snapshot in of_guest:
        yield Target(BASE, SnapshotItem(item.prefix, item.reading, snapshot))


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


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return Provided(
        (SNAPSHOT_SETTING, *(a.decl for a in ASSOCIATIONS)),
        (SnapshotProvider(SNAPSHOT_SETTING, hosts, COLUMNS),),
        ASSOCIATIONS,
    )
