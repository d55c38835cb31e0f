# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a CIM server asks for in ways that no other front end knows."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import ANY

import pytest

from libvirtcim.cim.objects import InstancePath
from tests.cmpi.driver import Host

pytestmark = pytest.mark.xdist_group("cmpi")

GUESTS = InstancePath("KVM_ComputerSystem", (), "root/virt")


def test_keys_without_values_name_no_instance(host: Host) -> None:
    """OpenPegasus gives a class path the names of all keys, without type and value."""
    cls = {"ns": "root/virt", "class": "KVM_ComputerSystem", "keys": [["Name", "null", None]]}
    answer = host.together([{"op": "getInstance", "path": cls}])[0]
    assert answer == replace(host.call("getInstance", GUESTS), micros=ANY)
    assert answer.rc != 0 and answer.message


def test_queries_are_not_supported(host: Host) -> None:
    answer = host.call("execQuery", GUESTS)
    assert (answer.rc, answer.message) == (7, "Queries are not supported")
