# SPDX-License-Identifier: LGPL-2.1-or-later
"""`<console>`, `<serial>`, `<parallel>` and `<channel>`: character devices."""

from __future__ import annotations

from libvirtcim.virt.devices.address import Device
from libvirtcim.virt.xmltree import Attr, IntAttr


class CharDevice(Device):
    """A character device; which of the source properties are set depends on `type`.

    pty, dev, file, pipe: `path`. unix: `mode` and `path`. tcp: `mode`, `host`, `service` and
    `protocol`. udp has two sources: the bind and the connect half. `tty` is the live pty path.
    """

    type = Attr("type")
    tty = Attr("tty")
    path = Attr("source", "path")
    mode = Attr("source", "mode")
    host = Attr("source", "host")
    service = Attr("source", "service")
    channel = Attr("source", "channel")
    bind_host = Attr("source[@mode='bind']", "host")
    bind_service = Attr("source[@mode='bind']", "service")
    connect_host = Attr("source[@mode='connect']", "host")
    connect_service = Attr("source[@mode='connect']", "service")
    protocol = Attr("protocol", "type")
    target_type = Attr("target", "type")
    target_port = IntAttr("target", "port")
    target_name = Attr("target", "name")


class Console(CharDevice):
    """A text console."""

    TAG = "console"


class Serial(CharDevice):
    """A serial port."""

    TAG = "serial"


class Parallel(CharDevice):
    """A parallel port."""

    TAG = "parallel"


class Channel(CharDevice):
    """A channel between host and guest."""

    TAG = "channel"
