# SPDX-License-Identifier: LGPL-2.1-or-later
"""What clients make: filters and destinations (both are elements), and subscriptions between them.

Values are those of the CIM classes, by declared property name; None never stands among them. Values that
the server works out (state, times that run) are not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from libvirtcim.cim.objects import InstancePath, Value

FILTER = "CIM_IndicationFilter"
DESTINATIONS = ("CIM_ListenerDestinationCIMXML", "CIM_IndicationHandlerCIMXML")
SUBSCRIPTION = "CIM_IndicationSubscription"
KEYS = ("SystemCreationClassName", "SystemName", "CreationClassName", "Name")
"""Keys of filters and destinations."""

ENABLED, ENABLED_DEGRADED, DISABLED = 2, 3, 4
"""SubscriptionState."""
IGNORE, DISABLE, REMOVE = 2, 3, 4
"""OnFatalErrorPolicy."""

ElementKey: TypeAlias = "tuple[str, str, str, str]"
"""Values of `KEYS`, in lower case: in that clients' paths are compared."""


def key_of_path(path: InstancePath) -> ElementKey:
    """The key of the element that a path names; a missing key is ""."""
    system_class, system, _class, name = (path.text(key).lower() for key in KEYS)
    return system_class, system, path.classname.lower(), name


@dataclass(frozen=True, slots=True)
class Element:
    """A filter or a destination."""

    classname: str
    values: Mapping[str, Value]

    @property
    def key(self) -> ElementKey:
        """Its identity."""
        system_class, system, classname, name = (str(self.values[key]).lower() for key in KEYS)
        return system_class, system, classname, name

    @property
    def name(self) -> str:
        """The Name."""
        return str(self.values["Name"])

    def path(self, namespace: str) -> InstancePath:
        """The path of its instance."""
        keys = tuple((key, str(self.values[key])) for key in KEYS)
        return InstancePath(self.classname, keys, namespace)


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a filter lets through is sent to a destination."""

    filter: ElementKey
    handler: ElementKey
    values: Mapping[str, Value]
    """Without the references."""

    @property
    def ends(self) -> tuple[ElementKey, ElementKey]:
        """Its identity."""
        return self.filter, self.handler

    @property
    def enabled(self) -> bool:
        """Whether it is meant to work."""
        return bool(self.values["SubscriptionState"] == ENABLED)
