# SPDX-License-Identifier: LGPL-2.1-or-later
"""Associators, AssociatorNames, References, ReferenceNames (DSP0200 5.4.2.13 to 5.4.2.16).

Asked for an instance, the broker answers. Asked for a class, the schema does: association classes
whose references may point at the class, and the classes at their other ends.
"""

from __future__ import annotations

from collections.abc import Iterator

from libvirtcim.cim.objects import Instance, InstancePath
from libvirtcim.cim.schema import ClassInfo, PropertyInfo, Schema
from libvirtcim.server.call import Answer, OperationCall, operation
from libvirtcim.server.class_writer import ClassChoice
from libvirtcim.server.instances import ORIGIN, PROPERTIES, QUALIFIERS
from libvirtcim.server.messages import ClassName
from libvirtcim.server.parameters import Parameter, class_name, object_name, text

OBJECT = Parameter("ObjectName", object_name, required=True)
ASSOC_CLASS = Parameter("AssocClass", class_name)
RESULT_CLASS = Parameter("ResultClass", class_name)
ROLE = Parameter("Role", text)
RESULT_ROLE = Parameter("ResultRole", text)


def associators(call: OperationCall) -> Answer:
    target = call["ObjectName"]
    if isinstance(target, ClassName):
        return _classes(call, associated_classes(call, target.name))
    rows = associated_instances(call, target)
    write, origin = call.writer.object_with_path, call["IncludeClassOrigin"]
    return Answer(write(row, origin) for row in rows)


def associator_names(call: OperationCall) -> Answer:
    target = call["ObjectName"]
    if isinstance(target, ClassName):
        return _class_names(call, associated_classes(call, target.name))
    return Answer(map(call.writer.object_path, associated_paths(call, target)))


def associated_instances(call: OperationCall, target: InstancePath) -> Iterator[Instance]:
    """Associators of an instance, with the arguments of the call."""
    return call.broker.associators(
        call.context,
        call.here(target),
        call["AssocClass"],
        call["ResultClass"],
        call["Role"],
        call["ResultRole"],
        call["PropertyList"],
    )


def associated_paths(call: OperationCall, target: InstancePath) -> Iterator[InstancePath]:
    """AssociatorNames of an instance, with the arguments of the call."""
    return call.broker.associator_names(
        call.context,
        call.here(target),
        call["AssocClass"],
        call["ResultClass"],
        call["Role"],
        call["ResultRole"],
    )


def references(call: OperationCall) -> Answer:
    target = call["ObjectName"]
    if isinstance(target, ClassName):
        return _classes(call, referring_classes(call, target.name))
    rows = referring_instances(call, target)
    write, origin = call.writer.object_with_path, call["IncludeClassOrigin"]
    return Answer(write(row, origin) for row in rows)


def reference_names(call: OperationCall) -> Answer:
    target = call["ObjectName"]
    if isinstance(target, ClassName):
        return _class_names(call, referring_classes(call, target.name))
    return Answer(map(call.writer.object_path, referring_paths(call, target)))


def referring_instances(call: OperationCall, target: InstancePath) -> Iterator[Instance]:
    """References of an instance, with the arguments of the call."""
    return call.broker.references(
        call.context, call.here(target), call["ResultClass"], call["Role"], call["PropertyList"]
    )


def referring_paths(call: OperationCall, target: InstancePath) -> Iterator[InstancePath]:
    """ReferenceNames of an instance, with the arguments of the call."""
    return call.broker.reference_names(
        call.context, call.here(target), call["ResultClass"], call["Role"]
    )


# --- on classes ------------------------------------------------------------------------------


def referring_classes(call: OperationCall, classname: str) -> list[ClassInfo]:
    """Association classes that can refer to the class, by ResultClass and Role of the call."""
    schema, namespace = call.broker.schema, call.namespace
    source = schema.get(namespace, classname)
    wanted = _optional(schema, namespace, call["ResultClass"])
    return [
        cls
        for cls in _associations(schema, namespace)
        if (wanted is None or cls.is_a(wanted.name)) and any(_ends(cls, source, call["Role"]))
    ]


def associated_classes(call: OperationCall, classname: str) -> list[ClassInfo]:
    """Classes at the other ends of those associations, each once."""
    schema, namespace = call.broker.schema, call.namespace
    source = schema.get(namespace, classname)
    assoc = _optional(schema, namespace, call["AssocClass"])
    result = _optional(schema, namespace, call["ResultClass"])
    result_role = (call["ResultRole"] or "").lower()
    found: dict[str, ClassInfo] = {}
    for cls in _associations(schema, namespace):
        if assoc is not None and not cls.is_a(assoc.name):
            continue
        for near in _ends(cls, source, call["Role"]):
            for far in cls.properties:
                if far is near or far.type != "reference" or not far.reference_class:
                    continue
                if result_role and far.name.lower() != result_role:
                    continue
                end = schema.find(namespace, far.reference_class)
                if end is not None and (result is None or end.is_a(result.name)):
                    found[end.name] = end
    return list(found.values())


def _associations(schema: Schema, namespace: str) -> Iterator[ClassInfo]:
    return (c for c in schema.subclasses(namespace, None, deep=True) if c.is_association)


def _ends(cls: ClassInfo, source: ClassInfo, role: str | None) -> Iterator[PropertyInfo]:
    """References of an association class that may point at `source`."""
    for prop in cls.properties:
        if (
            prop.type == "reference"
            and prop.reference_class
            and source.is_a(prop.reference_class)
            and (not role or prop.name.lower() == role.lower())
        ):
            yield prop


def _optional(schema: Schema, namespace: str, name: str | None) -> ClassInfo | None:
    return schema.get(namespace, name) if name else None


def _classes(call: OperationCall, classes: list[ClassInfo]) -> Answer:
    choice = ClassChoice(
        local_only=False,
        qualifiers=bool(call["IncludeQualifiers"]),
        origin=call["IncludeClassOrigin"],
        properties=call["PropertyList"],
    )
    write = call.class_writer.class_with_path
    return Answer(write(call.namespace, cls, choice) for cls in classes)


def _class_names(call: OperationCall, classes: list[ClassInfo]) -> Answer:
    path = call.writer.class_path
    return Answer(f"<OBJECTPATH>{path(call.namespace, c.name)}</OBJECTPATH>" for c in classes)


OPERATIONS = (
    operation(
        "Associators",
        associators,
        OBJECT,
        ASSOC_CLASS,
        RESULT_CLASS,
        ROLE,
        RESULT_ROLE,
        QUALIFIERS,
        ORIGIN,
        PROPERTIES,
    ),
    operation(
        "AssociatorNames", associator_names, OBJECT, ASSOC_CLASS, RESULT_CLASS, ROLE, RESULT_ROLE
    ),
    operation("References", references, OBJECT, RESULT_CLASS, ROLE, QUALIFIERS, ORIGIN, PROPERTIES),
    operation("ReferenceNames", reference_names, OBJECT, RESULT_CLASS, ROLE),
)
