# SPDX-License-Identifier: LGPL-2.1-or-later
"""The methods of VirtualSystemManagementService (DSP1042): synchronous, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from libvirtcim.cim.errors import (
    Failed,
    InvalidClass,
    InvalidParameter,
    NoSuchProperty,
    NotFound,
)
from libvirtcim.cim.objects import Instance, InstancePath, Value
from libvirtcim.cim.provider import ProviderRequest
from libvirtcim.methods import definition, resources
from libvirtcim.methods.operation import Arguments, Operation, Operations, Outputs, at_once
from libvirtcim.methods.resources import Asked, Found
from libvirtcim.providers.common import GuestItem, HostReading, cim_error
from libvirtcim.providers.device import parts_of_id
from libvirtcim.providers.resource_allocation.base import Setting
from libvirtcim.providers.resource_allocation.target import SettingError
from libvirtcim.providers.virtual_system_setting_data import VIRTUAL_SYSTEM_SETTING_DATA
from libvirtcim.virt import changes
from libvirtcim.virt.changes import Edit, NoSuchGuest, Refused
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.errors import Invalid, ObjectNotFound, VirtError
from libvirtcim.virt.host import Host, Needs

T = TypeVar("T")

AUTOSTART_FAILED = "Unable to set autostart"


# --- DefineSystem, DestroySystem ----------------------------------------------------------------------


def define_system(host: Host, request: ProviderRequest, arguments: Arguments) -> Outputs:
    """Defines a guest: SystemSettings, ResourceSettings, ReferenceConfiguration → ResultingSystem."""
    settings: Instance = arguments["SystemSettings"]
    reference = _reference(host, request, arguments.get("ReferenceConfiguration"))
    try:
        _check_class(settings, request)
        domain = definition.new(settings.values, host, reference)
    except (SettingError, VirtError) as error:
        raise Failed(f"SystemSettings Error: {error}") from error
    _check_uuid(host, domain)
    _give_resources(host, domain, arguments["ResourceSettings"])
    definition.add_default_devices(domain, host)
    try:
        changes.define(host, domain.to_xml(), autostart=bool(settings["AutoStart"]))
    except VirtError as error:
        raise Failed(str(error)) from error
    return {"ResultingSystem": _system_path(request, domain.name or "")}


def _check_class(settings: Instance, request: ProviderRequest) -> None:
    wanted = VIRTUAL_SYSTEM_SETTING_DATA.class_name(request.prefix)
    if settings.cls.name != wanted:
        raise SettingError(f"{settings.cls.name} given, {wanted} expected")


def _reference(host: Host, request: ProviderRequest, given: InstancePath | None) -> Domain | None:
    if given is None:
        return None
    prefix, underscore, _base = given.classname.partition("_")
    if not underscore:
        raise Failed(f"ReferenceConfiguration: {given.classname} has no prefix")
    if prefix != request.prefix:
        raise InvalidClass(
            f"ReferenceConfiguration: {given.classname} is not compatible with {request.cls.name}"
        )
    name = _guest_of_settings(given, "ReferenceConfiguration")
    try:
        return definition.reference(host, name)
    except ObjectNotFound as error:
        raise _no_guest(name, error) from error
    except VirtError as error:
        raise Failed(f"Unable to read the referenced domain `{name}': {error}") from error


def _check_uuid(host: Host, domain: Domain) -> None:
    """libvirt would take another definition of a guest that is there for a change of it."""
    if domain.uuid is None:
        return
    try:
        guest = host.guest_by_uuid(domain.uuid)
    except (ObjectNotFound, Invalid):
        return
    except VirtError as error:
        raise cim_error(error) from error
    raise Failed(f"Guest '{guest.name}' is already defined with UUID {domain.uuid}")


def _give_resources(host: Host, domain: Domain, given: Sequence[Instance]) -> None:
    try:
        if not given:
            raise SettingError("No resources specified")
        wanted = [resources.asked(instance, host.family) for instance in given]
        resources.give(domain, wanted, host)
    except (SettingError, Invalid) as error:
        raise Failed(f"ResourceSettings Error: {error}") from error
    except VirtError as error:
        raise cim_error(error, "ResourceSettings Error") from error


def _system_path(request: ProviderRequest, name: str) -> InstancePath:
    classname = f"{request.prefix}_ComputerSystem"
    keys = (("CreationClassName", classname), ("Name", name))
    return InstancePath(classname, keys, request.namespace)


def destroy_system(host: Host, request: ProviderRequest, arguments: Arguments) -> Outputs:
    """Switches AffectedSystem off and removes its definition; its disks stay."""
    name = arguments["AffectedSystem"].text("Name")
    if not name:
        raise NotFound("Unable to retrieve domain name: Error 0")
    try:
        changes.remove(host, name)
    except ObjectNotFound as error:
        raise _no_guest(name, error) from error
    except VirtError as error:
        raise Failed(f"Unable to remove guest '{name}': {error.libvirt_message}") from error
    return {}


# --- changes ------------------------------------------------------------------------------------------


def _no_guest(name: str, error: VirtError) -> NotFound:
    return NotFound(f"Referenced domain `{name}' does not exist: {error.libvirt_message}")


def _guest_of_settings(path: InstancePath, parameter: str) -> str:
    """The guest that a VirtualSystemSettingData, `<prefix>:<name>`, is about."""
    _prefix, colon, name = path.text("InstanceID").partition(":")
    if not (colon and name):
        raise InvalidParameter(f"{parameter} has invalid InstanceID")
    return name


def _guest_of_resource(instance_id: Value, what: str) -> tuple[str, str]:
    """Guest and device id of a resource, `<name>/<id>`."""
    parts = parts_of_id(instance_id or "")
    if parts is None:
        raise InvalidParameter(f"{what}: Invalid InstanceID `{instance_id or ''}'")
    return parts


def _change(
    host: Host, names: Sequence[str], work_out: Callable[[Mapping[str, Edit]], T], what: str
) -> T:
    """Changes guests; errors as clients of these methods know them, settings' ones after `what`."""
    try:
        return changes.change(host, list(dict.fromkeys(names)), work_out)
    except NoSuchGuest as error:
        raise _no_guest(error.guest, error) from error
    except SettingError as error:
        raise Failed(f"{what}: {error}") from error
    except Refused as error:
        raise Failed(str(error)) from error
    except VirtError as error:
        raise cim_error(error, what) from error


def modify_system_settings(host: Host, request: ProviderRequest, arguments: Arguments) -> Outputs:
    """Changes what SystemSettings names of a guest's definition; it counts from the next start."""
    settings: Instance = arguments["SystemSettings"]
    name = settings["VirtualSystemIdentifier"]
    if name is None:
        raise NoSuchProperty("Missing VirtualSystemIdentifier")

    def work_out(edits: Mapping[str, Edit]) -> None:
        edit = edits[name]
        _check_class(settings, request)
        _check_same_uuid(edit, settings["UUID"])
        definition.apply(edit.config, settings.values, host)
        autostart = settings["AutoStart"]
        if autostart is not None:
            before = bool(host.guest(name, Needs.AUTOSTART).autostart)
            if bool(autostart) != before:
                edit.last_steps.append(
                    changes.set_autostart(AUTOSTART_FAILED, before, bool(autostart))
                )

    _change(host, [name], work_out, "Invalid SystemSettings")
    return {}


def _check_same_uuid(edit: Edit, given: str | None) -> None:
    if given and given.lower() != edit.uuid.lower():
        raise Failed(
            f"{edit.name} is already defined with UUID {edit.uuid}, cannot change UUID to {given}"
        )


def add_resource_settings(host: Host, request: ProviderRequest, arguments: Arguments) -> Outputs:
    """Adds ResourceSettings to AffectedConfiguration, live where the guest runs."""
    name = _guest_of_settings(arguments["AffectedConfiguration"], "AffectedConfiguration")
    given: Sequence[Instance] = arguments["ResourceSettings"]

    def work_out(edits: Mapping[str, Edit]) -> list[InstancePath]:
        made = []
        for instance in given:
            one = _addable(instance, host)
            setting, devid = resources.add(edits[name], one)
            made.append(_path(request, setting, name, devid))
        return made

    made = _change(host, [name], work_out, "Add resource failed")
    return {"ResultingResourceSettings": made or None}


def _addable(instance: Instance, host: Host) -> Asked:
    one = resources.asked(instance, host.family)
    if one.setting is None or one.setting.make is None:
        raise Failed(f"Cannot add resources of type {resources.type_number(one.setting)}")
    return one


def modify_resource_settings(host: Host, request: ProviderRequest, arguments: Arguments) -> Outputs:
    """Changes what ResourceSettings name of guests' resources, live where a guest runs."""
    given: Sequence[Instance] = arguments["ResourceSettings"]
    ids = [_guest_of_resource(one["InstanceID"], "ResourceSettings") for one in given]

    def work_out(edits: Mapping[str, Edit]) -> list[InstancePath]:
        reading = HostReading.of(request, host)
        shown = {
            name: GuestItem(request.prefix, reading, host.guest(name, Needs.ALL)) for name in edits
        }
        wanted = [resources.asked(instance, host.family) for instance in given]
        found = _find(edits, [one.known() for one in wanted], ids)
        changed = []
        for one, resource, (name, devid) in zip(wanted, found, ids, strict=True):
            with _known(name, devid):
                becomes = resources.modify(edits[name], shown[name], one, resource)
            changed.append(_path(request, resource.setting, name, becomes))
        return changed

    changed = _change(host, [name for name, _devid in ids], work_out, "Modify resource failed")
    return {"ResultingResourceSettings": changed or None}


def remove_resource_settings(host: Host, request: ProviderRequest, arguments: Arguments) -> Outputs:
    """Takes ResourceSettings away from guests, live where a guest runs."""
    given: Sequence[InstancePath] = arguments["ResourceSettings"]
    settings = [_removable(path) for path in given]
    ids = [_removable_id(path) for path in given]
    _check_each_once(ids)

    def work_out(edits: Mapping[str, Edit]) -> None:
        for found, (name, _devid) in zip(_find(edits, settings, ids), ids, strict=True):
            resources.remove(edits[name], found)

    _change(host, [name for name, _devid in ids], work_out, "Remove resource failed")
    return {}


def _removable_id(path: InstancePath) -> tuple[str, str]:
    instance_id = path.text("InstanceID")
    parts = parts_of_id(instance_id)
    if parts is None:
        raise NotFound(f"No such instance ({instance_id})")
    return parts


def _removable(path: InstancePath) -> Setting:
    if not path.text("InstanceID"):
        raise InvalidParameter("Missing InstanceID in RASD")
    try:
        setting = resources.setting_of(path.classname)
    except SettingError as error:
        raise InvalidParameter(str(error)) from error
    if setting is None or setting.make is None:
        raise Failed(f"Cannot delete resources of type {resources.type_number(setting)}")
    return setting


def _check_each_once(ids: Sequence[tuple[str, str]]) -> None:
    """What a request has taken away already it can't take away again."""
    for name, devid in ids:
        if ids.count((name, devid)) > 1:
            raise NotFound(f"No such instance ({name}/{devid}) but once")


def _find(
    edits: Mapping[str, Edit], settings: Sequence[Setting], ids: Sequence[tuple[str, str]]
) -> list[Found]:
    """The resources of guests that are called so."""
    found = []
    for setting, (name, devid) in zip(settings, ids, strict=True):
        with _known(name, devid):
            found.append(resources.find(edits[name], setting, devid))
    return found


@contextmanager
def _known(name: str, devid: str) -> Iterator[None]:
    """Where the guest has no such resource: NotFound."""
    try:
        yield
    except LookupError as error:
        raise NotFound(f"No such instance ({name}/{devid})") from error


def _path(request: ProviderRequest, setting: Setting, name: str, devid: str) -> InstancePath:
    return resources.path(request.prefix, setting, name, devid, request.namespace)


OPERATIONS: Operations = {
    "DefineSystem": Operation(
        at_once(define_system),
        frozenset({"SystemSettings", "ResourceSettings"}),
        unreachable="Error connecting to libvirt",
    ),
    "DestroySystem": Operation(
        at_once(destroy_system), frozenset({"AffectedSystem"}), status=NotFound
    ),
    "AddResourceSettings": Operation(
        at_once(add_resource_settings), frozenset({"AffectedConfiguration", "ResourceSettings"})
    ),
    "ModifyResourceSettings": Operation(
        at_once(modify_resource_settings), frozenset({"ResourceSettings"})
    ),
    "ModifySystemSettings": Operation(
        at_once(modify_system_settings), frozenset({"SystemSettings"})
    ),
    "RemoveResourceSettings": Operation(
        at_once(remove_resource_settings), frozenset({"ResourceSettings"})
    ),
}
