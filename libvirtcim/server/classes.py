# SPDX-License-Identifier: LGPL-2.1-or-later
"""Operations on classes and qualifiers (DSP0200 5.4.2.1, 5.4.2.9, 5.4.2.10, 5.4.2.20 ff.).

The schema is fixed, so what would change it is refused (`refused.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from libvirtcim.cim.errors import InvalidClass, NotFound
from libvirtcim.cim.schema import ClassInfo
from libvirtcim.server.call import Answer, OperationCall, operation
from libvirtcim.server.class_writer import ClassChoice, qualifier_declarations
from libvirtcim.server.instances import CLASS, ORIGIN, PROPERTIES
from libvirtcim.server.parameters import Parameter, boolean, class_name, text

OPTIONAL_CLASS = Parameter("ClassName", class_name)
DIRECT = Parameter("DeepInheritance", boolean, default=False)
LOCAL_ONLY = Parameter("LocalOnly", boolean, default=True)
QUALIFIERS = Parameter("IncludeQualifiers", boolean, default=True)


def _choice(call: OperationCall) -> ClassChoice:
    return ClassChoice(
        call["LocalOnly"],
        call["IncludeQualifiers"],
        call["IncludeClassOrigin"],
        call.arguments.get("PropertyList"),
    )


def get_class(call: OperationCall) -> Answer:
    try:
        cls = call.broker.schema.get(call.namespace, call["ClassName"])
    except InvalidClass as error:
        # The class is the object that is looked for here (DSP0200 5.4.2.1).
        raise NotFound(error.message) from None
    return Answer([call.class_writer.cls(cls, _choice(call))])


def enumerate_classes(call: OperationCall) -> Answer:
    choice, write = _choice(call), call.class_writer.cls
    return Answer(write(cls, choice) for cls in _subclasses(call))


def enumerate_class_names(call: OperationCall) -> Answer:
    return Answer(f'<CLASSNAME NAME="{cls.name}"/>' for cls in _subclasses(call))


def _subclasses(call: OperationCall) -> Iterator[ClassInfo]:
    schema, name = call.broker.schema, call["ClassName"]
    if name is not None:
        schema.get(call.namespace, name)
    return schema.subclasses(call.namespace, name, deep=call["DeepInheritance"])


def get_qualifier(call: OperationCall) -> Answer:
    declared = call.broker.schema.qualifier_type(call["QualifierName"])
    if declared is None:
        raise NotFound(f"There is no qualifier {call['QualifierName']!r}")
    return Answer([call.class_writer.qualifier_declaration(declared)])


def enumerate_qualifiers(call: OperationCall) -> Answer:
    return Answer(qualifier_declarations(call.class_writer, call.broker.schema))


OPERATIONS = (
    operation("GetClass", get_class, CLASS, LOCAL_ONLY, QUALIFIERS, ORIGIN, PROPERTIES),
    operation(
        "EnumerateClasses",
        enumerate_classes,
        OPTIONAL_CLASS,
        DIRECT,
        LOCAL_ONLY,
        QUALIFIERS,
        ORIGIN,
    ),
    operation("EnumerateClassNames", enumerate_class_names, OPTIONAL_CLASS, DIRECT),
    operation("GetQualifier", get_qualifier, Parameter("QualifierName", text, required=True)),
    operation("EnumerateQualifiers", enumerate_qualifiers),
)
