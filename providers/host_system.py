# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_HostSystem: the machine that a hypervisor family runs on."""

from __future__ import annotations

from libvirtcim.cim.declare import INTEROP, VIRT, ClassDecl
from libvirtcim.cim.provider import Columns
from libvirtcim.providers.common import ALL, PerHostProvider, Provided, registered
from libvirtcim.virt.host import Hosts

HOST_SYSTEM = ClassDecl(
    "HostSystem",
    "CIM_ComputerSystem",
    "The machine whose hypervisor runs the guests.",
    ALL,
    namespaces=(VIRT, INTEROP),
    registration=registered("Virt_HostSystem"),
)

OK = 2
"""OperationalStatus of what works."""
HEALTHY = 5
"""HealthState of what works."""

COLUMNS: Columns = {
    "Name": lambda i: i.host.name(),
    "ElementName": lambda i: i.host.short_name(),
    "OperationalStatus": lambda i: [OK],
    "HealthState": lambda i: HEALTHY,
}


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return Provided((HOST_SYSTEM,), (PerHostProvider(HOST_SYSTEM, hosts, COLUMNS),))
