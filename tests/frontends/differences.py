# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where front ends answer otherwise than the broker, and why: the one list.

A row says exactly what a front end answers instead. Everything that no row names must be the same;
a row that changes the answer of no case fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, TypeAlias

from libvirtcim import composition
from libvirtcim.cim import errors
from libvirtcim.cim.objects import InstancePath
from libvirtcim.cim.registration import rows
from libvirtcim.cim.schema import ClassInfo, Schema
from tests.cmpi.driver import type_name
from tests.frontends.answers import Answer, unlike
from tests.frontends.cases import UNKNOWN, Case
from tests.frontends.fronts import Front

CMPI_HOST = "cmpi-host"
BINDINGS_HOST = "cmpi-host-cmpi-bindings"
EMBEDDED = "embedded"

PEGASUS, PEGASUS_IN_PROCESS = "pegasus", "pegasus-in-process"
PEGASUS_BINDINGS = "pegasus-cmpi-bindings"

PEGASUSES = frozenset({PEGASUS, PEGASUS_IN_PROCESS, PEGASUS_BINDINGS})
SFCB, SFCB_BINDINGS = "sfcb", "sfcb-cmpi-bindings"
SFCBS = frozenset({SFCB, SFCB_BINDINGS})
SERVERS = PEGASUSES | SFCBS
"""CIM servers that are not ours."""
WIRE = frozenset({EMBEDDED}) | SERVERS
"""Front ends behind HTTP."""
HOSTS = frozenset({CMPI_HOST, BINDINGS_HOST})
"""Front ends that call a CMPI library with no CIM server in between."""

ORDERED = HOSTS | {EMBEDDED}
"""Front ends that keep properties and keys in the order of the class; CIM servers are free."""
SYMBOLS = {
    error.status: error.symbol
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, errors.CIMError)
}
"""CIM status → its name."""
METHODS = {
    (row.namespace, row.classname)
    for row in rows(composition.declarations())
    if "method" in row.types
}
"""(namespace, class) of the classes that are registered for methods."""


Becomes: TypeAlias = Callable[[Case, Answer, Schema], Answer]


@dataclass(frozen=True, slots=True)
class Row:
    """One difference."""

    reason: str
    fronts: frozenset[str]
    becomes: Becomes = lambda _case, answer, _schema: answer
    """What the broker's answer becomes; the answer itself where the row does not apply."""
    asks: Callable[[Case, Schema], Case] = lambda case, _schema: case
    """What reaches the broker; the case itself where the row does not apply."""


def _each(change: Callable[[Any, Case, Schema], Any]) -> Becomes:
    """A row that changes items."""

    def becomes(case: Case, answer: Answer, schema: Schema) -> Answer:
        if case.operation == "InvokeMethod":
            return answer
        return answer.with_items(change(item, case, schema) for item in answer.items)

    return becomes


def _no_path(item: Any, case: Case, _schema: Schema) -> Any:
    return {**item, "path": None} if case.operation == "GetInstance" else item


def _keys_too(item: Any, case: Case, _schema: Schema) -> Any:
    if case.properties is None or "properties" not in item:
        return item
    shown = {name for name, _type, _value in item["properties"]}
    keys = [key for key in item["path"]["keys"] if key[0] not in shown]
    return {**item, "properties": [*item["properties"], *keys]}


def _exact_class(case: Case, answer: Answer, _schema: Schema) -> Answer:
    if not case.operation.startswith("Enumerate"):
        return answer
    wanted = case.path.classname.lower()
    return answer.with_items(
        item for item in answer.items if item.get("path", item)["class"].lower() == wanted
    )


def _filled(item: Any, _case: Case, schema: Schema) -> Any:
    if "properties" not in item:
        return item
    path = item["path"]
    shown = {name: value for name, _type, value in item["properties"]}
    keys = {name: value for name, _type, value in path["keys"]}
    slots = [
        [prop.name, type_name(prop), shown.get(prop.name, keys.get(prop.name))]
        for prop in schema.get(path["ns"], path["class"]).properties
    ]
    return {**item, "properties": slots}


def _foreign_classes(case: Case, answer: Answer, _schema: Schema) -> Answer:
    is_unknown = case.kind == "unknown class" and case.operation in (
        "Associators", "AssociatorNames", "References", "ReferenceNames",
    )  # fmt: skip
    return replace(answer, status=0, message=None) if is_unknown else answer


# --- OpenPegasus ---------------------------------------------------------------------------------

OF_INSTANCES = (
    "EnumerateInstances", "EnumerateInstanceNames", "GetInstance", "CreateInstance",
    "ModifyInstance", "DeleteInstance",
)  # fmt: skip
ASSOCIATIONS = ("Associators", "AssociatorNames", "References", "ReferenceNames")


def _when(
    applies: Callable[[Case], bool], status: int, text: Callable[[Case], str] | None = None
) -> Becomes:
    """A row that puts a status and a text in the place of an answer."""

    def becomes(case: Case, answer: Answer, _schema: Schema) -> Answer:
        return Answer(status, text and text(case)) if applies(case) else answer

    return becomes


def _is_unknown(*operations: str) -> Callable[[Case], bool]:
    return lambda case: case.path.classname == UNKNOWN and case.operation in operations


def _class(case: Case, schema: Schema) -> ClassInfo | None:
    """The class that is asked, where it exists."""
    if case.namespace not in schema.namespaces:
        return None
    return schema.find(case.namespace, case.path.classname)


def _association_source(case: Case, answer: Answer, schema: Schema) -> Answer:
    if case.operation not in ASSOCIATIONS or answer.status != 6:
        return answer
    cls = _class(case, schema)
    return Answer() if cls is not None and cls.is_association else answer


def _text_for_reference(case: Case, answer: Answer, schema: Schema) -> Answer:
    cls = _class(case, schema)
    for name, value in case.path.keys:
        declared = cls and cls.by_name.get(name.lower())
        if declared and declared.type == "reference" and isinstance(value, str):
            return Answer(5, value)
    return answer


def _short_reference(case: Case, answer: Answer, _schema: Schema) -> Answer:
    for _name, value in sorted(case.path.keys, key=itemgetter(0)):
        if isinstance(value, InstancePath) and value.namespace is None:
            return Answer(5, value.classname)
    return answer


def _only_known_properties(case: Case, schema: Schema) -> Case:
    cls = _class(case, schema)
    if case.instance is None or cls is None:
        return case
    known = {
        name: given
        for name, given in case.instance.values.items()
        if (declared := cls.by_name.get(name.lower())) and declared.type == given.type
    }
    return replace(case, instance=replace(case.instance, values=known))


def _without_method_provider(case: Case) -> bool:
    known = case.kind not in ("unknown class", "unknown namespace")
    place = (case.namespace, case.path.classname)
    return case.operation == "InvokeMethod" and known and place not in METHODS


def _null_array_is_plain(item: Any, _case: Case, _schema: Schema) -> Any:
    if "properties" not in item:
        return item
    slots = [
        [name, "string[]" if (kind, value) == ("instance[]", None) else kind, value]
        for name, kind, value in item["properties"]
    ]
    return {**item, "properties": slots}


def _status_in_front(_case: Case, answer: Answer, _schema: Schema) -> Answer:
    if answer.status == 0:
        return answer
    return replace(answer, message=f"{SYMBOLS[answer.status]}: {answer.message}")


NEWER = "Generation"
"""A property that CIM_ManagedElement has since CIM 2.45."""


def _older_schema(item: Any, _case: Case, _schema: Schema) -> Any:
    if "properties" not in item or item["path"]["ns"] != "root/interop":
        return item
    return {**item, "properties": [slot for slot in item["properties"] if slot[0] != NEWER]}


def _is_of_all_profiles(case: Case) -> bool:
    """Whether OpenPegasus asks its own provider of profiles too."""
    of_profile = case.path.classname.endswith("_RegisteredProfile")
    every = case.assoc_class is None or case.assoc_class.startswith("CIM_")
    return of_profile and every and case.namespace == "root/interop" and bool(case.path.keys)


OF_PEGASUS = (
    Row(
        "OpenPegasus' own provider of profiles, asked besides, refuses those of others",
        PEGASUSES,
        _when(
            lambda case: case.operation in ASSOCIATIONS and _is_of_all_profiles(case),
            1,
            lambda case: f"{case.path.classname} Class not supported by Interop Provider",
        ),
    ),
    Row(
        "OpenPegasus keeps its own schema, CIM 2.41, in the namespace of registrations",
        PEGASUSES,
        _each(_older_schema),
    ),
    Row(
        "OpenPegasus looks for namespaces itself",
        PEGASUSES,
        _when(lambda case: case.kind == "unknown namespace", 3, lambda case: case.namespace),
    ),
    Row(
        "OpenPegasus looks for classes itself",
        PEGASUSES,
        _when(
            _is_unknown(*OF_INSTANCES),
            5,
            lambda case: case.path.classname,
        ),
    ),
    Row(
        "OpenPegasus finds no such class to call a method of",
        PEGASUSES,
        _when(_is_unknown("InvokeMethod"), 6, lambda case: case.path.classname),
    ),
    Row(
        "a class that associations start from, or an association, is a parameter for OpenPegasus",
        PEGASUSES,
        _when(
            lambda case: case.assoc_class == UNKNOWN or _is_unknown(*ASSOCIATIONS)(case),
            4,
            lambda _case: UNKNOWN,
        ),
    ),
    Row(
        "OpenPegasus looks for the class of results itself",
        PEGASUSES,
        _when(lambda case: case.result_class == UNKNOWN, 5, lambda _case: UNKNOWN),
    ),
    Row(
        "OpenPegasus takes a text where a reference belongs for the name of a class",
        PEGASUSES,
        _text_for_reference,
    ),
    Row(
        "OpenPegasus looks for the class of a reference without namespace in no namespace",
        PEGASUSES,
        _short_reference,
    ),
    Row(
        "OpenPegasus asks no provider where no association leads away from a class",
        PEGASUSES,
        _association_source,
    ),
    Row(
        "OpenPegasus drops properties that the class lacks or has with another type",
        PEGASUSES,
        asks=_only_known_properties,
    ),
    Row(
        "OpenPegasus asks for methods only where the class is registered for them",
        PEGASUSES,
        _when(_without_method_provider, 16, lambda case: case.method),
    ),
    Row(
        "OpenPegasus doesn't say of a NULL array that it is of embedded instances",
        PEGASUSES,
        _each(_null_array_is_plain),
    ),
    Row("OpenPegasus puts the name of the status in front", PEGASUSES, _status_in_front),
)

# --- SFCB ----------------------------------------------------------------------------------------


def _empty_list_is_none(case: Case, _schema: Schema) -> Case:
    return replace(case, properties=None) if case.properties == () else case


def _without_wrong_types(case: Case, schema: Schema) -> Case:
    cls = _class(case, schema)
    if case.instance is None or cls is None:
        return case
    kept = {
        name: given
        for name, given in case.instance.values.items()
        if (declared := cls.by_name.get(name.lower())) is None or declared.type == given.type
    }
    return replace(case, instance=replace(case.instance, values=kept))


def _no_association(case: Case, answer: Answer, schema: Schema) -> Answer:
    if case.assoc_class is None or case.namespace not in schema.namespaces:
        return answer
    cls = schema.find(case.namespace, case.assoc_class)
    return answer if cls is None or cls.is_association else Answer()


def _is_elsewhere(case: Case, *, association: bool) -> bool:
    asked = case.operation in ASSOCIATIONS if association else case.operation in OF_INSTANCES
    return case.kind == "unknown namespace" and asked


NO_PROVIDER = "Provider not found or not loadable"


def _has_odd_role(case: Case) -> bool:
    of_profile = case.path.classname.endswith("_RegisteredProfile")
    return of_profile and case.kind == "unknown role" and case.operation in ASSOCIATIONS


OF_SFCB = (
    Row(
        "SFCB's own provider of the namespace of registrations, asked besides, knows its roles only",
        SFCBS,
        _when(
            _has_odd_role,
            1,
            lambda case: f"Invalid value for {'role' if case.role else 'resultRole'} .",
        ),
    ),
    Row(
        "SFCB looks for namespaces itself",
        SFCBS,
        _when(
            lambda case: _is_elsewhere(case, association=False),
            3,
            lambda _case: "Invalid namespace",
        ),
    ),
    Row(
        "SFCB has no provider for associations in a namespace that does not exist",
        SFCBS,
        _when(lambda case: _is_elsewhere(case, association=True), 6, lambda _case: NO_PROVIDER),
    ),
    Row(
        "SFCB looks for classes itself",
        SFCBS,
        _when(
            _is_unknown(*OF_INSTANCES, "InvokeMethod"),
            5,
            lambda _case: "Class not found",
        ),
    ),
    Row(
        "SFCB knows no association that leads away from a class that does not exist",
        SFCBS,
        _when(_is_unknown(*ASSOCIATIONS), 0),
    ),
    Row("SFCB asks nobody about a class that is no association", SFCBS, _no_association),
    Row("SFCB takes an empty property list for none", SFCBS, asks=_empty_list_is_none),
    Row("SFCB drops properties of another type", SFCBS, asks=_without_wrong_types),
    Row(
        "SFCB asks for methods only where the class is registered for them",
        SFCBS,
        _when(
            _without_method_provider, 7, lambda _case: "The requested operation is not supported"
        ),
    ),
    Row(
        "SFCB has no provider for an association that does not exist",
        SFCBS,
        _when(
            lambda case: case.assoc_class == UNKNOWN,
            6,
            lambda _case: NO_PROVIDER,
        ),
    ),
    Row(
        "SFCB does not look whether the class of results exists",
        SFCBS,
        _when(lambda case: case.result_class == UNKNOWN, 0),
    ),
)

DIFFERENCES: tuple[Row, ...] = (
    Row(
        "cmpi-bindings puts the keys into the property list, and SFCB leaves it at that",
        frozenset({SFCB_BINDINGS}),
        _each(_keys_too),
    ),
    Row("a CIM server asks for each subclass by itself", HOSTS, _exact_class),
    Row(
        "a CIM server has checked that a class exists; another provider may answer for it",
        HOSTS,
        _foreign_classes,
    ),
    Row(
        "a CIM server fills an instance up: keys always, the rest with NULL",
        HOSTS,
        _each(_filled),
    ),
    *OF_PEGASUS,
    *OF_SFCB,
    Row("answers of GetInstance have no path (DSP0201 5.4.5)", WIRE, _each(_no_path)),
)


def not_asked(front: Front, case: Case) -> bool:
    """Whether a case makes no sense to a front end.

    Paths without keys are classes to CIM servers: associations of classes they know by themselves.
    Where two providers of OpenPegasus fail, it tells either's error.
    """
    if front.name in PEGASUSES and case.kind.endswith(" key") and _is_of_all_profiles(case):
        return True
    if case.pulled and not front.pulls:
        return True
    return front.name in SERVERS and case.operation in ASSOCIATIONS and not case.path.keys


def expected(front: str, case: Case, ask: Callable[[Case], Answer], schema: Schema) -> Answer:
    """What a front end answers, given what the broker does (`ask`)."""
    asked = case
    for row in _rows(front):
        asked = row.asks(asked, schema)
    answer = ask(asked)
    for row in _rows(front):
        answer = row.becomes(case, answer, schema)
    return answer


def met(front: str, case: Case, ask: Callable[[Case], Answer], schema: Schema) -> set[str]:
    """Reasons of the rows that make a difference to a case."""
    found, asked = set(), case
    for row in _rows(front):
        before, asked = asked, row.asks(asked, schema)
        if asked != before and unlike(ask(asked), ask(before)):
            found.add(row.reason)
    answer = ask(asked)
    for row in _rows(front):
        first, answer = answer, row.becomes(case, answer, schema)
        if unlike(first, answer):
            found.add(row.reason)
    return found


def _rows(front: str) -> Iterator[Row]:
    return (row for row in DIFFERENCES if front in row.fronts)
