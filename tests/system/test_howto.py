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
from tests.system.conftest import Served

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]

HOWTO = Path(__file__).parents[2] / "docs" / "howto.md"
_SECTION = re.compile(r"^## (.+?)$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_SCRIPT = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_every_script_works(real: Served, box: hypervisor.PrivateLibvirtd) -> None:
    text = HOWTO.read_text()
    start = _SCRIPT.findall(text.partition("\n## ")[0])
    scripts = [(title, _SCRIPT.findall(body)) for title, body in _SECTION.findall(text)]
    assert len(start) == 1 and len(scripts) >= 10
    # KVM guests' files are looked for on this machine; the hypervisor's own lie in the box
    images = box.directory / "lib" / "images"
    environment = {**os.environ, "CIM_URL": real.url, "IMAGES": str(images)}
    for title, found in scripts:
        assert len(found) == 1, title
        done = subprocess.run(
            [sys.executable, "-c", start[0] + found[0]],
            env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, f"{title}:\n{done.stdout}{done.stderr}"
    connection = libvirt.open(box.qemu_uri)
    assert "web1" not in [domain.name() for domain in connection.listAllDomains()]
    assert connection.listAllNetworks() == []
    assert "web" not in [found.name() for found in connection.listAllNWFilters()]
    assert "howto" not in [pool.name() for pool in connection.listAllStoragePools()]
    connection.close()
