# SPDX-License-Identifier: LGPL-2.1-or-later
"""A few declarations that use everything the vocabulary has, for testing the writers alone."""

from __future__ import annotations

from libvirtcim.cim.declare import (
    CIMV2,
    INTEROP,
    VIRT,
    ClassDecl,
    Method,
    Parameter,
    Property,
    Registration,
)

RASD = ClassDecl(
    "ResourceAllocationSettingData",
    "CIM_ResourceAllocationSettingData",
    "Settings of a device.",
    ("KVM", "LXC"),
)
DISK = ClassDecl(
    "DiskResourceAllocationSettingData",
    "{P}_ResourceAllocationSettingData",
    'Settings of a disk: "quoted", with a back\\slash | and a bar.',
    ("KVM", "LXC"),
    (
        Property(
            "EmulatedType",
            "uint16",
            "What the guest sees.",
            values={"0": "Disk", "1": "CD, DVD"},
            prefixes=("KVM",),
        ),
        Property("Address", "string", "Path of the image.", override=True),
        Property("Tags", "string", "Words.", array=True, default=["a", 'b"c']),
        Property("Weighting", "sint16", "Its share.", default=-5, qualifiers={"MinValue": -10}),
        Property("Shown", "boolean", "Whether it is shown.", default=True),
        Property("Inner", "string", "Its pool.", embedded="{P}_ResourceAllocationSettingData"),
    ),
    registration=Registration("Virt_RASD", ("instance",)),
)
SERVICE = ClassDecl(
    "ResourcePoolConfigurationService",
    "CIM_ResourcePoolConfigurationService",
    "Makes volumes.",
    ("KVM",),
    methods=(
        Method(
            "CreateResourceInPool",
            "uint32",
            "Makes a volume.",
            (
                Parameter(
                    "Settings",
                    "string",
                    "What to make.",
                    required=True,
                    array=True,
                    embedded="CIM_ResourceAllocationSettingData",
                ),
                Parameter(
                    "Pool", "reference", "Where to make it.", reference_class="CIM_ResourcePool"
                ),
                Parameter(
                    "Resource",
                    "reference",
                    "What was made.",
                    out=True,
                    reference_class="{P}_DiskResourceAllocationSettingData",
                ),
            ),
        ),
        Method("RefreshAll", "uint32", "Looks again."),
    ),
    registration=Registration("Virt_ResourcePoolConfigurationService", ("method", "instance")),
)
COMPONENT = ClassDecl(
    "ConcreteComponent",
    "CIM_ConcreteComponent",
    "A pool and what it is made of.",
    ("KVM", "LXC"),
    (
        Property(
            "PartComponent",
            "reference",
            "The part.",
            override=True,
            reference_class="{P}_DiskResourceAllocationSettingData",
        ),
    ),
    namespaces=(VIRT, INTEROP, CIMV2),
    registration=Registration("Virt_ConcreteComponent", ("association",), (VIRT, INTEROP, CIMV2)),
)
CREATED = ClassDecl(
    "ComputerSystemCreatedIndication",
    "CIM_InstCreation",
    "A guest has come into being.",
    ("LXC",),
    registration=Registration("Virt_ComputerSystemIndicationProvider", ("indication", "method")),
)

SAMPLE = (DISK, RASD, SERVICE, COMPONENT, CREATED)
"""DISK stands before its superclass RASD: writers must order them."""
