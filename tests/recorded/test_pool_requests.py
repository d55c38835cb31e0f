# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recorded requests for pools and volumes: libvirt is given the same XML, or clients the same refusal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from libvirtcim import composition
from libvirtcim.cim.arguments import instance_of
from libvirtcim.cim.errors import CIMError
from libvirtcim.methods import pool_requests
from tests.recorded import methods
from tests.recorded.test_replay import VARIABLE

pytestmark = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"{VARIABLE} names no directory with recordings"
)

SECTION = "ResourcePoolConfigurationService"
COMMON = {
    "diskrasd": "CIMOM: properties that the class does not declare were passed through",
    "scsi-npiv": "adapters with world-wide names are written as libvirt wants them",
    "net-mode-3": "a bridged network can be asked for",
}
DIFFERENCES = {
    "kvm": {**COMMON, "vol-capacity-large": "a size that is too large is refused, not cut"},
    "lxc": COMMON,
}
"""Family → row → why it is answered otherwise on purpose."""
NO_CLASS = "there is no class 'LXC_StorageVolumeResourceAllocationSettingData' in root/virt"
"""Containers have no volumes of their own: unknown classes are refused when they are read."""


def made(settings: Any, row: dict[str, Any]) -> str:
    name = row["args"].get("ElementName", "libvirt-cim-pool")
    name = name if isinstance(name, str) else "libvirt-cim-pool"
    if row["op"] == "CreateResourceInPool":
        return pool_requests.volume(settings).to_xml()
    if "_Net" in settings.cls.name:
        return pool_requests.network(name, settings).to_xml()
    if "_Disk" in settings.cls.name:
        return pool_requests.storage_pool(name, settings).to_xml()
    raise pool_requests.no_pool_kind(settings)


def normal(xml: str) -> str:
    root = etree.fromstring(xml)
    for empty in root.findall("source"):
        if len(empty) == 0:  # says nothing
            root.remove(empty)
    return str(etree.canonicalize(etree.tostring(root, encoding="unicode"), strip_text=True))


def answer(schema: Any, row: dict[str, Any]) -> str:
    given = row["args"]["Settings"]
    try:
        settings = [instance_of(schema, "root/virt", one) for one in given]
        return normal(made(pool_requests.the_setting(settings), row))
    except CIMError as error:
        return error.message


def rows(family: str) -> list[dict[str, Any]]:
    found = methods.rows(Path(os.environ[VARIABLE]), family, (SECTION,))
    calls = ("CreateChildResourcePool", "CreateResourceInPool")
    return [
        {**row, "args": {**row["args"], "Settings": _listed(row["args"]["Settings"])}}
        for row in found
        if row["op"] in calls
        and "Settings" in row["args"]
        and ("xml_sent" in row or row["error"]["description"].startswith(REASONS))
    ]


REASONS = ("Settings Error", "Unable to get attributes", "Unable to generate", "Unable to parse")


def _listed(given: Any) -> list[str]:
    return given if isinstance(given, list) else [given]


@pytest.mark.parametrize("family", ["kvm", "lxc"])
def test_requests(family: str) -> None:
    schema = composition.schema(composition.declarations())
    asked = rows(family)
    unlike = {}
    for row in asked:
        found = answer(schema, row)
        if "xml_sent" in row:
            same = found == normal(row["xml_sent"][0])
        else:
            same = found.startswith(row["error"]["description"])
        if not same and NO_CLASS not in found:
            unlike[row["id"]] = found
    assert len(asked) > 50
    assert unlike.keys() == DIFFERENCES[family].keys(), unlike
