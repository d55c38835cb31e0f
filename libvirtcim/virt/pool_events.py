# SPDX-License-Identifier: LGPL-2.1-or-later
"""Storage pools and networks as they are watched: how they are read, what libvirt's events tell of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any, Generic

import libvirt
from lxml import etree

from libvirtcim.virt.errors import VirtError
from libvirtcim.virt.event_callbacks import NETWORK, STORAGE_POOL, EventKind, Registration
from libvirtcim.virt.event_notes import Note, What
from libvirtcim.virt.event_pile import Pile
from libvirtcim.virt.event_subject import History
from libvirtcim.virt.handles import listed, readable
from libvirtcim.virt.pool_history import PoolHistory, Watched
from libvirtcim.virt.pools import DefinitionT, NetworkDefinition, StoragePoolDefinition
from libvirtcim.virt.xmldoc import parse_root


@dataclass(frozen=True, slots=True)
class PoolSubject(Generic[DefinitionT]):
    """Storage pools or networks, as a subject of watching.

    `list_all`, `find`: names of libvirt's functions that list them, and find one by its UUID.
    `inactive`: the flag for the stored definition. `life`: what their events of life tell, by number.
    `others`: names of the other events after which they may look different.
    `sizes`: elements of the definition that libvirt measures while they run, and shows as 0 otherwise.
    `found`: elements that it adds by itself to what was defined.
    """

    plural: str
    absent: int
    kind: type[DefinitionT]
    events: EventKind
    list_all: str
    find: str
    inactive: int
    life: Mapping[int, What]
    others: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    own_is_one: bool = True

    @property
    def history(self) -> History[Watched[DefinitionT]]:
        """How they change."""
        return PoolHistory(self.kind)

    # -- reading --------------------------------------------------------------------------------

    def all(self, raw: Any) -> list[Watched[DefinitionT]]:
        """All of them; none where the driver has no such objects."""
        handles = listed(getattr(raw, self.list_all))
        return readable(raw, handles, self._read, self.kind.TAG)

    def some(
        self, raw: Any, uuids: Collection[str]
    ) -> Mapping[str, Watched[DefinitionT] | Exception]:
        """Those of these UUIDs, or why they can't be read."""
        find = getattr(raw, self.find)
        found: dict[str, Watched[DefinitionT] | Exception] = {}
        for uuid in uuids:
            try:
                found[uuid] = self._read(find(uuid))
            except (libvirt.libvirtError, VirtError) as error:
                if not raw.isAlive():
                    raise
                found[uuid] = error
        return found

    def _read(self, handle: Any) -> Watched[DefinitionT]:
        """It may start or stop between two calls; then it is read again."""
        active = bool(handle.isActive())
        while True:
            read = self._read_as(handle, active)
            active = bool(handle.isActive())
            if active == read.active:
                return read

    def _read_as(self, handle: Any, active: bool) -> Watched[DefinitionT]:
        persistent = bool(handle.isPersistent())
        view = self.kind.view(handle.XMLDesc(0))
        stored = self._stored(handle) if persistent else None
        return Watched(
            handle.name(),
            handle.UUIDString(),
            active,
            bool(handle.autostart()),
            view,
            persistent,
            self._view(stored) if stored is not None and active else view,
            None if stored is None else self._digest(stored),
        )

    def _stored(self, handle: Any) -> etree._Element:
        try:
            text = handle.XMLDesc(self.inactive)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_INVALID_ARG:
                raise
            text = handle.XMLDesc(0)  # the driver does not tell one from the other
        root = parse_root(text)
        for path in self.sizes:
            for element in root.iterfind(path):
                element.text = "0"
        return root

    def _view(self, root: etree._Element) -> DefinitionT:
        return self.kind.view(etree.tostring(root, encoding="unicode"))

    def _digest(self, root: etree._Element) -> bytes:
        for path in self.found:
            for parent in root.findall(f"{path}/.."):
                for element in parent.findall(path.rpartition("/")[2]):
                    parent.remove(element)
        text = etree.canonicalize(root, strip_text=True)
        return blake2b(text.encode(), digest_size=16).digest()

    # -- events ---------------------------------------------------------------------------------

    def registration(self, raw: Any, pile: Pile) -> Registration:
        """The callbacks for all events that tell of them."""
        callbacks: dict[str, Callable[..., None]] = {"LIFECYCLE": partial(self._life, pile)}
        callbacks |= dict.fromkeys(self.others, partial(_other, pile))
        return Registration(raw, self.events, callbacks)

    def _life(self, pile: Pile, _raw: Any, handle: Any, event: int, *_more: object) -> None:
        pile.note(handle.UUIDString(), Note(self.life.get(event, What.CHANGED), handle.name()))


def _other(pile: Pile, _raw: Any, handle: Any, *_more: object) -> None:
    pile.note(handle.UUIDString(), Note(What.CHANGED, handle.name()))


def _life(prefix: str) -> Mapping[int, What]:
    """What events tell whose numbers' names begin so."""
    told: Iterable[tuple[str, What]] = (
        ("DEFINED", What.DEFINED),
        ("UNDEFINED", What.UNDEFINED),
        ("STARTED", What.ENTERED),
        ("STOPPED", What.STOPPED),
    )
    return {getattr(libvirt, f"{prefix}{name}"): what for name, what in told}


STORAGE_POOLS = PoolSubject(
    plural="storage pools",
    absent=libvirt.VIR_ERR_NO_STORAGE_POOL,
    kind=StoragePoolDefinition,
    events=STORAGE_POOL,
    list_all="listAllStoragePools",
    find="storagePoolLookupByUUIDString",
    inactive=libvirt.VIR_STORAGE_XML_INACTIVE,
    life=_life("VIR_STORAGE_POOL_EVENT_"),
    others=("REFRESH",),
    sizes=("capacity", "allocation", "available"),
    found=("target/permissions", "source/device/freeExtent"),
)
NETWORKS = PoolSubject(
    plural="networks",
    absent=libvirt.VIR_ERR_NO_NETWORK,
    kind=NetworkDefinition,
    events=NETWORK,
    list_all="listAllNetworks",
    find="networkLookupByUUIDString",
    inactive=libvirt.VIR_NETWORK_XML_INACTIVE,
    life=_life("VIR_NETWORK_EVENT_"),
)
