# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is timed inside this process: libvirtcim without HTTP."""

from __future__ import annotations

import gc
import time
from types import TracebackType
from typing import NamedTuple, Self

from bench.messages import Request
from libvirtcim import composition
from libvirtcim.cim.objects import RequestContext
from libvirtcim.server.service import Reply, Service
from libvirtcim.server.settings import ServerSettings
from libvirtcim.server.writer import Writer
from libvirtcim.virt.host import Hosts
from libvirtcim.virt.settings import HostSettings

PREFIX = "KVM"
_CONTEXT = RequestContext()


class Timed(NamedTuple):
    """An answered request: seconds, and how many objects came."""

    seconds: float
    objects: int


class Engine:
    """Everything behind the sockets over a fresh, connected host that has read no guest yet."""

    def __init__(self, uri: str) -> None:
        gc.collect()  # else what a host before has read could be shared
        self._hosts = Hosts({PREFIX: uri}, settings=HostSettings(side_file_dir=None))
        self._hosts.host(PREFIX).connection.call(lambda raw: raw.getType())
        self._broker = composition.broker(self._hosts)
        self._service = Service(self._broker, ServerSettings())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hosts.close()

    def answer(self, request: Request) -> Timed:
        """From the request's XML to the answer's; an error in the answer is raised."""
        begin = time.perf_counter()
        reply = self._service.respond(request.body, _CONTEXT)
        seconds = time.perf_counter() - begin
        _check(reply, request)
        return Timed(seconds, reply.objects)

    def write(self, cls: str) -> float:
        """Seconds that writing one instance of the class as XML takes."""
        rows = list(self._broker.enumerate_instances(_CONTEXT, "root/virt", cls))
        write = Writer("host.example.org").named_instance
        begin = time.perf_counter()
        for row in rows:
            write(row)
        return (time.perf_counter() - begin) / max(len(rows), 1)


def _check(reply: Reply, request: Request) -> None:
    if reply.http_status != 200 or reply.cim_status:
        raise RuntimeError(f"{request.title}: {reply.body.decode()[:500] or reply.detail}")
