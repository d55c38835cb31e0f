# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the services of a host can do, and what can be allocated from its pools.

The services' capabilities are the same on every host; `P_AllocationCapabilities` exist for each pool.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from libvirtcim.cim.declare import INTEROP, VIRT, ClassDecl, Property
from libvirtcim.cim.errors import Failed, NotFound
from libvirtcim.cim.objects import InstancePath
from libvirtcim.cim.provider import Columns, ProviderRequest
from libvirtcim.providers import service
from libvirtcim.providers.common import (
    ALL,
    FamilyProvider,
    PerHostProvider,
    Provided,
    registered,
    translated,
)
from libvirtcim.providers.resource_pool import PoolItem, pool_with_id, pools_of_host
from libvirtcim.providers.snapshots import snapshot_types
from libvirtcim.virt.host import Hosts

ADD, DEFINE, DESTROY = 1, 2, 3
MODIFY_RESOURCES, MODIFY_SYSTEM, REMOVE = 5, 6, 7
"""Methods of the management service, as clients of this model number them."""


@dataclass(frozen=True, slots=True)
class ServiceCapabilities:
    """A capabilities class with one instance per host, and the service that it belongs to."""

    decl: ClassDecl
    service: service.Service
    columns: Columns


def _decl(base: str, superclass: str, provider: str, description: str) -> ClassDecl:
    return ClassDecl(base, superclass, description, ALL, registration=registered(provider))


MANAGEMENT = ServiceCapabilities(
    _decl(
        "VirtualSystemManagementCapabilities",
        "CIM_VirtualSystemManagementCapabilities",
        "Virt_VirtualSystemManagementCapabilities",
        "What VirtualSystemManagementService can do.",
    ),
    service.MANAGEMENT,
    {
        "InstanceID": lambda i: "ManagementCapabilities",
        "SynchronousMethodsSupported": lambda i: [
            ADD,
            DEFINE,
            DESTROY,
            MODIFY_RESOURCES,
            MODIFY_SYSTEM,
            REMOVE,
        ],
        "VirtualSystemTypesSupported": lambda i: [i.prefix],
    },
)

MIGRATION = ServiceCapabilities(
    _decl(
        "VirtualSystemMigrationCapabilities",
        "CIM_VirtualSystemMigrationCapabilities",
        "Virt_VSMigrationCapabilities",
        "What VirtualSystemMigrationService can do.",
    ),
    service.MIGRATION,
    {
        "InstanceID": lambda i: "MigrationCapabilities",
        "AsynchronousMethodsSupported": lambda i: [2, 3],
        "SynchronousMethodsSupported": lambda i: [4, 5],
        "DestinationHostFormatsSupported": lambda i: [2, 3, 4],
    },
)

CONSOLE = ServiceCapabilities(
    _decl(
        "ConsoleRedirectionServiceCapabilities",
        "CIM_RedirectionServiceCapabilities",
        "Virt_ConsoleRedirectionServiceCapabilities",
        "What ConsoleRedirectionService can do.",
    ),
    service.CONSOLE,
    {
        "InstanceID": lambda i: "ConsoleRedirectionCapabilities",
        "ElementName": lambda i: "ConsoleRedirectionCapabilities",
        "ElementNameEditSupported": lambda i: False,
        "SharingModeSupported": lambda i: [3],
    },
)

POOL_CONFIGURATION = ServiceCapabilities(
    _decl(
        "ResourcePoolConfigurationCapabilities",
        "CIM_ResourcePoolConfigurationCapabilities",
        "Virt_ResourcePoolConfigurationCapabilities",
        "What ResourcePoolConfigurationService can do.",
    ),
    service.POOL_CONFIGURATION,
    {
        "InstanceID": lambda i: "RPCC",
        "SynchronousMethodsSupported": lambda i: [3, 4],
    },
)

SNAPSHOT = ServiceCapabilities(
    _decl(
        "VirtualSystemSnapshotServiceCapabilities",
        "CIM_VirtualSystemSnapshotServiceCapabilities",
        "Virt_VirtualSystemSnapshotServiceCapabilities",
        "What VirtualSystemSnapshotService can do.",
    ),
    service.SNAPSHOT,
    {
        "InstanceID": lambda i: "SnapshotCapabilities",
        # the schema spells it so
        "AynchronousMethodsSupported": lambda i: [2, 4],
        "SynchronousMethodsSupported": lambda i: [3],
        "SnapshotTypesSupported": lambda i: snapshot_types(i.host.family),
    },
)

SERVICE_CAPABILITIES = (MANAGEMENT, MIGRATION, CONSOLE, POOL_CONFIGURATION, SNAPSHOT)
"""In the order in which a host's capabilities are listed."""

MIGRATION_SETTING = ClassDecl(
    "VirtualSystemMigrationSettingData",
    "CIM_VirtualSystemMigrationSettingData",
    "How a guest is migrated where a request doesn't say.",
    ALL,
    (
        Property(
            "CheckParameters",
            "string",
            "Lines given to the programs that check before.",
            array=True,
        ),
    ),
    registration=registered("Virt_VSMigrationSettingData"),
)

LIVE_MIGRATION, SSH = 2, 2

MIGRATION_SETTING_COLUMNS: Columns = {
    "InstanceID": lambda i: "MigrationSettingData",
    "MigrationType": lambda i: LIVE_MIGRATION,
    "Priority": lambda i: 0,
    "TransportType": lambda i: SSH,
}

ALLOCATION = ClassDecl(
    "AllocationCapabilities",
    "CIM_AllocationCapabilities",
    "What can be allocated from a pool; SettingsDefineCapabilities lead to the values.",
    ALL,
    namespaces=(VIRT, INTEROP),
    registration=registered("Virt_AllocationCapabilities"),
)


class AllocationProvider(FamilyProvider[PoolItem]):
    """One instance per pool, under the pool's InstanceID."""

    absent = "The requested object could not be found"

    def items(self, request: ProviderRequest) -> Iterable[PoolItem]:
        """All pools of the family's host, if its hypervisor answers."""
        reading = self.reading(request)
        if reading is None:
            return []
        with translated("Unable to list pools"):
            return list(pools_of_host(request.prefix, reading))

    def find(self, request: ProviderRequest, path: InstancePath) -> PoolItem:
        """The capabilities of the pool called `InstanceID`."""
        pool_id = path.text("InstanceID")
        if not pool_id:
            raise Failed("No InstanceID specified")
        reading = self.reading(request)
        if reading is None:
            raise NotFound(self.absent)
        try:
            return pool_with_id(request.prefix, reading, pool_id)
        except NotFound as error:
            raise NotFound("Instance not found.") from error


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    fixed = [(c.decl, c.columns) for c in SERVICE_CAPABILITIES]
    fixed.append((MIGRATION_SETTING, MIGRATION_SETTING_COLUMNS))
    allocation: Columns = {
        "InstanceID": lambda i: i.pool_id,
        "ResourceType": lambda i: i.of.resource_type,
    }
    return Provided(
        (*(decl for decl, _columns in fixed), ALLOCATION),
        (
            *(PerHostProvider(decl, hosts, columns) for decl, columns in fixed),
            AllocationProvider(ALLOCATION, hosts, allocation),
        ),
    )
