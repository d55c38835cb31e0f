# SPDX-License-Identifier: LGPL-2.1-or-later
"""Broken, hostile and random input: answered or cut off, never a crash, a hang or a leak of anything."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libvirtcim.cim.objects import RequestContext
from libvirtcim.server.http import CIMServer
from libvirtcim.server.service import Service
from libvirtcim.server.settings import ServerSettings
from tests.server.memory import filled
from tests.server.wire import HEADERS, Client, Connection, cls, extrinsic, http, inst, intrinsic

NAMES = intrinsic("EnumerateInstanceNames", {"ClassName": cls("TST_Thing")})
GOOD = [
    NAMES,
    intrinsic("GetInstance", {"InstanceName": inst("TST_Thing", Name="a"), "LocalOnly": "FALSE"}),
    intrinsic("AssociatorNames", {"ObjectName": inst("TST_Thing", Name="a"), "Role": "Antecedent"}),
    intrinsic("OpenEnumerateInstances", {"ClassName": cls("TST_Thing"), "MaxObjectCount": "1"}),
    intrinsic("SetProperty", {"InstanceName": inst("TST_Thing", Name="a"), "PropertyName": "Num"}),
    intrinsic(
        "CreateInstance",
        {
            "NewInstance": '<INSTANCE CLASSNAME="TST_Thing"><PROPERTY NAME="Name" TYPE="string">'
            "<VALUE>x</VALUE></PROPERTY></INSTANCE>"
        },
    ),
    extrinsic(
        "Echo",
        inst("TST_Thing", Name="a"),
        '<PARAMVALUE NAME="InArray_string" PARAMTYPE="string"><VALUE.ARRAY><VALUE>x</VALUE>'
        "<VALUE.NULL/></VALUE.ARRAY></PARAMVALUE>",
    ),
]
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{("&" + chr(97 + n) + ";") * 10}">' for n in range(9))
    + "]>"
)
ENVELOPE = NAMES.partition("?>")[2]


@pytest.fixture(scope="module")
def server() -> Iterator[CIMServer]:
    with CIMServer(
        filled(),
        ServerSettings(listen=(("127.0.0.1", 0),), header_timeout=1, body_timeout=1,
                       max_open_enumerations=10_000),
    ) as running:  # fmt: skip
        yield running


@pytest.fixture
def client(server: CIMServer) -> Iterator[Client]:
    """A client; the server must still answer it afterwards."""
    made = Client(server.addresses[0])
    yield made
    assert made.post(NAMES).error == 0


@pytest.mark.parametrize(
    "body",
    [
        LAUGHS + ENVELOPE.replace("TST_Thing", "&j;"),
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">' + ENVELOPE,
        '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + ENVELOPE.replace("TST_Thing", "&f;"),
        '<?xml version="1.0"?><!-- c --><?pi x?>\n<!DOCTYPE x>' + ENVELOPE,
        "\ufeff<!DOCTYPE x>" + ENVELOPE,
        ENVELOPE.replace("TST_Thing", "&undefined;"),
        "<!-- never ended",
        "<?xml",
        "<!--" * 10_000,
        " " * 1_000_000,
        "<a " + "b='' " * 100_000 + "/>",
        "<" * 1000,
        "&#x0;",
    ],
    ids=range(13),
)  # fmt: skip
def test_hostile_xml(client: Client, body: str) -> None:
    answer = client.post(body)
    assert (answer.status, answer.headers["cimerror"]) == (400, "request-not-well-formed")
    assert "root:" not in str(answer.headers)


@pytest.mark.parametrize(
    "body",
    [
        NAMES.encode("utf-16"),
        NAMES.encode()[:-30] + b"\xff\xfe" + NAMES.encode()[-30:],
        NAMES.encode().replace(b"TST_Thing", b"TST\x01Thing"),
        NAMES.encode().replace(b"TST_Thing", b"\xc3\x28"),
    ],
)
def test_bad_encodings(client: Client, body: bytes) -> None:
    assert client.post(body).status == 400


def test_good_encodings(client: Client) -> None:
    assert client.post(b"\xef\xbb\xbf" + NAMES.encode()).error == 0
    assert client.post(NAMES.replace('encoding="utf-8"', 'encoding="utf-16"')).error == 0
    assert client.post(ENVELOPE).error == 0
    assert client.post("<!-- c -->\n<?pi?>" + ENVELOPE).error == 0
    assert client.post(NAMES, {**HEADERS, "Content-Type": "text/xml"}).error == 0
    assert client.post(NAMES, {**HEADERS, "Content-Type": ""}).error == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/xml; charset=utf-16"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Host": "evil.example:5988"}, 421),
        ({"Host": "localhost:5988"}, 200),
        ({"Host": "[::1]:5988"}, 200),
        ({"CIMOperation": "methodcall"}, 200),
    ],
)
def test_headers(client: Client, headers: dict[str, str], status: int) -> None:
    assert client.post(NAMES, {**HEADERS, **headers}).status == status


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"POST /cimom HTTP/9.9\r\n\r\n",
        b"POST /cimom HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /cimom HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /cimom HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /cimom HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        b"POST /cimom HTTP/1.1\r\nCIMOperation: MethodCall\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /cimom HTTP/1.1\r\nCIMOperation: MethodCall\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST /cimom HTTP/1.0\r\n\r\n",
        b"\x00" * 100,
        b"\xff" * 10_000,
    ],
)
def test_bad_http(client: Client, data: bytes) -> None:
    """An error with Content-Length, or the end of the connection; in time in any case."""
    with Connection(client.endpoint) as connection:
        connection.send(data)
        answer = connection.answer()
    if answer is not None:
        assert answer.status >= 400
        assert answer.headers["content-length"] == "0"


def test_truncated_and_wrong_lengths(client: Client) -> None:
    body = NAMES.encode()
    with Connection(client.endpoint) as shorter:
        shorter.send(http(body, {**HEADERS, "Content-Length": str(len(body) - 5)}))
        answer = shorter.answer()
        assert answer is not None and answer.status in (400, 501)
    with Connection(client.endpoint) as gone:
        gone.send(http(body, {**HEADERS, "Content-Length": str(len(body) + 5)}))
        gone.socket.shutdown(socket.SHUT_WR)
        answer = gone.answer()
        assert answer is None or answer.status in (400, 408)
    with Connection(client.endpoint) as waiting:
        waiting.send(http(body, {**HEADERS, "Content-Length": str(len(body) + 5)}))
        answer = waiting.answer()
        assert answer is not None and answer.status == 408
    with Connection(client.endpoint) as aborted:
        aborted.send(http(body)[:100])


def test_pipelined_requests(client: Client) -> None:
    with Connection(client.endpoint) as connection:
        connection.send(http(NAMES.encode()) * 40)
        for _ in range(40):
            answer = connection.answer()
            assert answer is not None and answer.error == 0


def test_tls_bytes_on_a_plain_port(client: Client) -> None:
    with Connection(client.endpoint) as connection:
        connection.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert connection.closed(0.9)


def test_slow_loris(server: CIMServer, client: Client) -> None:
    many = [Connection(client.endpoint) for _ in range(60)]
    for connection in many:
        connection.send(b"POST /cimom HTTP/1.1\r\nX: ")
    assert client.post(NAMES).error == 0
    assert all(connection.closed(5) for connection in many)
    for connection in many:
        connection.socket.close()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
def test_random_bodies(server: CIMServer, data: bytes) -> None:
    client = Client(server.addresses[0])
    assert client.post(data).status == 400
    assert client.post(NAMES).error == 0


@settings(max_examples=100)
@given(data=st.binary(min_size=1, max_size=300), good=st.booleans())
def test_random_connections(server: CIMServer, data: bytes, good: bool) -> None:
    with Connection(server.addresses[0]) as connection:
        connection.send((http(NAMES.encode())[:50] if good else b"") + data)
        connection.socket.shutdown(socket.SHUT_WR)
        while (answer := connection.answer()) is not None:
            assert answer.status >= 200
    assert Client(server.addresses[0]).post(NAMES).error == 0


def mutate(seed: int) -> str:
    """A good request with some pieces cut, doubled, swapped or replaced."""
    dice = random.Random(seed)
    text = dice.choice(GOOD)
    for _ in range(dice.randint(1, 4)):
        start = dice.randrange(len(text))
        end = min(len(text), start + dice.randrange(1, 30))
        match dice.randrange(4):
            case 0:
                text = text[:start] + text[end:]
            case 1:
                text = text[:start] + text[start:end] * 2 + text[end:]
            case 2:
                tags = ["VALUE", "INSTANCE", "CLASSNAME", "KEYVALUE", "VALUE.ARRAY", "INSTANCENAME"]
                text = text.replace(dice.choice(tags), dice.choice(tags))
            case _:
                text = (
                    text[:start]
                    + dice.choice(["<", "&", '"', "\0", "é", "</a>", "9" * 30])
                    + text[end:]
                )
    return text


@settings(max_examples=1500)
@given(seed=st.integers(0, 2**32))
def test_mutated_requests(seed: int) -> None:
    reply = SERVICE.respond(mutate(seed).encode("utf-8", "replace"), RequestContext())
    assert reply.http_status in (200, 400, 501)
    assert reply.http_status != 200 or reply.body.startswith(b"<?xml")
    assert b"internal error" not in reply.body, reply.body


SERVICE = Service(filled(), ServerSettings(max_open_enumerations=100_000))


def test_mutated_requests_over_http(server: CIMServer) -> None:
    client = Client(server.addresses[0])
    for seed in range(200):
        assert client.post(mutate(seed).encode("utf-8", "replace")).status in (200, 400, 501)
    assert client.post(NAMES).error == 0
