# SPDX-License-Identifier: LGPL-2.1-or-later
"""`<interface>`: network interfaces."""

from __future__ import annotations

from libvirtcim.virt.devices.address import Device
from libvirtcim.virt.xmltree import Attr, Child, IntAttr, XmlObject, computed

GUARDED_TYPES = frozenset({"bridge", "ethernet", "network"})
"""Types of interfaces that network filters guard; of others libvirt drops the filter."""


class VirtualPort(XmlObject):
    """Parameters of an 802.1Qbg, 802.1Qbh, Open vSwitch or midonet port; each may be missing."""

    TAG = "virtualport"

    type = Attr("type")
    managerid = Attr("parameters", "managerid")
    typeid = Attr("parameters", "typeid")
    typeidversion = Attr("parameters", "typeidversion")
    instanceid = Attr("parameters", "instanceid")
    profileid = Attr("parameters", "profileid")
    interfaceid = Attr("parameters", "interfaceid")


class Interface(Device):
    """A network interface; average and peak are in KiB/s, burst in KiB."""

    TAG = "interface"

    type = Attr("type")
    mac = Attr("mac", "address")
    source_network = Attr("source", "network")
    source_bridge = Attr("source", "bridge")
    source_dev = Attr("source", "dev")
    source_mode = Attr("source", "mode")
    source_path = Attr("source", "path")
    source_portgroup = Attr("source", "portgroup")
    script = Attr("script", "path")
    target = Attr("target", "dev")
    model = Attr("model", "type")
    filter = Attr("filterref", "filter", whole=True)
    virtualport = Child("virtualport", VirtualPort)
    inbound_average = IntAttr("bandwidth/inbound", "average")
    inbound_peak = IntAttr("bandwidth/inbound", "peak")
    inbound_burst = IntAttr("bandwidth/inbound", "burst")
    outbound_average = IntAttr("bandwidth/outbound", "average")
    outbound_peak = IntAttr("bandwidth/outbound", "peak")
    outbound_burst = IntAttr("bandwidth/outbound", "burst")
    link_state = Attr("link", "state")
    boot_order = IntAttr("boot", "order")

    @computed
    def source(self) -> str | None:
        """What it is plugged into, decided by the interface type.

        The live XML of an interface on a network names both the network and its bridge, so the
        attributes alone don't tell.
        """
        if self.type == "network":
            return self.source_network
        if self.type == "bridge":
            return self.source_bridge or self.source_network
        if self.type == "direct":
            return self.source_dev or self.source_network
        return self.source_bridge or self.source_network or self.source_dev or self.source_path
