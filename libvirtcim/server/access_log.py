# SPDX-License-Identifier: LGPL-2.1-or-later
"""One line of key=value pairs per request, on the logger `libvirtcim.server.access`.

Who, from where, which operation on what, how it ended, how much came out and how long it took; never
a header, a body or a key value.
"""

from __future__ import annotations

import logging

from libvirtcim.server.service import Reply

logger = logging.getLogger("libvirtcim.server.access")

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%[]+")
_MAX_FIELD = 200


def log_request(reply: Reply, user: str | None, address: str | None, milliseconds: float) -> None:
    """Writes the line; warnings for answers other than HTTP 200, else information."""
    level = logging.INFO if reply.http_status == 200 else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    fields: list[tuple[str, object]] = [
        ("client", address or "-"),
        ("user", user or "-"),
        ("http", reply.http_status),
    ]
    if reply.operation:
        fields += [
            ("operation", reply.operation),
            ("namespace", reply.namespace),
            ("class", reply.subject or "-"),
            ("status", reply.cim_status),
            ("objects", reply.objects),
        ]
    if reply.cim_error:
        fields.append(("cimerror", reply.cim_error))
    if reply.detail:
        fields.append(("detail", reply.detail))
    fields.append(("ms", f"{milliseconds:.1f}"))
    logger.log(level, " ".join([f"{name}={_shown(str(value))}" for name, value in fields]))


def _shown(value: str) -> str:
    """The value, quoted unless it is plain: a client cannot forge a field or a line."""
    value = value[:_MAX_FIELD]
    return value if value and _PLAIN.issuperset(value) else ascii(value)
