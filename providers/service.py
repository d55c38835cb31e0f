# SPDX-License-Identifier: LGPL-2.1-or-later
"""The services of a host, one instance of each: management of guests, pools, migration, snapshots,
consoles and switches. Each class has the capabilities that go with it in `capabilities`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from libvirtcim import __version__
from libvirtcim.cim.declare import INTEROP, VIRT, ClassDecl, Method, Parameter, Property
from libvirtcim.cim.errors import CIMError, Failed, NotFound, NotSupported
from libvirtcim.cim.jobs import Jobs
from libvirtcim.cim.objects import InstancePath, Value
from libvirtcim.cim.provider import Columns, MethodHandler, ProviderRequest
from libvirtcim.cim.schema import ParameterInfo
from libvirtcim.providers import migration, pool_configuration
from libvirtcim.providers.common import (
    ALL,
    HostItem,
    PerHostProvider,
    Provided,
    registered,
)
from libvirtcim.providers.jobs import jobs_of
from libvirtcim.providers.management import methods
from libvirtcim.providers.snapshots import methods as snapshot_methods
from libvirtcim.virt import vsi
from libvirtcim.virt.host import Host, Hosts

OK = 2
"""OperationalStatus of what works."""
COMPATIBLE_REVISION = "1347"
"""The revision of libvirt-cim whose behaviour is offered: clients compare the number."""
UNKNOWN_CHANGESET = "Unknown"
COMPLETED = 0
"""Return value of a method that has done what was asked (DSP1042, DSP1041: Completed with No Error)."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What carries out one method of a service, which then returns 0.

    `carry_out`: (host, request, checked arguments) → output parameters; raises CIMError.
    `required`: parameters that must be given although the schema doesn't say so. `undeclared`: parameters
    that it doesn't have.
    `unreachable`, `status`: what a client is told whose hypervisor doesn't answer.
    """

    carry_out: Callable[[Host, ProviderRequest, Mapping[str, Value]], dict[str, Value]]
    required: frozenset[str] = frozenset()
    unreachable: str = "Unable to connect to hypervisor"
    status: type[CIMError] = Failed
    undeclared: tuple[ParameterInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class LongOperation:
    """What starts a job for one method of a service.

    `start`: (jobs, host, request, path of the service, checked arguments) → return value and output
    parameters; raises CIMError. Everything else as in `Operation`.
    """

    start: Callable[
        [Jobs, Host, ProviderRequest, InstancePath, Mapping[str, Value]],
        tuple[int, dict[str, Value]],
    ]
    required: frozenset[str] = frozenset()
    unreachable: str = "Unable to connect to hypervisor"
    status: type[CIMError] = Failed
    undeclared: tuple[ParameterInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """A service class: declaration, what it shows, its methods, those of its superclass that it refuses."""

    decl: ClassDecl
    columns: Columns
    dispatches: bool = True
    """Whether calls of methods reach it; else its class is registered for instances alone."""
    operations: Mapping[str, Operation | LongOperation] = field(default_factory=dict)
    unsupported: tuple[str, ...] = ()


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
    operations={
        "DefineSystem": Operation(
            methods.define_system,
            frozenset({"SystemSettings", "ResourceSettings"}),
            unreachable="Error connecting to libvirt",
        ),
        "DestroySystem": Operation(
            methods.destroy_system, frozenset({"AffectedSystem"}), status=NotFound
        ),
        "AddResourceSettings": Operation(
            methods.add_resource_settings,
            frozenset({"AffectedConfiguration", "ResourceSettings"}),
        ),
        "ModifyResourceSettings": Operation(
            methods.modify_resource_settings, frozenset({"ResourceSettings"})
        ),
        "ModifySystemSettings": Operation(
            methods.modify_system_settings, frozenset({"SystemSettings"})
        ),
        "RemoveResourceSettings": Operation(
            methods.remove_resource_settings, frozenset({"ResourceSettings"})
        ),
    },
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
    operations={
        "CreateChildResourcePool": Operation(
            pool_configuration.create_child_pool, frozenset({"Settings"})
        ),
        "DeleteResourcePool": Operation(pool_configuration.delete_pool, frozenset({"Pool"})),
        "CreateResourceInPool": Operation(pool_configuration.create_in_pool),
        "DeleteResourceInPool": Operation(pool_configuration.delete_in_pool),
        "RefreshResourcesInPool": Operation(pool_configuration.refresh_pool),
    },
    unsupported=("CreateResourcePool", "RemoveResourcesFromResourcePool"),
)

_TO_HOST = frozenset({"ComputerSystem", "DestinationHost"})
_TO_SYSTEM = frozenset({"ComputerSystem", "DestinationSystem"})

MIGRATION = Service(
    ClassDecl(
        "VirtualSystemMigrationService",
        "CIM_VirtualSystemMigrationService",
        "Moves guests to other hosts.",
        ALL,
        methods=migration.METHODS,
        namespaces=(VIRT, INTEROP),
        registration=registered("Virt_VSMigrationService", "instance", "method"),
    ),
    {"Name": lambda i: "MigrationService"},
    operations={
        "CheckVirtualSystemIsMigratableToHost": Operation(
            migration.check_to_host, _TO_HOST, undeclared=(migration.OWN_KEY,)
        ),
        "CheckVirtualSystemIsMigratableToSystem": Operation(migration.check_to_system, _TO_SYSTEM),
        "MigrateVirtualSystemToHost": LongOperation(
            migration.migrate_to_host, _TO_HOST, undeclared=(migration.OWN_KEY,)
        ),
        "MigrateVirtualSystemToSystem": LongOperation(migration.migrate_to_system, _TO_SYSTEM),
        "MigrateSSHKeyCopy": Operation(migration.copy_key),
        "MigrateSSHKeyDelete": Operation(migration.delete_key),
    },
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
    operations={
        "CreateSnapshot": LongOperation(
            snapshot_methods.create,
            frozenset({"AffectedSystem", "SnapshotSettings", "SnapshotType"}),
        ),
        "ApplySnapshot": LongOperation(snapshot_methods.apply, frozenset({"Snapshot"})),
        "DestroySnapshot": Operation(snapshot_methods.destroy, frozenset({"AffectedSnapshot"})),
    },
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
            for name, operation in self._service.operations.items()
        }
        refused = {name: MethodHandler(_refuse) for name in self._service.unsupported}
        return {**operations, **refused}

    def _carry_out(
        self,
        operation: Operation | LongOperation,
        request: ProviderRequest,
        path: InstancePath,
        arguments: Mapping[str, Value],
    ) -> tuple[Value, dict[str, Value]]:
        reading = self.reading(request)
        if reading is None:
            raise operation.status(operation.unreachable)
        if isinstance(operation, LongOperation):
            return operation.start(self._jobs, reading.host, request, path, arguments)
        return COMPLETED, operation.carry_out(reading.host, request, arguments)

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
