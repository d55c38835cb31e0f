# SPDX-License-Identifier: LGPL-2.1-or-later
"""What handlers of operations are given and what they return."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import InstancePath, RequestContext
from libvirtcim.server.class_writer import ClassWriter
from libvirtcim.server.parameters import Parameter
from libvirtcim.server.pull import Enumerations
from libvirtcim.server.writer import Writer


@dataclass(frozen=True, slots=True)
class OperationCall:
    """An intrinsic operation with checked arguments, and what it needs to be answered."""

    broker: Broker
    writer: Writer
    class_writer: ClassWriter
    enumerations: Enumerations
    max_object_count: int
    context: RequestContext
    operation: str
    namespace: str
    """As the schema spells it."""
    arguments: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def here(self, path: InstancePath) -> InstancePath:
        """The path in the request's namespace."""
        return path.at(self.namespace)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes into an IMETHODRESPONSE."""

    values: Iterable[str] | None = None
    """Content of IRETURNVALUE, one object each; None: no IRETURNVALUE (void operations)."""
    outputs: str = ""
    """PARAMVALUE elements after it."""


Handler = Callable[[OperationCall], Answer]


@dataclass(frozen=True, slots=True)
class Operation:
    """One intrinsic operation of DSP0200 5.4.2."""

    name: str
    handler: Handler
    parameters: Mapping[str, Parameter]
    """By lower-case name."""


def operation(name: str, handler: Handler, *parameters: Parameter) -> Operation:
    """An operation with its parameters."""
    return Operation(name, handler, {p.name.lower(): p for p in parameters})
