# SPDX-License-Identifier: LGPL-2.1-or-later
"""Operations on instances and properties (DSP0200 5.4.2.2 to 5.4.2.12, 5.4.2.18, 5.4.2.19).

LocalOnly and IncludeQualifiers are taken and have no effect, as DSP0200 allows for these deprecated
parameters: an instance comes with all the properties asked for, and without qualifiers.
"""

from __future__ import annotations

from libvirtcim.cim.errors import NoSuchProperty
from libvirtcim.cim.objects import Given, GivenInstance
from libvirtcim.server.call import Answer, OperationCall, operation
from libvirtcim.server.parameters import (
    Parameter,
    any_value,
    boolean,
    class_name,
    instance_name,
    named_instance,
    names,
    new_instance,
    text,
)

CLASS = Parameter("ClassName", class_name, required=True)
INSTANCE = Parameter("InstanceName", instance_name, required=True)
DEEP = Parameter("DeepInheritance", boolean, default=True)
LOCAL_ONLY = Parameter("LocalOnly", boolean)
QUALIFIERS = Parameter("IncludeQualifiers", boolean)
ORIGIN = Parameter("IncludeClassOrigin", boolean, default=False)
PROPERTIES = Parameter("PropertyList", names)


def enumerate_instances(call: OperationCall) -> Answer:
    rows = call.broker.enumerate_instances(
        call.context,
        call.namespace,
        call["ClassName"],
        call["PropertyList"],
        deep=call["DeepInheritance"],
    )
    write, origin = call.writer.named_instance, call["IncludeClassOrigin"]
    return Answer(write(row, origin) for row in rows)


def enumerate_instance_names(call: OperationCall) -> Answer:
    paths = call.broker.enumerate_instance_names(call.context, call.namespace, call["ClassName"])
    return Answer(map(call.writer.instance_name, paths))


def get_instance(call: OperationCall) -> Answer:
    row = call.broker.get_instance(
        call.context, call.here(call["InstanceName"]), call["PropertyList"]
    )
    return Answer([call.writer.instance(row, call["IncludeClassOrigin"])])


def create_instance(call: OperationCall) -> Answer:
    path = call.broker.create_instance(call.context, call.namespace, call["NewInstance"])
    return Answer([call.writer.instance_name(path)])


def modify_instance(call: OperationCall) -> Answer:
    given = call["ModifiedInstance"]
    call.broker.modify_instance(
        call.context, call.here(given.path), given.instance, call["PropertyList"]
    )
    return Answer()


def delete_instance(call: OperationCall) -> Answer:
    call.broker.delete_instance(call.context, call.here(call["InstanceName"]))
    return Answer()


def get_property(call: OperationCall) -> Answer:
    path, name = call.here(call["InstanceName"]), call["PropertyName"]
    row = call.broker.get_instance(call.context, path, (name,))
    declared = row.cls.by_name.get(name.lower())
    if declared is None:
        raise NoSuchProperty(f"{row.cls.name} has no property {name!r}")
    value = call.writer.value(declared, row[declared.name])
    return Answer([value] if value else [])


def set_property(call: OperationCall) -> Answer:
    path, name = call.here(call["InstanceName"]), call["PropertyName"]
    declared = call.broker.schema.get(call.namespace, path.classname).by_name.get(name.lower())
    if declared is None:
        raise NoSuchProperty(f"{path.classname} has no property {name!r}")
    given = GivenInstance(path.classname, {declared.name: call["NewValue"]})
    call.broker.modify_instance(call.context, path, given, (declared.name,))
    return Answer()


OPERATIONS = (
    operation(
        "EnumerateInstances",
        enumerate_instances,
        CLASS,
        LOCAL_ONLY,
        DEEP,
        QUALIFIERS,
        ORIGIN,
        PROPERTIES,
    ),
    operation("EnumerateInstanceNames", enumerate_instance_names, CLASS),
    operation("GetInstance", get_instance, INSTANCE, LOCAL_ONLY, QUALIFIERS, ORIGIN, PROPERTIES),
    operation(
        "CreateInstance", create_instance, Parameter("NewInstance", new_instance, required=True)
    ),
    operation(
        "ModifyInstance",
        modify_instance,
        Parameter("ModifiedInstance", named_instance, required=True),
        QUALIFIERS,
        PROPERTIES,
    ),
    operation("DeleteInstance", delete_instance, INSTANCE),
    operation(
        "GetProperty", get_property, INSTANCE, Parameter("PropertyName", text, required=True)
    ),
    operation(
        "SetProperty",
        set_property,
        INSTANCE,
        Parameter("PropertyName", text, required=True),
        Parameter("NewValue", any_value, default=Given(None)),
    ),
)
