# SPDX-License-Identifier: LGPL-2.1-or-later
"""The host that guests of these tests run on: short name h1, no memory snapshots."""

from __future__ import annotations

from pathlib import Path

import pytest

from libvirtcim.virt import hostname
from tests.standin import keep_memory_in


@pytest.fixture(autouse=True)
def save_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where memory snapshots of guests are looked for; empty."""
    monkeypatch.setattr(hostname, "short_name", lambda: "h1")
    keep_memory_in(tmp_path, monkeypatch)
    return tmp_path
