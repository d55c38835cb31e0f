# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client that changes network filters through CIM, and looks at libvirt what has become of them."""

from __future__ import annotations

from typing import Any

import pywbem
from lxml import etree

NAMESPACE = "root/virt"


class Filters:
    """A client that changes filters, and libvirt's own view of them."""

    def __init__(self, client: pywbem.WBEMConnection, raw: Any) -> None:
        self.client = client
        self.raw = raw

    def path(self, name: str) -> pywbem.CIMInstanceName:
        """The path of a filter."""
        return pywbem.CIMInstanceName("KVM_FilterList", {"Name": name}, namespace=NAMESPACE)

    def port(self, device_id: str) -> pywbem.CIMInstanceName:
        """The path of a guest's interface."""
        return pywbem.CIMInstanceName(
            "KVM_NetworkPort", {"DeviceID": device_id}, namespace=NAMESPACE
        )

    def make(self, name: str, **values: Any) -> pywbem.CIMInstanceName:
        """Makes an empty filter."""
        return self.create("FilterList", Name=name, **values)

    def create(self, base: str, **values: Any) -> pywbem.CIMInstanceName:
        """Makes an instance."""
        return self.client.CreateInstance(
            pywbem.CIMInstance(f"KVM_{base}", values), namespace=NAMESPACE
        )

    def link(self, base: str, antecedent: Any, dependent: Any) -> pywbem.CIMInstanceName:
        """Makes an association."""
        return self.create(base, Antecedent=antecedent, Dependent=dependent)

    def nest(self, parent: str, child: str) -> pywbem.CIMInstanceName:
        """Has a filter include another."""
        return self.link("NestedFilterList", self.path(parent), self.path(child))

    def unnest(self, parent: str, child: str) -> None:
        """Has a filter no longer include another."""
        self.unlink("NestedFilterList", self.path(parent), self.path(child))

    def apply(self, name: str, device_id: str) -> pywbem.CIMInstanceName:
        """Has a filter guard an interface."""
        return self.link("AppliedFilterList", self.port(device_id), self.path(name))

    def clear(self, name: str, device_id: str) -> None:
        """Has a filter no longer guard an interface."""
        self.unlink("AppliedFilterList", self.port(device_id), self.path(name))

    def unlink(self, base: str, antecedent: Any, dependent: Any) -> None:
        """Deletes an association."""
        ends = {"Antecedent": antecedent, "Dependent": dependent}
        self.client.DeleteInstance(pywbem.CIMInstanceName(f"KVM_{base}", ends, namespace=NAMESPACE))

    def xml(self, name: str) -> str:
        """The definition of a filter as libvirt gives it."""
        text: str = self.raw.nwfilterLookupByName(name).XMLDesc(0)
        return text

    def names(self) -> set[str]:
        """Names of all filters."""
        return {found.name() for found in self.raw.listAllNWFilters()}

    def of_interface(self, guest: str, flags: int = 0) -> list[str]:
        """The filterrefs of the interfaces of a guest, as they stand in its definition."""
        root = etree.fromstring(self.raw.lookupByName(guest).XMLDesc(flags))
        return [nic.xpath("string(filterref/@filter)") for nic in root.iter("interface")]
