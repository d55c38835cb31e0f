# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real storage pools, volumes and networks, made and deleted through every CIM server that is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
import pywbem

from tests.frontends.test_servers import Served, hosts, image, served
from tests.pools import Pools

__all__ = ["hosts", "image", "served"]

pytestmark = [pytest.mark.cimom, pytest.mark.hypervisor]

NAME = "made through a server"


@pytest.fixture
def pools(served: Served) -> Iterator[Pools]:
    """The service of a server; what a test leaves is gone afterwards."""
    raw = libvirt.open(served.box.qemu_uri)
    yield Pools(served.client(), raw, as_text=served.as_text)
    for handle in [*raw.listAllStoragePools(), *raw.listAllNetworks()]:
        if handle.isActive():
            handle.destroy()
        handle.undefine()
    raw.close()


def test_a_pool_and_its_volumes(pools: Pools, tmp_path: Path) -> None:
    """With references, numbers beyond 32 bits, and embedded instances in both directions."""
    folder = tmp_path / "pool"
    made = pools.create("DiskPool", NAME, Type=pywbem.Uint16(1), Path=str(folder), Build=True)
    assert (made.classname, made["InstanceID"]) == ("KVM_DiskPool", f"DiskPool/{NAME}")
    assert pools.client.GetInstance(made)["OperationalStatus"] == [2]
    settings = pools.setting(
        "StorageVolume",
        VolumeName="v.qcow2",
        Path="ignored",
        FormatType=pywbem.Uint16(2),
        VirtualQuantity=pywbem.Uint64(100 << 30),
    )
    volume = pools.call("CreateResourceInPool", Settings=settings, Pool=made)["Resource"]
    shown = pools.client.GetInstance(volume)
    assert (shown["VirtualQuantity"], shown["FormatType"]) == (100 << 30, 2)
    (folder / "w.img").write_bytes(bytes(1 << 20))
    assert volumes(pools) == ["v.qcow2"]
    pools.call("RefreshResourcesInPool", Pool=made)
    assert volumes(pools) == ["v.qcow2", "w.img"]
    pools.call("DeleteResourceInPool", Resource=pools.sent(shown), Pool=made)
    assert volumes(pools) == ["w.img"]
    with pytest.raises(pywbem.CIMError) as raised:
        pools.call("DeleteResourceInPool", Resource=pools.sent(shown), Pool=made)
    assert raised.value.status_code == pywbem.CIM_ERR_FAILED
    assert "Unable to delete resource" in raised.value.status_description
    pools.call("DeleteResourcePool", Pool=made)
    assert pools.names() == set()
    assert (folder / "w.img").exists()


def volumes(pools: Pools) -> list[str]:
    """The volumes that a server shows."""
    found = pools.client.EnumerateInstances("KVM_StorageVolumeResourceAllocationSettingData")
    return sorted(row["VolumeName"] for row in found)


def test_a_network(pools: Pools) -> None:
    made = pools.create("NetPool", NAME, ForwardMode=pywbem.Uint16(0), Address="10.77.3.1")
    assert (made.classname, made["InstanceID"]) == ("KVM_NetworkPool", f"NetworkPool/{NAME}")
    (shown,) = pools.client.EnumerateInstances("KVM_NetPoolResourceAllocationSettingData")
    assert (shown["ForwardMode"], shown["Address"]) == (0, "10.77.3.1")
    with pytest.raises(pywbem.CIMError) as raised:
        pools.create("NetPool", NAME, ForwardMode=pywbem.Uint16(0), Address="10.77.4.1")
    assert "Pool with that name already exists" in raised.value.status_description
    pools.call("DeleteResourcePool", Pool=made)
    assert pools.names() == set()
