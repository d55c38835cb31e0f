# SPDX-License-Identifier: LGPL-2.1-or-later
"""The scripts of docs/howto.md, one after the other, against a real QEMU host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import libvirt
import pytest

from tests import hypervisor
from tests.cimom.ports import free_port
from tests.system.conftest import Served

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]

HOWTO = Path(__file__).parents[2] / "docs" / "howto.md"
_SECTION = re.compile(r"^## (.+?)$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_SCRIPT = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


MIGRATION = "Move it to another host"
"""Runs in the tests that have another host."""


def scripts() -> tuple[str, dict[str, str]]:
    """What comes before each script, and the scripts by title."""
    text = HOWTO.read_text()
    (start,) = _SCRIPT.findall(text.partition("\n## ")[0])
    found = {title: _SCRIPT.findall(body) for title, body in _SECTION.findall(text)}
    assert all(len(of_title) == 1 for of_title in found.values())
    return start, {title: of_title[0] for title, of_title in found.items()}


def run(title: str, **environment: str) -> str:
    """What a script prints."""
    start, found = scripts()
    done = subprocess.run(
        [sys.executable, "-c", start + found[title]],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, f"{title}:\n{done.stdout}{done.stderr}"
    return done.stdout


def test_every_script_works(real: Served, box: hypervisor.PrivateLibvirtd) -> None:
    _start, found = scripts()
    assert len(found) >= 13
    # KVM guests' files are looked for on this machine; the hypervisor's own lie in the box
    images = box.directory / "lib" / "images"
    said = {
        title: run(title, CIM_URL=real.url, IMAGES=str(images), LISTENER_PORT=str(free_port()))
        for title in found
        if title != MIGRATION
    }
    assert said["Watch guests"] == "web1 3 -> 2\nweb1 2 -> 9\nweb1 9 -> 2\nweb1 2 -> 3\n"
    connection = libvirt.open(box.qemu_uri)
    assert "web1" not in [domain.name() for domain in connection.listAllDomains()]
    assert connection.listAllNetworks() == []
    assert "web" not in [found.name() for found in connection.listAllNWFilters()]
    assert "howto" not in [pool.name() for pool in connection.listAllStoragePools()]
    connection.close()
