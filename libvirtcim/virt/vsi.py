# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether the switch beyond a network interface of this machine knows virtual station interfaces
(IEEE 802.1Qbg): `lldptool` tells what the switch has announced."""

from __future__ import annotations

import logging
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from libvirtcim.virt.settings import VsiSettings

_log = logging.getLogger(__name__)

SYSFS = Path("/sys/class/net")


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
    try:
        options = shlex.split(settings.options)
    except ValueError as error:
        _log.error("lldptool is not asked; its options %r: %s", settings.options, error)
        return None
    wanted = announcements(settings)
    for interface in ethernet_interfaces(sysfs):
        if _announces(_ask([tool, "-i", interface, *options], settings.timeout), wanted):
            return interface
    return None


def announcements(settings: VsiSettings) -> list[str]:
    """The beginnings of lines that all stand in the answer about a switch that supports it."""
    parts = (part.strip(" \t\"'") for part in re.split("[{},]", settings.announcements))
    return [part for part in parts if part]


def _announces(answer: str, announced: Sequence[str]) -> bool:
    lines = [line.strip() for line in answer.splitlines()]
    return all(any(line.startswith(wanted) for line in lines) for wanted in announced)


def _ask(command: Sequence[str], timeout: float) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=timeout, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.info("lldptool does not answer: %s", error)
        return ""
    return done.stdout
