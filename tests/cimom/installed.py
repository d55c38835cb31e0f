# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where a CIM server is installed, and whether private ones of it can run here."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Installation:
    """How a CIM server is found, and what a private one takes."""

    name: str
    program: str
    """Of the server; its parent's parent is the installation."""
    variable: str
    """Environment variable that names the installation instead."""
    parts: Sequence[str]
    """Files and directories that it has."""
    namespaces: str
    """What each server has of its own, in words."""
    unshare: Sequence[str]
    """The command that makes them."""

    def find(self) -> Path | None:
        """The installation that is used; None: there is none."""
        named = os.environ.get(self.variable)
        if named:
            return Path(named)
        found = shutil.which(self.program)
        return Path(found).resolve().parent.parent if found else None

    def missing(self) -> str | None:
        """Why no server can run here, in words; None: one can."""
        found = self.find()
        if found is None:
            return f"{self.name} is not there: no {self.program} on PATH, and {self.variable} is not set"
        for part in self.parts:
            if not (found / part).exists():
                return f"{found} is no {self.name} installation: it has no {part} (set {self.variable})"
        if os.geteuid() != 0:
            return f"private {self.name} servers need root ({self.namespaces} each)"
        for tool in ("unshare", "nsenter", "setpriv"):
            if shutil.which(tool) is None:
                return f"private {self.name} servers need {tool} (Debian: util-linux)"
        tried = subprocess.run([*self.unshare, "true"], capture_output=True, text=True)
        return f"no namespaces of its own: {tried.stderr.strip()}" if tried.returncode else None
