# SPDX-License-Identifier: LGPL-2.1-or-later
"""Requests to the test hypervisor, with each of their calls of libvirt refused in turn: all or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import libvirt
import pytest

from libvirtcim.cim.objects import Given, InstancePath
from tests.faults import Faults, faults, refuse_each_call
from tests.providers.test_management import (
    CONTEXT,
    NS,
    World,
    configuration,
    rasd,
    vssd,
    world,
)

__all__ = ["faults", "world"]

POOLS = InstancePath("KVM_ResourcePoolConfigurationService", (("Name", "x"),), NS)


def pools(world: World, method: str, **arguments: Any) -> None:
    given = {name: Given(value) for name, value in arguments.items()}
    world.broker.invoke_method(CONTEXT, POOLS, method, given)


REQUESTS: dict[str, Callable[[World], object]] = {
    "define": lambda w: w.define("made", settings="AutoStart = 1;"),
    "modify the system": lambda w: w.call(
        "ModifySystemSettings",
        SystemSettings=vssd(
            'VirtualSystemIdentifier = "foreign"; EnableACPI = TRUE; AutoStart = 1;'
        ),
    ),
    "add": lambda w: w.call(
        "AddResourceSettings",
        AffectedConfiguration=configuration("foreign"),
        ResourceSettings=[
            rasd("Disk", f'VirtualDevice = "vdb"; Address = "{w.image}"; BusType = "virtio";'),
            rasd("Net", 'NetworkType = "user";'),
        ],
    ),
    "modify": lambda w: w.call(
        "ModifyResourceSettings",
        ResourceSettings=[
            rasd("Mem", 'InstanceID = "foreign/mem"; VirtualQuantity = 32768;'),
            rasd("Proc", 'InstanceID = "foreign/proc"; VirtualQuantity = 1;'),
        ],
    ),
    "make a network": lambda w: pools(
        w,
        "CreateChildResourcePool",
        ElementName="made",
        Settings=[rasd("NetPool", "ForwardMode = 0; Autostart = 1;")],
    ),
    "make a pool": lambda w: pools(
        w,
        "CreateChildResourcePool",
        ElementName="made",
        Settings=[rasd("DiskPool", 'Type = 1; Path = "/made"; Build = TRUE; Autostart = 1;')],
    ),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_all_or_nothing(world: World, faults: Faults, what: str) -> None:
    raw = world.host.connection.call(lambda found: found._real)

    def state() -> Any:
        secure: int = libvirt.VIR_DOMAIN_XML_SECURE
        guests = {d.name(): (d.XMLDesc(secure), d.autostart()) for d in raw.listAllDomains()}
        others = [*raw.listAllNetworks(), *raw.listAllStoragePools()]
        return guests, sorted((o.name(), o.isActive(), o.autostart()) for o in others)

    def reset() -> None:
        for handle in [*raw.listAllNetworks(), *raw.listAllStoragePools()]:
            handle.destroy()
            handle.undefine()
        for domain in raw.listAllDomains():
            domain.undefine()
        raw.defineXML(before)

    before = raw.lookupByName("foreign").XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)
    assert len(refuse_each_call(faults, lambda: REQUESTS[what](world), state, reset)) > 2
