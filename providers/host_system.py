# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_HostSystem: the machine that a hypervisor family runs on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from libvirtcim.cim.declare import INTEROP, VIRT, ClassDecl
from libvirtcim.cim.errors import NotFound
from libvirtcim.cim.objects import InstancePath
from libvirtcim.cim.provider import Columns, ProviderRequest
from libvirtcim.providers.common import ALL, FamilyProvider, Provided, registered
from libvirtcim.virt.host import Host, Hosts

HOST_SYSTEM = ClassDecl(
    "HostSystem",
    "CIM_ComputerSystem",
    "The machine whose hypervisor runs the guests.",
    ALL,
    namespaces=(VIRT, INTEROP),
    registration=registered("Virt_HostSystem"),
)


@dataclass(frozen=True, slots=True)
class HostItem:
    """A family's host."""

    prefix: str
    host: Host


COLUMNS: Columns = {"Name": lambda i: i.host.name()}


class HostSystemProvider(FamilyProvider[HostItem]):
    """One instance per family whose hypervisor answers."""

    def items(self, request: ProviderRequest) -> Iterable[HostItem]:
        """The host, if its hypervisor answers."""
        reading = self.reading(request)
        return [] if reading is None else [HostItem(request.prefix, reading.host)]

    def find(self, request: ProviderRequest, path: InstancePath) -> HostItem:
        """The host; whether `path` names it is checked by its keys."""
        for item in self.items(request):
            return item
        raise NotFound("No such instance")


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return Provided((HOST_SYSTEM,), (HostSystemProvider(HOST_SYSTEM, hosts, COLUMNS),))
