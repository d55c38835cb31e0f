# SPDX-License-Identifier: LGPL-2.1-or-later
"""The table of intrinsic operations, and the way from a parsed call to the elements of its answer."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from libvirtcim.cim.broker import Broker
from libvirtcim.cim.errors import InvalidParameter, NotSupported, ServerLimitsExceeded
from libvirtcim.cim.objects import RequestContext
from libvirtcim.server import associations, classes, enumerations, instances, refused
from libvirtcim.server.call import Operation, OperationCall
from libvirtcim.server.class_writer import ClassWriter
from libvirtcim.server.messages import ExtrinsicCall, IntrinsicCall
from libvirtcim.server.parameters import check
from libvirtcim.server.pull import Enumerations
from libvirtcim.server.settings import ServerSettings
from libvirtcim.server.writer import PLAIN, STANDARD, Writer

OPERATIONS: Mapping[str, Operation] = {
    operation.name.lower(): operation
    for table in (
        instances.OPERATIONS,
        associations.OPERATIONS,
        classes.OPERATIONS,
        enumerations.OPERATIONS,
        refused.OPERATIONS,
    )
    for operation in table
}
"""Every operation that is known, by lower-case name."""

_CHECK_EVERY = 64
"""Objects written between two looks at deadline and size."""


@dataclass(frozen=True, slots=True)
class Content:
    """The elements inside a method response, and how many objects they hold."""

    xml: str
    objects: int


class Operations:
    """Carries out calls against a broker. Safe in several threads."""

    def __init__(self, broker: Broker, settings: ServerSettings) -> None:
        self._broker = broker
        self._settings = settings
        self._writers = {
            plain: Writer(settings.shown_host, PLAIN if plain else STANDARD)
            for plain in (False, True)
        }
        self._class_writers = {
            plain: ClassWriter(broker.schema, writer) for plain, writer in self._writers.items()
        }
        self.enumerations = Enumerations(
            settings.max_open_enumerations,
            settings.pull_default_timeout,
            settings.pull_max_timeout,
        )

    def intrinsic(self, call: IntrinsicCall, context: RequestContext, plain: bool) -> Content:
        """Carries out an intrinsic operation; raises CIMError."""
        operation = OPERATIONS.get(call.name.lower())
        if operation is None:
            raise NotSupported(f"There is no operation {call.name!r}")
        namespace = self._broker.schema.namespace(call.namespace)
        answer = operation.handler(
            OperationCall(
                self._broker,
                self._writers[plain],
                self._class_writers[plain],
                self.enumerations,
                self._settings.max_object_count,
                context,
                operation.name,
                namespace,
                check(operation.name, operation.parameters, call),
            )
        )
        if answer.values is None:
            return Content(answer.outputs, 0)
        written, count = self._collect(answer.values, context)
        return Content(f"<IRETURNVALUE>{written}</IRETURNVALUE>{answer.outputs}", count)

    def extrinsic(self, call: ExtrinsicCall, context: RequestContext, plain: bool) -> Content:
        """Invokes a method; raises CIMError."""
        if call.duplicate is not None:
            raise InvalidParameter(f"{call.name}: parameter {call.duplicate} is given twice")
        namespace = self._broker.schema.namespace(call.namespace)
        path = call.path.at(namespace)
        result, outputs = self._broker.invoke_method(context, path, call.name, call.arguments)
        cls = self._broker.schema.get(namespace, path.classname)
        method = next(m for m in cls.methods if m.name.lower() == call.name.lower())
        written = self._writers[plain].method_result(method, result, outputs.items())
        return Content(written, len(outputs))

    def _collect(self, values: Iterable[str], context: RequestContext) -> tuple[str, int]:
        parts: list[str] = []
        size = 0
        for value in values:
            parts.append(value)
            size += len(value)
            if len(parts) % _CHECK_EVERY == 0:
                self._check(size, context)
        self._check(size, context)
        return "".join(parts), len(parts)

    def _check(self, size: int, context: RequestContext) -> None:
        if size > self._settings.max_response_bytes:
            raise ServerLimitsExceeded(
                f"The answer is larger than {self._settings.max_response_bytes} bytes "
                "(max_response_bytes); use pull operations"
            )
        if context.deadline is not None and time.monotonic() > context.deadline:
            raise timed_out(self._settings)


def timed_out(settings: ServerSettings) -> ServerLimitsExceeded:
    """The error for an operation that takes too long.

    Status 27, not 1: after 1 clients would take pull operations to be unsupported and repeat the work.
    """
    return ServerLimitsExceeded(
        f"The operation took longer than {settings.request_timeout:g} s (request_timeout)"
    )
