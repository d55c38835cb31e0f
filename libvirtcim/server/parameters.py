# SPDX-License-Identifier: LGPL-2.1-or-later
"""Parameters of intrinsic operations: their declaration, and the check of what a client sent.

Missing, unknown, duplicate and ill-typed parameters all are CIM_ERR_INVALID_PARAMETER (DSP0200 5.4.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from libvirtcim.cim.errors import InvalidParameter
from libvirtcim.cim.objects import Given, GivenInstance, InstancePath
from libvirtcim.server.messages import Argument, ClassName, IntrinsicCall, NamedInstance

Reader = Callable[[Argument], Any]

_UINT32 = re.compile(r"\+?\d{1,10}|0[xX][0-9a-fA-F]{1,8}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: how it is read, and its value where the client gives none (or NULL)."""

    name: str
    read: Reader
    required: bool = False
    default: Any = None


class WrongKind(Exception):
    """An argument is not of the parameter's kind; the text says what was expected."""


def boolean(argument: Argument) -> bool:
    """TRUE or FALSE in any case."""
    if isinstance(argument, str):
        lowered = argument.strip().lower()
        if lowered in ("true", "false"):
            return lowered == "true"
    raise WrongKind("TRUE or FALSE")


def text(argument: Argument) -> str:
    """A string."""
    if isinstance(argument, str):
        return argument
    raise WrongKind("a string")


def uint32(argument: Argument) -> int:
    """A uint32, decimal or hexadecimal."""
    if isinstance(argument, str) and _UINT32.fullmatch(argument.strip()):
        number = int(argument.strip(), 16 if "x" in argument.lower() else 10)
        if number < 2**32:
            return number
    raise WrongKind("a uint32")


def names(argument: Argument) -> tuple[str, ...]:
    """A property list; a single VALUE counts as a list of one."""
    if isinstance(argument, str):
        return (argument,)
    if isinstance(argument, list) and all(isinstance(item, str) for item in argument):
        return tuple(str(item) for item in argument)
    raise WrongKind("an array of property names")


def class_name(argument: Argument) -> str:
    """A CLASSNAME."""
    if isinstance(argument, ClassName):
        return argument.name
    raise WrongKind("a CLASSNAME")


def instance_name(argument: Argument) -> InstancePath:
    """An INSTANCENAME."""
    if isinstance(argument, InstancePath):
        return argument
    raise WrongKind("an INSTANCENAME")


def object_name(argument: Argument) -> InstancePath | ClassName:
    """An INSTANCENAME or a CLASSNAME."""
    if isinstance(argument, (InstancePath, ClassName)):
        return argument
    raise WrongKind("an INSTANCENAME or a CLASSNAME")


def new_instance(argument: Argument) -> GivenInstance:
    """An INSTANCE."""
    if isinstance(argument, GivenInstance):
        return argument
    raise WrongKind("an INSTANCE")


def named_instance(argument: Argument) -> NamedInstance:
    """A VALUE.NAMEDINSTANCE."""
    if isinstance(argument, NamedInstance):
        return argument
    raise WrongKind("a VALUE.NAMEDINSTANCE")


def any_value(argument: Argument) -> Given:
    """A property value of a type that only the class knows."""
    if isinstance(argument, (str, list, InstancePath)):
        return Given(argument)
    raise WrongKind("a value")


def unread(argument: Argument) -> Argument:
    """Anything: for operations that are refused whatever they are given."""
    return argument


def check(operation: str, declared: Mapping[str, Parameter], call: IntrinsicCall) -> dict[str, Any]:
    """The arguments by declared name, defaults filled in; raises InvalidParameter.

    `declared` has lower-case names.
    """
    found: dict[str, Any] = {}
    seen: set[str] = set()
    for name, argument in call.arguments:
        parameter = declared.get(name.lower())
        if parameter is None:
            raise InvalidParameter(f"{operation} has no parameter {name}")
        if parameter.name in seen:
            raise InvalidParameter(f"{operation}: parameter {parameter.name} is given twice")
        seen.add(parameter.name)
        if argument is None:
            continue
        try:
            found[parameter.name] = parameter.read(argument)
        except WrongKind as expected:
            raise InvalidParameter(
                f"{operation}: parameter {parameter.name} must be {expected}"
            ) from None
    for parameter in declared.values():
        if parameter.name not in found:
            if parameter.required:
                raise InvalidParameter(f"{operation}: parameter {parameter.name} is missing")
            found[parameter.name] = parameter.default
    return found
