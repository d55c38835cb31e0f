# SPDX-License-Identifier: LGPL-2.1-or-later
"""How indications come to listeners: all of them, in order, whatever other listeners do."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import pywbem

from libvirtcim.cim.declare import VIRT
from libvirtcim.server.indications import export
from tests.cimom.listener import Listener
from tests.cimom.ports import free_port
from tests.server.subscribing import (
    ANSWER,
    DEADLINE,
    FROM_TICKS,
    TICKS,
    RawListener,
    Subscribed,
    running,
    subscribe,
)
from tests.server.wire import until

TAKEN = (200, ANSWER.format(1, ""))
PYWBEMLISTENER = Path(sys.executable).with_name("pywbemlistener")


def counts(served: Subscribed, name: str = "one") -> dict[str, Any]:
    """The counters of one destination."""
    return next(row for row in served.status() if row["name"] == name)


def wait(served: Subscribed, name: str = "one", **wanted: Any) -> None:
    """Waits until the counters are these."""
    deadline = time.monotonic() + DEADLINE
    while not counts(served, name).items() >= wanted.items():
        assert time.monotonic() < deadline, f"{wanted}: {counts(served, name)}"
        time.sleep(0.01)


# --- what arrives ----------------------------------------------------------------------------


def test_what_pywbem_receives() -> None:
    listener = Listener()
    with running() as served, served.client() as cim, listener.listening():
        subscribe(cim, f"http://127.0.0.1:{listener.port}", name="é<&>")
        served.source.tick(2)
        wait(served, "é<&>", delivered=2)
    first, second = listener.received
    assert first.classname == TICKS and first["Number"] == 1
    before, after = first["PreviousInstance"], first["SourceInstance"]
    assert (before["EnabledState"], after["EnabledState"]) == (2, 3)
    assert (after.classname, after["Name"], after["OperationalStatus"]) == (
        "KVM_ComputerSystem", "tick é", [2],
    )  # fmt: skip
    assert first["IndicationIdentifier"] and first["IndicationTime"]
    assert first["IndicationFilterName"] == "é<&>"
    assert first["SequenceContext"] == second["SequenceContext"]
    assert (first["SequenceNumber"], second["SequenceNumber"]) == (0, 1)


def test_the_request() -> None:
    listener = RawListener()
    with running() as served, served.client() as cim, listener.listening():
        subscribe(cim, f"{listener.url}/a%20b?c=d")
        served.source.tick()
        listener.wait(1)
    headers, body = listener.requests[0]
    assert headers["Connection"] == "close"
    assert headers["CIMExport"] == "MethodRequest"
    assert headers["CIMExportMethod"] == "ExportIndication"
    assert headers["Content-Type"] == 'application/xml; charset="utf-8"'
    assert int(headers["Content-Length"]) == len(body.encode())
    assert "Accept-Encoding" not in headers and headers["Accept"] == "*/*"
    assert '<MESSAGE ID="0" PROTOCOLVERSION="1.0"><SIMPLEEXPREQ>' in body


def test_only_what_is_selected_where_it_holds() -> None:
    listener = RawListener()
    query = (
        "SELECT SourceInstance.EnabledState FROM CIM_InstModification"
        " WHERE SourceInstance ISA KVM_ComputerSystem AND SourceInstance.EnabledState = 9"
    )
    with running() as served, served.client() as cim, listener.listening():
        subscribe(cim, listener.url, query, language="DMTF:CQL")
        served.source.tick()
        served.source.tick(EnabledState=9)
        served.source.tick()
        served.source.tick(EnabledState=9)
        listener.wait(2)
        wait(served, delivered=2, queued=0)
    body = listener.requests[0][1]
    assert re.findall(r'(?<=PROPERTY NAME=")\w+', body) == [
        "IndicationFilterName", "SequenceContext", "SequenceNumber", "SourceInstance",
        "EnabledState",
    ]  # fmt: skip
    assert listener.sequence == [0, 1]


def test_each_subscription_counts() -> None:
    """A destination gets an indication once for each of its subscriptions."""
    listener = RawListener()
    with running() as served, served.client() as cim, listener.listening():
        first = subscribe(cim, listener.url)
        second = subscribe(cim, listener.url, f"{FROM_TICKS} WHERE Number > 1", "two")
        other = cim.CreateInstance(
            pywbem.CIMInstance(
                "CIM_IndicationSubscription",
                {"Filter": second["Filter"], "Handler": first["Handler"]},
            )
        )
        served.source.tick(2)
        wait(served, "one", delivered=3)
        wait(served, "two", delivered=1)
        cim.DeleteInstance(first)  # the other one goes on
        served.source.tick()
        wait(served, "one", delivered=4)
        cim.DeleteInstance(other)
        cim.DeleteInstance(second)
        assert served.source.publish is None


def test_a_thousand_at_once() -> None:
    listeners = [RawListener() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(running(1000))
        cim = stack.enter_context(served.client())
        for number, listener in enumerate(listeners):
            stack.enter_context(listener.listening())
            subscribe(cim, listener.url, name=str(number))
        served.source.tick(1000)
        for listener in listeners:
            listener.wait(1000)
        for number, listener in enumerate(listeners):
            wait(served, str(number), delivered=1000, queued=0, retried=0, dropped=0)
            assert listener.numbers == list(range(1, 1001))


@pytest.mark.skipif(not PYWBEMLISTENER.exists(), reason="pywbemlistener is not installed")
def test_pywbemlistener(tmp_path: Path) -> None:
    port, taken = free_port(), tmp_path / "taken"
    process = subprocess.Popen(
        [str(PYWBEMLISTENER), "-l", str(tmp_path), "run", f"test{port}", "--scheme", "http",
         "--port", str(port), "--bind-addr", "127.0.0.1", "--indi-file", str(taken),
         "--indi-format", "number {i[Number]} of {i.classname}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        with running() as served, served.client() as cim:
            subscribe(cim, f"http://127.0.0.1:{port}")
            served.source.tick(3)
            wait(served, delivered=3)
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=30)
    assert taken.read_text().splitlines() == [f"number {n} of {TICKS}" for n in (1, 2, 3)], output


# --- listeners that don't take what they should ----------------------------------------------


def test_a_listener_that_was_away_gets_everything() -> None:
    listener = RawListener()
    with running() as served, served.client() as cim:
        subscribe(cim, listener.url)
        served.source.tick(20)
        until(lambda: counts(served)["retried"] >= 3, "some attempts")
        shown = counts(served)
        assert shown["failing"] and "Connect call failed" in shown["last_error"]
        assert shown["last_error_time"] and (shown["queued"], shown["delivered"]) == (20, 0)
        with listener.listening():
            listener.wait(20)
            wait(served, queued=0, failing=False)
        served.source.tick(20)  # away again
        until(lambda: counts(served)["failing"], "a failure")
        with listener.listening():
            listener.wait(40)
            wait(served, delivered=40, queued=0, dropped=0, expired=0)
    assert listener.numbers == list(range(1, 41))


def test_a_listener_that_never_answers_harms_nobody() -> None:
    silent, prompt = RawListener(answer=lambda body: None), RawListener()
    with (
        running(indication_timeout=0.2) as served,
        served.client() as cim,
        silent.listening(),
        prompt.listening(),
        socket.create_server(("127.0.0.1", 0)) as deaf,
    ):
        subscribe(cim, f"http://127.0.0.1:{deaf.getsockname()[1]}/", name="deaf")
        subscribe(cim, f"https://127.0.0.1:{deaf.getsockname()[1]}/", name="no handshake")
        subscribe(cim, silent.url, name="silent")
        subscribe(cim, prompt.url, name="prompt")
        served.source.tick(50)
        prompt.wait(50)
        assert prompt.numbers == list(range(1, 51))
        for name in ("deaf", "no handshake", "silent"):
            until(lambda name=name: counts(served, name)["retried"] > 1, f"attempts of {name}")  # type: ignore[misc]
            shown = counts(served, name)
            assert (shown["delivered"], shown["last_error"]) == (0, "no answer within 0.2 s")
        assert set(silent.numbers) == {1}
        silent.answer = lambda body: TAKEN
        silent.released.set()
        wait(served, "silent", delivered=50, queued=0)


def test_a_name_that_is_looked_up_for_ever_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, look_up = threading.Event(), socket.getaddrinfo

    def hang(host: str, *arguments: Any) -> Any:
        if host == "hangs.example":
            gate.wait(DEADLINE)
        return look_up(host, *arguments)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    prompt = RawListener()
    with running(indication_timeout=0.1) as served, served.client() as cim, prompt.listening():
        subscribe(cim, "http://hangs.example/", name="hangs")
        subscribe(cim, f"http://localhost:{prompt.port}/")
        served.source.tick(20)
        prompt.wait(20)
        until(lambda: counts(served, "hangs")["retried"] > 8, "attempts")
        served.source.tick(20)
        prompt.wait(40)
        started = time.monotonic()
        served.server.stop()
        assert time.monotonic() - started < 10
    gate.set()
    assert prompt.numbers == list(range(1, 41))


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, "", "HTTP status 400"),
        (302, "", "HTTP status 302"),
        (200, ANSWER.format(1, '<ERROR CODE="4" DESCRIPTION="not so"/>'), "CIM error 4: not so"),
        (200, ANSWER.format(1, f'<ERROR CODE="1" DESCRIPTION="a&#10;b{"c" * 999}"/>'), "a bcccc"),
        (200, "no xml", "the answer is no XML"),
        (200, "<!DOCTYPE x><x/>", "the answer is no XML"),
        (200, "<CIM/>", "no EXPMETHODRESPONSE"),
        (200, "x" * 100_000, "larger than 65536 bytes"),
    ],
)
def test_what_a_listener_refuses_does_not_hold_up_the_rest(
    status: int, body: str, reason: str
) -> None:
    def answer(request: str) -> tuple[int, str]:
        return (status, body) if '"Number" TYPE="uint32"><VALUE>2<' in request else TAKEN

    listener = RawListener(answer=answer)
    with running(indication_attempts=2) as served, served.client() as cim, listener.listening():
        subscribe(cim, listener.url)
        served.source.tick(3)
        wait(served, delivered=2, refused=1, retried=1, queued=0, failing=False)
        assert reason in counts(served)["last_error"] and len(counts(served)["last_error"]) <= 300
    assert listener.numbers == [1, 2, 2, 3]


def test_what_a_listener_may_take_later() -> None:
    answers = iter([(503, "")] * 4)
    listener = RawListener(answer=lambda request: next(answers, TAKEN))
    with running(indication_attempts=1) as served, served.client() as cim, listener.listening():
        subscribe(cim, listener.url)
        served.source.tick()
        wait(served, delivered=1, retried=4, refused=0)
        assert counts(served)["last_error"] == "HTTP status 503"


def test_an_empty_answer_is_one() -> None:
    listener = RawListener(answer=lambda request: (200, ""))
    with running() as served, served.client() as cim, listener.listening():
        subscribe(cim, listener.url)
        served.source.tick()
        wait(served, delivered=1, retried=0)


def test_the_oldest_gives_way(log: pytest.LogCaptureFixture) -> None:
    listener = RawListener()
    with running(5) as served, served.client() as cim:
        subscribe(cim, listener.url)
        served.source.tick()
        until(lambda: counts(served)["failing"], "the first being sent")
        served.source.tick(10)
        assert (counts(served)["dropped"], counts(served)["queued"]) == (5, 6)
        with listener.listening():
            listener.wait(6)
            wait(served, delivered=6, queued=0)
    assert listener.numbers == [1, 7, 8, 9, 10, 11]
    assert listener.sequence == [0, 6, 7, 8, 9, 10], "the listener can tell that some are missing"
    assert "more than 5 indications wait (indication_queue)" in log.text


def test_nothing_is_kept_for_ever() -> None:
    listener = RawListener()
    with running(indication_retention=0.3) as served, served.client() as cim:
        subscribe(cim, listener.url)
        served.source.tick(3)
        wait(served, expired=3, queued=0)
        with listener.listening():
            served.source.tick()
            wait(served, delivered=1, expired=3)
    assert listener.numbers == [4]


def test_pauses_grow() -> None:
    with running(indication_retry_first=0.1, indication_retry_longest=0.4) as served:
        times: list[float] = []
        with served.client() as cim, socket.create_server(("127.0.0.1", 0)) as server:
            subscribe(cim, f"http://127.0.0.1:{server.getsockname()[1]}/")
            served.source.tick()
            for _ in range(6):
                server.settimeout(DEADLINE)
                server.accept()[0].close()
                times.append(time.monotonic())
        pauses = [after - before for before, after in itertools.pairwise(times)]
        # as long at least: how much longer depends on who else runs
        assert all(
            p >= least for p, least in zip(pauses, (0.09, 0.19, 0.39, 0.39, 0.39), strict=True)
        )


def test_an_indication_that_can_not_be_written(log: pytest.LogCaptureFixture) -> None:
    listener = RawListener()
    with running() as served, served.client() as cim, listener.listening():
        subscribe(cim, listener.url)
        assert served.source.publish is not None
        served.source.publish(TICKS, {"Number": "seven"})
        served.source.tick()
        wait(served, delivered=1, refused=1, queued=0)
    assert f"an indication of {TICKS} can't be written" in log.text


def test_a_sender_that_fails_is_told_of(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    def check_answer(status: int, body: bytes) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(export, "check_answer", check_answer)
    listener = RawListener()
    with running() as served, served.client() as cim, listener.listening():
        subscribe(cim, listener.url)
        served.source.tick(2)
        until(lambda: counts(served)["lost"] == 2, "its end")
    assert "gets nothing any more" in log.text and "RuntimeError: a mistake" in log.text


# --- HTTPS -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "host", "error"),
    [
        ({"indication_ca_file": "own"}, "localhost", None),
        ({"indication_tls_verify": False}, "127.0.0.2", None),
        ({"indication_ca_file": "own"}, "127.0.0.2", "IP address mismatch"),
        ({}, "localhost", "certificate verify failed"),
    ],
)
def test_https(
    certificate: tuple[Path, Path], settings: dict[str, Any], host: str, error: str | None
) -> None:
    if "indication_ca_file" in settings:
        settings = {"indication_ca_file": certificate[0]}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    listener = RawListener(host="127.0.0.2" if host == "127.0.0.2" else "127.0.0.1")
    with running(**settings) as served, served.client() as cim, listener.listening(context):
        subscribe(cim, f"https://{host}:{listener.port}/")
        served.source.tick(2)
        if error is None:
            wait(served, delivered=2)
        else:
            until(lambda: counts(served)["retried"] > 0, "an attempt")
            assert error in counts(served)["last_error"]
            assert listener.requests == []


# --- beginning and end -----------------------------------------------------------------------


def test_a_stopping_server_delivers_what_waits() -> None:
    gate = threading.Event()
    listener = RawListener(answer=lambda body: TAKEN if gate.wait(DEADLINE) else None)
    with listener.listening():
        with running() as served, served.client() as cim:
            subscribe(cim, listener.url)
            served.source.tick(20)
            until(lambda: served.status()[0]["queued"] == 20, "all waiting")
            threading.Timer(0.2, gate.set).start()
        assert served.source.publish is None
    assert listener.numbers == list(range(1, 21))


@pytest.mark.parametrize("silent", [True, False])
def test_a_stopping_server_does_not_wait_for_ever(
    silent: bool, log: pytest.LogCaptureFixture
) -> None:
    listener = RawListener(answer=lambda body: None)
    with contextlib.ExitStack() as stack:
        if silent:
            stack.enter_context(listener.listening())
        served = stack.enter_context(running())
        cim = stack.enter_context(served.client())
        subscribe(cim, listener.url)
        served.source.tick(3)
        until(lambda: bool(listener.requests) or counts(served)["failing"], "an attempt")
        started = time.monotonic()
        served.server.stop()
        assert time.monotonic() - started < 10
    assert "3 indications are not delivered any more" in log.text


def test_a_source_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()
    with running(shutdown_timeout=0.2) as served, served.client() as cim:
        subscribe(cim, "http://127.0.0.1:9/")
        monkeypatch.setattr(served.source, "stop", lambda: gate.wait(DEADLINE))
        started = time.monotonic()
        served.server.stop()
        assert time.monotonic() - started < 10
        gate.set()
    assert "sources of indications have not ended within 0.2 s (shutdown_timeout)" in log.text


def test_deleting_while_delivering() -> None:
    gate = threading.Event()
    listener = RawListener(answer=lambda body: TAKEN if gate.wait(DEADLINE) else None)
    with running() as served, served.client() as cim, listener.listening():
        made = subscribe(cim, listener.url)
        served.source.tick(100)
        until(lambda: counts(served)["queued"] == 100, "all waiting")
        cim.DeleteInstance(made)
        gate.set()
        listener.wait(50)  # what was accepted is still delivered
        cim.DeleteInstance(made["Handler"])
        assert served.status() == []
        received = len(listener.requests)
        # the same destination anew begins at 0, and gets nothing of the old one
        cim.DeleteInstance(made["Filter"])
        subscribe(cim, listener.url)
        served.source.tick()
        wait(served, delivered=1)
    assert listener.numbers[-1] == 101
    assert sorted(listener.numbers[:-1]) == list(range(1, len(listener.numbers)))
    assert received <= len(listener.requests)


def test_subscribing_and_unsubscribing_leaves_nothing_behind() -> None:
    listener = RawListener()
    process = psutil.Process()
    with running() as served, served.client() as cim, listener.listening():

        def round_trip() -> None:
            made = subscribe(cim, listener.url)
            unreachable = subscribe(cim, "http://localhost:9/", name="two")
            taken = len(listener.requests)
            served.source.tick(3)
            listener.wait(taken + 3)
            for path in (made, made["Filter"], made["Handler"]):
                cim.DeleteInstance(path)
            for path in (unreachable, unreachable["Filter"], unreachable["Handler"]):
                cim.DeleteInstance(path)

        for _ in range(3):
            round_trip()
        threads, descriptors = process.num_threads(), process.num_fds()
        for _ in range(30):
            round_trip()
        until(lambda: process.num_threads() <= threads, "threads that end")
        until(lambda: process.num_fds() <= descriptors, "descriptors that close")


def test_a_listener_that_goes_and_comes_is_told_once(
    log: pytest.LogCaptureFixture,
) -> None:
    listener = RawListener()
    with running() as served, served.client() as cim:
        subscribe(cim, listener.url)
        served.source.tick()
        until(lambda: counts(served)["retried"] > 3, "attempts")
        with listener.listening():
            wait(served, delivered=1)
    assert log.text.count("does not take indications, trying again") == 1
    assert log.text.count("takes indications again") == 1


def test_names_are_looked_up() -> None:
    listener = RawListener()
    with running() as served, served.client() as cim, listener.listening():
        subscribe(cim, f"http://localhost:{listener.port}/")
        subscribe(cim, "http://no-such-host.invalid:1/", name="two")
        served.source.tick()
        wait(served, delivered=1)
        until(lambda: counts(served, "two")["failing"], "a failure")
        assert counts(served, "two")["last_error"]


def test_namespaces() -> None:
    """A filter for several namespaces takes what any of them sends."""
    listener = RawListener()
    with running() as served, served.client() as cim, listener.listening():
        made = subscribe(cim, listener.url)
        chosen = pywbem.CIMInstance(
            "CIM_IndicationFilter",
            {
                "Name": "both", "SourceNamespaces": [VIRT, VIRT.upper()], "QueryLanguage": "WQL",
                "Query": FROM_TICKS,
            },
        )  # fmt: skip
        ends = {"Filter": cim.CreateInstance(chosen), "Handler": made["Handler"]}
        cim.CreateInstance(pywbem.CIMInstance("CIM_IndicationSubscription", ends))
        cim.DeleteInstance(made)
        served.source.tick()
        wait(served, delivered=1)
    assert listener.numbers == [1]
