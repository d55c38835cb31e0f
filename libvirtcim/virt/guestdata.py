# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirtcim's own data about a guest: in the guest's libvirt metadata, and old side files.

The data travels with the guest and dies with it. Reading costs no call: it is part of the domain
XML that was fetched anyway. Hosts that ran the predecessor may have one side file per guest; it
counts until the guest has metadata, and the first write copies all of it there. Side files are
never written, created or deleted.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from typing import Any

import libvirt

from libvirtcim.virt.domain import Domain
from libvirtcim.virt.errors import Invalid
from libvirtcim.virt.guestxml import NAMESPACE, PREFIX
from libvirtcim.virt.xmldoc import parse_root

# A side file holds five short values; anything larger is not one.
MAX_SIDE_FILE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class GuestData:
    """What is kept per guest; None is "never stored".

    `weight` and `limit` are the processor's scheduler values, `reqstate` the last requested state,
    `migrating` whether a migration of the guest is under way.
    """

    weight: int | None = None
    limit: int | None = None
    reqstate: int | None = None
    migrating: bool | None = None

    def to_xml(self) -> str | None:
        """The metadata element without its namespace, which libvirt adds; None when empty."""
        attributes = [
            f'{name}="{_word(value)}"'
            for name in ("weight", "limit", "reqstate", "migrating")
            if (value := getattr(self, name)) is not None
        ]
        return f"<guest {' '.join(attributes)}/>" if attributes else None


def _word(value: int | bool) -> str:
    return str(value).lower()


class SideFiles:
    """The predecessor's per-guest files of one hypervisor, read-only."""

    def __init__(self, directory: str, type_prefix: str) -> None:
        self.directory = directory
        self.type_prefix = type_prefix

    def read(self, name: str, uuid: str) -> GuestData | None:
        """The data stored for the guest, None if there is none or it is another guest's."""
        file_name = f"{self.type_prefix}_{name}"
        if "/" in file_name or "\0" in file_name:
            return None
        text = _read_small_file(f"{self.directory}/{file_name}")
        if text is None:
            return None
        try:
            root = parse_root(text)
        except Invalid:
            return None
        if root.tag != "dominfo" or (root.findtext("uuid") or "").strip() != uuid:
            return None
        migrating = root.findtext("migrating")
        return GuestData(
            weight=_number(root.findtext("weight")),
            limit=_number(root.findtext("limit")),
            reqstate=_number(root.findtext("reqstate")),
            migrating=None if migrating is None else migrating.strip().lower() == "true",
        )


def _read_small_file(path: str) -> str | None:
    try:
        # No symbolic links, no blocking on a FIFO somebody put there.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        data = file.read(MAX_SIDE_FILE_BYTES + 1)
    if len(data) > MAX_SIDE_FILE_BYTES:
        return None
    return data.decode("utf-8", "replace")


def _number(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None


def stored(view: Domain, name: str, uuid: str, side_files: SideFiles | None) -> GuestData:
    """The guest's data: from the metadata in its XML, else from its side file."""
    element = view.guestdata
    if element is not None:
        return GuestData(
            weight=element.weight,
            limit=element.limit,
            reqstate=element.reqstate,
            migrating=None if element.migrating is None else element.migrating == "true",
        )
    found = side_files.read(name, uuid) if side_files is not None else None
    return found or GuestData()


def write(raw_domain: Any, view: Domain, side_files: SideFiles | None, **changes: Any) -> GuestData:
    """Change values of the guest's data and return all of them; None removes a value.

    `raw_domain` is libvirt's handle, `view` the domain's current XML. The caller holds the guest's
    lock. Raises libvirtError.
    """
    name, uuid = raw_domain.name(), raw_domain.UUIDString()
    data = replace(stored(view, name, uuid, side_files), **changes)
    set_element(raw_domain, data, affected(raw_domain))
    return data


def set_element(raw_domain: Any, data: GuestData, flags: int) -> None:
    """Replaces all of the guest's data; `flags`: libvirt's of what is meant. Raises libvirtError."""
    kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
    raw_domain.setMetadata(kind, data.to_xml(), PREFIX, NAMESPACE, flags)


def affected(raw_domain: Any) -> int:
    """The libvirt flags for a change of both what runs and what is defined."""
    flags = 0
    if raw_domain.isActive():
        flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
    if raw_domain.isPersistent():
        flags |= libvirt.VIR_DOMAIN_AFFECT_CONFIG
    return flags
