# SPDX-License-Identifier: LGPL-2.1-or-later
"""A server in a process of its own, and a client that does no more than HTTP."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Self

from bench.engine import PREFIX
from bench.messages import Request

_COMMAND = "import sys; from libvirtcim.cli import main; sys.exit(main())"
_LISTENING = re.compile(r"listening on http://([^\s:]+):(\d+)")
_TIMEOUT = 120.0


class Server:
    """`libvirtcim serve` over one hypervisor; `ready` is the time from its start until it listens.

    `port`: 0 takes a free one. `flags`: more of the command's. Nothing is kept of subscriptions unless
    a flag says where. `wrapper`: a command that runs the server instead of us.
    """

    def __init__(self, uri: str, *flags: str, port: int = 0, wrapper: tuple[str, ...] = ()) -> None:
        begin = time.perf_counter()
        self._reading: threading.Thread | None = None
        self._process = subprocess.Popen(
            [
                *(*wrapper, sys.executable, "-c", _COMMAND),
                *("serve", "--listen", f"127.0.0.1:{port}"),
                *("--connection", f"{PREFIX}={uri}", "--config", "/dev/null"),
                *("--subscriptions", "", *flags),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            host, self.port = self._address()
            self._client = Client(host, self.port)
        except BaseException:
            self.stop()
            raise
        self.ready = time.perf_counter() - begin

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    @property
    def url(self) -> str:
        """What clients connect to."""
        return f"http://127.0.0.1:{self.port}"

    def _address(self) -> tuple[str, int]:
        """Where the server says it listens; from then on its log is read and dropped."""
        log = self._process.stderr
        assert log is not None
        seen = []
        for line in log:
            seen.append(line)
            if found := _LISTENING.search(line):
                self._reading = threading.Thread(target=log.read, daemon=True)
                self._reading.start()
                return found[1], int(found[2])
        raise RuntimeError(f"the server did not start:\n{''.join(seen)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()
        if self._process.poll() is None:
            self.stop()

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        self._await_end()

    def kill(self) -> None:
        """End the server as a crash would."""
        self._process.kill()
        self._await_end()

    def _await_end(self) -> None:
        self._process.wait(30)
        if self._reading is not None:
            self._reading.join()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def answer(self, request: Request) -> float:
        """Seconds of one round trip on the open connection, the whole answer read."""
        return self._client.answer(request)


class Client:
    """A client that keeps one connection open."""

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)

    def answer(self, request: Request) -> float:
        """Seconds of one round trip, the whole answer read."""
        headers = {
            "Content-Type": 'application/xml; charset="utf-8"',
            "CIMOperation": "MethodCall",
            "CIMMethod": request.operation,
            "CIMObject": "root%2Fvirt",
        }
        begin = time.perf_counter()
        self._connection.request("POST", "/cimom", request.body, headers)
        response = self._connection.getresponse()
        body = response.read()
        seconds = time.perf_counter() - begin
        if response.status != 200 or b"<ERROR " in body[:1000]:
            raise RuntimeError(f"{request.title}: {response.status} {body[:500].decode()}")
        return seconds

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()
