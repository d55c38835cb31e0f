# SPDX-License-Identifier: LGPL-2.1-or-later
"""Registered profiles: which DMTF profiles are followed, and by what.

::

    P_RegisteredProfile --ReferencedProfile-- P_RegisteredProfile
            |
    ElementConformsToProfile
            |
    P_HostSystem, P_ComputerSystem, pools, services ...

Profiles are in the interop namespace, what conforms to them in the namespace of the model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from libvirtcim.cim.associations import Association, Handler, Target
from libvirtcim.cim.declare import CIMV2, INTEROP, VIRT, ClassDecl
from libvirtcim.cim.errors import Failed, NotFound
from libvirtcim.cim.objects import InstancePath
from libvirtcim.cim.provider import Columns, ProviderRequest
from libvirtcim.providers.common import (
    ALL,
    FamilyProvider,
    GuestItem,
    HostItem,
    HostReading,
    Provided,
    association,
    end,
    registered,
    translated,
)
from libvirtcim.providers.resource_pool import POOL_OF_BASE, PoolItem, pool_items, pools_of_host
from libvirtcim.virt.host import Hosts, Needs

DMTF = 2
SLP = 3
"""AdvertiseTypes."""

SYSTEM_VIRTUALIZATION = "CIM:DSP1042-SystemVirtualization-1.0.0"
VIRTUAL_SYSTEM = "CIM:DSP1057-VirtualSystem-1.0.0a"


@dataclass(frozen=True, slots=True)
class Profile:
    """A DMTF profile: its scoping and central classes, and the profile that it is scoped by."""

    instance_id: str
    name: str
    version: str
    scoping: str | None
    central: str | None
    scoped_by: str | None = SYSTEM_VIRTUALIZATION

    @property
    def classes(self) -> tuple[str, ...]:
        """Base names of the classes whose instances conform, in order."""
        return tuple(base for base in (self.scoping, self.central) if base is not None)


def _each(prefix: str, name: str, version: str, scoping: str | None, **pools: str) -> list[Profile]:
    return [
        Profile(f"{prefix}_{letter}", name, version, scoping, pool)
        for letter, pool in pools.items()
    ]


PROFILES = (
    Profile(
        SYSTEM_VIRTUALIZATION,
        "System Virtualization",
        "1.0.0",
        "HostSystem",
        None,
        VIRTUAL_SYSTEM,
    ),
    Profile(VIRTUAL_SYSTEM, "Virtual System Profile", "1.0.0a", "ComputerSystem", None, None),
    *_each(
        "CIM:DSP1059-GenericDeviceResourceVirtualization-1.0.0",
        "Generic Device Resource Virtualization",
        "1.0.0",
        None,
        d="DiskPool",
        n="NetworkPool",
        p="ProcessorPool",
    ),
    Profile(
        "CIM:DSP1045-MemoryResourceVirtualization-1.0.0",
        "Memory Resource Virtualization",
        "1.0.0",
        None,
        "MemoryPool",
    ),
    Profile(
        "CIM:DSP1081-VirtualSystemMigration-0.8.1",
        "Virtual System Migration",
        "0.8.1",
        None,
        "VirtualSystemMigrationService",
    ),
    Profile(
        "CIM:DSP1076-KVMRedirection-1.0.0",
        "KVM Redirection",
        "1.0.0",
        "HostSystem",
        "ConsoleRedirectionService",
    ),
    Profile(
        "CIM:DSP1043-AllocationCapabilities-1.0.0a",
        "Allocation Capabilities",
        "1.0.0a",
        "ComputerSystem",
        "AllocationCapabilities",
    ),
    *_each(
        "CIM:DSP1041-ResourceAllocation-1.1.0c",
        "Resource Allocation",
        "1.1.0c",
        "ComputerSystem",
        d="DiskPool",
        n="NetworkPool",
        p="ProcessorPool",
        m="MemoryPool",
    ),
)
"""In the order in which they are listed."""

REGISTERED_PROFILE = ClassDecl(
    "RegisteredProfile",
    "CIM_RegisteredProfile",
    "A profile that the model of this host follows.",
    ALL,
    namespaces=(INTEROP, VIRT, CIMV2),
    registration=registered("Virt_RegisteredProfile", namespaces=(INTEROP,)),
)


@dataclass(frozen=True, slots=True)
class ProfileItem:
    """A profile as a family's host follows it."""

    prefix: str
    reading: HostReading
    profile: Profile


COLUMNS: Columns = {
    "InstanceID": lambda i: i.profile.instance_id,
    "RegisteredName": lambda i: i.profile.name,
    "RegisteredVersion": lambda i: i.profile.version,
    "RegisteredOrganization": lambda i: DMTF,
    "AdvertiseTypes": lambda i: [SLP],
}


class ProfileProvider(FamilyProvider[ProfileItem]):
    """Serves P_RegisteredProfile; each family whose hypervisor answers follows all profiles."""

    def items(self, request: ProviderRequest) -> Iterable[ProfileItem]:
        """All profiles."""
        reading = self.reading(request)
        if reading is None:
            return []
        return [ProfileItem(request.prefix, reading, profile) for profile in PROFILES]

    def find(self, request: ProviderRequest, path: InstancePath) -> ProfileItem:
        """The profile called `InstanceID`."""
        instance_id = path.text("InstanceID")
        if not instance_id:
            raise Failed("No InstanceID specified")
        followed = list(self.items(request))
        if not followed:
            raise NotFound(self.absent)
        for item in followed:
            if item.profile.instance_id == instance_id:
                return item
        raise NotFound(f"No such instance ({instance_id})")


PROFILE = REGISTERED_PROFILE.base
CONFORMING = tuple(dict.fromkeys(base for p in PROFILES for base in p.classes))
"""Base names of the classes whose instances conform to some profile."""


def _elements(request: ProviderRequest, item: ProfileItem, base: str) -> Iterable[Target]:
    """All instances of one class on the profile's host."""
    reading, prefix = item.reading, item.prefix
    if base == "ComputerSystem":
        needs = Needs.STATE if request.names_only else Needs.LIVE
        return [Target(base, GuestItem(prefix, reading, g)) for g in reading.guests(needs)]
    if base == "AllocationCapabilities":
        return [Target(base, found) for found in pools_of_host(prefix, reading)]
    pool = POOL_OF_BASE.get(base.lower())
    if pool is not None:
        return [Target(base, found) for found in pool_items(prefix, reading, pool)]
    return [Target(base, HostItem(prefix, reading))]


def _elements_of(
    request: ProviderRequest, _base: str, item: ProfileItem, wanted: frozenset[str]
) -> Iterable[Target]:
    with translated("Unable to list what conforms to the profile"):
        for base in item.profile.classes:
            if base in wanted:
                yield from _elements(request, item, base)


def _profiles_of(
    _request: ProviderRequest,
    base: str,
    item: HostItem | GuestItem | PoolItem,
    _wanted: frozenset[str],
) -> Iterable[Target]:
    for profile in PROFILES:
        if base in profile.classes:
            yield Target(PROFILE, ProfileItem(item.prefix, item.reading, profile))


def _target(item: ProfileItem, profile: Profile, *, swapped: bool = False) -> Target:
    return Target(PROFILE, ProfileItem(item.prefix, item.reading, profile), swapped)


def _scoped_by(
    _request: ProviderRequest, _base: str, item: ProfileItem, _wanted: frozenset[str]
) -> Iterable[Target]:
    """The profile that scopes this one."""
    for profile in PROFILES:
        if profile.instance_id == item.profile.scoped_by:
            yield _target(item, profile)


def _scoping(
    request: ProviderRequest, base: str, item: ProfileItem, wanted: frozenset[str]
) -> Iterable[Target]:
    """The profile that scopes this one, which has the other role; then those that this one scopes."""
    for found in _scoped_by(request, base, item, wanted):
        yield Target(found.base, found.item, swapped=True)
    for profile in PROFILES:
        if profile.scoped_by == item.profile.instance_id:
            yield _target(item, profile)


ELEMENT_CONFORMS_TO_PROFILE = Association(
    association(
        "ElementConformsToProfile",
        "A profile, and what conforms to it.",
        properties=(end("ConformantStandard", "{P}_RegisteredProfile", "The profile."),),
        namespaces=(VIRT, INTEROP, CIMV2),
    ),
    (
        Handler(
            (PROFILE,),
            "ConformantStandard",
            CONFORMING,
            "ManagedElement",
            _elements_of,
            enumerated=True,
            source_namespace=INTEROP,
            target_namespace=VIRT,
        ),
        Handler(
            CONFORMING,
            "ManagedElement",
            (PROFILE,),
            "ConformantStandard",
            _profiles_of,
            target_namespace=INTEROP,
        ),
    ),
)

REFERENCED_PROFILE = Association(
    association(
        "ReferencedProfile",
        "A profile and the one that scopes it.",
        properties=(
            end("Antecedent", "{P}_RegisteredProfile", "The profile that scopes."),
            end("Dependent", "{P}_RegisteredProfile", "The profile that is scoped."),
        ),
        namespaces=(INTEROP,),
    ),
    (
        Handler((PROFILE,), "Antecedent", (PROFILE,), "Dependent", _scoping, enumerated=True),
        Handler((PROFILE,), "Dependent", (PROFILE,), "Antecedent", _scoped_by),
    ),
)

ASSOCIATIONS = (ELEMENT_CONFORMS_TO_PROFILE, REFERENCED_PROFILE)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return Provided(
        (REGISTERED_PROFILE, *(a.decl for a in ASSOCIATIONS)),
        (ProfileProvider(REGISTERED_PROFILE, hosts, COLUMNS),),
        ASSOCIATIONS,
    )
