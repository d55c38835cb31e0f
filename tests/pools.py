# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client that manages pools, volumes and networks through CIM, and looks at libvirt what has become."""

from __future__ import annotations

from typing import Any

import pywbem


class Pools:
    """A client of the service for pools, and libvirt's own view of them.

    `as_text`: sends settings as MOF in strings, else as embedded instances.
    """

    def __init__(self, client: pywbem.WBEMConnection, raw: Any, *, as_text: bool = False) -> None:
        self.client = client
        self.raw = raw
        self.as_text = as_text
        (self.path,) = self.client.EnumerateInstanceNames("KVM_ResourcePoolConfigurationService")

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Calls a method; its output parameters."""
        value, outputs = self.client.InvokeMethod(method, self.path, **arguments)
        assert value == 0
        return dict(outputs)

    def setting(self, kind: str, **values: Any) -> pywbem.CIMInstance | str:
        """A setting as it is sent."""
        made = pywbem.CIMInstance(f"KVM_{kind}ResourceAllocationSettingData", values)
        return self.sent(made)

    def sent(self, setting: pywbem.CIMInstance) -> pywbem.CIMInstance | str:
        """A setting that was read, as it is sent."""
        return str(setting.tomof()) if self.as_text else setting

    def create(self, kind: str, name: str, **values: Any) -> pywbem.CIMInstanceName:
        """Makes a pool or network; its path."""
        settings = [self.setting(kind, **values)]
        outputs = self.call("CreateChildResourcePool", ElementName=name, Settings=settings)
        return outputs["Pool"]

    def names(self) -> set[str]:
        """Storage pools and networks that libvirt has."""
        found = [*self.raw.listAllStoragePools(), *self.raw.listAllNetworks()]
        return {handle.name() for handle in found}
