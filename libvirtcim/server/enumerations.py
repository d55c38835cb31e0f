# SPDX-License-Identifier: LGPL-2.1-or-later
"""Open, pull and close operations (DSP0200 5.4.2.24 to 5.4.2.31) over what the broker returns."""

from __future__ import annotations

from collections.abc import Iterator

from libvirtcim.cim.errors import (
    FilteredEnumerationNotSupported,
    InvalidParameter,
    NotSupported,
    QueryLanguageNotSupported,
)
from libvirtcim.server.associations import (
    ASSOC_CLASS,
    RESULT_CLASS,
    RESULT_ROLE,
    ROLE,
    associated_instances,
    associated_paths,
    referring_instances,
    referring_paths,
)
from libvirtcim.server.call import Answer, OperationCall, operation
from libvirtcim.server.instances import CLASS, DEEP, INSTANCE, ORIGIN, PROPERTIES
from libvirtcim.server.parameters import Parameter, boolean, text, uint32
from libvirtcim.server.pull import Enumeration, Kind
from libvirtcim.server.text import escape

QUERY_LANGUAGES = frozenset({"wql", "dmtf:cql", "cim:cql", "dmtf:fql"})
"""Languages that exist, in lower case; queries in them are refused as such."""

_COUNT = Parameter("MaxObjectCount", uint32, default=0)
_CONTEXT = Parameter("EnumerationContext", text, required=True)
_OPENING = (
    Parameter("FilterQueryLanguage", text),
    Parameter("FilterQuery", text),
    Parameter("OperationTimeout", uint32),
    Parameter("ContinueOnError", boolean, default=False),
    _COUNT,
)


def _check_opening(call: OperationCall) -> None:
    language = call["FilterQueryLanguage"]
    if language and language.lower() not in QUERY_LANGUAGES:
        raise QueryLanguageNotSupported(f"Query language {language!r} is not supported")
    if call["FilterQuery"]:
        if not language:
            raise InvalidParameter(f"{call.operation}: FilterQuery needs FilterQueryLanguage")
        raise FilteredEnumerationNotSupported("This server does not filter enumerations")
    if language:
        raise InvalidParameter(f"{call.operation}: FilterQueryLanguage needs FilterQuery")
    if call["ContinueOnError"]:
        raise NotSupported("ContinueOnError is not supported")
    call.enumerations.check_room()


def _open(call: OperationCall, kind: Kind, items: Iterator[str], timeout: float) -> Answer:
    enumeration = Enumeration(items, call.namespace, kind, call.context.user, timeout)
    taken, context = call.enumerations.open(enumeration, _count(call))
    return _answer(taken, context)


def _count(call: OperationCall) -> int:
    return min(int(call["MaxObjectCount"]), call.max_object_count)


def _answer(taken: list[str], context: str | None) -> Answer:
    ended = "FALSE" if context else "TRUE"
    outputs = (
        f'<PARAMVALUE NAME="EndOfSequence" PARAMTYPE="boolean"><VALUE>{ended}</VALUE></PARAMVALUE>'
        '<PARAMVALUE NAME="EnumerationContext" PARAMTYPE="string">'
        f"<VALUE>{escape(context or '')}</VALUE></PARAMVALUE>"
    )
    return Answer(taken, outputs)


def open_enumerate_instances(call: OperationCall) -> Answer:
    timeout = call.enumerations.timeout(call["OperationTimeout"])
    _check_opening(call)
    rows = call.broker.enumerate_instances(
        call.context,
        call.namespace,
        call["ClassName"],
        call["PropertyList"],
        deep=call["DeepInheritance"],
    )
    write, origin = call.writer.instance_with_path, call["IncludeClassOrigin"]
    return _open(call, "instances", (write(row, origin) for row in rows), timeout)


def open_enumerate_instance_paths(call: OperationCall) -> Answer:
    timeout = call.enumerations.timeout(call["OperationTimeout"])
    _check_opening(call)
    paths = call.broker.enumerate_instance_names(call.context, call.namespace, call["ClassName"])
    return _open(call, "paths", map(call.writer.instance_path, paths), timeout)


def open_associator_instances(call: OperationCall) -> Answer:
    timeout = call.enumerations.timeout(call["OperationTimeout"])
    _check_opening(call)
    rows = associated_instances(call, call["InstanceName"])
    write, origin = call.writer.instance_with_path, call["IncludeClassOrigin"]
    return _open(call, "instances", (write(row, origin) for row in rows), timeout)


def open_associator_instance_paths(call: OperationCall) -> Answer:
    timeout = call.enumerations.timeout(call["OperationTimeout"])
    _check_opening(call)
    paths = associated_paths(call, call["InstanceName"])
    return _open(call, "paths", map(call.writer.instance_path, paths), timeout)


def open_reference_instances(call: OperationCall) -> Answer:
    timeout = call.enumerations.timeout(call["OperationTimeout"])
    _check_opening(call)
    rows = referring_instances(call, call["InstanceName"])
    write, origin = call.writer.instance_with_path, call["IncludeClassOrigin"]
    return _open(call, "instances", (write(row, origin) for row in rows), timeout)


def open_reference_instance_paths(call: OperationCall) -> Answer:
    timeout = call.enumerations.timeout(call["OperationTimeout"])
    _check_opening(call)
    paths = referring_paths(call, call["InstanceName"])
    return _open(call, "paths", map(call.writer.instance_path, paths), timeout)


def _pull(call: OperationCall, kind: Kind) -> Answer:
    taken, context = call.enumerations.pull(
        call["EnumerationContext"], call.namespace, kind, call.context.user, _count(call)
    )
    return _answer(taken, context)


def pull_instances_with_path(call: OperationCall) -> Answer:
    return _pull(call, "instances")


def pull_instance_paths(call: OperationCall) -> Answer:
    return _pull(call, "paths")


def close_enumeration(call: OperationCall) -> Answer:
    call.enumerations.close(call["EnumerationContext"], call.namespace, call.context.user)
    return Answer()


_PULLING = (_CONTEXT, Parameter("MaxObjectCount", uint32, required=True))

OPERATIONS = (
    operation(
        "OpenEnumerateInstances",
        open_enumerate_instances,
        CLASS,
        DEEP,
        ORIGIN,
        PROPERTIES,
        *_OPENING,
        # Withdrawn in DSP0200 1.4; taken and without effect, as for EnumerateInstances.
        Parameter("LocalOnly", boolean),
        Parameter("IncludeQualifiers", boolean),
    ),
    operation("OpenEnumerateInstancePaths", open_enumerate_instance_paths, CLASS, *_OPENING),
    operation(
        "OpenAssociatorInstances",
        open_associator_instances,
        INSTANCE,
        ASSOC_CLASS,
        RESULT_CLASS,
        ROLE,
        RESULT_ROLE,
        ORIGIN,
        PROPERTIES,
        *_OPENING,
    ),
    operation(
        "OpenAssociatorInstancePaths",
        open_associator_instance_paths,
        INSTANCE,
        ASSOC_CLASS,
        RESULT_CLASS,
        ROLE,
        RESULT_ROLE,
        *_OPENING,
    ),
    operation(
        "OpenReferenceInstances",
        open_reference_instances,
        INSTANCE,
        RESULT_CLASS,
        ROLE,
        ORIGIN,
        PROPERTIES,
        *_OPENING,
    ),
    operation(
        "OpenReferenceInstancePaths",
        open_reference_instance_paths,
        INSTANCE,
        RESULT_CLASS,
        ROLE,
        *_OPENING,
    ),
    operation("PullInstancesWithPath", pull_instances_with_path, *_PULLING),
    operation("PullInstancePaths", pull_instance_paths, *_PULLING),
    operation("CloseEnumeration", close_enumeration, _CONTEXT),
)
