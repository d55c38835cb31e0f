# SPDX-License-Identifier: LGPL-2.1-or-later
"""A paravirtual guest of a real Xen, shown and switched through CIM.

Runs only where LIBVIRTCIM_XEN_URI names a Xen (see CONTRIBUTING.md); LIBVIRTCIM_XEN_KERNEL and
LIBVIRTCIM_XEN_INITRD are files on it that boot a guest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import libvirt
import pytest
import pywbem

from tests import hypervisor
from tests.system import reading
from tests.system.conftest import Served, running
from tests.xen import MARKS, definition, forget, settings

NAME = "libvirtcim-pv"
MEMORY_KIB = 98304

pytestmark = MARKS


@dataclass
class Xen:
    """The guest, seen by a CIM client and by libvirt."""

    served: Served
    client: pywbem.WBEMConnection
    raw: Any
    domain: Any

    @property
    def path(self) -> pywbem.CIMInstanceName:
        keys = {"CreationClassName": "Xen_ComputerSystem", "Name": NAME}
        return pywbem.CIMInstanceName("Xen_ComputerSystem", keys, namespace="root/virt")

    def request(self, state: int) -> None:
        value, _out = self.client.InvokeMethod(
            "RequestStateChange", self.path, RequestedState=pywbem.Uint16(state)
        )
        assert value == 0

    def shown(self) -> tuple[int, int]:
        """State as libvirt has it, and EnabledState as CIM shows it."""
        return self.domain.state()[0], self.client.GetInstance(self.path)["EnabledState"]

    def one(self, base: str, instance_id: str) -> pywbem.CIMInstance:
        """The settings or pool of a class with an InstanceID."""
        path = pywbem.CIMInstanceName(
            f"Xen_{base}", {"InstanceID": instance_id}, namespace="root/virt"
        )
        return self.client.GetInstance(path)

    def templates(self, base: str, instance_id: str) -> list[pywbem.CIMInstance]:
        """What a capabilities instance defines."""
        path = self.one(base, instance_id).path
        return self.client.Associators(path, AssocClass="Xen_SettingsDefineCapabilities")


@pytest.fixture(scope="module")
def xen() -> Iterator[Xen]:
    uri, _kernel, _initrd = settings()
    raw = libvirt.open(uri)
    domain = raw.defineXML(definition(NAME, MEMORY_KIB))
    with contextlib.contextmanager(running)({"Xen": uri}) as served:
        yield Xen(served, served.client(), raw, domain)
    forget(raw, NAME)
    raw.close()


@pytest.fixture
def up(xen: Xen) -> Xen:
    """With the guest running."""
    if not xen.domain.isActive():
        xen.domain.create()
    return xen


def test_it_is_a_real_xen(xen: Xen) -> None:
    assert xen.raw.getType() == "Xen"
    (service,) = xen.client.EnumerateInstances("Xen_VirtualSystemManagementService")
    number = xen.raw.getVersion()
    dotted = f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"
    assert service["Caption"] == f"Xen {dotted}"


def test_life(xen: Xen) -> None:
    assert xen.shown() == (libvirt.VIR_DOMAIN_SHUTOFF, 3)
    xen.request(2)
    assert xen.shown() == (libvirt.VIR_DOMAIN_RUNNING, 2)
    xen.request(9)
    assert xen.shown() == (libvirt.VIR_DOMAIN_PAUSED, 9)
    xen.request(2)
    assert xen.shown() == (libvirt.VIR_DOMAIN_RUNNING, 2)
    before = xen.domain.connect().lookupByName(NAME).ID()
    xen.request(11)
    hypervisor.wait_until(
        lambda: xen.raw.lookupByName(NAME).ID() not in (-1, before), "a new start", 60
    )
    xen.request(3)
    assert xen.shown() == (libvirt.VIR_DOMAIN_SHUTOFF, 3)


def test_all_that_is_listed_can_be_read(up: Xen) -> None:
    counts, wrong = reading.unreadable(up.served, "Xen")
    assert wrong == []
    assert counts["ComputerSystem"] == len(up.raw.listAllDomains())
    for base in ("Memory", "Processor", "Disk", "Network", "Graphics", "Input"):
        assert counts[f"{base}Pool"] >= 1


def test_associations_agree_in_all_ways(up: Xen) -> None:
    counts = reading.walked(up.served, "Xen")
    for base in (
        "SystemDevice",
        "SettingsDefineState",
        "ElementAllocatedFromPool",
        "HostedService",
    ):
        assert counts[base], base


def test_settings_of_the_guest(up: Xen) -> None:
    shown = up.one("VirtualSystemSettingData", f"Xen:{NAME}")
    _uri, kernel, initrd = settings()
    assert shown["IsFullVirt"] is False
    assert (shown["Kernel"], shown["Ramdisk"]) == (kernel, initrd)
    assert shown["CommandLine"] == "console=hvc0"
    assert shown["UUID"] == up.domain.UUIDString()
    memory = up.one("MemResourceAllocationSettingData", f"{NAME}/mem")
    assert (memory["VirtualQuantity"], memory["Limit"]) == (up.domain.info()[2], MEMORY_KIB)
    assert up.one("ProcResourceAllocationSettingData", f"{NAME}/proc")["VirtualQuantity"] == 1


def test_pools(up: Xen) -> None:
    _model, memory_mib, cpus, *_rest = up.raw.getInfo()
    active = up.raw.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
    memory = up.one("MemoryPool", "MemoryPool/0")
    assert memory["Capacity"] == memory_mib * 1024
    assert memory["Reserved"] == sum(domain.info()[2] for domain in active)
    assert up.one("ProcessorPool", "ProcessorPool/0")["Capacity"] == cpus


def test_templates(xen: Xen) -> None:
    processors = xen.templates("AllocationCapabilities", "ProcessorPool/0")
    assert [t["Weight"] for t in processors] == [1, 65535, 1024, 32767]
    assert processors[1]["VirtualQuantity"] == xen.raw.getMaxVcpus(None)
    captions = {t["Caption"] for t in xen.templates("AllocationCapabilities", "InputPool/0")}
    assert captions == {"FV PS2 Mouse", "FV USB Mouse", "PV Xen Mouse"}
    systems = xen.templates("VirtualSystemManagementCapabilities", "ManagementCapabilities")
    wanted = ["Xen_Paravirt_Guest"]
    if "<os_type>hvm</os_type>" in xen.raw.getCapabilities():
        wanted.append("Xen_Fullvirt_Guest")
    assert [system["VirtualSystemIdentifier"] for system in systems] == wanted
