# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications through SFCB: from a source in the plugin to a client's listener.

The source is `tests/ticking`, a provider module that the plugin finds beside its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import pywbem

from libvirtcim.cmpi import build
from tests.cimom import sfcb
from tests.cimom.command import ticking
from tests.cimom.listener import QUERY, Listener
from tests.cimom.sfcb import Sfcb
from tests.needs import skip_where, skip_without_plugin

pytestmark = [pytest.mark.cimom, pytest.mark.xdist_group("sfcb")]

TICK_SECONDS = 0.25
"""SFCB holds each delivery's place for 5 s, and has 30."""

Registering = Callable[..., str]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sfcb]:
    """An SFCB that doesn't run yet."""
    skip_where(sfcb.missing())
    with Sfcb(tmp_path) as made:
        yield made


@pytest.fixture
def command(server: Sfcb, tmp_path: Path) -> Registering:
    """Runs the command with a libvirtcim that ticks."""
    skip_without_plugin()
    command, library = ticking(tmp_path, TICK_SECONDS)

    def make(verb: str) -> str:
        plugin = ("--plugin", library) if verb == "register" else ()
        places = ("--prefix", server.prefix, "--config", server.config)
        return server.run(*command, verb, "sfcb", *places, *plugin).stdout

    return make


def test_from_source_to_listener(server: Sfcb, command: Registering, tmp_path: Path) -> None:
    """Subscriptions outlive the server and an upgrade; deleted, they leave nothing."""
    command("register")
    server.start()
    listener = Listener()
    with listener.listening(), pywbem.WBEMConnection(server.url, timeout=60) as connection:
        parts = subscribe(connection, listener.port)
        first = listener.next()[0]
        assert first.classname == "KVM_TickIndication"
        assert first["SourceInstance"]["Name"] == "tick é"
        states = (first["PreviousInstance"], first["SourceInstance"])
        assert [state["EnabledState"] for state in states] == [2, 3]
        server.restart()
        listener.next()
        library = tmp_path / build.OUTPUT.name
        changed = library.with_suffix(".new")
        changed.write_bytes(library.read_bytes() + b"\0")
        changed.replace(library)
        assert "unstage" in command("register")
        listener.next()
        for path in parts:
            # SFCB answers with a value where none is due
            with contextlib.suppress(pywbem.CIMXMLParseError):
                connection.DeleteInstance(path)
            assert not connection.EnumerateInstanceNames(path.classname, namespace=path.namespace)
        command("unregister")
        assert connection.EnumerateInstanceNames("CIM_Namespace", namespace="root/interop")


def subscribe(connection: pywbem.WBEMConnection, port: int) -> list[pywbem.CIMInstanceName]:
    """A subscription to the ticks; the paths of its three parts, in the order to delete them."""
    manager = pywbem.WBEMSubscriptionManager("ticking")
    known = manager.add_server(pywbem.WBEMServer(connection))
    url = f"http://127.0.0.1:{port}"
    listening = manager.add_destination(
        known, url, owned=False, name="listener", persistence_type="permanent"
    )
    ticks = manager.add_filter(known, ["root/virt"], QUERY, "WQL", owned=False, name="ticks")
    (made,) = manager.add_subscriptions(known, ticks.path, listening.path, owned=False)
    return [made.path, ticks.path, listening.path]
