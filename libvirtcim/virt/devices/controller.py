# SPDX-License-Identifier: LGPL-2.1-or-later
"""`<controller>`: buses of a guest."""

from __future__ import annotations

from libvirtcim.virt.devices.address import Device
from libvirtcim.virt.xmltree import Attr, IntAttr


class Controller(Device):
    """A controller; `ports`, `vectors` and `queues` are text as in the XML."""

    TAG = "controller"

    type = Attr("type")
    index = IntAttr("index")
    model = Attr("model")
    ports = Attr("ports")
    vectors = Attr("vectors")
    queues = Attr("driver", "queues")
