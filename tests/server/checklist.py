# SPDX-License-Identifier: LGPL-2.1-or-later
"""The numbered rows of the clients' checklist are collected here; see test_checklist."""

from __future__ import annotations

from collections.abc import Callable

from tests.server.wire import (
    Client,
    cls,
    inst,
    intrinsic,
)

Check = Callable[[Client], None]
ROWS: dict[int, Check] = {}
ELSEWHERE = {60: "indications are sent by their own part, not by the server's protocol side"}

NAMES = intrinsic("EnumerateInstanceNames", {"ClassName": cls("TST_Thing")})
A = inst("TST_Thing", Name="a")
NOBODY = inst("TST_Thing", Name="nobody")


def row(number: int) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        assert number not in ROWS
        ROWS[number] = check
        return check

    return add


def names_of(client: Client) -> list[str]:
    answer = client.call("EnumerateInstanceNames", ClassName=cls("TST_Thing"))
    return [element.findtext("KEYBINDING/KEYVALUE") or "" for element in answer.values]
