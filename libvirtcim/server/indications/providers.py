# SPDX-License-Identifier: LGPL-2.1-or-later
"""Filters, destinations, subscriptions and the service of indications, as clients see them.

::

                             CIM_IndicationServiceCapabilities
                                           | CIM_ElementCapabilities
                                CIM_IndicationService
            CIM_ServiceAffectsElement  |            |  CIM_ServiceAffectsElement
              CIM_IndicationFilter ----|------------|---- CIM_ListenerDestinationCIMXML,
                                CIM_IndicationSubscription       CIM_IndicationHandlerCIMXML
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from libvirtcim.cim.associations import Association, Handler, Target
from libvirtcim.cim.declare import INTEROP, ClassDecl
from libvirtcim.cim.errors import NotFound
from libvirtcim.cim.objects import GivenInstance, InstancePath, Value
from libvirtcim.cim.provider import InstanceProvider, ProviderRequest
from libvirtcim.cim.schema import ClassInfo, Schema
from libvirtcim.server.indications import rules
from libvirtcim.server.indications.model import (
    DESTINATIONS,
    FILTER,
    SUBSCRIPTION,
    Element,
    Subscription,
    key_of_path,
)
from libvirtcim.server.indications.reach import Reach
from libvirtcim.server.indications.registry import Ends, Registry
from libvirtcim.server.interop import SystemScoped, system_scoped

SERVICE, CAPABILITIES = "CIM_IndicationService", "CIM_IndicationServiceCapabilities"
SERVICE_NAME = "libvirtcim:IndicationService"
_PREFIX = "CIM"


def _base(classname: str) -> str:
    return classname.removeprefix(f"{_PREFIX}_")


FILTER_BASES = (_base(FILTER),)
DESTINATION_BASES = tuple(map(_base, DESTINATIONS))

NewElement = Callable[[ClassInfo, Mapping[str, Value]], Element]


def _values(given: Mapping[str, Any]) -> dict[str, Value]:
    return {name: value.value for name, value in given.items()}


class ElementProvider(InstanceProvider[Element]):
    """Serves filters, or destinations; `make` checks the values of a new one."""

    def __init__(
        self, classes: tuple[str, ...], schema: Schema, registry: Registry, make: NewElement
    ) -> None:
        self.classes = classes
        properties = [p.name for name in classes for p in schema.get(INTEROP, name).properties]
        self.columns = {name: _column(name) for name in properties}
        self._registry = registry
        self._make = make

    def items(self, request: ProviderRequest) -> Iterable[Element]:
        """All of the class, oldest first."""
        return self._registry.elements(request.cls.name)

    def find(self, request: ProviderRequest, path: InstancePath) -> Element:
        """The one that has the keys."""
        return self._registry.element(key_of_path(path))

    def create(self, request: ProviderRequest, instance: GivenInstance) -> InstancePath:
        """Makes one; keys that are missing are filled in."""
        made = self._make(request.cls, _values(instance.values))
        self._registry.add(made)
        return made.path(request.namespace)

    def modify(
        self, request: ProviderRequest, path: InstancePath, values: Mapping[str, Value]
    ) -> None:
        """Refuses everything that is not as it is: nothing of these can be modified."""
        rules.changed(request.cls, self.find(request, path).values, values)

    def delete(self, request: ProviderRequest, path: InstancePath) -> None:
        """Deletes one that has no subscription."""
        self._registry.remove(key_of_path(path))


def _column(name: str) -> Callable[[Element], Value]:
    return lambda element: element.values.get(name)


class SubscriptionProvider(InstanceProvider[Subscription]):
    """Makes, changes and deletes subscriptions; they are read through their association."""

    classes = (SUBSCRIPTION,)

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def create(self, request: ProviderRequest, instance: GivenInstance) -> InstancePath:
        """Makes one, which works at once."""
        made = rules.new_subscription(_values(instance.values))
        self._registry.subscribe(made)
        ends = zip(("Filter", "Handler"), made.ends, strict=True)
        keys = tuple(
            (role, self._registry.element(key).path(request.namespace)) for role, key in ends
        )
        return InstancePath(request.cls.name, keys, request.namespace)

    def modify(
        self, request: ProviderRequest, path: InstancePath, values: Mapping[str, Value]
    ) -> None:
        """Changes state, duration or information."""
        ends = _ends(path)
        current = self._registry.subscription(ends).values
        self._registry.change(ends, rules.changed(request.cls, current, values))

    def delete(self, request: ProviderRequest, path: InstancePath) -> None:
        """Ends one."""
        self._registry.unsubscribe(_ends(path))


def _ends(path: InstancePath) -> Ends:
    filter_, handler = path.get("Filter"), path.get("Handler")
    if not isinstance(filter_, InstancePath) or not isinstance(handler, InstancePath):
        raise NotFound("A subscription is named by Filter and Handler")
    return key_of_path(filter_), key_of_path(handler)


class CapabilitiesProvider(InstanceProvider[str]):
    """Serves the one instance of the service's capabilities; the item is its InstanceID."""

    classes = (CAPABILITIES,)

    def __init__(self, limit: int, *, persisted: bool) -> None:
        self.columns = {
            "InstanceID": lambda item: item,
            "ElementName": lambda item: item,
            "FilterCreationEnabledIsSettable": lambda _: False,
            "DeliveryRetryAttemptsIsSettable": lambda _: False,
            "DeliveryRetryIntervalIsSettable": lambda _: False,
            "SubscriptionRemovalActionIsSettable": lambda _: False,
            "SubscriptionRemovalTimeIntervalIsSettable": lambda _: False,
            "MaxListenerDestinations": lambda _: limit,
            "MaxActiveSubscriptions": lambda _: limit,
            "SubscriptionsPersisted": lambda _: persisted,
        }

    def items(self, request: ProviderRequest) -> Iterable[str]:
        """The one."""
        return (SERVICE_NAME,)

    def find(self, request: ProviderRequest, path: InstancePath) -> str:
        """The one; the broker compares the key."""
        return SERVICE_NAME


def service(
    system_name: Callable[[], str], retry_interval: float, retention: float
) -> SystemScoped:
    """The provider of the one indication service; times in seconds.

    A listener may take an indication as lost after all attempts (DSP1054): so there are as many as
    reach over the retention.
    """
    interval = max(1, round(retry_interval))
    ignore = 4
    return SystemScoped(
        SERVICE,
        (SERVICE_NAME,),
        {
            **system_scoped(system_name),
            "ElementName": lambda name: name,
            "EnabledState": lambda _: 2,
            "OperationalStatus": lambda _: [2],
            "Started": lambda _: True,
            "FilterCreationEnabled": lambda _: True,
            "DeliveryRetryAttempts": lambda _: min(65535, round(retention / interval)),
            "DeliveryRetryInterval": lambda _: interval,
            "SubscriptionRemovalAction": lambda _: ignore,
            "SubscriptionRemovalTimeInterval": lambda _: round(retention),
        },
    )


def element_providers(
    schema: Schema, registry: Registry, system_name: Callable[[], str], reach: Reach
) -> tuple[ElementProvider, ...]:
    """The providers of filters and destinations."""

    def new_filter(cls: ClassInfo, values: Mapping[str, Value]) -> Element:
        return rules.new_filter(cls, values, system_name(), schema)

    def new_destination(cls: ClassInfo, values: Mapping[str, Value]) -> Element:
        return rules.new_destination(cls, values, system_name(), reach)

    return (
        ElementProvider((FILTER,), schema, registry, new_filter),
        ElementProvider(DESTINATIONS, schema, registry, new_destination),
    )


def associations(registry: Registry) -> tuple[Association, ...]:
    """Subscriptions as what they are to CIM, and what belongs to the service."""
    elements = (*FILTER_BASES, *DESTINATION_BASES)
    return (
        _association(
            SUBSCRIPTION,
            Handler(FILTER_BASES, "Filter", DESTINATION_BASES, "Handler",
                    _subscribed(registry), enumerated=True),
            Handler(DESTINATION_BASES, "Handler", FILTER_BASES, "Filter",
                    _subscribed(registry)),
        ),
        _association(
            "CIM_ServiceAffectsElement",
            Handler((_base(SERVICE),), "AffectingElement", elements, "AffectedElement",
                    _all_elements(registry), enumerated=True),
            Handler(elements, "AffectedElement", (_base(SERVICE),), "AffectingElement",
                    _the_one(SERVICE)),
        ),
        _association(
            "CIM_ElementCapabilities",
            Handler((_base(SERVICE),), "ManagedElement", (_base(CAPABILITIES),), "Capabilities",
                    _the_one(CAPABILITIES), enumerated=True),
            Handler((_base(CAPABILITIES),), "Capabilities", (_base(SERVICE),), "ManagedElement",
                    _the_one(SERVICE)),
        ),
    )  # fmt: skip


def _association(classname: str, *handlers: Handler) -> Association:
    """An association of the DMTF schema itself, which is declared there."""
    decl = ClassDecl(_base(classname), "", "", (_PREFIX,), namespaces=(INTEROP,))
    return Association(decl, handlers)


Resolve = Callable[[ProviderRequest, str, Any, frozenset[str]], Iterable[Target]]


def _subscribed(registry: Registry) -> Resolve:
    def resolve(
        _request: ProviderRequest, _base_name: str, item: Element, _wanted: frozenset[str]
    ) -> Iterable[Target]:
        for subscription, target in registry.of_element(item.key):
            extra = {
                **subscription.values,
                "SubscriptionState": registry.state(subscription),
                "SubscriptionTimeRemaining": registry.remaining(subscription),
            }
            yield Target(_base(target.classname), target, extra=extra)

    return resolve


def _all_elements(registry: Registry) -> Resolve:
    def resolve(
        _request: ProviderRequest, _base_name: str, _item: str, wanted: frozenset[str]
    ) -> Iterable[Target]:
        return [
            Target(base, element)
            for base in sorted(wanted)
            for element in registry.elements(f"{_PREFIX}_{base}")
        ]

    return resolve


def _the_one(classname: str) -> Resolve:
    def resolve(
        _request: ProviderRequest, _base_name: str, _item: Any, _wanted: frozenset[str]
    ) -> Iterable[Target]:
        return [Target(_base(classname), SERVICE_NAME)]

    return resolve
