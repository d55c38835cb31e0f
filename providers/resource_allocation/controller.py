# SPDX-License-Identifier: LGPL-2.1-or-later
"""KVM_ControllerResourceAllocationSettingData: bus controllers of guests."""

from __future__ import annotations

from collections.abc import Mapping

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.cim.objects import Value
from libvirtcim.providers.common import Provided, prefixes_with, registered
from libvirtcim.providers.resource_allocation.base import (
    ADDRESS_COLUMNS,
    ADDRESS_PROPERTIES,
    SUPERCLASS,
    Setting,
    provided,
    write_address,
)
from libvirtcim.providers.resource_allocation.target import SettingError, Target
from libvirtcim.virt.devices.controller import Controller
from libvirtcim.virt.host import Hosts

CONTROLLER = ClassDecl(
    "ControllerResourceAllocationSettingData",
    SUPERCLASS,
    "A bus controller of a guest: ResourceSubType usb, pci, scsi ...",
    prefixes_with("controller"),
    (
        Property("Index", "uint64", "Number of the controller among those of its type."),
        Property("Model", "string", "Model, e.g. qemu-xhci."),
        Property("Ports", "string", "Number of ports."),
        Property("Vectors", "string", "Number of interrupt vectors."),
        Property("Queues", "string", "Number of queues."),
        *ADDRESS_PROPERTIES,
    ),
    registration=registered("Virt_RASD"),
)


def _make(values: Mapping[str, Value], target: Target) -> Controller:
    if not values.get("ResourceSubType"):
        raise SettingError("ControllerRASD ResourceSubType field not valid")
    return Controller.new()


def _write(device: Controller, values: Mapping[str, Value], _target: Target) -> None:
    if values.get("ResourceSubType") is not None:
        device.type = values["ResourceSubType"].lower()
    write_address(device, values)


SETTING = Setting(
    CONTROLLER,
    "controller",
    1,
    {
        "OtherResourceType": lambda i: "controller",
        "ResourceSubType": lambda i: i.device.type,
        **ADDRESS_COLUMNS,
    },
    attributes={
        "Index": "index",
        "Model": "model",
        "Ports": "ports",
        "Vectors": "vectors",
        "Queues": "queues",
    },
    write=_write,
    make=_make,
    place="controllers",
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
