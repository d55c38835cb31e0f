# SPDX-License-Identifier: LGPL-2.1-or-later
"""KVM_ChannelResourceAllocationSettingData: channels between guests and their host."""

from __future__ import annotations

from collections.abc import Mapping

from libvirtcim.cim.declare import ClassDecl, Property
from libvirtcim.cim.objects import Value
from libvirtcim.providers.common import Provided, prefixes_with, registered
from libvirtcim.providers.resource_allocation.base import Setting, provided
from libvirtcim.providers.resource_allocation.character import (
    SOURCE_COLUMNS,
    SourceError,
    write_source,
)
from libvirtcim.providers.resource_allocation.target import SettingError, Target
from libvirtcim.virt.devices.chardev import Channel
from libvirtcim.virt.families import CHANNEL
from libvirtcim.virt.host import Hosts

CHANNEL_DEVICE = ClassDecl(
    "ChannelResourceAllocationSettingData",
    "{P}_CharacterResourceAllocationSettingData",
    "A channel between programs of the host and of the guest. SourceType 9 (unix, the default) without "
    "BindURL: at a path that libvirt chooses; 10 (spicevmc): to the viewer of a SPICE display.",
    prefixes_with(CHANNEL),
    (
        Property("TargetType", "string", "What the guest sees: virtio (default), xen ..."),
        Property(
            "TargetName",
            "string",
            "By what the guest knows it, e.g. org.qemu.guest_agent.0, com.redhat.spice.0.",
        ),
    ),
    registration=registered("Virt_RASD"),
)

DEFAULT_TARGET, DEFAULT_SOURCE = "virtio", "unix"
_CHOSEN_BY_LIBVIRT = frozenset({DEFAULT_SOURCE})


def _make(values: Mapping[str, Value], target: Target) -> Channel:
    return Channel.new(type=DEFAULT_SOURCE, target_type=DEFAULT_TARGET)


def _write(channel: Channel, values: Mapping[str, Value], target: Target) -> None:
    try:
        write_source(channel, values, chosen=_CHOSEN_BY_LIBVIRT)
    except SourceError as error:
        raise SettingError(f"ChannelRASD: {error}") from error


SETTING = Setting(
    CHANNEL_DEVICE,
    CHANNEL,
    1,
    {"OtherResourceType": lambda i: CHANNEL, **SOURCE_COLUMNS},
    attributes={"TargetType": "target_type", "TargetName": "target_name"},
    write=_write,
    make=_make,
    place="channels",
)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    return provided(SETTING, hosts)
