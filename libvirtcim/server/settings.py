# SPDX-License-Identifier: LGPL-2.1-or-later
"""Everything about the server that can be set: one line each, with default and description.

Command-line flags and documentation are derived from the fields and their metadata (`config.option_fields`).
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, TypeVar

from libvirtcim.server.indications.reach import Reach

T = TypeVar("T")

Endpoint = tuple[str, int]
"""Host name or address, and port (0: any free one)."""

MIB = 1 << 20
DEFAULT_FILE = "default"
"""Value of `subscriptions`: where it is usual for the user."""


def _setting(default: T, text: str, unit: str = "") -> T:
    made: T = field(default=default, metadata={"help": text, "unit": unit})
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How the server listens, whom it lets in, and where its limits are."""

    listen: tuple[Endpoint, ...] = _setting(
        (("127.0.0.1", 5988),), "Addresses served with plain HTTP (loopback only)"
    )
    listen_tls: tuple[Endpoint, ...] = _setting((), "Addresses served with HTTPS")
    tls_certificate: Path | None = _setting(None, "PEM file with the certificate chain for HTTPS")
    tls_key: Path | None = _setting(
        None, "PEM file with the private key; none: it is in the certificate's file"
    )
    host_name: str = _setting(
        "", "Host name in the object paths of answers; empty: the machine's own name"
    )

    authentication: Literal["none", "htpasswd", "pam"] = _setting(
        "none", "How users prove who they are: none, htpasswd or pam (HTTP Basic)"
    )
    htpasswd_file: Path | None = _setting(
        None, "File of user:hash lines (bcrypt, SHA-512-crypt, apr1); reread when it changes"
    )
    pam_service: str = _setting("libvirtcim", "PAM service that checks passwords")
    pam_groups: tuple[str, ...] = _setting(
        ("libvirt",), "With PAM, groups whose members may connect besides root; empty: every user"
    )
    auth_cache_time: float = _setting(
        30.0, "How long a verified password is remembered as a salted hash", "s"
    )
    auth_failure_delay: float = _setting(
        1.0, "How long the answer to a wrong password is held back", "s"
    )
    auth_threads: int = _setting(2, "Password checks that run at the same time")

    max_body_bytes: int = _setting(4 * MIB, "Largest request body", "bytes")
    max_header_bytes: int = _setting(16384, "Largest request line and headers together", "bytes")
    max_xml_depth: int = _setting(64, "Deepest nesting of elements in a request")
    max_xml_elements: int = _setting(100_000, "Most elements in a request")
    max_response_bytes: int = _setting(
        256 * MIB, "Largest answer; larger results need pull operations", "bytes"
    )
    max_connections: int = _setting(128, "Most connections open at the same time")
    header_timeout: float = _setting(
        10.0, "Time for a client to send its headers, and for the TLS handshake", "s"
    )
    body_timeout: float = _setting(30.0, "Time for a client to send its request body", "s")
    request_timeout: float = _setting(
        120.0, "Time for an operation, waiting for a worker included; then CIM error 27", "s"
    )
    send_timeout: float = _setting(120.0, "Time for a client to take its answer", "s")
    keepalive_timeout: float = _setting(60.0, "How long an idle connection is kept open", "s")
    shutdown_timeout: float = _setting(
        10.0, "How long a stopping server waits for operations under way", "s"
    )
    worker_threads: int = _setting(8, "Operations carried out at the same time")

    max_open_enumerations: int = _setting(64, "Most pull enumerations open at the same time")
    pull_default_timeout: float = _setting(
        90.0, "How long an enumeration waits for its next pull when the client names no time", "s"
    )
    pull_max_timeout: float = _setting(
        600.0, "Longest OperationTimeout that a client may ask for; longer ones and 0 (for ever) "
        "end in CIM error 22", "s"
    )  # fmt: skip
    max_object_count: int = _setting(
        10_000, "Most objects in one answer to a pull operation; more are held for the next"
    )

    subscriptions: str = _setting(
        DEFAULT_FILE,
        "File that keeps indication subscriptions; default: subscriptions.sqlite in /var/lib/libvirtcim, "
        "for other users than root in $XDG_STATE_HOME/libvirtcim; empty: they end with the server",
    )
    max_subscriptions: int = _setting(
        200, "Most subscriptions, as well as most filters and most destinations"
    )
    indication_destinations: tuple[str, ...] = _setting(
        (), "Hosts, addresses and networks that indications may be sent to; empty: any"
    )
    indication_ca_file: Path | None = _setting(
        None,
        "PEM file with the authorities that listeners' certificates must be of; none: the system's",
    )
    indication_tls_verify: bool = _setting(
        True, "Whether listeners must have a certificate that proves who they are"
    )
    indication_timeout: float = _setting(10.0, "Time for a listener to take an indication", "s")
    indication_retry_first: float = _setting(
        0.5, "Pause after a failed delivery; each further one is twice as long", "s"
    )
    indication_retry_longest: float = _setting(15.0, "Longest pause between two attempts", "s")
    indication_retention: float = _setting(
        600.0, "How long an indication is tried to be delivered; then it is dropped", "s"
    )
    indication_attempts: int = _setting(
        3,
        "How often a listener gets an indication that it answers with an error; then it is dropped",
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
            if numeric and (value < 0 or (value == 0 and item.name not in _MAY_BE_ZERO)):
                raise ValueError(f"{item.name} must be greater than 0, not {value}")
        if self.authentication == "htpasswd" and self.htpasswd_file is None:
            raise ValueError("authentication by htpasswd needs htpasswd_file")
        if self.listen_tls and self.tls_certificate is None:
            raise ValueError("listen_tls needs tls_certificate (and tls_key)")
        if not self.listen and not self.listen_tls:
            raise ValueError("no address to listen on: set listen or listen_tls")
        try:
            Reach.of(self.indication_destinations)
        except ValueError as error:
            raise ValueError(f"indication_destinations: {error}") from None

    @property
    def subscriptions_file(self) -> Path | None:
        """Where subscriptions are kept; None: nowhere."""
        if self.subscriptions != DEFAULT_FILE:
            return Path(self.subscriptions) if self.subscriptions else None
        if os.geteuid() == 0:
            return Path("/var/lib/libvirtcim/subscriptions.sqlite")
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return Path(state, "libvirtcim", "subscriptions.sqlite")

    @property
    def shown_host(self) -> str:
        """The host name that answers carry."""
        return self.host_name or socket.gethostname() or "localhost"


_MAY_BE_ZERO = frozenset({"auth_failure_delay", "auth_cache_time"})
