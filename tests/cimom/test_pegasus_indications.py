# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications through OpenPegasus: from a source in the plugin to a client's listener.

The source is `tests/ticking`, a provider module that the plugin finds beside its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import pywbem

from libvirtcim.cmpi import build
from tests.cimom import pegasus
from tests.cimom.command import ticking
from tests.cimom.listener import QUERY, Listener
from tests.cimom.pegasus import Pegasus
from tests.needs import skip_where, skip_without_plugin

pytestmark = pytest.mark.cimom

INTEROP = "root/interop"


Registering = Callable[..., str]


@pytest.fixture(params=["agent", "in process"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pegasus]:
    """A server that runs."""
    skip_where(pegasus.missing())
    with Pegasus(tmp_path, out_of_process=request.param == "agent") as made:
        made.start()
        yield made


@pytest.fixture
def command(server: Pegasus, tmp_path: Path) -> Registering:
    """Runs the command with a libvirtcim that ticks."""
    skip_without_plugin()
    command, library = ticking(tmp_path, 0.3)

    def make(verb: str, *options: str) -> str:
        if verb == "register":
            options = (*options, "--plugin", str(library))
        return server.run(*command, verb, "pegasus", *options).stdout

    return make


def test_from_source_to_listener(server: Pegasus, command: Registering, tmp_path: Path) -> None:
    """Subscriptions outlive the server and an upgrade, and go where the classes go."""
    command("register")
    listener = Listener()
    connection = pywbem.WBEMConnection(server.url, timeout=60)
    manager = pywbem.WBEMSubscriptionManager("ticking")
    with listener.listening():
        known = manager.add_server(pywbem.WBEMServer(connection))
        destination = manager.add_destination(
            known, f"http://127.0.0.1:{listener.port}", owned=True, destination_id="listener"
        )
        wanted = manager.add_filter(
            known, ["root/virt"], QUERY, "WQL", owned=True, filter_id="ticks"
        )
        manager.add_subscriptions(known, wanted.path, destination.path)
        first = listener.next()[0]
        assert first.classname == "KVM_TickIndication"
        assert first["SourceInstance"]["Name"] == "tick é"
        assert (
            first["PreviousInstance"]["EnabledState"],
            first["SourceInstance"]["EnabledState"],
        ) == (2, 3)
        server.restart()
        listener.next()
        library = tmp_path / build.OUTPUT.name
        changed = library.with_suffix(".new")
        changed.write_bytes(library.read_bytes() + b"\0")
        changed.replace(library)
        assert "remove provider module" in command("register")
        assert [i["Number"] for i in listener.next()]
        done = command("unregister")
        assert f"remove subscription {QUERY} (root/interop)" in done
        left = connection.EnumerateInstanceNames("CIM_IndicationSubscription", namespace=INTEROP)
        assert left == []
        for path in (wanted.path, destination.path):  # nothing refers to them any more
            connection.DeleteInstance(path)
