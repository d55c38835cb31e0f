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
from tests.system.conftest import Served

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]

NAME = "made through CIM"


class Pools:
    """The service of a real hypervisor, and libvirt's own view."""

    def __init__(self, served: Served, raw: Any) -> None:
        self.client = served.client()
        self.raw = raw
        (self.path,) = self.client.EnumerateInstanceNames("KVM_ResourcePoolConfigurationService")

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        value, outputs = self.client.InvokeMethod(method, self.path, **arguments)
        assert value == 0
        return dict(outputs)

    def create(self, kind: str, text: str) -> pywbem.CIMInstanceName:
        settings = [f"instance of KVM_{kind}ResourceAllocationSettingData {{ {text} }};"]
        return self.call("CreateChildResourcePool", ElementName=NAME, Settings=settings)["Pool"]


@pytest.fixture
def pools(real: Served, box: hypervisor.PrivateLibvirtd) -> Iterator[Pools]:
    raw = libvirt.open(box.qemu_uri)
    yield Pools(real, raw)
    raw.close()


@pytest.mark.parametrize(
    ("text", "bridge"),
    [("ForwardMode = 0; Address = '10.77.1.1';", True), ("Address = '10.77.2.1';", True)],
    ids=["isolated", "NAT"],
)
def test_networks(pools: Pools, text: str, bridge: bool) -> None:
    made = pools.create("NetPool", text + " Autostart = 1;")
    network = pools.raw.networkLookupByName(NAME)
    assert (network.isActive(), network.autostart()) == (1, 1)
    assert bool(network.bridgeName()) == bridge
    assert pools.client.GetInstance(made)["OperationalStatus"] == [2]
    pools.call("DeleteResourcePool", Pool=made)
    assert NAME not in [n.name() for n in pools.raw.listAllNetworks()]


def test_volumes_of_a_directory_that_is_made(pools: Pools, tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    made = pools.create("DiskPool", f'Type = 1; Path = "{folder}"; Build = true;')
    settings = pywbem.CIMInstance(
        "KVM_StorageVolumeResourceAllocationSettingData",
        {
            "VolumeName": "v.qcow2",
            "Path": "ignored",
            "FormatType": pywbem.Uint16(2),
            "VirtualQuantity": pywbem.Uint64(100 << 30),
        },
    )
    volume = pools.call("CreateResourceInPool", Settings=settings, Pool=made)["Resource"]
    shown = pools.client.GetInstance(volume)
    assert (shown["InstanceID"], shown["FormatType"]) == (str(folder / "v.qcow2"), 2)
    assert shown["VirtualQuantity"] == 100 << 30
    pools.call("DeleteResourceInPool", Resource=shown, Pool=made)
    assert list(folder.iterdir()) == []
    (folder / "full/of").mkdir(parents=True)
    pools.call("RefreshResourcesInPool", Pool=made)
    address = f'instance of KVM_DiskResourceAllocationSettingData {{ Address = "{folder}/full"; }};'
    with pytest.raises(pywbem.CIMError, match=r"Unable to delete resource: .*not empty"):
        pools.call("DeleteResourceInPool", Resource=address, Pool=made)
    pools.raw.storagePoolLookupByName(NAME).destroy()
    pools.call("DeleteResourcePool", Pool=made)
    assert (folder / "full/of").is_dir()


def test_nothing_is_left_of_a_pool_that_does_not_start(pools: Pools, tmp_path: Path) -> None:
    with pytest.raises(pywbem.CIMError, match="Unable to create resource pool: cannot open"):
        pools.create("DiskPool", f'Type = 1; Path = "{tmp_path}/nosuch";')
    assert NAME not in [pool.name() for pool in pools.raw.listAllStoragePools()]


def test_a_file_system_that_is_made(pools: Pools, device: str, tmp_path: Path) -> None:
    made = pools.create(
        "DiskPool",
        f'Type = 2; Path = "{tmp_path}/mounted"; DevicePaths = {{"{device}"}}; '
        'SourceFormat = "ext4"; Build = true;',
    )
    assert pools.client.GetInstance(made)["Capacity"] > 20
    pools.call("DeleteResourcePool", Pool=made)


@pytest.mark.skipif(shutil.which("parted") is None, reason="not installed: parted")
def test_a_partition_table_that_is_made(pools: Pools, device: str) -> None:
    text = f'Type = 4; DevicePaths = {{"{device}"}}; SourceFormat = "gpt"; Build = true;'
    made = pools.create("DiskPool", text)
    settings = (
        "instance of KVM_StorageVolumeResourceAllocationSettingData { FormatType = 1; "
        f'VolumeName = "{Path(device).name}p1"; Path = "ignored"; Capacity = 8; '
        'AllocationUnits = "MiB"; };'
    )
    volume = pools.call("CreateResourceInPool", Settings=settings, Pool=made)["Resource"]
    assert pools.client.GetInstance(volume)["VirtualQuantity"] >= 8 << 20
    pools.call("DeleteResourcePool", Pool=made)
    with pytest.raises(pywbem.CIMError, match="Unable to create resource pool: "):
        pools.create("DiskPool", text)  # what is there already is not written over
    assert NAME not in [pool.name() for pool in pools.raw.listAllStoragePools()]
