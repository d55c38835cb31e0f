# SPDX-License-Identifier: LGPL-2.1-or-later
"""P_ComputerSystem: a guest, and the changes of its state that clients ask for.

Enumerated state follows libvirt's: `STATES` maps it to the four status properties; transitions are
in `request_state.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from libvirtcim.cim.declare import CIMV2, INTEROP, VIRT, ClassDecl, Property
from libvirtcim.cim.errors import Failed, InvalidParameter
from libvirtcim.cim.objects import InstancePath, Value
from libvirtcim.cim.provider import Columns, MethodHandler, ProviderRequest
from libvirtcim.providers.common import ALL, FamilyProvider, GuestItem, Provided, registered
from libvirtcim.providers.device import UNCHOSEN_PORT
from libvirtcim.providers.guest_status import status
from libvirtcim.providers.request_state import StateChanger
from libvirtcim.virt import snapshots
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.host import Hosts, Needs

COMPUTER_SYSTEM = ClassDecl(
    "ComputerSystem",
    "CIM_ComputerSystem",
    "A guest: a virtual machine or container that the family's hypervisor knows.",
    ALL,
    (Property("UUID", "string", "The guest's UUID, lower case with hyphens."),),
    namespaces=(VIRT, INTEROP, CIMV2),
    registration=registered("Virt_ComputerSystem", "instance", "method"),
)


HEADLESS = frozenset({"egl-headless"})
"""Displays that nobody can look at."""

DISABLED, ENABLED_OFFLINE = 3, 6
OPERATING_MIGRATING = 9


def _enabled_state(item: GuestItem) -> int:
    enabled = status(item).enabled
    saved = item.guest.managed_saved or snapshots.has_memory(item.host, item.guest.name)
    if enabled == DISABLED and saved:
        return ENABLED_OFFLINE
    return enabled


def _operating_status(item: GuestItem) -> int:
    return OPERATING_MIGRATING if _is_migrating(item) else status(item).operating


def _is_migrating(item: GuestItem) -> bool:
    return item.guest.uuid in item.host.migrating or bool(item.data.migrating)


def _caption(item: GuestItem) -> str:
    shown = _console(item.guest.live)
    if shown is None:
        return "Virtual System (No console)"
    kind, port = shown
    where = ":".join(filter(None, (item.host.short_name(), port)))
    return f"Virtual System (Console on {kind}://{where})"


def _console(view: Domain) -> tuple[str, str] | None:
    """Kind and port of what a user would look at: the first display, else the first pty console."""
    for display in view.graphics:
        if display.type not in HEADLESS:
            port = display.display if display.type == "sdl" else display.port
            if port is None and display.type == "vnc":
                port = UNCHOSEN_PORT
            return display.type or "", "" if port is None else str(port)
    for console in view.consoles:
        if (console.type or "").lower() == "pty":
            return "console", str(console.target_port or 0)
    return None


COLUMNS: Columns = {
    "Name": lambda i: i.guest.name,
    "ElementName": lambda i: i.guest.name,
    "UUID": lambda i: i.guest.uuid,
    "Caption": _caption,
    "Description": lambda i: "Virtual System",
    "EnabledState": _enabled_state,
    "HealthState": lambda i: status(i).health,
    "OperationalStatus": lambda i: [status(i).operational],
    "OperatingStatus": _operating_status,
    "RequestedState": lambda i: i.data.reqstate or 0,
    "OtherIdentifyingInfo": lambda i: [
        "Virtual System",
        f"{i.prefix} Virtual System",
        i.guest.uuid,
    ],
    "IdentifyingDescriptions": lambda i: ["Type", "Model", "UUID"],
}


class ComputerSystemProvider(FamilyProvider[GuestItem]):
    """One instance per guest, active or not."""

    absent = "No such instance."

    def items(self, request: ProviderRequest) -> Iterable[GuestItem]:
        """Every guest."""
        return self.guests(request, self._needs(request))

    def find(self, request: ProviderRequest, path: InstancePath) -> GuestItem:
        """The guest called `Name`; Failed where the key is missing or empty."""
        name = path.text("Name")
        if not name:
            raise Failed("No domain name specified")
        return self.guest(
            request, name, self._needs(request), f"Referenced domain `{name}' does not exist"
        )

    @staticmethod
    def _needs(request: ProviderRequest) -> Needs:
        from_xml = request.wants("Caption", "OperatingStatus", "RequestedState")
        return Needs.LIVE if from_xml else Needs.STATE

    @property
    def methods(self) -> Mapping[str, MethodHandler]:
        """RequestStateChange."""
        return {"RequestStateChange": MethodHandler(self._change, frozenset({"RequestedState"}))}

    def _change(
        self, request: ProviderRequest, path: InstancePath, arguments: Mapping[str, Value]
    ) -> tuple[Value, dict[str, Value]]:
        name = path.text("Name")
        if not name:
            raise Failed("Name key not specified")
        host = self.host(request)
        if host is None:
            raise InvalidParameter(f"Unable to get instance for guest '{name}'")
        StateChanger(host, partial(snapshots.has_memory, host)).change(
            name, arguments["RequestedState"]
        )
        return 0, {}


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return Provided((COMPUTER_SYSTEM,), (ComputerSystemProvider(COMPUTER_SYSTEM, hosts, COLUMNS),))
