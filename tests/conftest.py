# SPDX-License-Identifier: LGPL-2.1-or-later
"""What holds for all tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import hypervisor
from tests.needs import skip_where
from tests.pair import Pair, pair

# how long an example takes says more about what else the machine does than about the code
settings.register_profile("any speed", deadline=None)
settings.load_profile("any speed")

# servers under test are this machine's; without this, clients look for proxies at every request
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,::1,localhost"


@pytest.fixture(scope="session")
def hosts() -> Iterator[Pair]:
    """Two private libvirtds between which guests can move; skipped with the reason where they can't run."""
    skip_where(hypervisor.why_not())
    # a short name, since sockets lie in it
    with (
        tempfile.TemporaryDirectory(prefix="lv", dir="/tmp", ignore_cleanup_errors=True) as folder,
        pair(Path(folder)) as made,
    ):
        yield made
