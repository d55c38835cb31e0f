# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who is connected to a port of this machine."""

from __future__ import annotations

import socket

import pytest

from libvirtcim.virt.sessions import Socket, tcp_sockets


@pytest.mark.parametrize(
    ("own", "listening", "belongs"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", None, True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "::", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("::1", "0:0::1", True),
        ("10.0.0.1", "127.0.0.1", False),
        ("::1", "127.0.0.1", False),
    ],
)
def test_addresses(own: str, listening: str | None, belongs: bool) -> None:
    assert Socket(own).belongs_to(listening) == belongs


def test_a_port_with_a_viewer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert tcp_sockets()[port] == [Socket("127.0.0.1")]
        with socket.create_connection(("127.0.0.1", port)) as viewer:
            taken, _ = server.accept()
            peer = viewer.getsockname()[1]
            assert set(tcp_sockets()[port]) == {Socket("127.0.0.1"), Socket("127.0.0.1", peer)}
            taken.close()
    assert port not in tcp_sockets()
