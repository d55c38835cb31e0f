# SPDX-License-Identifier: LGPL-2.1-or-later
"""Numbers and sizes as libvirt's XML writes them."""

from __future__ import annotations

import re

_INTEGER = re.compile(r"\s*([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)\s*")


def parse_int(text: str) -> int | None:
    """An integer as C's strtol reads it with base 0 (0x hexadecimal, leading 0 octal), or None."""
    match = _INTEGER.fullmatch(text)
    if match is None:
        return None
    sign, digits = match.groups()
    try:
        if digits[:2] in ("0x", "0X"):
            value = int(digits, 16)
        else:
            value = int(digits, 8 if len(digits) > 1 and digits[0] == "0" else 10)
    except ValueError:
        return None
    return -value if sign == "-" else value


_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15, "e": 10**18}
_BINARY = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50, "e": 2**60}
# libvirt's scaled integers: k/KiB are 1024, KB is 1000, case does not matter.
UNITS: dict[str, int] = {
    "b": 1,
    "byte": 1,
    "bytes": 1,
    **_BINARY,
    **{f"{letter}ib": factor for letter, factor in _BINARY.items()},
    **{f"{letter}b": factor for letter, factor in _DECIMAL.items()},
}


def to_bytes(text: str, unit: str) -> int | None:
    """A scaled size in bytes; None for garbage or an unknown unit."""
    try:
        value = int(text.strip())
        factor = UNITS[unit.lower()]
    except (ValueError, KeyError):
        return None
    return value * factor if value >= 0 else None


def to_kib(text: str, unit: str) -> int | None:
    """A scaled size in KiB, rounded up as libvirt does; None for garbage or an unknown unit."""
    size = to_bytes(text, unit)
    return None if size is None else -(-size // 1024)
