# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real storage pools, volumes and networks, made and deleted through CIM."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
import pywbem

from tests import hypervisor
from tests.pools import Pools
from tests.system.conftest import Served

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]

NAME = "made through CIM"


@pytest.fixture
def pools(real: Served, box: hypervisor.PrivateLibvirtd) -> Iterator[Pools]:
    raw = libvirt.open(box.qemu_uri)
    yield Pools(real.client(), raw)
    raw.close()


@pytest.mark.parametrize(
    "values",
    [{"ForwardMode": pywbem.Uint16(0), "Address": "10.77.1.1"}, {"Address": "10.77.2.1"}],
    ids=["isolated", "NAT"],
)
def test_networks(pools: Pools, values: dict[str, Any]) -> None:
    made = pools.create("NetPool", NAME, **values, Autostart=pywbem.Uint16(1))
    network = pools.raw.networkLookupByName(NAME)
    assert (network.isActive(), network.autostart()) == (1, 1)
    assert network.bridgeName()
    assert pools.client.GetInstance(made)["OperationalStatus"] == [2]
    pools.call("DeleteResourcePool", Pool=made)
    assert NAME not in pools.names()


def test_volumes_of_a_directory_that_is_made(pools: Pools, tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    made = pools.create("DiskPool", NAME, Type=pywbem.Uint16(1), Path=str(folder), Build=True)
    settings = pools.setting(
        "StorageVolume",
        VolumeName="v.qcow2",
        Path="ignored",
        FormatType=pywbem.Uint16(2),
        VirtualQuantity=pywbem.Uint64(100 << 30),
    )
    volume = pools.call("CreateResourceInPool", Settings=settings, Pool=made)["Resource"]
    shown = pools.client.GetInstance(volume)
    assert (shown["InstanceID"], shown["FormatType"]) == (str(folder / "v.qcow2"), 2)
    assert shown["VirtualQuantity"] == 100 << 30
    pools.call("DeleteResourceInPool", Resource=shown, Pool=made)
    assert list(folder.iterdir()) == []
    (folder / "full/of").mkdir(parents=True)
    pools.call("RefreshResourcesInPool", Pool=made)
    address = pools.setting("Disk", Address=f"{folder}/full")
    with pytest.raises(pywbem.CIMError, match=r"Unable to delete resource: .*not empty"):
        pools.call("DeleteResourceInPool", Resource=address, Pool=made)
    pools.raw.storagePoolLookupByName(NAME).destroy()
    pools.call("DeleteResourcePool", Pool=made)
    assert (folder / "full/of").is_dir()


def test_nothing_is_left_of_a_pool_that_does_not_start(pools: Pools, tmp_path: Path) -> None:
    with pytest.raises(pywbem.CIMError, match="Unable to create resource pool: cannot open"):
        pools.create("DiskPool", NAME, Type=pywbem.Uint16(1), Path=f"{tmp_path}/nosuch")
    assert NAME not in pools.names()


def test_a_file_system_that_is_made(pools: Pools, device: str, tmp_path: Path) -> None:
    made = pools.create(
        "DiskPool",
        NAME,
        Type=pywbem.Uint16(2),
        Path=f"{tmp_path}/mounted",
        DevicePaths=[device],
        SourceFormat="ext4",
        Build=True,
    )
    assert pools.client.GetInstance(made)["Capacity"] > 20
    pools.call("DeleteResourcePool", Pool=made)


@pytest.mark.skipif(shutil.which("parted") is None, reason="not installed: parted")
def test_a_partition_table_that_is_made(pools: Pools, device: str) -> None:
    asked = {
        "Type": pywbem.Uint16(4),
        "DevicePaths": [device],
        "SourceFormat": "gpt",
        "Build": True,
    }
    made = pools.create("DiskPool", NAME, **asked)
    settings = pools.setting(
        "StorageVolume",
        FormatType=pywbem.Uint16(1),
        VolumeName=f"{Path(device).name}p1",
        Path="ignored",
        Capacity=pywbem.Uint16(8),
        AllocationUnits="MiB",
    )
    volume = pools.call("CreateResourceInPool", Settings=settings, Pool=made)["Resource"]
    assert pools.client.GetInstance(volume)["VirtualQuantity"] >= 8 << 20
    pools.call("DeleteResourcePool", Pool=made)
    with pytest.raises(pywbem.CIMError, match="Unable to create resource pool: "):
        pools.create("DiskPool", NAME, **asked)  # what is there already is not written over
    assert NAME not in pools.names()
