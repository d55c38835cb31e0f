# SPDX-License-Identifier: LGPL-2.1-or-later
"""`<filesystem>`: host directories, images and memory mounted in a guest."""

from __future__ import annotations

from libvirtcim.virt.devices.address import Device
from libvirtcim.virt.xmltree import Attr, Flag, computed


class Filesystem(Device):
    """A file system passed to a guest; libvirt's default for a missing `type` is mount."""

    TAG = "filesystem"

    type = Attr("type")
    accessmode = Attr("accessmode")
    driver_type = Attr("driver", "type")
    driver_name = Attr("driver", "name")
    driver_format = Attr("driver", "format")
    source_dir = Attr("source", "dir")
    source_file = Attr("source", "file")
    source_dev = Attr("source", "dev")
    source_name = Attr("source", "name")
    source_pool = Attr("source", "pool")
    source_volume = Attr("source", "volume")
    source_socket = Attr("source", "socket")
    source_usage = Attr("source", "usage")
    source_units = Attr("source", "units")
    target = Attr("target", "dir")
    readonly = Flag("readonly")

    @computed
    def source_text(self) -> str:
        """The best one-line text for the source; empty when there is none."""
        if self.type == "volume":
            return "/".join(filter(None, (self.source_pool, self.source_volume)))
        if self.type == "ram":
            return f"{self.source_usage or ''}{self.source_units or ''}"
        return (
            self.source_dir
            or self.source_file
            or self.source_dev
            or self.source_name
            or self.source_socket
            or ""
        )
