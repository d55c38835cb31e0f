# SPDX-License-Identifier: LGPL-2.1-or-later
"""KVM_TPMResourceAllocationSettingData: trusted platform modules of guests."""

from __future__ import annotations

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.providers.common import Provided, prefixes_with, registered
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided
from libvirtcim.virt.devices.misc import Tpm
from libvirtcim.virt.families import TPM
from libvirtcim.virt.host import Hosts

TPM_DEVICE = ClassDecl(
    "TPMResourceAllocationSettingData",
    SUPERCLASS,
    "A trusted platform module (TPM) of a guest: ResourceSubType emulator (default) or passthrough; of "
    "the latter Address is its device on the host, e.g. /dev/tpm0.",
    prefixes_with(TPM),
    (
        Property("Model", "string", "Model: tpm-tis, tpm-crb, tpm-spapr ..."),
        Property("Version", "string", "Version of the emulated module: 1.2, 2.0."),
    ),
    registration=registered("Virt_RASD"),
)

DEFAULT_BACKEND = "emulator"

SETTING = Setting(
    TPM_DEVICE,
    TPM,
    1,
    {"OtherResourceType": lambda i: TPM},
    attributes={
        "ResourceSubType": "backend",
        "Model": "model",
        "Version": "version",
        "Address": "device_path",
    },
    make=lambda values, target: Tpm.new(backend=DEFAULT_BACKEND),
    place="tpms",
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
