# SPDX-License-Identifier: LGPL-2.1-or-later
"""What clients send and accept, row by row: wbemcli, pywbem and pywbemcli agree on these answers."""

from __future__ import annotations

import pytest

from tests.server import checklist_basics, checklist_more  # noqa: F401 - they fill ROWS
from tests.server.checklist import ELSEWHERE, ROWS
from tests.server.wire import Client


def test_every_row_is_here() -> None:
    assert set(ROWS) | set(ELSEWHERE) == set(range(1, 61))


@pytest.mark.parametrize("number", sorted(ROWS))
def test_row(number: int, client: Client) -> None:
    ROWS[number](client)
