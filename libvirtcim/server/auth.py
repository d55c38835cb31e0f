# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may connect: HTTP Basic (RFC 7617) against an htpasswd file or PAM, and what may be exposed.

Password checks are slow on purpose, so a verified one is remembered for a short time, as a hash with a
salt that lives as long as the process. A wrong one is answered late, without holding up anybody else.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import functools
import grp
import hashlib
import hmac
import importlib
import ipaddress
import logging
import os
import pwd
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Protocol

from libvirtcim.server.settings import Endpoint, ServerSettings

logger = logging.getLogger(__name__)

_MAX_CACHED = 256
_MAX_PASSWORD = 1024
"""Characters of a password that are looked at: longer ones are wrong."""


class ExposureError(ValueError):
    """The settings would let strangers in; the message says what to do."""


class Verifier(Protocol):
    """Decides whether a user's password is right; may block."""

    def verify(self, user: str, password: str) -> bool:
        """Whether it is."""

    def version(self) -> object:
        """Changes whenever earlier decisions no longer hold."""


class HtpasswdVerifier:
    """Users of an htpasswd file: bcrypt, SHA-512-crypt, SHA-256-crypt or apr1 hashes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Imported where configured: passlib is slow to load and not needed otherwise.
        context = importlib.import_module("passlib.context")
        self._context: Any = context.CryptContext(
            schemes=["bcrypt", "sha512_crypt", "sha256_crypt", "apr_md5_crypt"]
        )
        self._dummy = self._context.hash(secrets.token_hex(8))
        self._lock = threading.Lock()
        self._users: dict[str, str] = {}
        self._stamp: object = None
        self._load()

    def _load(self) -> None:
        with self._lock:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return
            users: dict[str, str] = {}
            for line in self._path.read_text(encoding="utf-8").splitlines():
                user, separator, digest = line.strip().partition(":")
                if not separator or user.startswith("#"):
                    continue
                if self._context.identify(digest) is None:
                    logger.warning("%s: hash of user %r is of no known kind", self._path, user)
                    continue
                users[user] = digest
            self._users, self._stamp = users, stamp

    def verify(self, user: str, password: str) -> bool:
        """Takes as long for an unknown user as for a wrong password."""
        known = self._users.get(user)
        try:
            right = bool(self._context.verify(password, known or self._dummy))
        except ValueError:  # such as NUL in the password
            return False
        return right and known is not None

    def version(self) -> object:
        """The file's state; an unreadable file lets nobody in."""
        try:
            self._load()
        except (OSError, UnicodeDecodeError) as error:
            logger.error("htpasswd file: %s", error)
            self._users, self._stamp = {}, None
        return self._stamp


class PAMVerifier:
    """Users of the machine, by a PAM service; only members of the named groups (and root)."""

    def __init__(self, service: str, groups: Sequence[str]) -> None:
        self._service = service
        self._groups = tuple(groups)
        self._pam: Any = importlib.import_module("pam")

    def verify(self, user: str, password: str) -> bool:
        """Asks PAM first, so that the time taken does not tell who is in a group."""
        if not user or "\0" in user or "\0" in password:
            return False
        right = bool(
            self._pam.pam().authenticate(
                user, password, service=self._service, call_end=True, print_failure_messages=False
            )
        )
        return right and self._allowed(user)

    def _allowed(self, user: str) -> bool:
        if not self._groups:
            return True
        try:
            entry = pwd.getpwnam(user)
        except KeyError:
            return False
        if entry.pw_uid == 0:
            return True
        members = os.getgrouplist(user, entry.pw_gid)
        wanted = set(self._groups)
        return any(_group_name(gid) in wanted for gid in members)

    def version(self) -> object:
        """PAM does not tell when accounts change; the cache time bounds that."""
        return None


def _group_name(gid: int) -> str | None:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return None


class Authenticator:
    """Checks Authorization headers; used from the event loop only."""

    def __init__(
        self,
        verifier: Verifier,
        executor: Executor,
        cache_time: float,
        failure_delay: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verifier = verifier
        self._executor = executor
        self._cache_time = cache_time
        self._failure_delay = failure_delay
        self._clock = clock
        self._salt = secrets.token_bytes(32)
        self._verified: dict[bytes, tuple[float, object]] = {}

    async def user(self, authorization: str | None) -> str | None:
        """The user that the header proves, or None; a wrong password takes the failure delay."""
        if authorization is None:
            return None
        credentials = parse_basic(authorization)
        if credentials is None:
            return None
        user, password = credentials
        loop = asyncio.get_running_loop()
        check = functools.partial(self._check, user, password)
        digest = hmac.digest(
            self._salt, f"{user}\0{password}".encode("utf-8", "replace"), hashlib.sha256
        )
        version = self._verifier.version()
        known = self._verified.get(digest)
        if known is not None and known[0] > self._clock() and known[1] == version:
            return user
        if await loop.run_in_executor(self._executor, check):
            self._remember(digest, version)
            return user
        logger.warning("authentication failed for user %s", ascii(user[:64]))
        await asyncio.sleep(self._failure_delay)
        return None

    def _check(self, user: str, password: str) -> bool:
        if len(password) > _MAX_PASSWORD:
            return False
        try:
            return self._verifier.verify(user, password)
        except Exception:
            logger.exception("password check failed")
            return False

    def _remember(self, digest: bytes, version: object) -> None:
        now = self._clock()
        if len(self._verified) >= _MAX_CACHED:
            self._verified = {d: v for d, v in self._verified.items() if v[0] > now}
        if len(self._verified) < _MAX_CACHED and self._cache_time > 0:
            self._verified[digest] = (now + self._cache_time, version)


def parse_basic(authorization: str) -> tuple[str, str] | None:
    """(user, password) of a Basic Authorization header; None where it is none.

    Clients disagree on the encoding: UTF-8 where it decodes, else Latin-1 (RFC 7617 section 2.1).
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        raw = base64.b64decode(token.strip().encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    user, separator, password = text.partition(":")
    return (user, password) if separator else None


def make_verifier(settings: ServerSettings) -> Verifier | None:
    """What checks passwords under these settings; None: nobody is asked.

    Raises OSError for an htpasswd file that cannot be read.
    """
    if settings.authentication == "htpasswd":
        path = settings.htpasswd_file
        assert path is not None
        try:
            return HtpasswdVerifier(path)
        except OSError as error:
            raise OSError(error.errno, f"htpasswd_file {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise OSError(errno.EILSEQ, f"htpasswd_file {path} is not UTF-8 text") from None
    if settings.authentication == "pam":
        return PAMVerifier(settings.pam_service, settings.pam_groups)
    return None


def is_loopback(host: str) -> bool:
    """Whether an address, or every address of a name, can only be reached from this machine."""
    if not host:
        return False
    try:
        found = {str(row[4][0]) for row in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(
        ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found
    )


def check_exposure(settings: ServerSettings) -> None:
    """Raises ExposureError where somebody else could listen in, or connect unasked."""
    for endpoint in settings.listen:
        if not is_loopback(endpoint[0]):
            raise ExposureError(
                f"{shown(endpoint)} can be reached from other machines, and plain HTTP would show "
                "passwords to all of them: serve it with TLS (listen_tls, tls_certificate, tls_key) "
                "and authentication, or listen on 127.0.0.1"
            )
    for endpoint in settings.listen_tls:
        if settings.authentication == "none" and not is_loopback(endpoint[0]):
            raise ExposureError(
                f"{shown(endpoint)} can be reached from other machines, and nobody would be asked "
                "who they are: set authentication to htpasswd or pam, or listen on 127.0.0.1"
            )


def shown(endpoint: Endpoint) -> str:
    """An endpoint as people write it."""
    host, port = endpoint
    return f"[{host}]:{port}" if ":" in host else f"{host or '*'}:{port}"
