# SPDX-License-Identifier: LGPL-2.1-or-later
"""The server as clients discover it: CIM_ObjectManager and CIM_Namespace in the interop namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from libvirtcim import __version__
from libvirtcim.cim.errors import NotFound
from libvirtcim.cim.objects import InstancePath
from libvirtcim.cim.provider import Columns, InstanceProvider, ProviderRequest

MANAGER_CLASS, NAMESPACE_CLASS = "CIM_ObjectManager", "CIM_Namespace"
MANAGER_NAME = "libvirtcim"
SYSTEM_CLASS = "CIM_ComputerSystem"


class SystemScoped(InstanceProvider[str]):
    """Instances that are nothing but a name each: an item is the Name."""

    def __init__(self, classname: str, names: Sequence[str], columns: Columns) -> None:
        self.classes = (classname,)
        self._names = names
        self.columns = columns

    def items(self, request: ProviderRequest) -> Iterable[str]:
        """All names."""
        return self._names

    def find(self, request: ProviderRequest, path: InstancePath) -> str:
        """The name that the key has."""
        wanted = path.text("Name").lower()
        for name in self._names:
            if name.lower() == wanted:
                return name
        raise NotFound("No such instance (Name)")


def system_scoped(system_name: Callable[[], str]) -> Columns:
    """The keys of instances on a system, but for their class; an item is the Name."""
    return {
        "SystemCreationClassName": lambda _: SYSTEM_CLASS,
        "SystemName": lambda _: system_name(),
        "Name": lambda name: name,
    }


def providers(
    namespaces: Sequence[str], system_name: Callable[[], str]
) -> tuple[InstanceProvider[str], ...]:
    """Providers of the server's own instances; `system_name` gives the host's name."""
    common = system_scoped(system_name)
    manager: Columns = {
        **common,
        "ElementName": lambda name: name,
        "Description": lambda name: f"{name} Version {__version__}",
        "EnabledState": lambda _: 2,
        "OperationalStatus": lambda _: [2],
        "Started": lambda _: True,
        "GatherStatisticalData": lambda _: False,
    }
    namespace: Columns = {
        **common,
        "ObjectManagerCreationClassName": lambda _: MANAGER_CLASS,
        "ObjectManagerName": lambda _: MANAGER_NAME,
        "ElementName": lambda name: name,
    }
    return (
        SystemScoped(MANAGER_CLASS, (MANAGER_NAME,), manager),
        SystemScoped(NAMESPACE_CLASS, tuple(namespaces), namespace),
    )
