# SPDX-License-Identifier: LGPL-2.1-or-later
"""One private libvirtd for all tests of the libvirt layer that need a real one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import hypervisor


@pytest.fixture(scope="session")
def box() -> Iterator[hypervisor.PrivateLibvirtd]:
    """A running private libvirtd; skipped with the reason where it can't run."""
    reason = hypervisor.why_not(lxc=True)
    if reason:
        pytest.skip(reason)
    with (
        tempfile.TemporaryDirectory(prefix="lvb-", ignore_cleanup_errors=True) as directory,
        hypervisor.PrivateLibvirtd(Path(directory)) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def guest_image(box: hypervisor.PrivateLibvirtd) -> Path:
    """The boot image of the one-sector guest."""
    return hypervisor.build_guest_image(box.directory)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the private libvirtd."""
    for item in items:
        if "box" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.hypervisor)
