# SPDX-License-Identifier: LGPL-2.1-or-later
"""KVM_WatchdogResourceAllocationSettingData: watchdogs of guests."""

from __future__ import annotations

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.providers.common import Provided, prefixes_with, registered
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided
from libvirtcim.virt.devices.misc import Watchdog
from libvirtcim.virt.families import WATCHDOG
from libvirtcim.virt.host import Hosts

WATCHDOG_DEVICE = ClassDecl(
    "WatchdogResourceAllocationSettingData",
    SUPERCLASS,
    "A watchdog of a guest.",
    prefixes_with(WATCHDOG),
    (
        Property("Model", "string", "Model: i6300esb (default), ib700, diag288 ..."),
        Property(
            "Action",
            "string",
            "What becomes of a guest that hangs: reset, shutdown, poweroff, pause, none, dump ...",
        ),
    ),
    registration=registered("Virt_RASD"),
)

DEFAULT_MODEL = "i6300esb"

SETTING = Setting(
    WATCHDOG_DEVICE,
    WATCHDOG,
    1,
    {"OtherResourceType": lambda i: WATCHDOG},
    attributes={"Model": "model", "Action": "action"},
    make=lambda values, target: Watchdog.new(model=DEFAULT_MODEL),
    place="watchdogs",
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
