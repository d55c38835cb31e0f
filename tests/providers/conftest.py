# SPDX-License-Identifier: LGPL-2.1-or-later
"""The host that guests of these tests run on: short name h1, no memory snapshots."""

from __future__ import annotations

from pathlib import Path

import pytest

from libvirtcim.virt import hostname, snapshots


@pytest.fixture(autouse=True)
def save_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where memory snapshots of guests are looked for; empty."""
    monkeypatch.setattr(hostname, "short_name", lambda: "h1")
    monkeypatch.setattr(
        snapshots, "memory_file", lambda _host, guest: f"{tmp_path}/{guest.replace('/', '_')}.save"
    )
    return tmp_path
