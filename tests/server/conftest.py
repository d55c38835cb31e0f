# SPDX-License-Identifier: LGPL-2.1-or-later
"""Servers over an in-memory broker."""

from __future__ import annotations

import contextlib
import logging
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from libvirtcim.server.http import CIMServer
from libvirtcim.server.settings import ServerSettings
from tests.server.memory import MemoryBroker, filled
from tests.server.wire import Client

Serve = Callable[..., tuple[CIMServer, Client, MemoryBroker]]


def _stop(server: CIMServer) -> None:
    server.stop()
    assert server._failure is None


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers with the settings given, on free ports; stops them in the end."""
    with contextlib.ExitStack() as stack:

        def start(**settings: Any) -> tuple[CIMServer, Client, MemoryBroker]:
            broker = filled()
            chosen = {"listen": (("127.0.0.1", 0),), "auth_failure_delay": 0.0, **settings}
            server = CIMServer(broker, ServerSettings(**chosen))
            stack.callback(_stop, server)
            stack.callback(broker.gate.set)
            server.start()
            return server, Client(server.addresses[0]), broker

        yield start


@pytest.fixture(scope="module")
def standing() -> Iterator[tuple[CIMServer, Client, MemoryBroker]]:
    """One server for a whole module, with default limits."""
    broker = filled()
    with CIMServer(broker, ServerSettings(listen=(("127.0.0.1", 0),))) as server:
        yield server, Client(server.addresses[0]), broker
        broker.gate.set()


@pytest.fixture(scope="module")
def client(standing: tuple[CIMServer, Client, MemoryBroker]) -> Client:
    return standing[1]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the project logs, whatever commands of other tests have set up."""
    caplog.set_level(logging.INFO, "libvirtcim")
    return caplog


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder / "cert.pem", folder / "key.pem"
