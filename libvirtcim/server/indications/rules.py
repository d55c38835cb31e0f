# SPDX-License-Identifier: LGPL-2.1-or-later
"""What clients may give for new filters, destinations and subscriptions, and what is filled in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from libvirtcim.cim.declare import INTEROP
from libvirtcim.cim.errors import InvalidParameter, InvalidQuery, NotSupported
from libvirtcim.cim.objects import InstancePath, Value
from libvirtcim.cim.schema import ClassInfo, Schema
from libvirtcim.cim.values import timestamp, unique_id
from libvirtcim.server.indications import destinations, query
from libvirtcim.server.indications.model import (
    DISABLE,
    DISABLED,
    ENABLED,
    ENABLED_DEGRADED,
    IGNORE,
    REMOVE,
    Element,
    ElementKey,
    Subscription,
    key_of_path,
)
from libvirtcim.server.indications.reach import Reach
from libvirtcim.server.interop import SYSTEM_CLASS

MAX_CONTENT_TEXT = 16384
"""Characters that all values of one instance may have together, as JSON."""

_CIM_XML, _PERMANENT = 2, 2
"""Protocol; PersistenceType."""
_UNKNOWN_REPEAT, _NO_REPEAT = 0, 2
"""RepeatNotificationPolicy."""

_SUPPORTED: Mapping[str, tuple[Value, ...]] = {
    "Protocol": (_CIM_XML,),
    "SubscriptionState": (ENABLED, DISABLED),
    "OnFatalErrorPolicy": (IGNORE, DISABLE, REMOVE),
    "RepeatNotificationPolicy": (_UNKNOWN_REPEAT, _NO_REPEAT),
    "AlertOnStateChange": (False,),
    # they would be shown to everybody who can read the instance
    "username": (),
    "password": (),
}
"""Property → the values that it may have."""

_COMPUTED = frozenset(
    {
        "TimeOfLastStateChange",
        "SubscriptionStartTime",
        "SubscriptionTimeRemaining",
        "LastIndicationIdentifier",
        "LastIndicationProductionDateTime",
    }
)
"""Properties of subscriptions that are the server's to tell; what clients give is passed over."""


def source_namespaces(element: Element) -> tuple[str, ...]:
    """The namespaces that a filter is about: named in the newer or older property, else its own."""
    many, one = element.values.get("SourceNamespaces"), element.values.get("SourceNamespace")
    return tuple(many or ([one] if one else [INTEROP]))


def new_filter(cls: ClassInfo, given: Mapping[str, Value], system: str, schema: Schema) -> Element:
    """A filter with its query checked; raises CIMError for what can't be served."""
    made = _new_element(cls, given, system)
    parsed = query.parse(made.values["Query"], made.values["QueryLanguage"])
    for namespace in source_namespaces(made):
        _check_classes(schema, namespace, parsed)
    return made


def _check_classes(schema: Schema, namespace: str, parsed: query.Query) -> None:
    """Raises InvalidClass or InvalidQuery where the query can't be about indications there."""
    family = list(schema.family(schema.namespace(namespace or ""), parsed.classname))
    if not family[0].is_indication:
        raise InvalidQuery(f"{family[0].name} is no class of indications")
    unknown = parsed.property_names - {name for cls in family for name in cls.by_name}
    if unknown:
        raise InvalidQuery(f"{family[0].name} has no property {min(unknown)!r}")


def new_destination(
    cls: ClassInfo, given: Mapping[str, Value], system: str, reach: Reach
) -> Element:
    """A destination with its URL checked; raises CIMError for what can't be served."""
    made = _new_element(cls, {"PersistenceType": _PERMANENT, **given}, system)
    try:
        destinations.parse(made.values["Destination"], reach)
    except destinations.DestinationRefused as refused:
        text = f"Destination {made.values['Destination']!r:.200}: {refused}"
        raise InvalidParameter(text) from None
    return made


def _new_element(cls: ClassInfo, given: Mapping[str, Value], system: str) -> Element:
    values = {
        "SystemCreationClassName": SYSTEM_CLASS,
        "SystemName": system,
        "CreationClassName": cls.name,
        "Name": f"libvirtcim:{unique_id()}",
        **{name: value for name, value in given.items() if value not in (None, "")},
    }
    if values["CreationClassName"].lower() != cls.name.lower():
        raise InvalidParameter(f"CreationClassName must be {cls.name}")
    values["CreationClassName"] = cls.name
    for prop in cls.properties:
        if prop.qualifiers.get("Required") and prop.name not in values:
            raise InvalidParameter(f"{cls.name} needs a value for {prop.name}")
    _check_values(values)
    return Element(cls.name, values)


def new_subscription(given: Mapping[str, Value]) -> Subscription:
    """A subscription that starts now; raises CIMError for what can't be served."""
    filter_, handler = (_end(given, role) for role in ("Filter", "Handler"))
    now = timestamp(datetime.now(UTC))
    values = {
        "SubscriptionState": ENABLED,
        "OnFatalErrorPolicy": IGNORE,
        "RepeatNotificationPolicy": _NO_REPEAT,
        **{
            name: value
            for name, value in given.items()
            if value is not None and name not in _COMPUTED | {"Filter", "Handler"}
        },
        "SubscriptionStartTime": now,
        "TimeOfLastStateChange": now,
    }
    _check_values(values)
    return Subscription(filter_, handler, values)


def _end(given: Mapping[str, Value], role: str) -> ElementKey:
    path = given.get(role)
    if not isinstance(path, InstancePath):
        raise InvalidParameter(f"A subscription needs a value for {role}")
    return key_of_path(path)


def changed(
    cls: ClassInfo, current: Mapping[str, Value], given: Mapping[str, Value]
) -> dict[str, Value]:
    """The values after a client's modification; raises NotSupported for what can't be modified.

    Modifiable is what has the qualifier Write. What is given as it is shown counts as not given, like
    NULL for what has no NULL, and references: some clients give everything.
    """
    values = dict(current)
    for name, value in given.items():
        declared = cls.by_name[name.lower()]
        if value == current.get(name, declared.default) or _is_shown_only(name, value):
            continue
        if not declared.qualifiers.get("Write"):
            if value is None:
                continue
            raise NotSupported(f"{name} can't be modified")
        values[name] = value
    if values.get("SubscriptionState") != current.get("SubscriptionState"):
        values["TimeOfLastStateChange"] = timestamp(datetime.now(UTC))
    _check_values(values)
    return {name: value for name, value in values.items() if value is not None}


def _is_shown_only(name: str, value: Value) -> bool:
    if name == "SubscriptionState":
        return value in (None, ENABLED_DEGRADED)
    return name in _COMPUTED or isinstance(value, InstancePath)


def _check_values(values: Mapping[str, Value]) -> None:
    for name, supported in _SUPPORTED.items():
        value = values.get(name)
        if value is not None and value not in supported:
            which = " or ".join(map(str, supported)) or "NULL"
            raise NotSupported(f"{name} can only be {which}")
    if len(json.dumps(values)) > MAX_CONTENT_TEXT:
        raise InvalidParameter(f"The instance has more than {MAX_CONTENT_TEXT} characters")
