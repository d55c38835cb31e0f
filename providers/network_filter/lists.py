# SPDX-License-Identifier: LGPL-2.1-or-later
"""KVM_FilterList: libvirt's network filters, made empty and deleted."""

from __future__ import annotations

from collections.abc import Iterable

from libvirtcim.cim.declare import ClassDecl
from libvirtcim.cim.errors import AlreadyExists, Failed
from libvirtcim.cim.objects import GivenInstance, InstancePath
from libvirtcim.cim.provider import Columns, Layout, ProviderRequest
from libvirtcim.providers.common import HostReading, Provided, cim_error, registered
from libvirtcim.providers.network_filter.items import (
    PREFIXES,
    PRIORITY,
    SYSTEM,
    FilterItem,
    FilterProvider,
    host_of,
    missing_filter,
    name_in,
)
from libvirtcim.virt import nwfilter_changes
from libvirtcim.virt.errors import Exists, VirtError
from libvirtcim.virt.host import Hosts
from libvirtcim.virt.nwfilter import FilterDefinition

FILTER_LIST = ClassDecl(
    "FilterList",
    "CIM_FilterList",
    "A network filter: rules, and other filters that it includes. One that is made has its Name and, if "
    "given, its Priority, and no rules yet.",
    PREFIXES,
    (PRIORITY,),
    registration=registered("Virt_FilterList"),
)

ROOT_CHAIN = "root"
"""libvirt's default; it forgets the priority of a filter that names none."""

COLUMNS: Columns = {
    **SYSTEM,
    "Name": lambda i: i.filter.name,
    "InstanceID": lambda i: i.filter.uuid,
    "Direction": lambda i: 0,
    "Priority": lambda i: i.filter.view.priority or 0,
}


class FilterListProvider(FilterProvider[FilterItem]):
    """Serves KVM_FilterList."""

    def items(self, request: ProviderRequest) -> Iterable[FilterItem]:
        """All filters."""
        return self.filters(request)

    def find(self, request: ProviderRequest, path: InstancePath) -> FilterItem:
        """The filter called `Name`."""
        return self.filter_named(request, name_in(path))

    def create(self, request: ProviderRequest, instance: GivenInstance) -> InstancePath:
        """Makes an empty filter; raises AlreadyExists, or Failed with libvirt's text."""
        name, priority = instance.value("Name"), instance.value("Priority")
        if name is None:
            raise Failed("Unable to get Name property")
        host = host_of(self.hosts, request)
        definition = FilterDefinition.new(name=name, chain=ROOT_CHAIN, priority=priority)
        try:
            made = nwfilter_changes.create(host, definition)
        except Exists as error:
            raise AlreadyExists("Instance already exists") from error
        except VirtError as error:
            raise cim_error(error, "Failed to create filter") from error
        item = FilterItem(request.prefix, HostReading.of(request, host), made)
        return Layout(request.cls, self.columns).path(item, request.namespace)

    def delete(self, request: ProviderRequest, path: InstancePath) -> None:
        """Deletes a filter; what refers to it stays, unless libvirt refuses."""
        name = name_in(path)
        with missing_filter("Instance does not exist", "Unable to delete filter"):
            nwfilter_changes.delete(host_of(self.hosts, request), name)


def provide(hosts: Hosts) -> Provided:
    """The class and what serves it."""
    return Provided((FILTER_LIST,), (FilterListProvider(FILTER_LIST, hosts, COLUMNS),))
