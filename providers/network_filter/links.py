# SPDX-License-Identifier: LGPL-2.1-or-later
"""Making and deleting NestedFilterList and AppliedFilterList: filters included in others, and on ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from libvirtcim.cim.errors import Failed, NotFound
from libvirtcim.cim.objects import GivenInstance, InstancePath, Value
from libvirtcim.cim.provider import InstanceWriter, ProviderRequest
from libvirtcim.providers.common import cim_error, translated
from libvirtcim.providers.device import CLASS_OF_KIND, parts_of_id
from libvirtcim.providers.guest_associations import HOST
from libvirtcim.providers.network_filter.items import host_of
from libvirtcim.providers.network_filter.lists import FILTER_LIST
from libvirtcim.virt import changes, devids, nwfilter_changes
from libvirtcim.virt.changes import Edit, NoSuchGuest
from libvirtcim.virt.devices.interface import GUARDED_TYPES, Interface
from libvirtcim.virt.errors import ObjectNotFound, VirtError
from libvirtcim.virt.families import NET
from libvirtcim.virt.host import Host, Hosts
from libvirtcim.virt.nwfilter import FilterDefinition, FilterReference

ANTECEDENT, DEPENDENT = "Antecedent", "Dependent"
_APPLY = "Unable to change the filter of a network interface"


def _key(given: Mapping[str, Value], role: str, key: str) -> str:
    """A key of the object at an end; raises Failed where one of them is missing."""
    path = given.get(role)
    if not isinstance(path, InstancePath):
        raise Failed(f"Unable to get {role} property")
    value = path.text(key)
    if not value:
        raise Failed(f"Unable to get {role}.{key} property")
    return value


def _given(instance: GivenInstance) -> Mapping[str, Value]:
    return {name: one.value for name, one in instance.values.items()}


def _check_filter(host: Host, role: str, name: str) -> None:
    """Raises Failed where an end names a filter that isn't there."""
    try:
        host.filter(name)
    except ObjectNotFound as error:
        raise Failed(f"{role}.Name object does not exist: {error.libvirt_message}") from error
    except VirtError as error:
        raise cim_error(error, "Unable to read the network filter") from error


class _Links(InstanceWriter):
    """What both classes have in common: where they look for hosts."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts


def _filter_path(request: ProviderRequest, host: Host, name: str) -> InstancePath:
    classname = FILTER_LIST.class_name(request.prefix)
    keys = (
        ("SystemCreationClassName", f"{request.prefix}_{HOST}"),
        ("SystemName", host.name()),
        ("CreationClassName", classname),
        ("Name", name),
    )
    return InstancePath(classname, keys, request.namespace)


class NestedFilters(_Links):
    """Has filters include others; whatever else a filter holds stays as it is."""

    def create(self, request: ProviderRequest, instance: GivenInstance) -> InstancePath:
        """Has the Antecedent include the Dependent; raises Failed, with libvirt's text for loops."""
        given = _given(instance)
        parent, child = _key(given, ANTECEDENT, "Name"), _key(given, DEPENDENT, "Name")
        host = host_of(self.hosts, request)
        _check_filter(host, ANTECEDENT, parent)
        _check_filter(host, DEPENDENT, child)

        def include(definition: FilterDefinition) -> None:
            if child in definition.included:
                raise Failed("Failed to append filter reference: it is included already")
            reference = FilterReference.new(filter=child)
            definition.references = (*definition.references, reference)

        with translated("Failed to update filter", Failed):
            nwfilter_changes.change(host, parent, include)
        ends = (
            (ANTECEDENT, _filter_path(request, host, parent)),
            (DEPENDENT, _filter_path(request, host, child)),
        )
        return InstancePath(request.cls.name, ends, request.namespace)

    def delete(self, request: ProviderRequest, path: InstancePath) -> None:
        """Has the Antecedent no longer include the Dependent, which need not exist any more."""
        given = dict(path.keys)
        parent, child = _key(given, ANTECEDENT, "Name"), _key(given, DEPENDENT, "Name")
        host = host_of(self.hosts, request)
        _check_filter(host, ANTECEDENT, parent)

        def exclude(definition: FilterDefinition) -> None:
            if child not in definition.included:
                _check_filter(host, DEPENDENT, child)
                raise Failed("Failed to remove filter reference: it is not included")
            definition.references = tuple(r for r in definition.references if r.filter != child)

        with translated("Failed to update filter", Failed):
            nwfilter_changes.change(host, parent, exclude)


class AppliedFilters(_Links):
    """Has filters guard network ports: live where the guest runs, and in its stored definition."""

    def create(self, request: ProviderRequest, instance: GivenInstance) -> InstancePath:
        """Has the Dependent guard the Antecedent, instead of the filter that did."""
        given = _given(instance)
        device_id, name = _key(given, ANTECEDENT, "DeviceID"), _key(given, DEPENDENT, "Name")
        host = host_of(self.hosts, request)
        _check_filter(host, DEPENDENT, name)

        def check(nics: Sequence[Interface]) -> None:
            for nic in nics:
                if nic.type not in GUARDED_TYPES:
                    raise Failed(f"libvirt guards no interfaces of type {nic.type}")

        def guard(nic: Interface) -> None:
            nic.filter = name

        _change_port(host, device_id, check, guard)
        ends = (
            (ANTECEDENT, _port_path(request, device_id)),
            (DEPENDENT, _filter_path(request, host, name)),
        )
        return InstancePath(request.cls.name, ends, request.namespace)

    def delete(self, request: ProviderRequest, path: InstancePath) -> None:
        """Has the Dependent no longer guard the Antecedent; raises NotFound where it doesn't."""
        given = dict(path.keys)
        device_id, name = _key(given, ANTECEDENT, "DeviceID"), _key(given, DEPENDENT, "Name")
        host = host_of(self.hosts, request)

        def guarded(nic: Interface) -> bool:
            return (nic.filter or "").lower() == name.lower()

        def check(nics: Sequence[Interface]) -> None:
            if not any(map(guarded, nics)):
                _check_filter(host, DEPENDENT, name)
                raise NotFound(f"Filter {name!r} does not guard {device_id}")

        def clear(nic: Interface) -> None:
            if guarded(nic):
                nic.filter = None

        _change_port(host, device_id, check, clear)


def _change_port(
    host: Host,
    device_id: str,
    check: Callable[[Sequence[Interface]], None],
    write: Callable[[Interface], None],
) -> None:
    """Changes an interface, stored and live, after `check` has seen both; raises Failed."""
    guest, devid = _parts(device_id)

    def work_out(edits: Mapping[str, Edit]) -> None:
        edit = edits[guest]
        stored: Any = devids.find(edit.config, NET, devid)
        live: Any = None if edit.live is None else devids.find(edit.live, NET, devid)
        nics = [nic for nic in (stored, live) if nic is not None]
        if not nics:
            raise Failed(f"{ANTECEDENT}.DeviceID object does not exist: no {devid} in {guest}")
        check(nics)
        if stored is not None:
            write(stored)
        if live is not None:
            edit.live_steps += changes.update(_APPLY, live, write)

    try:
        changes.change(host, [guest], work_out)
    except NoSuchGuest as error:
        raise Failed(
            f"{ANTECEDENT}.DeviceID object does not exist: {error.libvirt_message}"
        ) from error
    except VirtError as error:
        raise cim_error(error) from error


def _parts(device_id: str) -> tuple[str, str]:
    parts = parts_of_id(device_id)
    if parts is None:
        raise Failed(f"{ANTECEDENT}.DeviceID object does not exist: {device_id!r} names none")
    return parts


def _port_path(request: ProviderRequest, device_id: str) -> InstancePath:
    guest, _devid = _parts(device_id)
    classname = CLASS_OF_KIND[NET].decl.class_name(request.prefix)
    keys = (
        ("SystemCreationClassName", f"{request.prefix}_ComputerSystem"),
        ("SystemName", guest),
        ("CreationClassName", classname),
        ("DeviceID", device_id),
    )
    return InstancePath(classname, keys, request.namespace)
