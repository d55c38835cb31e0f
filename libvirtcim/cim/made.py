# SPDX-License-Identifier: LGPL-2.1-or-later
"""Instances out of what providers make: class names and values, embedded in one another."""

from __future__ import annotations

from collections.abc import Mapping

from libvirtcim.cim.objects import Embedded, Instance, Value
from libvirtcim.cim.schema import Schema


def instance(
    schema: Schema, namespace: str, classname: str, values: Mapping[str, Value]
) -> Instance:
    """An instance without path; raises InvalidClass."""
    made = {name: embedded(schema, namespace, value) for name, value in values.items()}
    return Instance(schema.get(namespace, classname), None, made)


def embedded(schema: Schema, namespace: str, value: Value) -> Value:
    """The value, with an instance of its class for each `Embedded`, in arrays too."""
    if isinstance(value, Embedded):
        return instance(schema, namespace, value.classname, value.values)
    if isinstance(value, list):
        return [embedded(schema, namespace, one) for one in value]
    return value
