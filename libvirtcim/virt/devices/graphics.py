# SPDX-License-Identifier: LGPL-2.1-or-later
"""`<graphics>`: VNC, SPICE, SDL, RDP, D-Bus and other displays."""

from __future__ import annotations

from libvirtcim.virt.devices.address import Device
from libvirtcim.virt.xmltree import Attr, IntAttr, YesNo, computed


class Graphics(Device):
    """A display; `port` is -1 while libvirt has yet to choose one."""

    TAG = "graphics"

    type = Attr("type")
    port = IntAttr("port")
    tls_port = IntAttr("tlsPort")
    websocket = IntAttr("websocket")
    autoport = YesNo("autoport")
    listen_attribute = Attr("listen")
    listen_type = Attr("listen", "type")
    listen_address = Attr("listen", "address")
    listen_network = Attr("listen", "network")
    listen_socket = Attr("listen", "socket")
    socket = Attr("socket")
    keymap = Attr("keymap")
    passwd = Attr("passwd", secret=True)
    display = Attr("display")
    xauth = Attr("xauth")
    fullscreen = YesNo("fullscreen")

    @computed
    def listen(self) -> str | None:
        """The address it listens on, from the attribute or the child element."""
        return self.listen_attribute or self.listen_address
