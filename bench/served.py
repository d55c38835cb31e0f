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
    """`libvirtcim serve` on a free port; `ready` is the time from its start until it listens."""

    def __init__(self, uri: str) -> None:
        begin = time.perf_counter()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", _COMMAND, "serve", "--listen", "127.0.0.1:0"),
                *("--connection", f"{PREFIX}={uri}", "--config", "/dev/null"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            self._client = Client(*self._address())
        except BaseException:
            self.stop()
            raise
        self.ready = time.perf_counter() - begin

    def _address(self) -> tuple[str, int]:
        """Where the server says it listens; from then on its log is read and dropped."""
        log = self._process.stderr
        assert log is not None
        seen = []
        for line in log:
            seen.append(line)
            if found := _LISTENING.search(line):
                threading.Thread(target=log.read, daemon=True).start()
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
        self.stop()

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.wait(30)

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
