# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which storage pool a path belongs to: one pass over the active pools."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import libvirt

from libvirtcim.virt.handles import readable
from libvirtcim.virt.pools import StoragePool

# In pools of these types libvirt uses the path as the volume's key, which is part of the handle; of
# other volumes the path has to be asked for.
_KEY_IS_PATH = frozenset({"dir", "fs", "netfs"})

InfoReader = Callable[[Any], "tuple[int, int]"]
"""Asks libvirt for capacity and allocation of a volume, given its handle."""


class Volume:
    """A storage volume; capacity and allocation, in bytes, are asked for when first read."""

    __slots__ = ("_handle", "_info", "_read", "name", "path", "pool")

    def __init__(self, pool: str, handle: Any, path: str, read: InfoReader) -> None:
        self.pool = pool
        self.name: str = handle.name()
        self.path = path
        self._handle = handle
        self._read = read
        self._info: tuple[int, int] | None = None

    @property
    def capacity(self) -> int:
        """Size that the guest sees, in bytes."""
        return self._sizes()[0]

    @property
    def allocation(self) -> int:
        """Size that is taken on the host, in bytes."""
        return self._sizes()[1]

    def _sizes(self) -> tuple[int, int]:
        if self._info is None:
            self._info = self._read(self._handle)
        return self._info

    def __repr__(self) -> str:
        return f"Volume(pool={self.pool!r}, name={self.name!r}, path={self.path!r})"


def read_volumes(raw: Any, pools: Iterable[StoragePool], read: InfoReader) -> Mapping[str, Volume]:
    """The volumes of all active pools by path; what can't be read is left out.

    `pools`: the host's pools as they were read before; one that has come since is listed too.
    """
    by_key = {pool.uuid for pool in pools if pool.view.type in _KEY_IS_PATH}
    volumes: dict[str, Volume] = {}
    active = raw.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
    for pool, found in readable(raw, active, _contents, "storage pool"):
        key_is_path = pool.UUIDString() in by_key
        for volume in found:
            try:
                path = volume.key() if key_is_path else volume.path()
            except libvirt.libvirtError:
                if not raw.isAlive():
                    raise
                continue
            # The first pool that holds a path wins, as in libvirt's own look-up.
            volumes.setdefault(path, Volume(pool.name(), volume, path, read))
    return volumes


def _contents(pool: Any) -> tuple[Any, list[Any]]:
    return pool, pool.listAllVolumes(0)
