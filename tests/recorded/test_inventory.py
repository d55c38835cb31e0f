# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which recorded calls are made again, and why the others are not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.recorded.test_replay import VARIABLE

pytestmark = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"{VARIABLE} names no directory with recordings"
)

CHANGES = "test_methods, test_real_changes"
AGAIN = {
    "RequestStateChange": "test_states",
    "DefineSystem": "test_methods",
    "DefineSystem with ReferenceConfiguration": "test_methods",
    "AddResourceSettings": CHANGES,
    "ModifyResourceSettings": CHANGES,
    "RemoveResourceSettings": CHANGES,
    "ModifySystemSettings": CHANGES,
    "base guest": CHANGES,
    "rewrite of guests defined by other tools": "test_methods",
    "DestroySystem": "test_real_changes",
    "service": "test_real_changes",
    "ResourcePoolConfigurationService": "test_pool_requests, test_real_pools",
    "filters": "test_filters",
    "VirtualSystemMigrationService": "test_services",
    "VirtualSystemSnapshotService": "test_services",
}
"""Section → the modules in which its calls are made again."""
NOT_AGAIN = {
    "console redirection": "reads, of which reads-*.json has more",
    "unmodified build": "libvirt-cim's faults that libvirt 9 refuses: shares 0, no processor",
}
"""Section → why its calls are not."""


def test_every_section_is_known() -> None:
    folder = Path(os.environ[VARIABLE])
    sections = {
        row["section"]
        for file in folder.glob("methods-*.json")
        for row in json.loads(file.read_text())
    }
    assert sections == AGAIN.keys() | NOT_AGAIN.keys()
    assert not AGAIN.keys() & NOT_AGAIN.keys()
    here = Path(__file__).parent
    for modules in AGAIN.values():
        for module in modules.split(", "):
            assert (here / f"{module}.py").exists(), module
