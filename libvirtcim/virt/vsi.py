# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether the switch beyond a network interface of this machine knows virtual station interfaces
(IEEE 802.1Qbg): `lldptool` tells what the switch has announced."""

from __future__ import annotations

import logging
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_log = logging.getLogger(__name__)

SYSFS = Path("/sys/class/net")


DEFAULT_OPTIONS = "-t -g ncb -V evbcfg"
DEFAULT_ANNOUNCEMENTS = (
    "{supported forwarding mode: (0x40) reflective relay, "
    "supported capabilities: (0x7) RTE ECP VDP}"
)


@dataclass(frozen=True, slots=True)
class VsiSettings:
    """How lldptool is asked, and what it says where 802.1Qbg is supported.

    `options`: after `-i <interface>`. `announcements`: beginnings of lines that must all be in the answer.
    `timeout`: seconds for the answer about one interface.
    """

    options: tuple[str, ...]
    announcements: tuple[str, ...]
    timeout: float = 5.0

    @classmethod
    def read(
        cls, options: str = DEFAULT_OPTIONS, announcements: str = DEFAULT_ANNOUNCEMENTS
    ) -> VsiSettings:
        """Out of a line of options, and of beginnings of lines as `{first, second ...}`."""
        parts = (part.strip(" \t\"'") for part in re.split("[{},]", announcements))
        return cls(tuple(shlex.split(options)), tuple(part for part in parts if part))


def ethernet_interfaces(sysfs: Path = SYSFS) -> list[str]:
    """The network interfaces that are hardware, by name."""
    if not sysfs.is_dir():
        return []
    return sorted(entry.name for entry in sysfs.iterdir() if (entry / "device").exists())


def supporting_interface(settings: VsiSettings, sysfs: Path = SYSFS) -> str | None:
    """The first interface whose switch supports it; None: none, or there is no lldptool."""
    tool = shutil.which("lldptool")
    if tool is None:
        return None
    for interface in ethernet_interfaces(sysfs):
        if announces(_ask(tool, interface, settings), settings.announcements):
            return interface
    return None


def announces(answer: str, announcements: tuple[str, ...]) -> bool:
    """Whether every announcement begins a line of the answer."""
    lines = [line.strip() for line in answer.splitlines()]
    return all(any(line.startswith(wanted) for line in lines) for wanted in announcements)


def _ask(tool: str, interface: str, settings: VsiSettings) -> str:
    try:
        done = subprocess.run(
            [tool, "-i", interface, *settings.options],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=settings.timeout, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.info("lldptool does not answer about %s: %s", interface, error)
        return ""
    return done.stdout
