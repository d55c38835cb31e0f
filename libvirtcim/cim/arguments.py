# SPDX-License-Identifier: LGPL-2.1-or-later
"""Arguments of method calls, checked against the declaration; embedded instances in their class's types."""

from __future__ import annotations

from collections.abc import Mapping

from libvirtcim.cim import embedded, values
from libvirtcim.cim.errors import Failed, InvalidParameter, TypeMismatch
from libvirtcim.cim.objects import Given, GivenInstance, Instance, Value
from libvirtcim.cim.schema import INTEGER_RANGES, MethodInfo, ParameterInfo, Schema


def check_arguments(
    schema: Schema,
    namespace: str,
    method: MethodInfo,
    given: Mapping[str, Given],
    required: frozenset[str] = frozenset(),
    undeclared: tuple[ParameterInfo, ...] = (),
) -> dict[str, Value]:
    """The input parameters of a call by declared name, in their declared types.

    `undeclared`: parameters that the method takes besides those of its declaration.

    Missing required parameters are InvalidParameter, wrongly typed ones TypeMismatch; optional ones
    of a wrong type and undeclared ones are dropped. An embedded instance, as text or decoded, becomes
    an `Instance` of a class of the namespace; one that can't be read is Failed.
    """
    lowered = {name.lower(): value for name, value in given.items()}
    checked: dict[str, Value] = {}
    for parameter in (*method.parameters, *undeclared):
        if not parameter.is_in:
            continue
        value = lowered.get(parameter.name.lower())
        demanded = parameter.required or parameter.name in required
        if value is None or value.value is None:
            if demanded:
                raise InvalidParameter(
                    f"{method.name}: parameter {parameter.name} ({parameter.type}) is missing"
                )
            continue
        try:
            typed = values.typed(value, parameter)
        except TypeMismatch:
            if demanded:
                raise
            continue
        if parameter.embedded is not None:
            typed = _embedded(schema, namespace, parameter, typed)
        checked[parameter.name] = typed
    return checked


def _embedded(schema: Schema, namespace: str, parameter: ParameterInfo, value: Value) -> Value:
    if not parameter.array:
        return instance_of(schema, namespace, value)
    if None in value:
        raise InvalidParameter(f"{parameter.name}: NULL where an embedded instance is due")
    return [instance_of(schema, namespace, one) for one in value]


def instance_of(schema: Schema, namespace: str, given: GivenInstance | str) -> Instance:
    """An embedded instance, text or decoded, in the types of its class.

    Properties that are NULL, and those that the class doesn't have, are left out. Raises Failed where
    the text is none, the class unknown, or a value of another type.
    """
    found = embedded.read(given) if isinstance(given, str) else given
    cls = schema.find(namespace, found.classname)
    if cls is None:
        raise Failed(
            f"{embedded.PARSE_ERROR}: there is no class {found.classname!r} in {namespace}"
        )
    typed: dict[str, Value] = {}
    for name, value in found.values.items():
        declared = cls.by_name.get(name.lower())
        if declared is None or value.value is None:
            continue
        if INTEGER_RANGES.keys() >= {declared.type, value.type}:
            value = Given(value.value)  # of whatever width
        try:
            typed[declared.name] = values.typed(value, declared)
        except TypeMismatch as error:
            raise Failed(f"{embedded.PARSE_ERROR}: {cls.name}: {error.message}") from None
    return Instance(cls, None, typed)
