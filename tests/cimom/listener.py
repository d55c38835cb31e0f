# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client that takes indications from a CIM server, and lets tests wait for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pywbem

from tests.cimom.ports import free_port

QUERY = "SELECT * FROM KVM_TickIndication"
"""Filter for what `tests/ticking` sends."""
DEADLINE = 60.0


class Listener:
    """Takes indications, and lets tests wait for them."""

    def __init__(self) -> None:
        self.port = free_port()
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

    def until(self, enough: Callable[[list[pywbem.CIMInstance]], bool]) -> list[pywbem.CIMInstance]:
        """Waits until what has come is enough; all that has come."""
        with self._more:
            came = self._more.wait_for(lambda: enough(self.received), DEADLINE)
            assert came, [one.classname for one in self.received]
            return list(self.received)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes what comes during the block."""
        self.start()
        try:
            yield
        finally:
            self.stop()

    def start(self) -> None:
        """Takes what comes from now on."""
        self._serving = pywbem.WBEMListener("127.0.0.1", http_port=self.port)
        self._serving.add_callback(self.take)
        self._serving.start()

    def stop(self) -> None:
        """Takes nothing more."""
        self._serving.stop()


@contextmanager
def subscribed(
    connection: pywbem.WBEMConnection, listener: Listener, classes: Iterable[str]
) -> Iterator[None]:
    """The listener, listening, gets the indications of classes of root/virt during the block."""
    url = f"http://127.0.0.1:{listener.port}"
    with listener.listening(), sent(connection, url, classes):
        yield


@contextmanager
def sent(connection: pywbem.WBEMConnection, url: str, classes: Iterable[str]) -> Iterator[None]:
    """Any CIM server sends the indications of classes of root/virt to a listener during the block."""
    manager = pywbem.WBEMSubscriptionManager("libvirtcim-tests")
    server = manager.add_server(pywbem.WBEMServer(connection))
    # what is permanent keeps its name with every CIM server
    permanent = {"owned": False}
    to = manager.add_destination(
        server,
        url,
        name=f"listener-{urlsplit(url).port}",
        persistence_type="permanent",
        **permanent,
    )
    made = [to.path]
    try:
        for name in classes:
            query = f"SELECT * FROM {name}"
            wanted = manager.add_filter(
                server, ["root/virt"], query, "WQL", name=f"all-{name}", **permanent
            )
            made.append(wanted.path)
            (tied,) = manager.add_subscriptions(server, wanted.path, to.path, **permanent)
            made.append(tied.path)
        yield
    finally:
        for path in reversed(made):
            # SFCB answers with a value where none is due
            with suppress(pywbem.CIMXMLParseError):
                connection.DeleteInstance(path)
