# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every limit, by the name of its setting; and the settings themselves."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest

from libvirtcim.server.settings import ServerSettings
from tests.server.conftest import Serve
from tests.server.wire import (
    HEADERS,
    Client,
    Connection,
    cls,
    extrinsic,
    http,
    inst,
    intrinsic,
    message,
    until,
)

NAMES = intrinsic("EnumerateInstanceNames", {"ClassName": cls("TST_Thing")})
WAIT = extrinsic("Wait", inst("TST_Thing", Name="a"))
LIMITS: dict[str, Callable[[Serve], None]] = {}
ELSEWHERE = {
    "auth_cache_time": "test_auth",
    "auth_failure_delay": "test_auth",
    "auth_threads": "test_auth",
    "max_subscriptions": "test_subscriptions",
    "indication_tls_verify": "test_subscriptions_delivery",
    "indication_timeout": "test_subscriptions_delivery",
    "indication_retry_first": "test_subscriptions_delivery",
    "indication_retry_longest": "test_subscriptions_delivery",
    "indication_retention": "test_subscriptions_delivery",
    "indication_attempts": "test_subscriptions_delivery",
}


def limit(check: Callable[[Serve], None]) -> Callable[[Serve], None]:
    LIMITS[check.__name__.removeprefix("_")] = check
    return check


def alive(client: Client) -> None:
    assert client.post(NAMES).error == 0


@limit
def _max_body_bytes(serve: Serve) -> None:
    _, client, _ = serve(max_body_bytes=1000)
    assert client.post(b"x" * 1001).status == 413
    assert client.post(b"x" * 1000).status == 400
    chunked = {**HEADERS, "Transfer-Encoding": "chunked"}
    with Connection(client.endpoint) as connection:
        connection.send(http(b"", chunked) + b"400\r\n" + b"x" * 1024 + b"\r\n")
        answer = connection.answer()
        assert answer is not None and answer.status == 413
    with Connection(client.endpoint) as connection:
        connection.send(http(b"", {**HEADERS, "Content-Length": "999999999999"}))
        answer = connection.answer()
        assert answer is not None and answer.status == 413
    alive(client)


@limit
def _max_header_bytes(serve: Serve) -> None:
    _, client, _ = serve(max_header_bytes=2000)
    assert client.post(NAMES, {**HEADERS, "X": "x" * 3000}).status == 431
    with Connection(client.endpoint) as connection:
        connection.send(b"POST /cimom HTTP/1.1\r\n" + b"X: y\r\n" * 500)
        answer = connection.answer()
        assert answer is not None and answer.status in (400, 431)
        assert connection.closed()
    with Connection(client.endpoint) as connection:
        connection.send(http(NAMES.encode()))
        assert connection.answer() is not None
        connection.send(
            b"POST /cimom HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(90))
        )
        connection.send(b"".join(b"Y%d: %s\r\n" % (n, b"z" * 100) for n in range(15)))
        answer = connection.answer()
        assert answer is not None and answer.status in (400, 431)
    alive(client)


@limit
def _max_xml_depth(serve: Serve) -> None:
    _, client, _ = serve(max_xml_depth=20)
    for depth in (21, 300, 100_000):
        answer = client.post(b"<a>" * depth + b"</a>" * depth)
        assert (answer.status, answer.headers["cimerror"]) == (400, "request-not-well-formed")
    assert "max_xml_depth" in client.post(b"<a>" * 21 + b"</a>" * 21).headers["pgerrordetail"]
    alive(client)


@limit
def _max_xml_elements(serve: Serve) -> None:
    _, client, _ = serve(max_xml_elements=100)
    answer = client.post(message("<a/>" * 200))
    assert answer.status == 400
    assert "max_xml_elements" in answer.headers["pgerrordetail"]
    alive(client)


@limit
def _max_response_bytes(serve: Serve) -> None:
    _, client, _ = serve(max_response_bytes=1000)
    answer = client.call("EnumerateInstances", ClassName=cls("TST_All"))
    assert answer.error == 27 and "max_response_bytes" in answer.description
    alive(client)


@limit
def _max_connections(serve: Serve) -> None:
    server, client, _ = serve(max_connections=3)
    held = [Connection(client.endpoint) for _ in range(3)]
    until(lambda: server.open_connections == 3, "three connections")
    with Connection(client.endpoint) as fourth:
        answer = fourth.answer()
        assert answer is not None and answer.status == 503
    held[0].socket.close()
    until(lambda: server.open_connections == 2, "one connection less")
    alive(client)
    for connection in held:
        connection.socket.close()


@limit
def _header_timeout(serve: Serve) -> None:
    _, client, _ = serve(header_timeout=0.2)
    with Connection(client.endpoint) as silent:
        assert silent.closed(5)
    with Connection(client.endpoint) as slow:
        slow.send(b"POST /cimom HTTP/1.1\r\n")
        assert slow.closed(5)
    with Connection(client.endpoint) as second:
        second.send(http(NAMES.encode()))
        assert second.answer() is not None
        second.send(b"POST /cimom HTTP/1.1\r\nHost: x\r\n")
        assert second.closed(5)
    alive(client)


@limit
def _body_timeout(serve: Serve) -> None:
    _, client, _ = serve(body_timeout=0.2)
    with Connection(client.endpoint) as slow:
        slow.send(http(NAMES.encode())[:-10])
        answer = slow.answer()
        assert answer is not None and answer.status == 408
        assert slow.closed(5)
    alive(client)


@limit
def _request_timeout(serve: Serve) -> None:
    _, client, broker = serve(request_timeout=0.3, worker_threads=2)
    answer = client.post(WAIT)
    assert answer.error == 27 and "request_timeout" in answer.description
    alive(client)
    broker.gate.set()


@limit
def _worker_threads(serve: Serve) -> None:
    _, client, broker = serve(request_timeout=0.5, worker_threads=1)
    with Connection(client.endpoint) as first:
        first.send(http(WAIT.encode()))
        assert broker.waiting.acquire(timeout=5)
        answer = client.post(NAMES)
        assert answer.status == 503 and "worker_threads" in answer.headers["pgerrordetail"]
        broker.gate.set()
    until(lambda: client.post(NAMES).status == 200, "a free worker")


@limit
def _send_timeout(serve: Serve) -> None:
    server, client, broker = serve(send_timeout=0.3)
    broker.rows["TST_Thing"] = [{"Name": f"n{n}", "ElementName": "x" * 100_000} for n in range(300)]
    with Connection(client.endpoint) as deaf:
        deaf.send(http(intrinsic("EnumerateInstances", {"ClassName": cls("TST_Thing")}).encode()))
        until(lambda: server.open_connections == 1, "connected")
        until(lambda: server.open_connections == 0, "cut off")
    alive(client)


@limit
def _keepalive_timeout(serve: Serve) -> None:
    _, client, _ = serve(keepalive_timeout=0.2)
    with Connection(client.endpoint) as idle:
        idle.send(http(NAMES.encode()))
        assert idle.answer() is not None
        assert idle.closed(5)
    alive(client)


@limit
def _shutdown_timeout(serve: Serve) -> None:
    server, client, broker = serve(shutdown_timeout=5.0)
    with Connection(client.endpoint) as busy, Connection(client.endpoint) as idle:
        idle.send(http(NAMES.encode()))
        assert idle.answer() is not None
        busy.send(http(WAIT.encode()))
        assert broker.waiting.acquire(timeout=5)
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        assert idle.closed()
        assert stopper.is_alive()
        broker.gate.set()
        answer = busy.answer()
        assert answer is not None and answer.error == 0
        stopper.join(5)
        assert not stopper.is_alive()

    server, client, broker = serve(shutdown_timeout=0.2)
    with Connection(client.endpoint) as busy:
        busy.send(http(WAIT.encode()))
        assert broker.waiting.acquire(timeout=5)
        server.stop()
        assert busy.closed()


@limit
def _max_open_enumerations(serve: Serve) -> None:
    server, client, _ = serve(max_open_enumerations=2)
    thing: dict[str, Any] = {"ClassName": cls("TST_Thing")}
    contexts = [
        client.call("OpenEnumerateInstances", **thing).output("EnumerationContext")
        for _ in range(2)
    ]
    answer = client.call("OpenEnumerateInstances", **thing)
    assert answer.error == 27 and "max_open_enumerations" in answer.description
    assert client.call("CloseEnumeration", EnumerationContext=contexts[0]).error == 0
    assert client.call("OpenEnumerateInstances", **thing).error == 0
    assert server.open_enumerations == 2


@limit
def _pull_default_timeout(serve: Serve) -> None:
    server, client, _ = serve(pull_default_timeout=0.1)
    answer = client.call("OpenEnumerateInstances", ClassName=cls("TST_Thing"))
    context = answer.output("EnumerationContext")

    def expired() -> bool:
        pull = client.call("PullInstancesWithPath", EnumerationContext=context, MaxObjectCount="0")
        return pull.error == 21

    # Each pull starts the time anew, so one asks no sooner than it can have run out.
    threading.Event().wait(0.15)
    assert expired()
    assert server.open_enumerations == 0


@limit
def _pull_max_timeout(serve: Serve) -> None:
    _, client, _ = serve(pull_max_timeout=5.0)
    for timeout, error in (("0", 22), ("5", 0), ("6", 22)):
        answer = client.call(
            "OpenEnumerateInstances", ClassName=cls("TST_Thing"), OperationTimeout=timeout
        )
        assert answer.error == error


@limit
def _max_object_count(serve: Serve) -> None:
    _, client, _ = serve(max_object_count=2)
    answer = client.call(
        "OpenEnumerateInstances", ClassName=cls("TST_Thing"), MaxObjectCount="4000000000"
    )
    assert len(answer.values) == 2 and answer.output("EndOfSequence") == "FALSE"


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_limit(name: str, serve: Serve) -> None:
    LIMITS[name](serve)


def test_every_number_is_tested() -> None:
    numbers = {
        f.name for f in dataclasses.fields(ServerSettings) if isinstance(f.default, (int, float))
    }
    assert numbers == set(LIMITS) | set(ELSEWHERE)


def test_every_setting_is_described() -> None:
    texts = [f.metadata["help"] for f in dataclasses.fields(ServerSettings)]
    assert all(len(text) > 10 and "\n" not in text for text in texts)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"max_body_bytes": 0}, "max_body_bytes"),
        ({"worker_threads": -1}, "worker_threads"),
        ({"authentication": "htpasswd"}, "htpasswd_file"),
        ({"listen": (), "listen_tls": (("127.0.0.1", 0),)}, "tls_certificate"),
        ({"listen": ()}, "no address"),
    ],
)
def test_impossible_settings(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ServerSettings(**settings)
