# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who is connected to a TCP port of this machine."""

from __future__ import annotations

import ipaddress
import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket of this machine: its own address, and the port of who is connected; None: it listens."""

    address: str
    peer: int | None = None

    def belongs_to(self, listening: str | None) -> bool:
        """Whether it is one of who listens on an address; None: on any."""
        wanted = _address(listening or "")
        return wanted is None or _address(self.address) in (None, wanted)


def _address(text: str) -> str | None:
    """An address as all write it; None for the one that stands for all, and for what is none."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    found = mapped or found
    return None if found.is_unspecified else str(found)


def tcp_sockets() -> Mapping[int, list[Socket]]:
    """The sockets at each TCP port of this machine that is in use; empty where they can't be read."""
    import psutil  # the one caller asks for consoles; a CIM server loads everything else at its start

    sockets: dict[int, list[Socket]] = defaultdict(list)
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError) as error:
        _log.warning("connections of this machine can't be read: %s", error)
        return {}
    for connection in connections:
        if not connection.laddr:
            continue
        address, port = connection.laddr
        if connection.status == psutil.CONN_LISTEN:
            sockets[port].append(Socket(address))
        elif connection.status == psutil.CONN_ESTABLISHED and connection.raddr:
            sockets[port].append(Socket(address, connection.raddr.port))
    return dict(sockets)
