# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_EnabledLogicalElementCapabilities: which states a guest can be asked to take."""

from __future__ import annotations

from collections.abc import Iterable

from libvirtcim.cim.declare import ClassDecl
from libvirtcim.cim.errors import Failed
from libvirtcim.cim.objects import InstancePath
from libvirtcim.cim.provider import Columns, ProviderRequest
from libvirtcim.providers.common import ALL, FamilyProvider, GuestItem, Provided, registered
from libvirtcim.virt.host import Hosts, Needs

ENABLED_LOGICAL_ELEMENT_CAPABILITIES = ClassDecl(
    "EnabledLogicalElementCapabilities",
    "CIM_EnabledLogicalElementCapabilities",
    "The states that RequestStateChange of one guest takes.",
    ALL,
    registration=registered("Virt_EnabledLogicalElementCapabilities"),
)

ADVERTISED_STATES = (2, 3, 9, 10, 11)
"""Enabled, Disabled, Quiesce, Reboot, Reset. Shut Down (4) is accepted too, but clients compare this list."""


COLUMNS: Columns = {
    "InstanceID": lambda i: i.guest.name,
    "RequestedStatesSupported": lambda i: list(ADVERTISED_STATES),
    "ElementNameEditSupported": lambda i: False,
}


class CapabilitiesProvider(FamilyProvider[GuestItem]):
    """One instance per guest, under the guest's bare name."""

    def items(self, request: ProviderRequest) -> Iterable[GuestItem]:
        """Every guest."""
        return self.guests(request, Needs.STATE)

    def find(self, request: ProviderRequest, path: InstancePath) -> GuestItem:
        """The guest called `InstanceID`."""
        name = path.text("InstanceID")
        if not name:
            raise Failed("No InstanceID specified")
        return self.guest(request, name, Needs.STATE, f"No such instance ({name})")


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    decl = ENABLED_LOGICAL_ELEMENT_CAPABILITIES
    return Provided((decl,), (CapabilitiesProvider(decl, hosts, COLUMNS),))
