# SPDX-License-Identifier: LGPL-2.1-or-later
"""KVM_RNGResourceAllocationSettingData: random number generators of guests."""

from __future__ import annotations

from collections.abc import Mapping

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.cim.objects import Value
from libvirtcim.providers.common import Provided, prefixes_with, registered
from libvirtcim.providers.resource_allocation.base import SUPERCLASS, Setting, provided
from libvirtcim.providers.resource_allocation.target import Target
from libvirtcim.virt.devices.misc import Rng
from libvirtcim.virt.families import RNG
from libvirtcim.virt.host import Hosts

RNG_DEVICE = ClassDecl(
    "RNGResourceAllocationSettingData",
    SUPERCLASS,
    "A random number generator of a guest: ResourceSubType random (default) or builtin; of the former "
    "Address is its source on the host, /dev/urandom by default.",
    prefixes_with(RNG),
    (
        Property("Model", "string", "Model: virtio (default), virtio-transitional ..."),
        Property("RateBytes", "uint64", "Bytes that the guest gets in one RatePeriod at most."),
        Property("RatePeriod", "uint64", "Length of a period in milliseconds."),
    ),
    registration=registered("Virt_RASD"),
)

RANDOM = "random"
DEFAULT_MODEL, DEFAULT_SOURCE = "virtio", "/dev/urandom"


def _write(device: Rng, values: Mapping[str, Value], _target: Target) -> None:
    backend, source = values.get("ResourceSubType"), values.get("Address")
    if backend is not None and backend != device.backend:
        device.source = None
        device.backend = backend
    if source is not None:
        device.source = source
    elif device.backend == RANDOM and not device.source_text:
        device.source = DEFAULT_SOURCE


SETTING = Setting(
    RNG_DEVICE,
    RNG,
    1,
    {
        "OtherResourceType": lambda i: RNG,
        "ResourceSubType": lambda i: i.device.backend,
        "Address": lambda i: i.device.source_text or None,
    },
    attributes={"Model": "model", "RateBytes": "rate_bytes", "RatePeriod": "rate_period"},
    write=_write,
    make=lambda values, target: Rng.new(model=DEFAULT_MODEL, backend=RANDOM),
    place="rngs",
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
