# SPDX-License-Identifier: LGPL-2.1-or-later
"""KVM_ControllerResourceAllocationSettingData: bus controllers of guests."""

from __future__ import annotations

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.providers.common import Provided, prefixes_with, registered
from libvirtcim.providers.resource_allocation.base import (
    ADDRESS_COLUMNS,
    ADDRESS_PROPERTIES,
    SUPERCLASS,
    Setting,
    provided,
)
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

SETTING = Setting(
    CONTROLLER,
    "controller",
    1,
    {
        "OtherResourceType": lambda i: "controller",
        "ResourceSubType": lambda i: i.device.type,
        "Index": lambda i: i.device.index,
        "Model": lambda i: i.device.model,
        "Ports": lambda i: i.device.ports,
        "Vectors": lambda i: i.device.vectors,
        "Queues": lambda i: i.device.queues,
        **ADDRESS_COLUMNS,
    },
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
