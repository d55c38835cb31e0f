# SPDX-License-Identifier: LGPL-2.1-or-later
"""Devices that are only named, not managed: host devices, TPM, RNG, sound, watchdog, balloon."""

from __future__ import annotations

from libvirtcim.virt.devices.address import Device
from libvirtcim.virt.xmltree import Attr, Pairs, Text, YesNo


class HostDevice(Device):
    """A device of the host passed to the guest; `source_address` as name and value pairs."""

    TAG = "hostdev"

    mode = Attr("mode")
    type = Attr("type")
    managed = YesNo("managed")
    source_address = Pairs("source/address")


class Tpm(Device):
    """A trusted platform module."""

    TAG = "tpm"

    model = Attr("model")
    backend = Attr("backend", "type")
    version = Attr("backend", "version")


class Rng(Device):
    """A random number generator."""

    TAG = "rng"

    model = Attr("model")
    backend = Attr("backend", "model")
    source = Text("backend")


class Sound(Device):
    """A sound card."""

    TAG = "sound"

    model = Attr("model")


class Watchdog(Device):
    """A watchdog."""

    TAG = "watchdog"

    model = Attr("model")
    action = Attr("action")


class MemoryBalloon(Device):
    """The memory balloon."""

    TAG = "memballoon"

    model = Attr("model")
