# SPDX-License-Identifier: LGPL-2.1-or-later
"""Start, stop, signals and long use."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from libvirtcim.server.http import CIMServer
from libvirtcim.server.settings import ServerSettings
from libvirtcim.server.workers import WorkerPool
from tests.server.memory import filled
from tests.server.wire import Client, Connection, cls, extrinsic, http, inst, intrinsic

NAMES = intrinsic("EnumerateInstanceNames", {"ClassName": cls("TST_Thing")})
ROOT = Path(__file__).parents[2]
LOOPBACK = ServerSettings(listen=(("127.0.0.1", 0),))

SCRIPT = """
from libvirtcim.server.http import CIMServer
from libvirtcim.server.settings import ServerSettings
from tests.server.memory import filled
server = CIMServer(filled(), ServerSettings(listen=(("127.0.0.1", 0),)))
server.start()
print(server.addresses[0][1], flush=True)
server.run_forever()
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        client = Client(("127.0.0.1", int(process.stdout.readline())))
        assert client.post(NAMES).error == 0
        process.send_signal(number)
        output, errors = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert (output, errors, process.returncode) == ("ended\n", "", 0)


def test_stop_and_start_again() -> None:
    server = CIMServer(filled(), LOOPBACK)
    server.stop()
    for _ in range(3):
        server.start()
        endpoint = server.addresses[0]
        assert Client(endpoint).post(NAMES).error == 0
        with pytest.raises(RuntimeError):
            server.start()
        server.stop()
        assert server.addresses == ()
        with pytest.raises(OSError):
            socket.create_connection(endpoint, 1).close()


def test_port_in_use() -> None:
    with CIMServer(filled(), LOOPBACK) as first:
        second = CIMServer(filled(), ServerSettings(listen=(("127.0.0.1", 0), first.addresses[0])))
        with pytest.raises(OSError, match=str(first.addresses[0][1])):
            second.start()
        second.stop()


def test_start_is_quick() -> None:
    broker = filled()
    started = time.monotonic()
    with CIMServer(broker, LOOPBACK):
        assert time.monotonic() - started < 0.5


def test_worker_pool() -> None:
    pool = WorkerPool(2, "test")
    assert [pool.submit(pow, 2, n).result(5) for n in range(5)] == [1, 2, 4, 8, 16]
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 // 0).result(5)
    gate = threading.Event()
    started = threading.Barrier(3)
    running = [pool.submit(lambda: started.wait(5) >= 0 and gate.wait(10)) for _ in range(2)]
    started.wait(5)
    queued = pool.submit(pow, 2, 2)
    pool.shutdown(wait=False, cancel_futures=True)
    assert queued.cancelled()
    gate.set()
    assert all(f.result(5) for f in running)
    with pytest.raises(RuntimeError):
        pool.submit(pow, 2, 2)
    WorkerPool(1, "test").shutdown()


def test_clients_do_not_wait_for_each_other() -> None:
    broker = filled()
    with CIMServer(broker, LOOPBACK) as server:
        client = Client(server.addresses[0])
        with Connection(client.endpoint) as held:
            held.send(http(extrinsic("Wait", inst("TST_Thing", Name="a")).encode()))
            assert broker.waiting.acquire(timeout=5)
            for _ in range(20):
                assert client.post(NAMES).error == 0
            broker.gate.set()
            answer = held.answer()
            assert answer is not None and answer.error == 0


@pytest.mark.slow
def test_ten_thousand_requests_leave_nothing_behind() -> None:
    """Memory and file descriptors stay flat over requests of every kind, on kept and new connections."""
    mix = [
        http(body.encode())
        for body in (
            NAMES,
            intrinsic("EnumerateInstances", {"ClassName": cls("TST_Thing")}),
            intrinsic("GetInstance", {"InstanceName": inst("TST_Thing", Name="nobody")}),
            intrinsic(
                "OpenEnumerateInstances", {"ClassName": cls("TST_Thing"), "MaxObjectCount": "9"}
            ),
            intrinsic("GetClass", {"ClassName": cls("TST_All")}),
            intrinsic("Nonsense", {}),
            "<broken",
        )
    ]
    process = psutil.Process()
    with CIMServer(filled(), LOOPBACK) as server:

        def run(requests: int) -> None:
            connection: Connection | None = None
            for number in range(requests):
                if connection is None:
                    connection = Connection(server.addresses[0])
                connection.send(mix[number % len(mix)])
                answer = connection.answer()
                assert answer is not None
                if answer.status != 200 or number % 50 == 0:
                    connection.socket.close()
                    connection = None
            if connection is not None:
                connection.socket.close()

        run(2000)
        memory, descriptors, threads = (
            process.memory_info().rss,
            process.num_fds(),
            process.num_threads(),
        )
        run(8000)
        grown = process.memory_info().rss - memory
        assert grown < 3 << 20, f"{grown} bytes more after 8000 requests"
        deadline = time.monotonic() + 5
        while process.num_fds() > descriptors and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.num_fds() <= descriptors
        assert process.num_threads() == threads
        assert server.open_enumerations == 0
