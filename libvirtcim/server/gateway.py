# SPDX-License-Identifier: LGPL-2.1-or-later
"""One HTTP request: is it one of ours, who sends it, what is the answer (DSP0200 section 7).

Requests without a CIMOperation header, or with a content type that is not XML, are refused; so is, as
long as nobody is asked for a password, a Host that is a foreign name. This keeps web pages in a
browser on the same machine from sending operations here.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import time
from concurrent.futures import Executor

from aiohttp import web

from libvirtcim.cim.objects import RequestContext
from libvirtcim.server.access_log import log_request
from libvirtcim.server.auth import Authenticator
from libvirtcim.server.connections import SERVER_NAME, Connection, empty
from libvirtcim.server.messages import RequestRefused
from libvirtcim.server.operations import timed_out
from libvirtcim.server.service import Pending, Reply, Service, error_reply, refusal
from libvirtcim.server.settings import ServerSettings
from libvirtcim.server.text import percent_encode

_XML_TYPES = frozenset({"text/xml", "application/xml"})
_CONTENT_TYPE = 'application/xml; charset="utf-8"'
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_MAX_DETAIL = 500
_CLOSING = frozenset({400, 408, 413, 415, 417, 421, 431, 500, 503})
"""Statuses after which the connection is closed: what follows on it may not be a request."""


class Gateway:
    """Answers HTTP requests from a service; lives in the event loop."""

    def __init__(
        self,
        service: Service,
        settings: ServerSettings,
        workers: Executor,
        authenticator: Authenticator | None,
    ) -> None:
        self._service = service
        self._settings = settings
        self._workers = workers
        self._authenticator = authenticator
        own = {settings.shown_host.lower(), settings.shown_host.lower().partition(".")[0]}
        endpoints = (*settings.listen, *settings.listen_tls)
        self._hosts = own | {"localhost", ""} | {host.lower() for host, _port in endpoints}

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to one request."""
        connection = request.protocol
        if isinstance(connection, Connection):
            connection.busy = True
        started = time.perf_counter()
        user: str | None = None
        try:
            try:
                if request.method != "POST":
                    raise RequestRefused(405)
                self._check_host(request)
                user = await self._user(request)
                _check_headers(request)
                reply = await self._reply(request, user)
            except RequestRefused as refused:
                reply = refusal(refused)
            elapsed = time.perf_counter() - started
            log_request(reply, user, request.remote, elapsed * 1000)
            return _response(reply, elapsed)
        finally:
            if isinstance(connection, Connection):
                connection.busy = False

    def _check_host(self, request: web.BaseRequest) -> None:
        if self._authenticator is not None:
            return
        name = _host_name(request.headers.get("Host", ""))
        if name not in self._hosts and not _is_address(name):
            raise RequestRefused(
                421, "", f"Host {name!r} is not a name of this server (see host_name)"
            )

    async def _user(self, request: web.BaseRequest) -> str | None:
        if self._authenticator is None:
            return None
        user = await self._authenticator.user(request.headers.get("Authorization"))
        if user is None:
            raise RequestRefused(401)
        return user

    async def _reply(self, request: web.BaseRequest, user: str | None) -> Reply:
        body = await self._body(request)
        context = RequestContext(user, time.monotonic() + self._settings.request_timeout)
        # wbemcli, whose parser takes less than the standard allows, is known by its headers.
        plain = "CIMProtocolVersion" in request.headers and "User-Agent" not in request.headers
        pending = Pending()
        answer = functools.partial(self._service.respond, body, context, plain, pending)
        future = asyncio.get_running_loop().run_in_executor(self._workers, answer)
        done, _ = await asyncio.wait({future}, timeout=self._settings.request_timeout)
        if done:
            return future.result()
        future.cancel()
        if pending.call is None:
            raise RequestRefused(503, "", "all workers are busy (worker_threads)")
        return error_reply(pending.call, timed_out(self._settings))

    async def _body(self, request: web.BaseRequest) -> bytes:
        limit = self._settings.max_body_bytes
        too_large = RequestRefused(413, "", f"the body is larger than {limit} (max_body_bytes)")
        if request.content_length is not None and request.content_length > limit:
            raise too_large
        expectation = request.headers.get("Expect", "")
        if expectation.lower() == "100-continue":
            await request.writer.write(_CONTINUE)
            # What follows is the answer proper, not the rest of one.
            request.writer.output_size = 0
        elif expectation:
            raise RequestRefused(417)
        body = bytearray()
        try:
            async with asyncio.timeout(self._settings.body_timeout):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > limit:
                        raise too_large
        except TimeoutError:
            raise RequestRefused(408, "", "the body came too slowly (body_timeout)") from None
        except web.RequestPayloadError as error:
            raise RequestRefused(400, "", str(error)) from None
        return bytes(body)


def _check_headers(request: web.BaseRequest) -> None:
    """DSP0200 7.3.2 and 7.3.5; CIMMethod and CIMObject are not compared with the body, since clients
    encode them in ways that cannot be told apart."""
    headers = request.headers
    if headers.get("CIMOperation", "").strip().lower() != "methodcall":
        raise RequestRefused(400, "unsupported-operation", "CIMOperation must be MethodCall")
    content_type = headers.get("Content-Type")
    if content_type is not None:
        media, _, parameters = content_type.lower().partition(";")
        charset = parameters.partition("charset=")[2].partition(";")[0].strip(" \"'")
        if media.strip() not in _XML_TYPES:
            raise RequestRefused(415, "", "Content-Type must be application/xml or text/xml")
        if charset not in ("", "utf-8", "utf8", "us-ascii"):
            raise RequestRefused(415, "", "the charset must be utf-8")
    if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise RequestRefused(415, "", "compressed requests are not accepted")


def _response(reply: Reply, elapsed: float) -> web.Response:
    if reply.http_status == 200:
        return web.Response(
            body=reply.body,
            headers={
                "Content-Type": _CONTENT_TYPE,
                "CIMOperation": "MethodResponse",
                "WBEMServerResponseTime": str(round(elapsed * 1_000_000)),
                "Server": SERVER_NAME,
            },
        )
    response = empty(reply.http_status)
    if reply.http_status == 405:
        response.headers["Allow"] = "POST"
    if reply.http_status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="cimom"'
    if reply.cim_error:
        response.headers["CIMError"] = reply.cim_error
    if reply.detail:
        response.headers["PGErrorDetail"] = percent_encode(reply.detail[:_MAX_DETAIL])
    if reply.http_status in _CLOSING:
        response.force_close()
    return response


def _host_name(header: str) -> str:
    """The name or address in a Host header, without port and brackets, in lower case."""
    host = header.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
