# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recorded answers of libvirt-cim, asked again: same host, same question, same answer.

Every difference has its row in `differences.DIFFERENCES`, with the reason; an unexplained difference
fails, and so does a row that explains nothing any more.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.recorded import replay
from tests.recorded.differences import DIFFERENCES

VARIABLE = "LIBVIRTCIM_RECORDINGS"

pytestmark = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"{VARIABLE} names no directory with recordings"
)


def test_recorded_answers_and_the_reasons_of_all_differences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = Path(os.environ[VARIABLE])
    explained: Counter[str] = Counter()
    unexplained = []
    asked = 0
    for family in ("kvm", "lxc", "absent"):
        for difference in replay.differences(folder, family, monkeypatch):
            row = next((d for d in DIFFERENCES if d.explains(difference)), None)
            if row is None:
                unexplained.append(f"{family} {difference}")
            else:
                explained[row.reason] += 1
        asked += replay.asked(folder, family)
    print(f"{asked} questions")
    for reason, count in explained.most_common():
        print(f"{count:5} {reason}")
    assert asked > 0
    assert not unexplained, f"{len(unexplained)} differences:\n" + "\n".join(unexplained[:60])
    assert not {row.reason for row in DIFFERENCES} - set(explained), "rows that explain nothing"
