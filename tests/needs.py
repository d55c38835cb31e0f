# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests that need what a machine may lack: they are skipped, and say why."""

from __future__ import annotations

import pytest

from libvirtcim.cmpi import build


def skip_where(lacking: str | None) -> None:
    """Skips the test where something is lacking; None: nothing is."""
    if lacking is not None:
        pytest.skip(lacking)


def skip_without_plugin() -> None:
    """Skips the test where the CMPI plugin can't be built."""
    lacking = build.missing()
    skip_where(lacking and f"the CMPI plugin can't be built here: {lacking}")
