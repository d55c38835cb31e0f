# SPDX-License-Identifier: LGPL-2.1-or-later
"""A listener for indications that does no more than HTTP, and notes when each has come."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import pywbem

from libvirtcim.cim.declare import VIRT

_HEAD = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/xml; charset=utf-8\r\n"
    "CIMExport: MethodResponse\r\nContent-Length: {}\r\nConnection: close\r\n\r\n"
)
_BODY = (
    '<?xml version="1.0" encoding="utf-8"?><CIM CIMVERSION="2.0" DTDVERSION="2.0">'
    '<MESSAGE ID="{}" PROTOCOLVERSION="1.0"><SIMPLEEXPRSP><EXPMETHODRESPONSE NAME="ExportIndication"/>'
    "</SIMPLEEXPRSP></MESSAGE></CIM>"
)
_MESSAGE = re.compile(rb'<MESSAGE ID="([^"]*)"')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLASS = re.compile(rb'<INSTANCE CLASSNAME="(\w+)"')
_IDENTIFIER = re.compile(rb'NAME="IndicationIdentifier"[^>]*>\s*<VALUE>([^<]*)')
_NUMBER = re.compile(rb'NAME="SequenceNumber"[^>]*>\s*<VALUE>(\d+)')
_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """One indication: when it had come (`time.perf_counter()`), and what the listener looks at.

    `number`: its SequenceNumber, -1 where the server sends none.
    """

    when: float
    classname: str
    identifier: str
    number: int


def subscribe(client: pywbem.WBEMConnection, url: str, classes: Iterable[str]) -> None:
    """Has the indications of classes of root/virt sent to a listener; `client` of root/interop."""

    def create(classname: str, **values: Any) -> pywbem.CIMInstanceName:
        return client.CreateInstance(pywbem.CIMInstance(classname, values))

    to = create("CIM_ListenerDestinationCIMXML", Name="bench", Destination=url)
    for name in classes:
        what = create(
            "CIM_IndicationFilter",
            Name=name,
            SourceNamespaces=[VIRT],
            Query=f"SELECT * FROM {name}",
            QueryLanguage="WQL",
        )
        create("CIM_IndicationSubscription", Filter=what, Handler=to)


class Listener:
    """Listens on a free port from its creation to the end of the block; one request after the other."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._thread = threading.Thread(target=self._serve, name="listener", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """What a destination names."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._socket.accept()
            except OSError:  # the end of the block
                return
            with connection:
                connection.settimeout(_TIMEOUT)
                request = _request(connection)
                when = time.perf_counter()
                connection.sendall(_answer(request))
            self.arrivals.append(_arrival(when, request))


def _request(connection: socket.socket) -> bytes:
    """All of a request."""
    data = bytearray()
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _blank, body = bytes(data).partition(b"\r\n\r\n")
    found = _LENGTH.search(head)
    if found is None:
        raise ValueError(f"a request without its length: {head!r}")
    parts, missing = [body], int(found[1]) - len(body)
    while missing > 0:
        parts.append(_more(connection))
        missing -= len(parts[-1])
    return b"".join(parts)


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    if not data:
        raise EOFError("a request that ends early")
    return data


def _answer(request: bytes) -> bytes:
    """That the indication was taken: CIM servers want it in XML, with the number of their message."""
    found = _MESSAGE.search(request)
    body = _BODY.format(found[1].decode() if found else "")
    return (_HEAD.format(len(body)) + body).encode()


def _arrival(when: float, body: bytes) -> Arrival:
    classname, identifier, number = (
        found[1].decode() if (found := pattern.search(body)) else ""
        for pattern in (_CLASS, _IDENTIFIER, _NUMBER)
    )
    return Arrival(when, classname, identifier, int(number or -1))
