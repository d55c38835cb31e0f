# SPDX-License-Identifier: LGPL-2.1-or-later
"""Access points of guests' consoles: P_KVMRedirectionSAP, and how they hang together.

::

    P_HostSystem --HostedAccessPoint-- P_KVMRedirectionSAP --ServiceAccessBySAP-- P_ConsoleRedirectionService
                                               |                                            |
                                     SAPAvailableForElement                        ServiceAffectsElement
                                               |                                            |
                                        P_ComputerSystem ----------------------------- and its displays

A guest with a VNC or SPICE display has an access point for its port, and one for each viewer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from libvirtcim.cim.associations import Association, Handler, Target
from libvirtcim.cim.declare import CIMV2, VIRT, ClassDecl, Property
from libvirtcim.cim.errors import Failed, NotFound
from libvirtcim.cim.objects import InstancePath
from libvirtcim.cim.provider import Columns, ProviderRequest
from libvirtcim.providers import service
from libvirtcim.providers.common import (
    ALL,
    FamilyProvider,
    GuestItem,
    HostItem,
    Provided,
    association,
    guest_with,
    registered,
    translated,
)
from libvirtcim.providers.device import CLASS_OF_KIND, UNCHOSEN_PORT, DeviceItem, device_items
from libvirtcim.providers.guest_associations import HOST, SYSTEM
from libvirtcim.virt.devices.graphics import Graphics
from libvirtcim.virt.host import Hosts, Needs
from libvirtcim.virt.sessions import tcp_sockets

NO_SOCKET = -1
LISTENING = 0
"""What stands for the peer's port where nobody is connected."""
OTHER_PROTOCOL = 1
PROTOCOLS = {"vnc": 4, "spice": OTHER_PROTOCOL}
"""Kinds of displays that are viewed over the network → KVMProtocol: RFB, as VNC speaks it."""
ENABLED, DISABLED, ENABLED_BUT_OFFLINE = 2, 3, 6
"""EnabledState: viewer connected, no socket, waiting for viewers."""

_NAME = re.compile(r"-?\d+:-?\d+")

REDIRECTION_SAP = ClassDecl(
    "KVMRedirectionSAP",
    "CIM_KVMRedirectionSAP",
    "A port at which a guest's display can be viewed, or a viewer that is connected to it. "
    "Name is `<port>:<port of the viewer>`; 0 waits for viewers, -1 has no socket.",
    ALL,
    (
        Property(
            "ListenAddress", "string", "Address of the host at which viewers connect; NULL: any."
        ),
    ),
    registration=registered("Virt_KVMRedirectionSAP"),
)


@dataclass(frozen=True, slots=True)
class AccessPoint:
    """A port of a guest's display, and the port of a viewer."""

    owner: GuestItem
    display: Graphics
    peer: int

    @property
    def port(self) -> int:
        """The display's port; -1 while libvirt has yet to choose one."""
        return UNCHOSEN_PORT if self.display.port is None else self.display.port

    @property
    def is_spice(self) -> bool:
        """Whether viewers must speak SPICE."""
        return self.display.type == "spice"

    @property
    def prefix(self) -> str:
        """Prefix of the guest's family."""
        return self.owner.prefix

    @property
    def name(self) -> str:
        """`<port>:<peer>`."""
        return f"{self.port}:{self.peer}"

    @property
    def enabled_state(self) -> int:
        """Whether somebody views the guest or could."""
        if self.peer == NO_SOCKET:
            return DISABLED
        return ENABLED_BUT_OFFLINE if self.peer == LISTENING else ENABLED


COLUMNS: Columns = {
    "SystemCreationClassName": lambda i: f"{i.prefix}_{SYSTEM}",
    "SystemName": lambda i: i.owner.guest.name,
    "Name": lambda i: i.name,
    "ElementName": lambda i: i.name,
    "KVMProtocol": lambda i: PROTOCOLS[i.display.type or ""],
    "OtherKVMProtocol": lambda i: "SPICE" if i.is_spice else None,
    "ListenAddress": lambda i: i.display.listen,
    "EnabledState": lambda i: i.enabled_state,
}


def _displays(item: GuestItem) -> list[Graphics]:
    """The guest's displays that are viewed over the network."""
    return [g for g in item.guest.live.graphics if g.type in PROTOCOLS]


def access_points(item: GuestItem) -> Iterator[AccessPoint]:
    """The access points of one guest, read with LIVE: of each display the port's own, then its viewers'."""
    displays = _displays(item)
    in_use = item.guest.active and any(display.port for display in displays)
    sockets = item.reading.once("tcp_sockets", tcp_sockets) if in_use else {}
    for display in displays:
        at_port = sockets.get(display.port or UNCHOSEN_PORT, ())
        own = [socket for socket in at_port if socket.belongs_to(display.listen)]
        if any(socket.peer is None for socket in own):
            yield AccessPoint(item, display, LISTENING)
        for socket in own:
            if socket.peer is not None:
                yield AccessPoint(item, display, socket.peer)
        if not own:
            yield AccessPoint(item, display, NO_SOCKET)


class AccessPointProvider(FamilyProvider[AccessPoint]):
    """Serves P_KVMRedirectionSAP."""

    def items(self, request: ProviderRequest) -> Iterable[AccessPoint]:
        """The access points of every guest whose display is viewed over the network."""
        for item in self.guests(request, Needs.LIVE):
            yield from access_points(item)

    def find(self, request: ProviderRequest, path: InstancePath) -> AccessPoint:
        """The access point called `Name` of the guest called `SystemName`."""
        guest_name, name = path.text("SystemName"), path.text("Name")
        if not guest_name:
            raise NotFound("No such instance (SystemName)")
        item = self.guest(request, guest_name, Needs.LIVE, f"No such instance ({guest_name})")
        if not _displays(item):
            raise Failed("No console device for this guest: Error 0")
        if not name:
            raise NotFound("No such instance (Name)")
        if not _NAME.match(name):
            raise Failed(f"Unable to determine console port for guest '{guest_name}'")
        for found in access_points(item):
            if found.name == name:
                return found
        raise NotFound("No such instance (Name)")


SAP = REDIRECTION_SAP.base
SERVICE = service.CONSOLE.decl.base
_DEVICE_KINDS = ("input", "graphics", "controller")
_DEVICE_BASES = tuple(CLASS_OF_KIND[kind].decl.base for kind in _DEVICE_KINDS)
_ELEMENTS = (SYSTEM, *_DEVICE_BASES)


def _guests(item: HostItem) -> Iterator[GuestItem]:
    for guest in item.reading.guests(Needs.LIVE):
        yield GuestItem(item.prefix, item.reading, guest)


def _points_of_host(
    _request: ProviderRequest, _base: str, item: HostItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    with translated("Unable to list guests"):
        for guest in _guests(item):
            yield from (Target(SAP, point) for point in access_points(guest))


def _host_of(
    _request: ProviderRequest, _base: str, item: AccessPoint, wanted: frozenset[str]
) -> Iterable[Target]:
    host = HostItem(item.prefix, item.owner.reading)
    yield from (Target(base, host) for base in (HOST, SERVICE) if base in wanted)


def _points_of_guest(
    _request: ProviderRequest, _base: str, item: GuestItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    yield from (Target(SAP, point) for point in access_points(guest_with(item, Needs.LIVE)))


def _guest_of(
    _request: ProviderRequest, _base: str, item: AccessPoint, _wanted: frozenset[str]
) -> Iterable[Target]:
    yield Target(SYSTEM, item.owner)


def _affected(
    _request: ProviderRequest, _base: str, item: HostItem, wanted: frozenset[str]
) -> Iterable[Target]:
    """All guests, then the input devices, displays and controllers of each."""
    with translated("Unable to list guests"):
        guests = list(_guests(item))
    if SYSTEM in wanted:
        yield from (Target(SYSTEM, guest) for guest in guests)
    for guest in guests:
        for kind in _DEVICE_KINDS:
            base = CLASS_OF_KIND[kind].decl.base
            if base in wanted:
                yield from (Target(base, device) for device in device_items(guest, kind))


def _affecting(
    _request: ProviderRequest, _base: str, item: GuestItem | DeviceItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    owner = item.owner if isinstance(item, DeviceItem) else item
    yield Target(SERVICE, HostItem(owner.prefix, owner.reading))


HOSTED_ACCESS_POINT = Association(
    association("HostedAccessPoint", "A host and an access point on it.", namespaces=(VIRT, CIMV2)),
    (
        Handler((HOST,), "Antecedent", (SAP,), "Dependent", _points_of_host, enumerated=True),
        Handler((SAP,), "Dependent", (HOST,), "Antecedent", _host_of),
    ),
)

SERVICE_ACCESS_BY_SAP = Association(
    association("ServiceAccessBySAP", "The redirection service and an access point to it."),
    (
        Handler((SERVICE,), "Antecedent", (SAP,), "Dependent", _points_of_host, enumerated=True),
        Handler((SAP,), "Dependent", (SERVICE,), "Antecedent", _host_of),
    ),
)

SAP_AVAILABLE_FOR_ELEMENT = Association(
    association("SAPAvailableForElement", "A guest and an access point to its display."),
    (
        Handler(
            (SYSTEM,), "ManagedElement", (SAP,), "AvailableSAP", _points_of_guest, enumerated=True
        ),
        Handler((SAP,), "AvailableSAP", (SYSTEM,), "ManagedElement", _guest_of),
    ),
)

SERVICE_AFFECTS_ELEMENT = Association(
    association(
        "ServiceAffectsElement", "The redirection service, and a guest or display that it shows."
    ),
    (
        Handler(_ELEMENTS, "AffectedElement", (SERVICE,), "AffectingElement", _affecting),
        Handler(
            (SERVICE,),
            "AffectingElement",
            _ELEMENTS,
            "AffectedElement",
            _affected,
            enumerated=True,
        ),
    ),
)

ASSOCIATIONS = (
    HOSTED_ACCESS_POINT,
    SERVICE_ACCESS_BY_SAP,
    SAP_AVAILABLE_FOR_ELEMENT,
    SERVICE_AFFECTS_ELEMENT,
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return Provided(
        (REDIRECTION_SAP, *(a.decl for a in ASSOCIATIONS)),
        (AccessPointProvider(REDIRECTION_SAP, hosts, COLUMNS),),
        ASSOCIATIONS,
    )
