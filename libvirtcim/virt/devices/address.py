# SPDX-License-Identifier: LGPL-2.1-or-later
"""`<address>` of a device, and what all devices have in common."""

from __future__ import annotations

from libvirtcim.virt.xmltree import Attr, Child, Pairs, XmlObject


class Address(XmlObject):
    """Where a device sits on its bus; `attributes` are all of them in document order."""

    TAG = "address"

    type = Attr("type")
    attributes = Pairs()


class Device(XmlObject):
    """Any device: libvirt's alias for it and its address."""

    alias = Attr("alias", "name")
    address = Child("address", Address)
