# SPDX-License-Identifier: LGPL-2.1-or-later
"""`<disk>`: block devices of every source type that libvirt knows."""

from __future__ import annotations

from libvirtcim.virt.devices.address import Address, Device, pci_text
from libvirtcim.virt.xmltree import (
    Attr,
    Child,
    Children,
    Choice,
    Flag,
    IntAttr,
    Text,
    XmlObject,
    YesNo,
    computed,
)

DISK_DEVICES = ("disk", "cdrom", "floppy", "lun")


class SourceHost(XmlObject):
    """One server of a network disk."""

    TAG = "host"

    name = Attr("name")
    port = Attr("port")
    transport = Attr("transport")
    socket = Attr("socket")


class Disk(Device):
    """A disk, CD-ROM, floppy or LUN.

    libvirt's default for a missing `device` is disk. `rawio` and `sgio` are text as in the XML.
    """

    TAG = "disk"

    type = Attr("type")
    device = Choice("device", known=DISK_DEVICES)
    rawio = Attr("rawio")
    sgio = Attr("sgio")
    driver_name = Attr("driver", "name")
    driver_type = Attr("driver", "type")
    driver_cache = Attr("driver", "cache")
    driver_io = Attr("driver", "io")
    driver_discard = Attr("driver", "discard")
    source_file = Attr("source", "file")
    source_dev = Attr("source", "dev")
    source_dir = Attr("source", "dir")
    source_protocol = Attr("source", "protocol")
    source_name = Attr("source", "name")
    source_pool = Attr("source", "pool")
    source_volume = Attr("source", "volume")
    source_path = Attr("source", "path")
    source_namespace = Attr("source", "namespace")
    source_managed = YesNo("source", "managed")
    source_startup_policy = Attr("source", "startupPolicy")
    source_hosts = Children("source", SourceHost)
    source_address = Child("source/address", Address)
    target = Attr("target", "dev")
    bus = Attr("target", "bus")
    serial = Text("serial")
    wwn = Text("wwn")
    readonly = Flag("readonly")
    shareable = Flag("shareable")
    transient = Flag("transient")
    boot_order = IntAttr("boot", "order")

    @computed
    def source_text(self) -> str:
        """The best one-line text for the source; empty for an empty drive."""
        if self.type == "network":
            protocol = self.source_protocol or ""
            return f"{protocol}:{self.source_name}" if self.source_name else protocol
        if self.type == "volume":
            return "/".join(filter(None, (self.source_pool, self.source_volume)))
        if self.type == "nvme" and self.source_address is not None:
            return f"nvme:{pci_text(self.source_address.attributes)}/{self.source_namespace or 1}"
        if self.type == "block" and self.source_dev:
            return self.source_dev
        return (
            self.source_file
            or self.source_dev
            or self.source_dir
            or self.source_path
            or self.source_name
            or ""
        )
