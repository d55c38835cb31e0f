# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real storage pools, volumes and networks made and deleted through CIM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import libvirt
import pytest
import pywbem

from tests import hypervisor
from tests.system.conftest import Served

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]

SERVICE = pywbem.CIMInstanceName(
    "KVM_ResourcePoolConfigurationService", {"Name": "RPCS"}, namespace="root/virt"
)
GIB = 1 << 30


class Pools:
    """A client of the service, and libvirt's own view."""

    def __init__(self, served: Served, uri: str) -> None:
        self.client = served.client()
        self.raw = libvirt.open(uri)

    def call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Calls a method; its output parameters."""
        value, outputs = self.client.InvokeMethod(method, SERVICE, **arguments)
        assert value == 0
        found: Mapping[str, Any] = outputs
        return found

    def create(self, name: str, kind: str, **settings: Any) -> pywbem.CIMInstanceName:
        """Makes a pool; its path."""
        setting = pywbem.CIMInstance(f"KVM_{kind}PoolResourceAllocationSettingData", settings)
        made: pywbem.CIMInstanceName = self.call(
            "CreateChildResourcePool", ElementName=name, Settings=[setting]
        )["Pool"]
        return made


@pytest.fixture
def pools(real: Served, box: hypervisor.PrivateLibvirtd) -> Iterator[Pools]:
    found = Pools(real, box.qemu_uri)
    yield found
    found.raw.close()


def test_a_directory_with_volumes(pools: Pools, box: hypervisor.PrivateLibvirtd) -> None:
    """Built on request; volumes of both formats, one larger than 16 bits can say; all deleted."""
    directory = "/var/lib/libvirt/made"
    path = pools.create(
        "made",
        "Disk",
        Type=pywbem.Uint16(1),
        Path=directory,
        Autostart=pywbem.Uint16(1),
        Build=True,
    )
    pool = pools.raw.storagePoolLookupByName("made")
    assert pool.isActive() and pool.autostart()
    assert pools.client.GetInstance(path)["PoolID"] == "DiskPool/made"
    for number, size in (
        (1, {"Capacity": pywbem.Uint16(3), "AllocationUnits": "MegaBytes"}),
        (2, {"VirtualQuantity": pywbem.Uint64(100 * GIB)}),
    ):
        settings = pywbem.CIMInstance(
            "KVM_StorageVolumeResourceAllocationSettingData",
            {
                "VolumeName": f"v{number}", "FormatType": pywbem.Uint16(number),
                "Path": f"{directory}/v{number}", **size,
            },
        )  # fmt: skip
        made = pools.call("CreateResourceInPool", Settings=settings, Pool=path)["Resource"]
        shown = pools.client.GetInstance(made)
        assert shown["Path"] == f"{directory}/v{number}"
        assert shown["VirtualQuantity"] == pool.storageVolLookupByName(f"v{number}").info()[1]
    assert pool.storageVolLookupByName("v2").info()[1] == 100 * GIB
    box.run("touch", f"{directory}/found")
    pools.call("RefreshResourcesInPool", Pool=path)
    assert "found" in pool.listVolumes()
    for name in ("v1", "v2", "found"):
        resource = pywbem.CIMInstance(
            "KVM_StorageVolumeResourceAllocationSettingData", {"Address": f"{directory}/{name}"}
        )
        pools.call("DeleteResourceInPool", Resource=resource, Pool=path)
    assert pool.listVolumes() == []
    pools.call("DeleteResourcePool", Pool=path)
    assert "made" not in [found.name() for found in pools.raw.listAllStoragePools()]


@pytest.mark.parametrize(("mode", "word"), [(0, None), (1, "nat")])
def test_networks(pools: Pools, mode: int, word: str | None) -> None:
    """An isolated one and one with NAT: run, are shown, are deleted."""
    path = pools.create(
        "lan",
        "Net",
        ForwardMode=pywbem.Uint16(mode),
        Address="10.77.0.1",
        Netmask="255.255.255.0",
        IPRangeStart="10.77.0.10",
        IPRangeEnd="10.77.0.20",
    )
    network = pools.raw.networkLookupByName("lan")
    assert network.isActive()
    text = network.XMLDesc(0)
    assert ("<forward mode='nat'" in text) == (word == "nat") and "10.77.0.20" in text
    assert pools.client.GetInstance(path)["PoolID"] == "NetworkPool/lan"
    pools.call("DeleteResourcePool", Pool=path)
    assert pools.raw.listAllNetworks() == []


def test_what_cannot_start_is_not_kept(pools: Pools) -> None:
    with pytest.raises(pywbem.CIMError) as raised:
        pools.create("lost", "Disk", Type=pywbem.Uint16(1), Path="/nowhere/at/all")
    assert raised.value.status_code == pywbem.CIM_ERR_FAILED
    assert raised.value.status_description.startswith("Unable to create resource pool: ")
    assert "lost" not in [found.name() for found in pools.raw.listAllStoragePools()]
