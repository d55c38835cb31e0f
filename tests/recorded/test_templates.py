# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recorded templates of settings: of each pool the same ones in the same order, with the same values."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from libvirtcim.cim.broker import Broker
from libvirtcim.cim.errors import CIMError
from libvirtcim.cim.objects import Instance, InstancePath
from tests.providers.wiring import CONTEXT, KVM, LXC, NS, broker_of
from tests.recorded.test_replay import VARIABLE
from tests.standin import Managed, Pool, Volume

pytestmark = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"{VARIABLE} names no directory with recordings"
)

KINDS = {
    "MigrationCapabilities": "VirtualSystemMigrationCapabilities",
    "MigrationSettingData": "VirtualSystemMigrationSettingData",
    "ManagementCapabilities": "VirtualSystemManagementCapabilities",
}
UNDECLARED = frozenset({"AllocationQuantity", "cache"})
"""Set on disks by libvirt-cim though their class has no such property."""


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(os.environ[VARIABLE]) / "templates.json").read_text())
    return found


def host(prefix: str, setup: dict[str, Any]) -> Broker:
    pools = [
        Pool(
            name,
            pool["xml"],
            volumes=[
                Volume(f"{_folder(pool['xml'])}/{volume}", [0, v["capacity"], v["allocation"]])
                for volume, v in pool["volumes"].items()
            ],
        )
        for name, pool in setup["pools"].items()
    ]
    networks = [
        Managed(name, f"<network><name>{name}</name><bridge name='b'/></network>")
        for name in setup["networks"]
    ]
    return broker_of({prefix: []}, pools, networks=networks, max_vcpus=_max_vcpus(prefix))


def _folder(xml: str) -> str:
    return xml.partition("<path>")[2].partition("</path>")[0]


def _max_vcpus(prefix: str) -> int | None:
    return 16 if prefix == KVM else None


def source(prefix: str, name: str) -> InstancePath:
    base = KINDS.get(name, "AllocationCapabilities")
    return InstancePath(f"{prefix}_{base}", (("InstanceID", name),), NS)


def shown(instance: Instance) -> dict[str, Any]:
    return {name: value for name, value in instance.items() if value is not None}


def mended(prefix: str, name: str, answer: Any) -> Any:
    """The recorded answer without libvirt-cim's own faults."""
    if isinstance(answer, dict):
        # a pool that can't have templates has none
        assert name == "ControllerPool/0" or (prefix, name) == (LXC, "NetworkPool/default")
        return []
    return [_mended(prefix, item) for item in answer]


def _mended(prefix: str, item: dict[str, Any]) -> dict[str, Any]:
    values = {name: value for name, (_type, value) in item["properties"].items()}
    base = item["class"].partition("_")[2]
    if base.startswith("Disk"):
        values = {name: value for name, value in values.items() if name not in UNDECLARED}
    if values.get("Address") in ("True", "False"):
        values["IsIPv6Only"] = values.pop("Address") == "True"
    if base == "VirtualSystemSettingData":
        assert values.pop("InstanceID").startswith(f"{prefix}:")
        if prefix == KVM:
            values["BootDevices"] = ["hda"]
    return {"class": item["class"], **values}


@pytest.mark.parametrize("prefix", [KVM, LXC])
def test_templates(recorded: dict[str, Any], prefix: str) -> None:
    broker = host(prefix, recorded["setup"])
    compared = 0
    for name, answer in recorded[prefix]["templates"].items():
        if name.endswith(" references") or (prefix, name) == (LXC, "ControllerPool/0"):
            continue
        found = broker.associators(
            CONTEXT, source(prefix, name), f"{prefix}_SettingsDefineCapabilities"
        )
        got = [{"class": row.cls.name, **shown(row)} for row in found]
        for row in got:
            if row["class"].endswith("_VirtualSystemSettingData"):
                assert str(row.pop("InstanceID")).startswith(f"{prefix}:")
        assert got == mended(prefix, name, answer), name
        compared += len(got)
    assert compared > 60


@pytest.mark.parametrize("prefix", [KVM, LXC])
def test_references(recorded: dict[str, Any], prefix: str) -> None:
    """What a reference says of the template: least, most, usual or next value."""
    broker = host(prefix, recorded["setup"])
    for key, answer in recorded[prefix]["templates"].items():
        name, space, _word = key.partition(" ")
        if not space or "error" in answer:
            continue
        if not isinstance(answer, dict):  # guests' templates, with ids of their own
            (only,) = (item["properties"] for item in answer)
            answer = {None: only}
        found = broker.references(
            CONTEXT, source(prefix, name), f"{prefix}_SettingsDefineCapabilities"
        )
        assert {_key(row, answer): _roles(row) for row in found} == {
            key: [values[role][1] for role in ROLES] for key, values in answer.items()
        }, name


ROLES = ("ValueRole", "ValueRange", "PropertyPolicy")


def _roles(reference: Instance) -> list[int]:
    return [reference[role] for role in ROLES]


def _key(reference: Instance, answer: dict[Any, Any]) -> str | None:
    """The path of the far end, as recorded: several templates may share it."""
    if None in answer:
        return None
    ends = [reference[end] for end in ("GroupComponent", "PartComponent")]
    shown = [f'{end.classname}.InstanceID="{end.text("InstanceID")}"' for end in ends]
    return next(text for text in shown if text in answer)


@pytest.mark.parametrize("prefix", [KVM, LXC])
def test_errors(recorded: dict[str, Any], prefix: str) -> None:
    broker = host(prefix, recorded["setup"])
    for what, name in (
        ("unknown pool", "MemoryPool/99"),
        ("unknown disk pool", "DiskPool/nosuch"),
        ("no slash", "x"),
    ):
        answer = recorded[prefix]["template_errors"][what]["error"]
        with pytest.raises(CIMError) as raised:
            list(
                broker.associators(
                    CONTEXT, source(prefix, name), f"{prefix}_SettingsDefineCapabilities"
                )
            )
        assert raised.value.status == answer["status"]
