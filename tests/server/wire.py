# SPDX-License-Identifier: LGPL-2.1-or-later
"""Raw requests over sockets, and answers looked at closely."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

Endpoint = tuple[str, int]

HEADERS: Mapping[str, str] = {
    "Content-Type": 'application/xml; charset="utf-8"',
    "CIMOperation": "MethodCall",
    "CIMMethod": "M",
    "CIMObject": "root%2Fvirt",
}
PLAIN_HEADERS = {**HEADERS, "CIMProtocolVersion": "1.0"}
"""What wbemcli is known by."""
DEADLINE = 10.0

# wbemcli's parser takes none of these without a closing tag.
_NEVER_SELF_CLOSED = re.compile(
    r"<(PROPERTY|PROPERTY\.ARRAY|PROPERTY\.REFERENCE|INSTANCE|CLASS|METHOD|PARAMETER[.A-Z]*|QUALIFIER|"
    r"VALUE|VALUE\.ARRAY|KEYVALUE|HOST|IRETURNVALUE|IMETHODRESPONSE|METHODRESPONSE)(\s[^>]*)?/>"
)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `headers` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def response(self) -> etree._Element:
        """IMETHODRESPONSE or METHODRESPONSE, after checks that hold for every answer."""
        assert self.status == 200, (self.status, dict(self.headers))
        assert self.body.startswith(b"<?xml")
        assert not _NEVER_SELF_CLOSED.search(self.text), self.text
        message = etree.fromstring(self.body)[0]
        assert message.tag == "MESSAGE"
        return message[0][0]

    @property
    def error(self) -> int:
        """The CIM status; 0 for none."""
        found = self.response.find("ERROR")
        return 0 if found is None else int(found.get("CODE", "-1"))

    @property
    def description(self) -> str:
        found = self.response.find("ERROR")
        assert found is not None
        return found.get("DESCRIPTION", "")

    @property
    def values(self) -> list[etree._Element]:
        """What IRETURNVALUE holds."""
        assert self.error == 0, self.text
        found = self.response.find("IRETURNVALUE")
        assert found is not None, self.text
        return list(found)

    @property
    def tags(self) -> list[str]:
        return [str(value.tag) for value in self.values]

    def output(self, name: str) -> str | None:
        """Text of the VALUE of a PARAMVALUE."""
        assert self.error == 0, self.text
        found = self.response.find(f"PARAMVALUE[@NAME='{name}']/VALUE")
        return None if found is None else (found.text or "")


class Connection:
    """A socket that speaks just enough HTTP to see what the server does."""

    def __init__(
        self, endpoint: Endpoint, wrap: Callable[[socket.socket], socket.socket] | None = None
    ):
        self.socket = socket.create_connection(endpoint, timeout=DEADLINE)
        if wrap is not None:
            self.socket = wrap(self.socket)
        self._buffer = b""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> Answer | None:
        """The next answer; None where the server has closed the connection."""
        head = self._until(b"\r\n\r\n")
        if head is None:
            return None
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        status = int(lines[0].split()[1])
        size = int(headers.get("content-length", "0"))
        while len(self._buffer) < size:
            received = self._receive()
            if not received:
                raise AssertionError("the body is shorter than its Content-Length")
            self._buffer += received
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return Answer(status, headers, body)

    def _until(self, mark: bytes) -> bytes | None:
        while mark not in self._buffer:
            received = self._receive()
            if not received:
                assert not self._buffer, self._buffer
                return None
            self._buffer += received
        found, _, self._buffer = self._buffer.partition(mark)
        return found

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def closed(self, within: float = DEADLINE) -> bool:
        """Whether the server closes, without a further answer, in that time."""
        self.socket.settimeout(within)
        try:
            return self._receive() == b""
        except TimeoutError:
            return False


def http(
    body: bytes, headers: Mapping[str, str] = HEADERS, method: str = "POST", path: str = "/cimom"
) -> bytes:
    """A request with Content-Length (unless the headers have one)."""
    lines = [f"{method} {path} HTTP/1.1"]
    if "Host" not in headers:
        lines.append("Host: 127.0.0.1")
    if "Content-Length" not in headers and "Transfer-Encoding" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in headers.items() if value]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def post(
    endpoint: Endpoint,
    body: bytes | str,
    headers: Mapping[str, str] = HEADERS,
    method: str = "POST",
    path: str = "/cimom",
) -> Answer:
    """One request on a connection of its own."""
    data = body.encode() if isinstance(body, str) else body
    with Connection(endpoint) as connection:
        connection.send(http(data, headers, method, path))
        found = connection.answer()
    assert found is not None, "the server closed the connection without an answer"
    return found


def message(call: str, **versions: str) -> str:
    cim, dtd, protocol = (versions.get(k, d) for k, d in
                          (("cim", "2.0"), ("dtd", "2.0"), ("protocol", "1.0")))  # fmt: skip
    return (
        f'<?xml version="1.0" encoding="utf-8" ?><CIM CIMVERSION="{cim}" DTDVERSION="{dtd}">'
        f'<MESSAGE ID="4711" PROTOCOLVERSION="{protocol}"><SIMPLEREQ>{call}</SIMPLEREQ></MESSAGE></CIM>'
    )


def namespace_path(namespace: str) -> str:
    parts = "".join(f"<NAMESPACE NAME={quoteattr(p)}/>" for p in namespace.split("/"))
    return f"<LOCALNAMESPACEPATH>{parts}</LOCALNAMESPACEPATH>"


def value(text: object) -> str:
    return f"<VALUE>{escape(str(text))}</VALUE>"


def cls(name: str) -> str:
    return f'<CLASSNAME NAME="{name}"/>'


def inst(name: str, valuetype: str = "string", **keys: object) -> str:
    bindings = "".join(
        f'<KEYBINDING NAME="{key}"><KEYVALUE VALUETYPE="{valuetype}">{escape(str(text))}</KEYVALUE>'
        "</KEYBINDING>"
        for key, text in keys.items()
    )
    return f'<INSTANCENAME CLASSNAME="{name}">{bindings}</INSTANCENAME>'


def parameters(given: Mapping[str, object]) -> str:
    return "".join(
        f'<IPARAMVALUE NAME="{name}">{content if str(content).startswith("<") else value(content)}'
        "</IPARAMVALUE>"
        for name, content in given.items()
    )


def intrinsic(name: str, given: Mapping[str, object], namespace: str = "root/virt") -> str:
    return message(
        f'<IMETHODCALL NAME="{name}">{namespace_path(namespace)}{parameters(given)}</IMETHODCALL>'
    )


def extrinsic(name: str, path: str, arguments: str = "", namespace: str = "root/virt") -> str:
    local = "LOCALINSTANCEPATH" if path.startswith("<INSTANCENAME") else "LOCALCLASSPATH"
    return message(
        f'<METHODCALL NAME="{name}"><{local}>{namespace_path(namespace)}{path}</{local}>'
        f"{arguments}</METHODCALL>"
    )


def until(condition: Callable[[], bool], what: str, within: float = DEADLINE) -> None:
    """Waits for a condition, with a deadline."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {within} s"
        time.sleep(0.01)


class Client:
    """Operations on one server."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def call(
        self,
        name: str,
        namespace: str = "root/virt",
        headers: Mapping[str, str] = HEADERS,
        **given: Any,
    ) -> Answer:
        return post(self.endpoint, intrinsic(name, given, namespace), headers)

    def method(
        self, name: str, path: str, arguments: str = "", headers: Mapping[str, str] = HEADERS,
        namespace: str = "root/virt",
    ) -> Answer:  # fmt: skip
        return post(self.endpoint, extrinsic(name, path, arguments, namespace), headers)

    def post(self, body: bytes | str, headers: Mapping[str, str] = HEADERS, **more: str) -> Answer:
        return post(self.endpoint, body, headers, **more)
