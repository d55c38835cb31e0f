# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who is connected to a TCP port of this machine."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Port:
    """A local port: whether something listens on it, and the remote ports of its connections."""

    listening: bool = False
    peers: list[int] = field(default_factory=list)


def tcp_ports() -> Mapping[int, Port]:
    """The TCP ports of this machine that are in use; empty where they can't be read."""
    ports: dict[int, Port] = defaultdict(Port)
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError) as error:
        _log.warning("connections of this machine can't be read: %s", error)
        return {}
    for connection in connections:
        if not connection.laddr:
            continue
        port = ports[connection.laddr.port]
        if connection.status == psutil.CONN_LISTEN:
            port.listening = True
        elif connection.status == psutil.CONN_ESTABLISHED and connection.raddr:
            port.peers.append(connection.raddr.port)
    return dict(ports)
