# SPDX-License-Identifier: LGPL-2.1-or-later
"""Classes of indications: guests, their settings, pools and migration jobs that come, change and go."""

from __future__ import annotations

from libvirtcim.cim.declare import ClassDecl, Method, Parameter
from libvirtcim.providers.common import ALL, Provided, registered
from libvirtcim.virt.host import Hosts

RESOURCE_POOL = "ResourcePool"
"""What indications of pools are named after: there is no class for all kinds but CIM_ResourcePool."""
_CHANGES = (
    ("Created", "CIM_InstCreation", "has come into being"),
    ("Modified", "CIM_InstModification", "has changed"),
    ("Deleted", "CIM_InstDeletion", "has gone"),
)


def _raise(superclass: str) -> Method:
    return Method(
        "RaiseIndication",
        "uint32",
        "Delivers an indication to those who are subscribed.",
        (
            Parameter(
                "TheIndication", "reference", "The indication.", reference_class=superclass
            ),
        ),
    )  # fmt: skip


def _declared(subject: str, words: str, provider: str, *, raised: bool) -> tuple[ClassDecl, ...]:
    return tuple(
        ClassDecl(
            f"{subject}{change}Indication",
            superclass,
            f"{words} {what}.",
            ALL,
            methods=(_raise(superclass),) if raised else (),
            qualifiers={"Indication": True},
            registration=registered(provider, "indication", "method"),
        )
        for change, superclass, what in _CHANGES
    )


INDICATIONS = (
    *_declared("ComputerSystem", "A guest", "Virt_ComputerSystemIndicationProvider", raised=False),
    *_declared(
        "ResourceAllocationSettingData",
        "A resource of a guest",
        "Virt_ResourceAllocationSettingDataIndicationProvider",
        raised=False,
    ),
    *_declared(
        "ComputerSystemMigrationJob",
        "A migration",
        "Virt_ComputerSystemMigrationIndicationProvider",
        raised=True,
    ),
    *_declared(
        RESOURCE_POOL,
        "A disk pool or network pool",
        "Virt_ResourcePoolIndicationProvider",
        raised=False,
    ),
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes."""
    return Provided(INDICATIONS)
