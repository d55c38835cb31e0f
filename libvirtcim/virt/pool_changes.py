# SPDX-License-Identifier: LGPL-2.1-or-later
"""Making and deleting storage pools, virtual networks and volumes.

Every function raises `VirtError`, is never repeated after a lost connection, and leaves nothing
half-made: what can't be finished is undone, as far as libvirt lets it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import libvirt

from libvirtcim.virt.host import Host
from libvirtcim.virt.locks import Locks
from libvirtcim.virt.pools import NetworkDefinition, StoragePoolDefinition, VolumeDefinition

_log = logging.getLogger(__name__)

_BUILD_FLAGS: Mapping[str, int] = dict.fromkeys(
    ("fs", "disk", "logical"), libvirt.VIR_STORAGE_POOL_BUILD_NO_OVERWRITE
)
"""How storage pools are built that write a format to a device: never over another. Others: 0."""


def create_storage_pool(
    host: Host, definition: StoragePoolDefinition, *, build: bool = False, autostart: bool = False
) -> None:
    """Define and start a storage pool.

    `build`: first make what it lies in: directory, file system, partition table or volume group.
    `autostart`: have it start with the host.
    """
    identity = _identified(definition)
    text = definition.to_xml()
    flags = _BUILD_FLAGS.get(definition.type or "", 0)

    def make(raw: Any) -> None:
        pool = raw.storagePoolDefineXML(text, 0)
        with _undone_if_it_fails(pool):
            if build:
                pool.build(flags)
            _start(pool, autostart)

    with host.storage_pool_locks.hold(identity, host.settings.lock_timeout):
        host.connection.call(make, idempotent=False)


def create_network(host: Host, definition: NetworkDefinition, *, autostart: bool = False) -> None:
    """Define and start a virtual network; `autostart`: have it start with the host."""
    identity = _identified(definition)
    text = definition.to_xml()

    def make(raw: Any) -> None:
        network = raw.networkDefineXML(text)
        with _undone_if_it_fails(network):
            _start(network, autostart)

    with host.network_locks.hold(identity, host.settings.lock_timeout):
        host.connection.call(make, idempotent=False)


def _identified(definition: StoragePoolDefinition | NetworkDefinition) -> str:
    """The UUID that it has, or gets: the key of its lock."""
    if definition.uuid is None:
        definition.uuid = str(uuid4())
    return definition.uuid


def delete_storage_pool(host: Host, name: str) -> None:
    """Stop a storage pool, if it runs, and forget it; its volumes stay where they are."""

    def delete(raw: Any) -> None:
        _delete(raw.storagePoolLookupByName(name), host.storage_pool_locks, host)

    host.connection.call(delete, idempotent=False)


def delete_network(host: Host, name: str) -> None:
    """Stop a virtual network, if it runs, and forget it."""

    def delete(raw: Any) -> None:
        _delete(raw.networkLookupByName(name), host.network_locks, host)

    host.connection.call(delete, idempotent=False)


def refresh_storage_pool(host: Host, name: str) -> None:
    """Have libvirt look again what volumes a storage pool has."""
    host.connection.call(lambda raw: raw.storagePoolLookupByName(name).refresh(0), idempotent=False)


def create_volume(host: Host, pool: str, definition: VolumeDefinition) -> str:
    """Make a volume in a storage pool; the path at which it is."""
    text = definition.to_xml()

    def make(raw: Any) -> str:
        found = raw.storagePoolLookupByName(pool)
        path: str = found.createXML(text, 0).path()
        _refreshed(found)
        return path

    return host.connection.call(make, idempotent=False)


def delete_volume(host: Host, path: str) -> None:
    """Delete the volume with a path, and what is in it."""

    def delete(raw: Any) -> None:
        volume = raw.storageVolLookupByPath(path)
        pool = volume.storagePoolLookupByVolume()
        volume.delete(0)
        _refreshed(pool)

    host.connection.call(delete, idempotent=False)


def _start(handle: Any, autostart: bool) -> None:
    handle.create()
    if autostart:
        handle.setAutostart(1)


@contextmanager
def _undone_if_it_fails(handle: Any) -> Iterator[None]:
    """Stops and forgets a pool or network that was defined, if the block fails."""
    try:
        yield
    except libvirt.libvirtError:
        try:
            if handle.isActive():
                handle.destroy()
            handle.undefine()
        except libvirt.libvirtError as error:
            _log.warning("%s is left half-made: %s", handle.name(), error)
        raise


def _delete(handle: Any, locks: Locks, host: Host) -> None:
    with locks.hold(handle.UUIDString(), host.settings.lock_timeout):
        active, persistent = handle.isActive(), handle.isPersistent()
        if active:
            handle.destroy()
        if not persistent:
            return  # gone with its end
        try:
            handle.undefine()
        except libvirt.libvirtError:
            if active:
                with suppress(libvirt.libvirtError):
                    handle.create()
            raise


def _refreshed(pool: Any) -> None:
    """Looks again what a pool has; what was done to it is done, whether that goes well or not."""
    try:
        pool.refresh(0)
    except libvirt.libvirtError as error:
        _log.info("storage pool %s not refreshed: %s", pool.name(), error)
