# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the suite relies on of the programs that run it."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("groups")
def test_groups_of_tests_stay_together(request: pytest.FixtureRequest) -> None:
    """Tests that share a server, or a file that SFCB has in one place only, run in one process."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("needs several processes: -n 2 --dist loadgroup")
    assert request.node.nodeid.endswith("@groups")
