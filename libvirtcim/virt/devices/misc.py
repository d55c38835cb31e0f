# SPDX-License-Identifier: LGPL-2.1-or-later
"""Small devices: host devices, TPM, RNG, sound, watchdog, balloon."""

from __future__ import annotations

import re

from libvirtcim.virt.devices.address import Device, pci_text
from libvirtcim.virt.errors import Invalid
from libvirtcim.virt.xmltree import Attr, IntAttr, Pairs, Text, YesNo, computed

_PCI = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE)
_USB_PRODUCT = re.compile(r"([0-9a-f]{4}):([0-9a-f]{4})", re.IGNORECASE)
_USB_PLACE = re.compile(r"(\d+)/(\d+)")


class HostDevice(Device):
    """A device of the host passed to the guest; `source_address` as name and value pairs."""

    TAG = "hostdev"

    mode = Attr("mode")
    type = Attr("type")
    managed = YesNo("managed")
    vendor = Attr("source/vendor", "id")
    product = Attr("source/product", "id")
    source_address = Pairs("source/address")

    @computed
    def source_text(self) -> str:
        """Where it is on the host.

        PCI: `0000:01:00.0`. USB: `<vendor>:<product>` as lsusb prints them, else `<bus>/<device>`.
        Empty for other types.
        """
        if self.type == "pci" and self.source_address:
            return pci_text(self.source_address)
        if self.type != "usb":
            return ""
        if self.vendor and self.product:
            return f"{self.vendor.removeprefix('0x')}:{self.product.removeprefix('0x')}"
        parts = dict(self.source_address)
        return f"{parts.get('bus', '')}/{parts.get('device', '')}" if parts else ""

    def place(self, text: str) -> None:
        """Names the device of the host by what `source_text` makes; Invalid where it is none."""
        self.vendor = self.product = None
        self.source_address = ()
        if self.type == "pci" and (found := _PCI.fullmatch(text)):
            names = ("domain", "bus", "slot", "function")
            values = (found[1] or "0000", *found.groups()[1:])
            self.source_address = tuple(
                (name, f"0x{value}") for name, value in zip(names, values, strict=True)
            )
        elif self.type == "usb" and (found := _USB_PRODUCT.fullmatch(text)):
            self.vendor, self.product = (f"0x{part}" for part in found.groups())
        elif self.type == "usb" and (found := _USB_PLACE.fullmatch(text)):
            self.source_address = (("bus", found[1]), ("device", found[2]))
        else:
            raise Invalid(f"{text!r} is no address of a {self.type} device")


class Tpm(Device):
    """A trusted platform module."""

    TAG = "tpm"

    model = Attr("model")
    backend = Attr("backend", "type")
    version = Attr("backend", "version")
    device_path = Attr("backend/device", "path")


class Rng(Device):
    """A random number generator; at most `rate_bytes` in `rate_period` milliseconds."""

    TAG = "rng"

    model = Attr("model")
    rate_bytes = IntAttr("rate", "bytes")
    rate_period = IntAttr("rate", "period")
    backend = Attr("backend", "model")
    source = Text("backend")

    @computed
    def source_text(self) -> str:
        """Path of the host's source of random numbers; empty for other back ends."""
        return (self.source or "").strip()


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
