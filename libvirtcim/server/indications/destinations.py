# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where indications are sent: the form of a destination's URL, and the look-up of its host."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import Executor

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from libvirtcim.server.indications.reach import Reach

MAX_URL_TEXT = 2048


class DestinationRefused(Exception):
    """Nothing is sent to this destination; the text says why."""


def parse(text: str, reach: Reach) -> URL:
    """The URL of a destination; raises DestinationRefused for what is none to send to.

    It has the scheme http or https, a host and no user: these names and passwords would be shown to
    everybody who can read the instance.
    """
    if len(text) > MAX_URL_TEXT or not text.isprintable() or " " in text:
        raise DestinationRefused("it is no URL")
    try:
        url = URL(text)
        host, port = url.host, url.port
    except ValueError as error:
        raise DestinationRefused(f"it is no URL ({error})") from None
    if url.scheme not in ("http", "https"):
        raise DestinationRefused("its scheme must be http or https")
    if not host:
        raise DestinationRefused("it has no host")
    if not port:
        raise DestinationRefused("it has no port")
    if url.user is not None or url.password is not None:
        raise DestinationRefused("a user in it is not supported")
    if url.fragment:
        raise DestinationRefused("a fragment in it is not supported")
    check(url, reach)
    return url


def check(url: URL, reach: Reach) -> None:
    """Raises DestinationRefused for a host that is not allowed, as far as that is known yet."""
    host = url.host or ""
    if not reach.may_have(host):
        raise DestinationRefused(_not_allowed(host))


class Resolver(AbstractResolver):
    """Looks up names in threads of its own, and gives only addresses that may be sent to.

    A look-up that hangs can thus hold up neither the end of the process nor other work.
    """

    def __init__(self, reach: Reach, workers: Executor) -> None:
        self._reach = reach
        self._workers = workers

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host; raises OSError where there are none, or none that is allowed."""
        look_up = self._workers.submit(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.wrap_future(look_up)
        allowed = [
            row for row in found if self._reach.has_name(host) or self._allows(str(row[4][0]))
        ]
        if not allowed:
            raise OSError(None, _not_allowed(host))
        return [
            ResolveResult(
                hostname=host,
                host=str(row[4][0]),
                port=port,
                family=row[0],
                proto=row[2],
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for row in allowed
        ]

    def _allows(self, address: str) -> bool:
        return self._reach.has_address(address.partition("%")[0])

    async def close(self) -> None:
        """The threads are somebody else's."""


def _not_allowed(host: str) -> str:
    return f"{host} is not allowed (indication_destinations)"
