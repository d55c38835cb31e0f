# SPDX-License-Identifier: LGPL-2.1-or-later
"""The services of a host, one instance of each: management of guests, pools, migration, snapshots,
consoles and switches. Each class has the capabilities that go with it in `capabilities`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from libvirtcim import __version__
from libvirtcim.cim.declare import INTEROP, VIRT, ClassDecl, Method, Parameter, Property
from libvirtcim.cim.errors import NotSupported
from libvirtcim.cim.jobs import Jobs
from libvirtcim.cim.objects import InstancePath, Value
from libvirtcim.cim.provider import Columns, MethodHandler, ProviderRequest
from libvirtcim.providers.common import (
    ALL,
    HostItem,
    PerHostProvider,
    Provided,
    registered,
)
from libvirtcim.providers.jobs import jobs_of
from libvirtcim.virt.host import Hosts

if TYPE_CHECKING:
    from libvirtcim.methods.operation import Operation, Operations

OK = 2
"""OperationalStatus of what works."""
COMPATIBLE_REVISION = "1347"
"""The revision of libvirt-cim whose behaviour is offered: clients compare the number."""
UNKNOWN_CHANGESET = "Unknown"


@dataclass(frozen=True, slots=True)
class Service:
    """A service class: declaration, what it shows, its methods, those of its superclass that it refuses."""

    decl: ClassDecl
    columns: Columns
    dispatches: bool = True
    """Whether calls of methods reach it; else its class is registered for instances alone."""
    operations: Callable[[], Operations] = dict
    """Loads what carries its methods out."""
    unsupported: tuple[str, ...] = ()


def _management_operations() -> Operations:
    from libvirtcim.methods import management

    return management.OPERATIONS


def _pool_operations() -> Operations:
    from libvirtcim.methods import pool_configuration

    return pool_configuration.OPERATIONS


def _migration_operations() -> Operations:
    from libvirtcim.methods import migration

    return migration.OPERATIONS


def _snapshot_operations() -> Operations:
    from libvirtcim.methods import snapshots

    return snapshots.OPERATIONS


def _setting(name: str, description: str) -> Parameter:
    return Parameter(
        name, "string", description, embedded="CIM_ResourceAllocationSettingData"
    )  # fmt: skip


_POOL = Parameter("Pool", "reference", "The pool.", reference_class="CIM_ResourcePool")
_JOB = Parameter(
    "Job", "reference", "The job that carries it out.", out=True, reference_class="CIM_ConcreteJob"
)


def _caption(item: HostItem) -> str:
    versions = item.host.versions()
    return f"{versions.kind} {versions.hypervisor}"


MANAGEMENT = Service(
    ClassDecl(
        "VirtualSystemManagementService",
        "CIM_VirtualSystemManagementService",
        "Defines, changes and destroys guests.",
        ALL,
        (
            Property(
                "Changeset", "string", "Revision of the source in the version control system."
            ),
            Property("Revision", "string", "Revision of libvirt-cim whose behaviour is offered."),
            Property("Release", "string", "Version of libvirtcim."),
            Property("LibvirtVersion", "string", "Version of libvirt, e.g. 9.0.0."),
        ),
        registration=registered("Virt_VirtualSystemManagementService", "method", "instance"),
    ),
    {
        "Name": lambda i: "Management Service",
        "Caption": _caption,
        "LibvirtVersion": lambda i: i.host.versions().libvirt,
        "Changeset": lambda i: UNKNOWN_CHANGESET,
        "Revision": lambda i: COMPATIBLE_REVISION,
        "Release": lambda i: __version__,
        "OperationalStatus": lambda i: [OK],
    },
    operations=_management_operations,
)

POOL_CONFIGURATION = Service(
    ClassDecl(
        "ResourcePoolConfigurationService",
        "CIM_ResourcePoolConfigurationService",
        "Creates and deletes pools and what is in them.",
        ALL,
        methods=(
            Method(
                "CreateResourceInPool",
                "uint32",
                "Makes a resource in a pool: a volume in a storage pool.",
                (
                    _setting("Settings", "What to make."),
                    _POOL,
                    Parameter(
                        "Resource",
                        "reference",
                        "What was made.",
                        out=True,
                        reference_class="CIM_ResourceAllocationSettingData",
                    ),
                ),
            ),
            Method(
                "DeleteResourceInPool",
                "uint32",
                "Deletes a resource in a pool.",
                (_setting("Resource", "What to delete."), _POOL, _JOB),
            ),
            Method(
                "RefreshResourcesInPool",
                "uint32",
                "Looks again what is in a pool.",
                (_POOL, _JOB),
            ),
        ),
        registration=registered("Virt_ResourcePoolConfigurationService", "instance", "method"),
    ),
    {"Name": lambda i: "RPCS"},
    operations=_pool_operations,
    unsupported=("CreateResourcePool", "RemoveResourcesFromResourcePool"),
)

MIGRATION = Service(
    ClassDecl(
        "VirtualSystemMigrationService",
        "CIM_VirtualSystemMigrationService",
        "Moves guests to other hosts.",
        ALL,
        methods=(
            Method(
                "MigrateSSHKeyCopy",
                "uint32",
                "Puts a private key where ssh finds it for migrations: migrate_ssh_temp_key of the "
                "configuration.",
                (Parameter("SSH_Key_Src", "string", "File of the key."),),
            ),
            Method("MigrateSSHKeyDelete", "uint32", "Removes that key."),
        ),
        namespaces=(VIRT, INTEROP),
        registration=registered("Virt_VSMigrationService", "instance", "method"),
    ),
    {"Name": lambda i: "MigrationService"},
    operations=_migration_operations,
)

SNAPSHOT = Service(
    ClassDecl(
        "VirtualSystemSnapshotService",
        "CIM_VirtualSystemSnapshotService",
        "Saves the state of guests and goes back to it.",
        ALL,
        registration=registered("Virt_VirtualSystemSnapshotService", "method", "instance"),
    ),
    {"Name": lambda i: "SnapshotService"},
    operations=_snapshot_operations,
)

CONSOLE = Service(
    ClassDecl(
        "ConsoleRedirectionService",
        "CIM_RedirectionService",
        "Shows the displays of guests over the network.",
        ALL,
        registration=registered("Virt_ConsoleRedirectionService"),
    ),
    {
        "Name": lambda i: "ConsoleRedirectionService",
        "ElementName": lambda i: "ConsoleRedirectionService",
        "RedirectionServiceType": lambda i: [3],
        "MaxCurrentEnabledSAPs": lambda i: 65535,
        "SharingMode": lambda i: 3,
        "EnabledState": lambda i: 2,
        "RequestedState": lambda i: 12,
    },
    dispatches=False,
)

SWITCH = Service(
    ClassDecl(
        "SwitchService",
        "CIM_SwitchService",
        "Tells whether the switch that the host is plugged into knows guests' interfaces (802.1Qbg).",
        ALL,
        (
            Property("IsVSISupported", "boolean", "Whether a port of the host supports it."),
            Property("VSIInterface", "string", "The first network interface that supports it."),
        ),
        registration=registered("Virt_SwitchService"),
    ),
    {
        "Name": lambda i: "Switch Virtualization Capabilities",
        "IsVSISupported": lambda i: _vsi_interface(i) is not None,
        "VSIInterface": lambda i: _vsi_interface(i),
    },
    dispatches=False,
)


def _vsi_interface(item: HostItem) -> str | None:
    """The first interface whose switch supports it; of another machine nobody can tell."""
    if not item.host.connection.shares_files:
        return None
    from libvirtcim.virt import vsi

    found: str | None = item.reading.once(
        "vsi", lambda: vsi.supporting_interface(item.host.settings.vsi)
    )
    return found


SERVICES = (POOL_CONFIGURATION, MANAGEMENT, MIGRATION, CONSOLE, SNAPSHOT, SWITCH)
"""In the order in which a host's services are listed."""

HOSTED_COLUMNS: Columns = {
    "SystemCreationClassName": lambda i: f"{i.prefix}_HostSystem",
    "SystemName": lambda i: i.host.name(),
}
"""Keys of everything that a host hosts."""


class ServiceProvider(PerHostProvider):
    """Serves one service class."""

    def __init__(self, service: Service, hosts: Hosts, jobs: Jobs) -> None:
        super().__init__(service.decl, hosts, {**HOSTED_COLUMNS, **service.columns})
        self._service = service
        self._jobs = jobs

    @property
    def methods(self) -> Mapping[str, MethodHandler]:
        """The methods that are carried out, and those that no host can carry out."""
        operations = {
            name: MethodHandler(
                partial(self._carry_out, operation), operation.required, operation.undeclared
            )
            for name, operation in self._service.operations().items()
        }
        refused = {name: MethodHandler(_refuse) for name in self._service.unsupported}
        return {**operations, **refused}

    def _carry_out(
        self,
        operation: Operation,
        request: ProviderRequest,
        path: InstancePath,
        arguments: Mapping[str, Value],
    ) -> tuple[Value, dict[str, Value]]:
        reading = self.reading(request)
        if reading is None:
            raise operation.status(operation.unreachable)
        return operation.run(self._jobs, reading.host, request, path, arguments)

    @property
    def has_methods(self) -> bool:
        """Whether the class is registered for methods."""
        return self._service.dispatches


def _refuse(
    request: ProviderRequest, _path: InstancePath, _arguments: Mapping[str, Value]
) -> tuple[Value, dict[str, Value]]:
    raise NotSupported(
        f"{request.cls.name} has no pools that could be made or taken apart like this"
    )


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    jobs = jobs_of(hosts)
    return Provided(
        tuple(s.decl for s in SERVICES), tuple(ServiceProvider(s, hosts, jobs) for s in SERVICES)
    )
