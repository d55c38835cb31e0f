# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest that a resource is meant for, as far as it decides what becomes of the resource."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from libvirtcim.virt import guestdata
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.errors import VirtError
from libvirtcim.virt.families import Family
from libvirtcim.virt.guestxml import GuestElement
from libvirtcim.virt.host import Host, Needs
from libvirtcim.virt.pools import BLOCK_POOLS


class SettingError(Exception):
    """A setting that no resource can be made of: the reason, and what it is about."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}, {detail}" if detail else reason)


class Target:
    """A guest's definition that is being written, and the host that it is for.

    `new`: whether the guest is being made. `running`: whether it runs.
    """

    def __init__(
        self, host: Host, domain: Domain, *, new: bool = False, running: bool = False
    ) -> None:
        self.host = host
        self.domain = domain
        self.new = new
        self.running = running

    @property
    def family(self) -> Family:
        """The guest's family."""
        return self.host.family

    def store(self, values: Mapping[str, int]) -> None:
        """Keeps numbers of libvirtcim's own with the guest; 0 is kept as nothing."""
        if not values:
            return
        domain = self.domain
        element = domain.guestdata
        if element is None:
            data = guestdata.stored(
                domain, domain.name or "", domain.uuid or "", self.host.side_files
            )
            element = GuestElement.new(weight=data.weight, limit=data.limit, reqstate=data.reqstate)
        for name, value in values.items():
            setattr(element, name, value or None)
        domain.guestdata = element if element.element.attrib else None

    def fresh_mac(self) -> str:
        """A random MAC address that no guest has, as far as guests have been read before."""
        views = (self.domain, *self.host.last_seen())
        taken = {(nic.mac or "").lower() for view in views for nic in view.interfaces}
        while True:
            last = ":".join(f"{byte:02x}" for byte in os.urandom(3))
            mac = f"{self.family.mac_prefix}:{last}"
            if mac.lower() not in taken:
                return mac

    def check_mac(self, mac: str) -> None:
        """Raises SettingError where another guest of the host has the address."""
        for guest in self.host.guests(Needs.LIVE | Needs.CONFIG):
            views = [view for view in (guest.live_view, guest.config_view) if view is not None]
            macs = {(nic.mac or "").lower() for view in views for nic in view.interfaces}
            if guest.name != self.domain.name and mac.lower() in macs:
                raise SettingError(
                    "MAC address is used by another guest", f"Address {mac}, guest {guest.name}"
                )

    def default_network(self) -> str | None:
        """The network that guests get who name none: the first that runs."""
        try:
            return next((n.name for n in self.host.networks() if n.active), None)
        except VirtError:
            return None

    def source_kind(self, path: str) -> str | None:
        """`file`, `block` or `dir`: what is at a path of the host; None where nothing usable is."""
        if not path:
            return None
        if self.host.connection.shares_files:
            return kind_here(path)
        return self._kind_in_pool(path)

    def _kind_in_pool(self, path: str) -> str | None:
        """As far as the host's storage pools tell; a path outside of them is taken for a file."""
        try:
            pools = self.host.storage_pools()
            volume = self.host.volumes(pools).get(path)
            types = {pool.name: pool.view.type for pool in pools}
        except VirtError:
            volume, types = None, {}
        if volume is not None:
            return "block" if types.get(volume.pool) in BLOCK_POOLS else "file"
        return "block" if path.startswith("/dev/") else "file"


def kind_here(path: str) -> str | None:
    """`file`, `block` or `dir`: what is at a path of this machine; None where nothing usable is."""
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return None
    if stat.S_ISBLK(mode):
        return "block"
    if stat.S_ISREG(mode):
        return "file"
    return "dir" if stat.S_ISDIR(mode) else None
