# SPDX-License-Identifier: LGPL-2.1-or-later
"""Value objects that cross between front ends, the broker and providers.

CIM values are plain Python: str (string, char16, datetime), int (all integer types), float (reals), bool,
`InstancePath` (reference), `Instance` (embedded instance), list of these for arrays, None for NULL.
The CIM type of a value is that of the class declaration, never of the Python object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from libvirtcim.cim.schema import ClassInfo

Value: TypeAlias = Any
KeyValue: TypeAlias = "str | int | float | bool | InstancePath"


@dataclass(frozen=True, slots=True)
class InstancePath:
    """The identity of an instance: class name and keys, where known namespace and host.

    Front ends hand in key values as they came (text or typed) and names in any case;
    `Broker` normalises them with the class declaration before a provider sees them.
    Equality is exact; compare normalised paths.
    """

    classname: str
    keys: tuple[tuple[str, KeyValue], ...] = ()
    namespace: str | None = None
    host: str | None = None

    def get(self, name: str) -> KeyValue | None:
        """The value of key `name`, compared ignoring case, or None."""
        wanted = name.lower()
        for key, value in self.keys:
            if key.lower() == wanted:
                return value
        return None

    def text(self, name: str) -> str:
        """The value of a string key; "" where it is missing or not a string."""
        value = self.get(name)
        return value if isinstance(value, str) else ""

    def at(self, namespace: str | None, host: str | None = None) -> InstancePath:
        """The same path in another namespace (and on `host`)."""
        return InstancePath(self.classname, self.keys, namespace, host)

    def __str__(self) -> str:
        keys = ",".join(f"{name}={_key_text(value)}" for name, value in self.keys)
        where = f"{self.namespace}:" if self.namespace else ""
        return f"{where}{self.classname}.{keys}" if keys else f"{where}{self.classname}"


def _key_text(value: KeyValue) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (int, float)):
        return str(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@dataclass(slots=True)
class Instance:
    """An instance of a known class: a row of values under the class's layout.

    `values` maps declared property names to values; a property that is not in it is NULL.
    `selected` holds the declared names that a property list asked for (None: all).
    """

    cls: ClassInfo
    path: InstancePath | None = None
    values: dict[str, Value] = field(default_factory=dict)
    selected: frozenset[str] | None = None

    def __getitem__(self, name: str) -> Value:
        return self.values.get(name)

    def items(self) -> Iterator[tuple[str, Value]]:
        """(declared name, value) of every property to show, in class order, NULL ones too."""
        values, selected = self.values, self.selected
        for prop in self.cls.properties:
            if selected is None or prop.name in selected:
                yield prop.name, values.get(prop.name)


@dataclass(frozen=True, slots=True)
class Embedded:
    """An embedded instance that a provider makes: class name and property values.

    The broker makes an `Instance` of it, in the namespace of the request or subscription.
    """

    classname: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Given:
    """A value as a client gave it: the CIM type it stated (None: not stated) and the content.

    `value` is text or a typed Python value, a list of these for arrays, an `InstancePath` for a
    reference, a `GivenInstance` for an embedded instance that the front end has decoded, or None.
    """

    value: Value
    type: str | None = None


@dataclass(frozen=True, slots=True)
class GivenInstance:
    """An instance as a client gave it, not yet checked against its class."""

    classname: str
    values: Mapping[str, Given] = field(default_factory=dict)

    def value(self, name: str) -> Value:
        """What is given for a property by its declared name; None for nothing."""
        given = self.values.get(name)
        return None if given is None else given.value


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Who asks, and under which limits: handed unchanged to providers."""

    user: str | None = None
    deadline: float | None = None
    """`time.monotonic()` value after which the answer is no longer wanted."""
