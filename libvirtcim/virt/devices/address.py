# SPDX-License-Identifier: LGPL-2.1-or-later
"""`<address>` of a device, and what all devices have in common."""

from __future__ import annotations

from collections.abc import Iterable

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


def pci_text(attributes: Iterable[tuple[str, str]]) -> str:
    """A PCI address as lspci writes it: 0000:01:00.0."""
    parts = {name: value.removeprefix("0x") for name, value in attributes}
    return "{:0>4}:{:0>2}:{:0>2}.{}".format(
        *(parts.get(name, "0") for name in ("domain", "bus", "slot", "function"))
    )
