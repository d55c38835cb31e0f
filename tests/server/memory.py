# SPDX-License-Identifier: LGPL-2.1-or-later
"""A broker over instances in memory: every CIM type, references, embedded instances, methods.

Instances, methods and checks go through the real `Broker`; only associations are worked out here, from
the reference properties of `TST_Link`.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from libvirtcim.cim import errors
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import (
    Given,
    GivenInstance,
    Instance,
    InstancePath,
    RequestContext,
    Value,
)
from libvirtcim.cim.provider import InstanceProvider, MethodHandler, ProviderRequest
from libvirtcim.cim.schema import (
    LocalClass,
    MethodInfo,
    ParameterInfo,
    PropertyInfo,
    QualifierType,
    Schema,
)

VIRT, INTEROP = "root/virt", "root/interop"
BOTH = (VIRT, INTEROP)

INTEGER_TYPES = tuple(f"{sign}int{bits}" for sign in "us" for bits in (8, 16, 32, 64))
SCALAR_TYPES = (*INTEGER_TYPES, "real32", "real64", "string", "boolean", "char16", "datetime")

QUALIFIER_TYPES = (
    QualifierType("Key", "boolean", default=False, scopes=("PROPERTY", "REFERENCE"),
                  overridable=False),
    QualifierType("Association", "boolean", default=False, scopes=("ASSOCIATION",),
                  overridable=False),
    QualifierType("Indication", "boolean", default=False, scopes=("CLASS", "INDICATION"),
                  overridable=False),
    QualifierType("Abstract", "boolean", default=False, scopes=("CLASS", "ASSOCIATION"),
                  tosubclass=False),
    QualifierType("Description", "string", translatable=True),
    QualifierType("Version", "string", tosubclass=False, translatable=True),
    QualifierType("ValueMap", "string", array=True, scopes=("PROPERTY", "METHOD", "PARAMETER")),
    QualifierType("Values", "string", array=True, scopes=("PROPERTY", "METHOD", "PARAMETER"),
                  translatable=True),
    QualifierType("MaxLen", "uint32", scopes=("PROPERTY", "METHOD", "PARAMETER")),
    QualifierType("In", "boolean", default=True, scopes=("PARAMETER",), overridable=False),
    QualifierType("Out", "boolean", default=False, scopes=("PARAMETER",), overridable=False),
    QualifierType("Required", "boolean", default=False, scopes=("PROPERTY", "METHOD")),
    QualifierType("EmbeddedInstance", "string", scopes=("PROPERTY", "METHOD", "PARAMETER")),
    QualifierType("EmbeddedObject", "boolean", default=False,
                  scopes=("PROPERTY", "METHOD", "PARAMETER")),
)  # fmt: skip


def prop(name: str, cim_type: str = "string", **more: Any) -> PropertyInfo:
    return PropertyInfo(name, cim_type, **more)


def parameter(name: str, cim_type: str = "string", **more: Any) -> ParameterInfo:
    return ParameterInfo(name, cim_type, **more)


def out(name: str, cim_type: str = "string", **more: Any) -> ParameterInfo:
    return ParameterInfo(name, cim_type, is_in=False, is_out=True, **more)


METHODS = (
    MethodInfo("Echo", "uint32", (
        *(parameter(f"In_{t}", t) for t in SCALAR_TYPES),
        *(parameter(f"InArray_{t}", t, array=True) for t in SCALAR_TYPES),
        parameter("In_reference", "reference", reference_class="TST_Thing"),
        parameter("InArray_reference", "reference", reference_class="TST_Thing", array=True),
        parameter("In_embedded", embedded="TST_Detail"),
        parameter("InArray_embedded", embedded="TST_Detail", array=True),
        *(out(f"Out_{t}", t) for t in SCALAR_TYPES),
        *(out(f"OutArray_{t}", t, array=True) for t in SCALAR_TYPES),
        out("Out_reference", "reference", reference_class="TST_Thing"),
        out("OutArray_reference", "reference", reference_class="TST_Thing", array=True),
        out("Out_embedded", embedded="TST_Detail"),
        out("OutArray_embedded", embedded="TST_Detail", array=True),
    ), {"Description": "Gives back what it is given."}),
    MethodInfo("Nothing", "string", (parameter("Text"),)),
    MethodInfo("Demanding", "uint32", (parameter("Text", required=True),)),
    MethodInfo("Crash", "uint32"),
    MethodInfo("Wait", "uint32"),
    MethodInfo("NotThere", "uint32"),
    MethodInfo("Details", "uint32", (
        out("One", embedded="TST_Detail"),
        out("Many", embedded="TST_Detail", array=True),
        out("Things", "reference", array=True, reference_class="TST_Thing"),
    )),
)  # fmt: skip

CLASSES = (
    LocalClass("CIM_ManagedElement", None, (
        prop("InstanceID", qualifiers={"MaxLen": 64}),
        prop("ElementName", qualifiers={"Description": "A <name> & \"more\"\nof it"}),
    ), qualifiers={"Abstract": True, "Version": "2.19.0"}, namespaces=BOTH),
    LocalClass("TST_Thing", "CIM_ManagedElement", (
        prop("Name", key=True),
        prop("Num", "uint32", qualifiers={"ValueMap": ["0", "1"], "Values": ["Zero", "One"]}),
        prop("Flag", "boolean"),
        prop("List", array=True),
        prop("State", "uint16", default=2),
    ), METHODS, {"Description": "A thing"}, (VIRT,)),
    LocalClass("TST_SubThing", "TST_Thing", (
        prop("Extra", "uint64"), prop("ElementName", qualifiers={"Description": "Another"}),
    ), namespaces=(VIRT,)),
    LocalClass("TST_Detail", "CIM_ManagedElement", (
        prop("Size", "uint64"), prop("Tags", array=True),
        prop("Inner", embedded="TST_Detail"),
    ), namespaces=(VIRT,)),
    LocalClass("TST_All", "CIM_ManagedElement", (
        prop("InstanceID", key=True),
        *(prop(f"P_{t}", t) for t in SCALAR_TYPES),
        *(prop(f"A_{t}", t, array=True) for t in SCALAR_TYPES),
        prop("P_reference", "reference", reference_class="TST_Thing"),
        prop("P_embedded", embedded="TST_Detail"),
        prop("P_object", embedded=""),
        prop("A_embedded", embedded="TST_Detail", array=True),
    ), namespaces=(VIRT,)),
    LocalClass("TST_Keys", None, (
        prop("S", key=True), prop("I", "sint32", key=True), prop("B", "boolean", key=True),
        prop("D", "datetime", key=True),
    ), namespaces=(VIRT,)),
    LocalClass("TST_Link", None, (
        prop("Antecedent", "reference", key=True, reference_class="TST_Thing"),
        prop("Dependent", "reference", key=True, reference_class="CIM_ManagedElement"),
        prop("Note"),
    ), qualifiers={"Association": True}, namespaces=(VIRT,)),
    LocalClass("TST_ReadOnly", None, (prop("Name", key=True),), namespaces=(VIRT,)),
    LocalClass("CIM_Namespace", "CIM_ManagedElement", (prop("Name", key=True),),
               namespaces=(INTEROP,)),
    LocalClass("CIM_ObjectManager", "CIM_ManagedElement", (
        prop("Name", key=True), prop("SystemName"), prop("Description"),
    ), namespaces=(INTEROP,)),
    LocalClass("CIM_RegisteredProfile", "CIM_ManagedElement", (
        prop("InstanceID", key=True),
        prop("RegisteredOrganization", "uint16",
             qualifiers={"ValueMap": ["2", "11"], "Values": ["DMTF", "SNIA"]}),
        prop("RegisteredName"), prop("RegisteredVersion"),
    ), namespaces=(INTEROP,)),
    *(LocalClass(f"CIM_{name}", None, (
        prop("CreationClassName", key=True), prop("Name", key=True),
        prop("SystemCreationClassName", key=True), prop("SystemName", key=True),
        prop("Destination"), prop("PersistenceType", "uint16"), prop("Protocol", "uint16"),
        prop("Query"), prop("QueryLanguage"), prop("SourceNamespaces", array=True),
        prop("SourceNamespace"), prop("IndividualSubscriptionSupported", "boolean"),
    ), namespaces=(INTEROP,)) for name in ("ListenerDestinationCIMXML", "IndicationFilter")),
    LocalClass("CIM_IndicationSubscription", None, (
        prop("Filter", "reference", key=True, reference_class="CIM_IndicationFilter"),
        prop("Handler", "reference", key=True, reference_class="CIM_ListenerDestinationCIMXML"),
        prop("OnFatalErrorPolicy", "uint16"),
    ), qualifiers={"Association": True}, namespaces=(INTEROP,)),
)  # fmt: skip

SERVED = tuple(
    c.name for c in CLASSES if c.name not in ("CIM_ManagedElement", "TST_Detail", "TST_ReadOnly")
)

Row = dict[str, Any]


class MemoryProvider(InstanceProvider[Row]):
    """Rows of one class."""

    def __init__(self, broker: MemoryBroker, classname: str, names: list[str]) -> None:
        self.classes = (classname,)
        self.columns = {name: operator.methodcaller("get", name) for name in names}
        self._broker = broker

    def _kept(self) -> list[Row]:
        return self._broker.rows.setdefault(self.classes[0], [])

    def _rows(self) -> list[Row]:
        """A copy, since others may add and remove meanwhile."""
        return list(self._kept())

    def items(self, request: ProviderRequest) -> list[Row]:
        self._broker.before(request)
        return self._rows()

    def find(self, request: ProviderRequest, path: InstancePath) -> Row:
        for row in self._rows():
            if all(_same(row.get(k.name), path.get(k.name)) for k in request.cls.keys):
                return row
        raise errors.NotFound(f"No such instance: {path}")

    def create(self, request: ProviderRequest, instance: GivenInstance) -> InstancePath:
        row = {name: given.value for name, given in instance.values.items()}
        path = InstancePath(
            request.cls.name, tuple((k.name, row[k.name]) for k in request.cls.keys),
            request.namespace,
        )  # fmt: skip
        for existing in self._rows():
            if all(_same(existing.get(name), value) for name, value in path.keys):
                raise errors.AlreadyExists(f"{path} exists")
        self._kept().append(row)
        return path

    def modify(
        self, request: ProviderRequest, path: InstancePath, values: Mapping[str, Value]
    ) -> None:
        self.find(request, path).update(values)

    def delete(self, request: ProviderRequest, path: InstancePath) -> None:
        self._kept().remove(self.find(request, path))

    @property
    def methods(self) -> Mapping[str, MethodHandler]:
        return self._broker.handlers if self.classes[0] in ("TST_Thing", "TST_SubThing") else {}


def _same(mine: Any, given: Any) -> bool:
    if isinstance(mine, InstancePath) and isinstance(given, InstancePath):
        return mine.classname.lower() == given.classname.lower() and all(
            str(value) == str(given.get(name)) for name, value in mine.keys
        )
    return bool(mine == given)


class MemoryBroker(Broker):
    """See the module."""

    def __init__(self) -> None:
        schema = Schema(CLASSES, QUALIFIER_TYPES, (VIRT, INTEROP, "root/cimv2"))
        self.rows: dict[str, list[Row]] = {}
        self.contexts: list[RequestContext] = []
        self.gate = threading.Event()
        self.waiting = threading.Semaphore(0)
        self.handlers = {
            "Echo": MethodHandler(self._echo),
            "Nothing": MethodHandler(lambda _r, _p, _a: (None, {})),
            "Demanding": MethodHandler(lambda _r, _p, _a: (0, {})),
            "Crash": MethodHandler(self._crash),
            "Wait": MethodHandler(self._wait),
            "Details": MethodHandler(self._details),
        }
        providers: list[InstanceProvider[Any]] = []
        for name in SERVED:
            namespace = next(c.namespaces[0] for c in CLASSES if c.name == name)
            names = [p.name for p in schema.get(namespace, name).properties]
            providers.append(MemoryProvider(self, name, names))
        super().__init__(schema, providers)

    def before(self, request: ProviderRequest) -> None:
        """Called before an enumeration; notes who asks."""
        self.contexts.append(request.context)
        del self.contexts[:-10]

    def detail(self, **values: Any) -> Instance:
        return Instance(self.schema.get(VIRT, "TST_Detail"), None, values)

    def _echo(
        self, request: ProviderRequest, _path: InstancePath, arguments: Mapping[str, Value]
    ) -> tuple[Value, dict[str, Value]]:
        outputs = {}
        for name, value in arguments.items():
            outputs["Out" + name.removeprefix("In")] = value
        return len(outputs), outputs

    @staticmethod
    def _crash(*_args: Any) -> tuple[Value, dict[str, Value]]:
        raise RuntimeError("secret in a traceback")

    def _wait(self, *_args: Any) -> tuple[Value, dict[str, Value]]:
        self.waiting.release()
        if not self.gate.wait(20):
            raise RuntimeError("nobody opened the gate")
        return 0, {}

    def _details(self, *_args: Any) -> tuple[Value, dict[str, Value]]:
        inner = self.detail(Size=1, Tags=["<&>", None])
        paths = list(self.enumerate_instance_names(RequestContext(), VIRT, "TST_Thing"))
        return 0, {
            "One": self.detail(Size=2**40, Inner=inner),
            "Many": [inner, self.detail()],
            "Things": paths,
        }

    # --- associations, from the rows of TST_Link ---------------------------------------------

    def references(
        self,
        context: RequestContext,
        path: InstancePath,
        result_class: str | None = None,
        role: str | None = None,
        properties: Collection[str] | None = None,
    ) -> Iterator[Instance]:
        return iter([row for row, _ in self._links(context, path, result_class, role, properties)])

    def reference_names(
        self,
        context: RequestContext,
        path: InstancePath,
        result_class: str | None = None,
        role: str | None = None,
    ) -> Iterator[InstancePath]:
        for row in self.references(context, path, result_class, role):
            assert row.path is not None
            yield row.path

    def associators(
        self,
        context: RequestContext,
        path: InstancePath,
        assoc_class: str | None = None,
        result_class: str | None = None,
        role: str | None = None,
        result_role: str | None = None,
        properties: Collection[str] | None = None,
    ) -> Iterator[Instance]:
        paths = self.associator_names(context, path, assoc_class, result_class, role, result_role)
        return iter([self.get_instance(context, p, properties) for p in paths])

    def associator_names(
        self,
        context: RequestContext,
        path: InstancePath,
        assoc_class: str | None = None,
        result_class: str | None = None,
        role: str | None = None,
        result_role: str | None = None,
    ) -> Iterator[InstancePath]:
        if result_class is not None:
            self.schema.get(path.namespace or "", result_class)
        found = []
        for row, near in self._links(context, path, assoc_class, role, None):
            for name in {"Antecedent", "Dependent"} - {near}:
                target = row[name]
                if result_role and result_role.lower() != name.lower():
                    continue
                cls = self.schema.get(VIRT, target.classname)
                if result_class is None or cls.is_a(result_class):
                    found.append(target.at(VIRT))
        return iter(found)

    def _links(
        self,
        context: RequestContext,
        path: InstancePath,
        result_class: str | None,
        role: str | None,
        properties: Collection[str] | None,
    ) -> list[tuple[Instance, str]]:
        source = self.get_instance(context, path, ()).path
        if result_class is not None:
            self.schema.get(path.namespace or "", result_class)
        return [
            (row, name)
            for row in self.enumerate_instances(context, VIRT, "TST_Link", properties)
            for name in ("Antecedent", "Dependent")
            if _same(row[name] or (row.path and row.path.get(name)), source)
            and (not role or role.lower() == name.lower())
            and (result_class is None or row.cls.is_a(result_class))
        ]


def thing(name: str, classname: str = "TST_Thing") -> InstancePath:
    return InstancePath(classname, (("Name", name),), VIRT)


def filled() -> MemoryBroker:
    """A broker with a little of everything."""
    broker = MemoryBroker()
    rows = broker.rows
    rows["TST_Thing"] = [
        {"Name": "a", "Num": 1, "Flag": True, "List": ["x", "<&>\"'", ""], "State": 2},
        {"Name": "b", "Num": None, "Flag": False, "List": []},
        {"Name": 'q"\\<&>, =é日本', "ElementName": "tab\tline\nend", "List": ["one", None]},
    ]
    rows["TST_SubThing"] = [{"Name": "sub", "Extra": 2**64 - 1}]
    rows["TST_Link"] = [
        {"Antecedent": thing("a"), "Dependent": thing("b"), "Note": "first"},
        {"Antecedent": thing("a"), "Dependent": thing("sub", "TST_SubThing")},
    ]
    rows["TST_Keys"] = [{"S": "k", "I": -5, "B": True, "D": "20260102030405.000000+060"}]
    detail = broker.detail(Size=7, Tags=["t", None], InstanceID="d&1")
    rows["TST_All"] = [
        {"InstanceID": "empty"},
        {
            "InstanceID": "full",
            **{f"P_{t}": 1 for t in INTEGER_TYPES},
            **{f"A_{t}": [0, 1] for t in INTEGER_TYPES},
            "P_real32": 1.5, "P_real64": 1e300, "A_real32": [0.0, -2.5], "A_real64": [],
            "P_string": "<a href=\"x\">&amp;</a>", "A_string": ["", "é", None],
            "P_boolean": False, "A_boolean": [True, False],
            "P_char16": "&", "A_char16": ["a", "日"],
            "P_datetime": "20260102030405.000000+060",
            "A_datetime": ["00000001020304.000005:000"],
            "P_reference": thing("a"),
            "P_embedded": detail, "P_object": detail,
        },
    ]  # fmt: skip
    rows["CIM_Namespace"] = [{"Name": n} for n in broker.schema.namespaces]
    rows["CIM_ObjectManager"] = [
        {
            "Name": "om",
            "ElementName": "Test",
            "SystemName": "host",
            "Description": "Test Version 1.2",
        }
    ]
    return broker


def given(**values: Any) -> dict[str, Given]:
    return {name: Given(value) for name, value in values.items()}
