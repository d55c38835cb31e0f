# SPDX-License-Identifier: LGPL-2.1-or-later
"""Units of sizes, in the words that clients know and as programmatic units (DSP0004 Annex C)."""

from __future__ import annotations

import re
from collections.abc import Mapping

WORDS = ("Bytes", "KiloBytes", "MegaBytes", "GigaBytes", "TeraBytes", "PetaBytes")
"""Each 1024 of the one before."""
BYTE = "byte"
"""The programmatic unit of sizes in bytes."""
_LIBVIRT: Mapping[str, str] = {
    word.lower(): unit
    for word, unit in zip(WORDS, ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB"), strict=True)
}
_PROGRAMMATIC = re.compile(r"byte(?:\s*\*\s*(\d{1,19})(?:\s*\^\s*(\d{1,2}))?)?")


def bytes_per(unit: str) -> int | None:
    """How many bytes a unit has: one of the words or a programmatic unit; None for another."""
    lowered = unit.strip().lower()
    for exponent, word in enumerate(WORDS):
        if lowered == word.lower():
            return 1 << 10 * exponent
    match = _PROGRAMMATIC.fullmatch(lowered)
    if match is None:
        return None
    base, exponent_text = match.groups()
    return int(int(base or 1) ** int(exponent_text or 1))


def libvirt_unit(unit: str) -> str:
    """What libvirt calls one of the words; any other unit is taken to be libvirt's own."""
    return _LIBVIRT.get(unit.strip().lower(), unit)


def scaled(size: int, largest: int) -> tuple[int, str]:
    """A size in bytes in the least unit in which it is no more than `largest`, rounded up; the unit."""
    exponent = 0
    while -(-size >> 10 * exponent) > largest:
        exponent += 1
    return -(-size >> 10 * exponent), WORDS[exponent]
