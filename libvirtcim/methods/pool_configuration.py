# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the methods of P_ResourcePoolConfigurationService do: make and delete pools and volumes."""

from __future__ import annotations

from collections.abc import Callable

from libvirtcim.cim.errors import CIMError, Failed, InvalidParameter, NotFound
from libvirtcim.cim.objects import Instance, InstancePath, Value
from libvirtcim.cim.provider import ProviderRequest
from libvirtcim.methods import pool_requests
from libvirtcim.methods.operation import Arguments, Operation, Operations, Outputs, at_once
from libvirtcim.methods.pool_requests import NO_VOLUME_MADE, UNSUPPORTED
from libvirtcim.providers.common import HostReading, translated
from libvirtcim.providers.resource_allocation import disk, net, pool
from libvirtcim.providers.resource_pool import (
    POOL_OF_KIND,
    PoolItem,
    name_of_tag,
    pool_with_id,
    tag_of_name,
)
from libvirtcim.virt import pool_changes
from libvirtcim.virt.host import Host

DEFAULT_POOL_NAME = "libvirt-cim-pool"
NO_POOL_MADE = "Unable to create resource pool"
NO_POOL_DELETED = "Storage pool deletion error: Unable to destroy resource pool"
NO_RESOURCE_DELETED = "Unable to delete resource"
NOT_REFRESHED = "Unable to refresh resource pool"


# --- pools ---------------------------------------------------------------------------------------


def create_child_pool(host: Host, request: ProviderRequest, arguments: Arguments) -> Outputs:
    """CreateChildResourcePool: defines and starts a network or storage pool."""
    name = arguments.get("ElementName", DEFAULT_POOL_NAME)
    settings = pool_requests.the_setting(arguments["Settings"])
    kind = _kind_of(settings)
    create = {"net": _create_network, "disk": _create_storage_pool}[kind]
    create(host, name, settings)
    return {"Pool": _instance(request, POOL_OF_KIND[kind].decl.base, _pool_id(kind, name))}


def _kind_of(settings: Instance) -> str:
    kinds = {
        pool.NET_POOL.base: "net",
        net.NET.base: "net",
        pool.DISK_POOL.base: "disk",
        disk.DISK.base: "disk",
    }
    kind = kinds.get(_base(settings))
    if kind is None:
        raise pool_requests.no_pool_kind(settings)
    return kind


def _base(settings: Instance) -> str:
    return settings.cls.name.partition("_")[2]


def _create_network(host: Host, name: str, settings: Instance) -> None:
    definition = pool_requests.network(name, settings)
    _check_is_new(host.network, name)
    with translated(NO_POOL_MADE, Failed):
        pool_changes.create_network(
            host, definition, autostart=pool_requests.starts_with_host(settings)
        )


def _create_storage_pool(host: Host, name: str, settings: Instance) -> None:
    definition = pool_requests.storage_pool(name, settings)
    _check_is_new(host.storage_pool, name)
    with translated(NO_POOL_MADE, Failed):
        pool_changes.create_storage_pool(
            host,
            definition,
            build=pool_requests.is_to_be_built(settings),
            autostart=pool_requests.starts_with_host(settings),
        )


def _check_is_new(find: Callable[[str], object], name: str) -> None:
    try:
        with translated(NO_POOL_MADE):
            find(name)
    except NotFound:
        return
    raise Failed("Pool with that name already exists")


def _pool_id(kind: str, name: str) -> str:
    return f"{POOL_OF_KIND[kind].decl.base}/{tag_of_name(name)}"


def _instance(request: ProviderRequest, base: str, instance_id: str) -> InstancePath:
    keys = (("InstanceID", instance_id),)
    return InstancePath(f"{request.prefix}_{base}", keys, request.namespace)


def delete_pool(host: Host, request: ProviderRequest, arguments: Arguments) -> Outputs:
    """DeleteResourcePool: stops and forgets a network or storage pool, running or not."""
    found = _referred(host, request, arguments["Pool"])
    delete = {"net": pool_changes.delete_network, "disk": pool_changes.delete_storage_pool}.get(
        found.of.kind
    )
    if delete is None or found.source is None:
        raise Failed(f"{NO_POOL_DELETED}: {found.pool_id} belongs to the host")
    with translated(NO_POOL_DELETED, Failed):
        delete(host, found.source.name)
    return {}


def _referred(host: Host, request: ProviderRequest, path: InstancePath) -> PoolItem:
    """The pool that a reference names, by the kind that its class says."""
    missing = Failed("Resource pool instance does not exist")
    try:
        found = pool_with_id(request.prefix, HostReading.of(request, host), path.text("InstanceID"))
    except NotFound:
        raise missing from None
    if path.classname.lower() != found.of.decl.class_name(request.prefix).lower():
        raise missing
    return found


def refresh_pool(host: Host, request: ProviderRequest, arguments: Arguments) -> Outputs:
    """RefreshResourcesInPool: looks again what is in a storage pool; others change by themselves."""
    pool_id = _id_of(_argument(arguments, "Pool"))
    try:
        found = pool_with_id(request.prefix, HostReading.of(request, host), pool_id)
    except CIMError as error:
        raise Failed(f"{NOT_REFRESHED}: {error.message}") from error
    if found.of.kind == "disk" and found.source is not None:
        with translated(NOT_REFRESHED, Failed):
            pool_changes.refresh_storage_pool(host, found.source.name)
    return {}


# --- what is in them -----------------------------------------------------------------------------


def create_in_pool(host: Host, request: ProviderRequest, arguments: Arguments) -> Outputs:
    """CreateResourceInPool: makes a volume in the storage pool that the id names, of whatever kind."""
    settings, path = _argument(arguments, "Settings"), _argument(arguments, "Pool")
    definition = pool_requests.volume(settings)
    name = name_of_tag(_id_of(path).partition("/")[2])
    with translated(NO_VOLUME_MADE, Failed):
        pool_requests.fit_into(definition, host.storage_pool(name).view.type)
        made = pool_changes.create_volume(host, name, definition)
    return {"Resource": _instance(request, pool.STORAGE_VOLUME.base, made)}


def delete_in_pool(host: Host, _request: ProviderRequest, arguments: Arguments) -> Outputs:
    """DeleteResourceInPool: deletes the volume at Address, in whatever pool it is."""
    resource, _pool = _argument(arguments, "Resource"), _argument(arguments, "Pool")
    if _base(resource) not in (pool.STORAGE_VOLUME.base, disk.DISK.base):
        raise Failed(f"{NO_RESOURCE_DELETED}: {UNSUPPORTED}")
    address = resource["Address"]
    if address is None:
        raise Failed("Missing Address in resource RASD")
    with translated(NO_RESOURCE_DELETED, Failed):
        pool_changes.delete_volume(host, address)
    return {}


def _argument(arguments: Arguments, name: str) -> Value:
    if name not in arguments:
        raise InvalidParameter(f"Missing argument `{name}'")
    return arguments[name]


def _id_of(path: InstancePath) -> str:
    """The id in a reference to a pool: `<kind>/<tag>`."""
    pool_id = path.text("InstanceID")
    if not pool_id:
        raise Failed("Missing InstanceID in resource pool")
    if "/" not in pool_id:
        raise InvalidParameter("Pool has invalid InstanceID")
    return pool_id


OPERATIONS: Operations = {
    "CreateChildResourcePool": Operation(at_once(create_child_pool), frozenset({"Settings"})),
    "DeleteResourcePool": Operation(at_once(delete_pool), frozenset({"Pool"})),
    "CreateResourceInPool": Operation(at_once(create_in_pool)),
    "DeleteResourceInPool": Operation(at_once(delete_in_pool)),
    "RefreshResourcesInPool": Operation(at_once(refresh_pool)),
}
