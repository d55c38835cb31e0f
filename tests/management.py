# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client that manages guests through CIM, and looks at libvirt what has become of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import libvirt
import pywbem
from lxml import etree


class Manager:
    """A client of one family's management service, and libvirt's own view of the guests.

    `as_text`: sends settings as MOF in strings, else as embedded instances.
    """

    def __init__(
        self, client: pywbem.WBEMConnection, prefix: str, uri: str, *, as_text: bool = False
    ) -> None:
        self.as_text = as_text
        self.prefix = prefix
        self.client = client
        self.raw = libvirt.open(uri)
        self.service = pywbem.CIMInstanceName(
            f"{prefix}_VirtualSystemManagementService",
            {"Name": "Management Service"},
            namespace="root/virt",
        )

    def setting(self, base: str, **values: Any) -> pywbem.CIMInstance | str:
        """A RASD or VSSD, as it is sent."""
        if base != "VirtualSystem":
            base += "ResourceAllocation"
        made = pywbem.CIMInstance(f"{self.prefix}_{base}SettingData", values)
        return str(made.tomof()) if self.as_text else made

    def call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Calls a method; its output parameters."""
        value, outputs = self.client.InvokeMethod(method, self.service, **arguments)
        assert value == 0
        found: Mapping[str, Any] = outputs
        return found

    def define(self, name: str, *resources: pywbem.CIMInstance | str, **settings: Any) -> Any:
        """Defines a guest; its path."""
        outputs = self.call(
            "DefineSystem",
            SystemSettings=self.setting("VirtualSystem", VirtualSystemIdentifier=name, **settings),
            ResourceSettings=list(resources),
        )
        return outputs["ResultingSystem"]

    def configuration(self, name: str) -> pywbem.CIMInstanceName:
        """The path of a guest's VSSD."""
        return pywbem.CIMInstanceName(
            f"{self.prefix}_VirtualSystemSettingData",
            {"InstanceID": f"{self.prefix}:{name}"},
            namespace="root/virt",
        )

    def add(self, name: str, *resources: pywbem.CIMInstance | str) -> list[Any]:
        """Adds resources; their paths."""
        outputs = self.call(
            "AddResourceSettings",
            AffectedConfiguration=self.configuration(name),
            ResourceSettings=list(resources),
        )
        found: list[Any] = outputs["ResultingResourceSettings"]
        return found

    def modify(self, *resources: pywbem.CIMInstance | str) -> None:
        """Changes resources."""
        self.call("ModifyResourceSettings", ResourceSettings=list(resources))

    def remove(self, *paths: pywbem.CIMInstanceName) -> None:
        """Removes resources."""
        self.call("RemoveResourceSettings", ResourceSettings=list(paths))

    def destroy(self, path: pywbem.CIMInstanceName) -> None:
        """Destroys a guest."""
        self.call("DestroySystem", AffectedSystem=path)

    def xml(self, name: str, *, stored: bool = False) -> etree._Element:
        """The definition of a guest, in force or stored."""
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE if stored else 0
        text: str = self.raw.lookupByName(name).XMLDesc(flags)
        return etree.fromstring(text)

    def both(self, name: str, xpath: str) -> tuple[Any, Any]:
        """What a path gives in the definition in force and in the stored one."""
        return self.xml(name).xpath(xpath), self.xml(name, stored=True).xpath(xpath)
