# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots of guests: libvirt's own, and the memory of one moment kept in a file.

A memory snapshot is what `virDomainSave` writes, in a file named after the guest; there is one of a guest
at most. A guest that is off and has one goes on from there when the snapshot is applied.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
from lxml import etree

from libvirtcim.virt.connection import Connection
from libvirtcim.virt.errors import Failed, ObjectNotFound
from libvirtcim.virt.handles import readable
from libvirtcim.virt.host import Host
from libvirtcim.virt.xmltree import IntText, Text, XmlObject


class SnapshotDefinition(XmlObject):
    """`<domainsnapshot>`: what libvirt knows of a snapshot; `created` is Unix time."""

    TAG = "domainsnapshot"

    name = Text("name")
    description = Text("description")
    state = Text("state")
    created = IntText("creationTime")
    parent = Text("parent/name")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that libvirt keeps of a guest; `current`: the guest's state has come from it."""

    guest: str
    name: str
    current: bool
    view: SnapshotDefinition


# --- libvirt's snapshots ---------------------------------------------------------------------------


def read_snapshots(raw: Any) -> list[Snapshot]:
    """All snapshots of all guests; none where the driver has none. One that can't be read is left out."""
    try:
        domains = raw.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT)
    except libvirt.libvirtError as exc:
        if exc.get_error_code() in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG):
            return []
        raise
    found: list[Snapshot] = []
    for of_guest in readable(raw, domains, snapshots_of, "snapshots of guest"):
        found.extend(of_guest)
    return found


def read_snapshots_of(raw: Any, guest: str) -> list[Snapshot]:
    """The snapshots of one guest; none where it is gone, or the driver has none."""
    try:
        return snapshots_of(raw.lookupByName(guest))
    except libvirt.libvirtError as exc:
        if exc.get_error_code() in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_NO_DOMAIN):
            return []
        raise


def snapshots_of(domain: Any) -> list[Snapshot]:
    """The snapshots of one guest, parents before their children; raises libvirtError."""
    listed = domain.listAllSnapshots(libvirt.VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL)
    return [
        Snapshot(
            domain.name(),
            handle.getName(),
            bool(handle.isCurrent()),
            SnapshotDefinition.view(handle.getXMLDesc(0)),
        )
        for handle in listed
    ]


def take(host: Host, guest: str, name: str, description: str | None, *, disks_only: bool) -> None:
    """Makes a snapshot of disks and, where the guest runs and it isn't `disks_only`, memory.

    libvirt keeps it inside of qcow2 disks; that of the disks alone of a guest that runs begins a new file
    for each disk. Raises VirtError.
    """
    root = etree.Element("domainsnapshot")
    etree.SubElement(root, "name").text = name
    if description:
        etree.SubElement(root, "description").text = description
    text = etree.tostring(root, encoding="unicode")

    def run(domain: Any) -> None:
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
        if disks_only and domain.isActive():
            flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
        domain.snapshotCreateXML(text, flags)

    _change(host, guest, run)


def revert(host: Host, guest: str, name: str) -> None:
    """Brings the guest back to what it was when the snapshot was made; raises VirtError."""
    _change(host, guest, lambda domain: domain.revertToSnapshot(domain.snapshotLookupByName(name)))


def delete(host: Host, guest: str, name: str) -> None:
    """Removes a snapshot; those made after it stay. Raises VirtError."""
    _change(host, guest, lambda domain: domain.snapshotLookupByName(name).delete(0))


def _change(host: Host, guest: str, function: Callable[[Any], Any]) -> None:
    with _locked(host, guest) as connection:
        connection.call(lambda raw: function(raw.lookupByName(guest)), idempotent=False)


@contextmanager
def _locked(host: Host, guest: str) -> Iterator[Connection]:
    """A connection on which a guest may be changed for long; nobody else changes it meanwhile."""
    try:
        key = host.connection.call(lambda raw: str(raw.lookupByName(guest).UUIDString()))
    except ObjectNotFound:
        key = guest  # a transient guest that was saved is known again when it is restored
    with (
        host.locks.hold(key, host.settings.lock_timeout),
        host.connection.for_long_calls() as connection,
    ):
        yield connection


# --- memory snapshots ---------------------------------------------------------------------------------


def memory_file(host: Host, guest: str) -> str:
    """The file of a guest's memory snapshot; a name can't lead out of the directory."""
    return f"{host.settings.snapshot_dir}/{guest.replace('/', '_')}.save"


def has_memory(host: Host, guest: str) -> bool:
    """Whether the guest has a memory snapshot that can be restored."""
    return os.access(memory_file(host, guest), os.R_OK | os.W_OK)


def save_memory(host: Host, guest: str) -> None:
    """Keeps the guest's memory and switches it off; raises VirtError."""
    path = memory_file(host, guest)
    with _locked(host, guest) as connection:
        connection.call(lambda raw: raw.lookupByName(guest).save(path), idempotent=False)


def restore_memory(host: Host, guest: str) -> None:
    """Lets the guest go on from its memory snapshot, which stays; raises VirtError."""
    path = memory_file(host, guest)
    with _locked(host, guest) as connection:
        connection.call(lambda raw: raw.restore(path), idempotent=False)


def delete_memory(host: Host, guest: str) -> None:
    """Removes the memory snapshot; raises Failed where there is none or it can't be removed."""
    path = memory_file(host, guest)
    try:
        Path(path).unlink()
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from error
