# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications through OpenPegasus: from a source in the plugin to a client's listener.

The source is `tests/ticking`, a provider module that the plugin finds beside its own.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pywbem

from libvirtcim import demo
from libvirtcim.cmpi import build
from tests.cimom import pegasus
from tests.cimom.pegasus import Pegasus
from tests.cmpi.parts import ROOT, make_environment
from tests.ticking import PATH_CODE

pytestmark = pytest.mark.cimom

QUERY = "SELECT * FROM KVM_TickIndication"
DEADLINE = 60.0
INTEROP = "root/interop"


class Listener:
    """Takes indications, and lets tests wait for them."""

    def __init__(self) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]
        self.received: list[pywbem.CIMInstance] = []
        self._more = threading.Condition()

    def take(self, indication: pywbem.CIMInstance, _host: str) -> None:
        """A callback of pywbem's listener."""
        with self._more:
            self.received.append(indication)
            self._more.notify_all()

    def next(self, number: int = 3) -> list[pywbem.CIMInstance]:
        """Waits for so many more; returns these."""
        with self._more:
            before = len(self.received)
            assert self._more.wait_for(lambda: len(self.received) >= before + number, DEADLINE)
            return self.received[before:]

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes what comes during the block."""
        serving = pywbem.WBEMListener("127.0.0.1", http_port=self.port)
        serving.add_callback(self.take)
        serving.start()
        try:
            yield
        finally:
            serving.stop()


Registering = Callable[..., str]


@pytest.fixture(params=["agent", "in process"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pegasus]:
    """A server that runs."""
    lacking = pegasus.missing()
    if lacking is not None:
        pytest.skip(lacking)
    with Pegasus(tmp_path, out_of_process=request.param == "agent") as made:
        # pywbem's listener closes a connection now and then; the usual is to wait 30 s then
        made.configure(minIndicationDeliveryRetryInterval="1")
        made.start()
        yield made


@pytest.fixture
def command(server: Pegasus, tmp_path: Path) -> Registering:
    """Runs the command with a libvirtcim that ticks."""
    lacking = build.missing()
    if lacking is not None:
        pytest.skip(f"the CMPI plugin can't be built here: {lacking}")
    slowly = "import os; os.environ['LIBVIRTCIM_TICK_SECONDS'] = '0.3'"
    python = make_environment(tmp_path / "environment", f"{PATH_CODE}\n{slowly}")
    config = tmp_path / "libvirtcim.toml"
    config.write_text(f'[connections]\nKVM = "{demo.sample_uri()}"\n')
    library = tmp_path / build.OUTPUT.name
    build.build(library, python=python, config=str(config), objects=ROOT / "build" / "cmpi")
    run = "from libvirtcim.cli import main; raise SystemExit(main())"

    def make(verb: str, *options: str) -> str:
        if verb == "register":
            options = (*options, "--plugin", str(library))
        return server.run(python, "-c", run, verb, "pegasus", *options).stdout

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
