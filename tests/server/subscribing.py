# SPDX-License-Identifier: LGPL-2.1-or-later
"""A server to subscribe to: its indications come when a test says so, and listeners that take them."""

from __future__ import annotations

import contextlib
import http.server
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pywbem

from libvirtcim import composition
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.declare import INTEROP, VIRT
from libvirtcim.cim.indications import Publish
from libvirtcim.cim.objects import Embedded
from libvirtcim.server import interop
from libvirtcim.server.http import CIMServer
from libvirtcim.server.indications.subscriptions import Subscriptions
from libvirtcim.server.settings import ServerSettings
from tests.cimom.ports import free_port
from tests.ticking.tick_indication import TICK

TICKS = "KVM_TickIndication"
MODIFIED = "KVM_ComputerSystemModifiedIndication"
UNSENT = replace(TICK, base="UnsentIndication", superclass="CIM_InstDeletion")
SCHEMA = composition.schema([*composition.declarations(), TICK, UNSENT])
FROM_TICKS = f"SELECT * FROM {TICKS}"
HOST = "cimhost"
FAST = {
    "listen": (("127.0.0.1", 0),),
    "subscriptions": "",
    "indication_retry_first": 0.02,
    "indication_retry_longest": 0.05,
}
"""Settings with which a test need not wait long."""
DEADLINE = 30.0


class Source:
    """Publishes when told: ticks, which are modified guests with a number, or just modified guests."""

    classes = (TICKS, MODIFIED)

    def __init__(self) -> None:
        self.publish: Publish | None = None
        self.number = 0

    def start(self, publish: Publish) -> None:
        self.publish = publish

    def stop(self) -> None:
        self.publish = None

    def tick(self, count: int = 1, classname: str = TICKS, **values: Any) -> None:
        """The next so many ticks; `values` are those of the guest after the tick."""
        for _ in range(count):
            self.number += 1
            if self.publish is not None:
                before = {"Name": "tick é", "EnabledState": 2, "OperationalStatus": [2]}
                self.publish(
                    classname,
                    {
                        **({"Number": self.number} if classname == TICKS else {}),
                        "PreviousInstance": Embedded("KVM_ComputerSystem", before),
                        "SourceInstance": Embedded(
                            "KVM_ComputerSystem", {**before, "EnabledState": 3, **values}
                        ),
                    },
                )


@dataclass
class Subscribed:
    """A running server and its source."""

    server: CIMServer
    source: Source
    subscriptions: Subscriptions

    @property
    def url(self) -> str:
        return self.server.urls[0]

    def status(self) -> list[dict[str, Any]]:
        """What the server says of its destinations."""
        return self.subscriptions.status()

    @contextlib.contextmanager
    def client(self) -> Iterator[pywbem.WBEMConnection]:
        """A connection to the interop namespace."""
        with pywbem.WBEMConnection(self.url, default_namespace=INTEROP) as connection:
            yield connection


def make(queue: int = 1000, **settings: Any) -> Subscribed:
    """A server, not yet started."""
    source = Source()
    chosen = ServerSettings(**{**FAST, **settings})
    own = interop.providers(composition.NAMESPACES, lambda: HOST)
    broker = Broker(SCHEMA, own, (), [source])
    subscriptions = Subscriptions(broker, chosen, queue, lambda: HOST)
    return Subscribed(CIMServer(broker, chosen, subscriptions), source, subscriptions)


@contextlib.contextmanager
def running(queue: int = 1000, **settings: Any) -> Iterator[Subscribed]:
    """A running server."""
    made = make(queue, **settings)
    with made.server:
        yield made


def subscribe(
    cim: pywbem.WBEMConnection,
    destination: str,
    query: str = FROM_TICKS,
    name: str = "one",
    language: str = "WQL",
    **properties: Any,
) -> pywbem.CIMInstanceName:
    """Filter, destination and subscription of one name; returns the subscription's path."""
    handler = cim.CreateInstance(
        pywbem.CIMInstance(
            "CIM_ListenerDestinationCIMXML", {"Name": name, "Destination": destination}
        )
    )
    chosen = cim.CreateInstance(
        pywbem.CIMInstance(
            "CIM_IndicationFilter",
            {
                "Name": name,
                "SourceNamespaces": [VIRT],
                "Query": query,
                "QueryLanguage": language,
            },
        )
    )
    return cim.CreateInstance(
        pywbem.CIMInstance(
            "CIM_IndicationSubscription", {"Filter": chosen, "Handler": handler, **properties}
        )
    )


ANSWER = (
    '<?xml version="1.0" encoding="utf-8" ?><CIM CIMVERSION="2.0" DTDVERSION="2.4">'
    '<MESSAGE ID="{}" PROTOCOLVERSION="1.4"><SIMPLEEXPRSP><EXPMETHODRESPONSE NAME="ExportIndication">'
    "{}</EXPMETHODRESPONSE></SIMPLEEXPRSP></MESSAGE></CIM>"
)


@dataclass
class RawListener:
    """A listener that keeps requests as they come, and answers as `answer` says.

    `answer`: (request body) → (status, body), None: nothing is ever answered.
    """

    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    answer: Callable[[str], tuple[int, str] | None] = lambda body: (200, ANSWER.format(1, ""))
    requests: list[tuple[dict[str, str], str]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    _more: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/listener"

    @property
    def numbers(self) -> list[int]:
        """The numbers of the ticks that came."""
        return self._values("Number")

    @property
    def sequence(self) -> list[int]:
        """Their sequence numbers."""
        return self._values("SequenceNumber")

    def _values(self, name: str) -> list[int]:
        pattern = re.compile(f'NAME="{name}" TYPE="[^"]*"><VALUE>(\\d+)')
        found = (pattern.search(body) for _headers, body in self.requests)
        return [int(match[1]) for match in found if match is not None]

    def wait(self, count: int) -> None:
        """Waits until so many requests have come."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.requests) >= count, DEADLINE), (
                f"{len(self.requests)} of {count} requests have come"
            )

    @contextlib.contextmanager
    def listening(self, tls: ssl.SSLContext | None = None) -> Iterator[RawListener]:
        """Listens during the block."""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = (
                -1
            )  # an answer in one piece: else the client's system waits to acknowledge it

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                found = outer.answer(body)
                with outer._more:
                    outer.requests.append((dict(self.headers), body))
                    outer._more.notify_all()
                if found is None:
                    outer.released.wait(DEADLINE)
                    self.close_connection = True
                    return
                status, text = found
                self.send_response(status)
                self.send_header("Content-Type", 'application/xml; charset="utf-8"')
                self.send_header("CIMExport", "MethodResponse")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_args: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_args: object) -> None:
                """A client that goes away is no news."""

        server = Server((self.host, self.port), Handler)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            server.shutdown()
            server.server_close()
            thread.join()
