# SPDX-License-Identifier: LGPL-2.1-or-later
"""Associations of a host's services and of capabilities.

::

    P_HostSystem --HostedService-- P_<service> --ElementCapabilities-- P_<service>Capabilities
         |                                                                       |
         +------------------------ElementCapabilities----------------------------+
         |
         +--ElementCapabilities-- P_AllocationCapabilities --ElementCapabilities-- P_<kind>Pool
    P_ComputerSystem --ElementCapabilities-- P_EnabledLogicalElementCapabilities
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from libvirtcim.cim.associations import Association, Handler, Target
from libvirtcim.cim.declare import CIMV2, VIRT
from libvirtcim.cim.provider import ProviderRequest
from libvirtcim.providers import capabilities, service
from libvirtcim.providers.capabilities import SERVICE_CAPABILITIES
from libvirtcim.providers.common import (
    GuestItem,
    HostItem,
    Provided,
    association,
    guest_with,
    translated,
)
from libvirtcim.providers.guest_associations import HOST, SYSTEM
from libvirtcim.providers.pool_associations import POOL_BASES
from libvirtcim.providers.resource_pool import PoolItem, pools_of_host
from libvirtcim.virt.host import Hosts, Needs

SERVICE_BASES = tuple(s.decl.base for s in service.SERVICES)
CAPABILITIES_BASES = tuple(c.decl.base for c in SERVICE_CAPABILITIES)
ALLOCATION = capabilities.ALLOCATION.base
GUEST_CAPABILITIES = "EnabledLogicalElementCapabilities"

SERVICE_OF = {c.decl.base: c.service.decl.base for c in SERVICE_CAPABILITIES}
CAPABILITIES_OF = {service_base: base for base, service_base in SERVICE_OF.items()}

DEFAULT_CHARACTERISTICS = {"Characteristics": [2]}


def _hosted(
    _request: ProviderRequest, _base: str, item: HostItem, wanted: frozenset[str]
) -> Iterable[Target]:
    """Everything of which a host has one: the item is the host's."""
    return (Target(base, item) for base in SERVICE_BASES if base in wanted)


def _host_of(
    _request: ProviderRequest, _base: str, item: HostItem | PoolItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    yield Target(HOST, HostItem(item.prefix, item.reading))


def _capabilities_of_host(
    _request: ProviderRequest, _base: str, item: HostItem, wanted: frozenset[str]
) -> Iterable[Target]:
    for base in CAPABILITIES_BASES:
        if base in wanted:
            yield Target(base, item)
    if ALLOCATION not in wanted:
        return
    with translated("Unable to list pools"):
        for found in pools_of_host(item.prefix, item.reading):
            yield Target(ALLOCATION, found)


def _elements_of(
    request: ProviderRequest, base: str, item: HostItem | PoolItem, wanted: frozenset[str]
) -> Iterable[Target]:
    """What the capabilities are of: the service or pool, then the host."""
    found = item.of.decl.base if isinstance(item, PoolItem) else SERVICE_OF[base]
    if found in wanted:
        yield Target(found, item)
    if HOST in wanted:
        yield from _host_of(request, base, item, wanted)


def _capabilities_of_service(
    _request: ProviderRequest, base: str, item: HostItem, wanted: frozenset[str]
) -> Iterable[Target]:
    if CAPABILITIES_OF[base] in wanted:
        yield Target(CAPABILITIES_OF[base], item)


Resolver = Callable[[ProviderRequest, str, GuestItem, frozenset[str]], Iterable[Target]]


def _same_guest(base: str) -> Resolver:
    def resolve(
        request: ProviderRequest, _base: str, item: GuestItem, _wanted: frozenset[str]
    ) -> Iterable[Target]:
        needs = Needs.STATE if request.names_only else Needs.LIVE
        yield Target(base, guest_with(item, needs))

    return resolve


def _allocation_of(
    _request: ProviderRequest, _base: str, item: PoolItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    yield Target(ALLOCATION, item)


HOSTED_SERVICE = Association(
    association("HostedService", "A host and one of its services.", namespaces=(VIRT, CIMV2)),
    (
        Handler((HOST,), "Antecedent", SERVICE_BASES, "Dependent", _hosted, enumerated=True),
        Handler(SERVICE_BASES, "Dependent", (HOST,), "Antecedent", _host_of),
    ),
)

_ME, _CAP = "ManagedElement", "Capabilities"

ELEMENT_CAPABILITIES = Association(
    association(
        "ElementCapabilities",
        "A guest, pool, service or host, and what it can do.",
        namespaces=(VIRT, CIMV2),
    ),
    (
        Handler(
            (HOST,),
            _ME,
            (*CAPABILITIES_BASES, ALLOCATION),
            _CAP,
            _capabilities_of_host,
            DEFAULT_CHARACTERISTICS,
            enumerated=True,
        ),
        Handler(
            (*CAPABILITIES_BASES, ALLOCATION),
            _CAP,
            (*SERVICE_OF.values(), *POOL_BASES, HOST),
            _ME,
            _elements_of,
        ),
        Handler(
            tuple(CAPABILITIES_OF),
            _ME,
            CAPABILITIES_BASES,
            _CAP,
            _capabilities_of_service,
            enumerated=True,
        ),
        Handler((GUEST_CAPABILITIES,), _CAP, (SYSTEM,), _ME, _same_guest(SYSTEM)),
        Handler(
            (SYSTEM,),
            _ME,
            (GUEST_CAPABILITIES,),
            _CAP,
            _same_guest(GUEST_CAPABILITIES),
            enumerated=True,
        ),
        Handler(POOL_BASES, _ME, (ALLOCATION,), _CAP, _allocation_of, enumerated=True),
    ),
)

ASSOCIATIONS = (HOSTED_SERVICE, ELEMENT_CAPABILITIES)


def provide(hosts: Hosts) -> Provided:
    """The module's association classes and their handlers."""
    return Provided(tuple(a.decl for a in ASSOCIATIONS), (), ASSOCIATIONS)
