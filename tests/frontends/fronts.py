# SPDX-License-Identifier: LGPL-2.1-or-later
"""The front ends, each asked for the same cases and answering in the same form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import pywbem

from libvirtcim.cim.broker import Broker
from libvirtcim.cim.errors import CIMError
from libvirtcim.cim.objects import Given, GivenInstance, InstancePath
from libvirtcim.cim.schema import Schema
from tests.cmpi.driver import Answer as HostAnswer
from tests.cmpi.driver import Host, sent_path
from tests.frontends.answers import RETURN, Answer, Normal
from tests.frontends.cases import CONTEXT, Case

PART = 7
"""Objects fetched with one Pull… operation."""
WIRE_SECONDS = 60
"""How long an operation over HTTP may take."""
PER_CONNECTION = 500
"""Cases asked over one connection: SFCB's process for it leaks descriptors, and hangs when it has no more."""


class Front(Protocol):
    """A front end."""

    name: str
    pulls: bool
    """Whether operations that fetch an answer in parts can be asked for."""

    def ask(self, case: Case) -> Answer:
        """Carries out the case."""


class BrokerFront:
    """The reference: the broker in this process, what every front end should say."""

    name = "broker"
    pulls = True

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._normal = Normal(broker)

    def ask(self, case: Case) -> Answer:
        call: Callable[[Case], Iterable[Any]] = getattr(self, f"_{case.operation}")
        try:
            return Answer(items=tuple(call(case)))
        except CIMError as error:
            return Answer(error.status, error.message)

    def _EnumerateInstances(self, case: Case) -> Iterator[Any]:
        rows = self.broker.enumerate_instances(
            CONTEXT, case.namespace, case.path.classname, case.properties
        )
        return map(self._normal.shown, rows)

    def _EnumerateInstanceNames(self, case: Case) -> Iterator[Any]:
        paths = self.broker.enumerate_instance_names(CONTEXT, case.namespace, case.path.classname)
        return map(self._normal.path, paths)

    def _GetInstance(self, case: Case) -> Iterator[Any]:
        yield self._normal.shown(self.broker.get_instance(CONTEXT, case.path, case.properties))

    def _CreateInstance(self, case: Case) -> Iterator[Any]:
        assert case.instance is not None
        yield self._normal.path(self.broker.create_instance(CONTEXT, case.namespace, case.instance))

    def _ModifyInstance(self, case: Case) -> Iterable[Any]:
        assert case.instance is not None
        self.broker.modify_instance(CONTEXT, case.path, case.instance, case.properties)
        return ()

    def _DeleteInstance(self, case: Case) -> Iterable[Any]:
        self.broker.delete_instance(CONTEXT, case.path)
        return ()

    def _Associators(self, case: Case) -> Iterator[Any]:
        rows = self.broker.associators(
            CONTEXT, case.path, case.assoc_class, case.result_class, case.role, case.result_role,
            case.properties,
        )  # fmt: skip
        return map(self._normal.shown, rows)

    def _AssociatorNames(self, case: Case) -> Iterator[Any]:
        paths = self.broker.associator_names(
            CONTEXT, case.path, case.assoc_class, case.result_class, case.role, case.result_role
        )
        return map(self._normal.path, paths)

    def _References(self, case: Case) -> Iterator[Any]:
        rows = self.broker.references(
            CONTEXT, case.path, case.assoc_class, case.role, case.properties
        )
        return map(self._normal.shown, rows)

    def _ReferenceNames(self, case: Case) -> Iterator[Any]:
        paths = self.broker.reference_names(CONTEXT, case.path, case.assoc_class, case.role)
        return map(self._normal.path, paths)

    def _InvokeMethod(self, case: Case) -> Iterator[Any]:
        value, outputs = self.broker.invoke_method(CONTEXT, case.path, case.method, case.arguments)
        declared = self.broker.schema.get(case.namespace, case.path.classname).method(case.method)
        assert declared is not None
        if value is not None:
            yield [RETURN, declared.type, self._normal.value(value, declared.type, case.namespace)]
        for parameter in declared.parameters:
            if parameter.name in outputs:
                shown = self._normal.value(outputs[parameter.name], parameter.type, case.namespace)
                yield [parameter.name, parameter.type, shown]


class CmpiFront:
    """A library in the CMPI host. What a broker must refuse or would report fails the case."""

    pulls = False
    OPERATIONS = {
        "EnumerateInstances": "enumerateInstances",
        "EnumerateInstanceNames": "enumerateInstanceNames",
        "GetInstance": "getInstance",
        "CreateInstance": "createInstance",
        "ModifyInstance": "modifyInstance",
        "DeleteInstance": "deleteInstance",
        "Associators": "associators",
        "AssociatorNames": "associatorNames",
        "References": "references",
        "ReferenceNames": "referenceNames",
        "InvokeMethod": "invokeMethod",
    }

    def __init__(self, name: str, host: Host) -> None:
        self.name = name
        self.host = host

    def ask(self, case: Case) -> Answer:
        found = self.host.call(self.OPERATIONS[case.operation], case.path, **self._arguments(case))
        assert found.violations == [], found.violations
        assert found.different == 0
        return Answer(found.rc, found.message, tuple(self._items(case, found)))

    @staticmethod
    def _arguments(case: Case) -> dict[str, Any]:
        if case.operation in ("EnumerateInstances", "GetInstance"):
            return {"properties": _list(case.properties)}
        if case.operation in ("Associators", "AssociatorNames"):
            return {
                "assocClass": case.assoc_class, "resultClass": case.result_class,
                "role": case.role, "resultRole": case.result_role,
                "properties": _list(case.properties),
            }  # fmt: skip
        if case.operation in ("References", "ReferenceNames"):
            return {
                "resultClass": case.assoc_class, "role": case.role,
                "properties": _list(case.properties),
            }  # fmt: skip
        if case.operation == "InvokeMethod":
            args = [[name, given.type, given.value] for name, given in case.arguments.items()]
            return {"method": case.method, "args": args}
        if case.instance is not None:
            sent = [
                [name, given.type, _sent_value(given.value)]
                for name, given in case.instance.values.items()
            ]
            instance = {"class": case.instance.classname, "properties": sent}
            return {"instance": instance, "properties": _list(case.properties)}
        return {}

    @staticmethod
    def _items(case: Case, found: HostAnswer) -> Iterator[Any]:
        if case.operation == "InvokeMethod":
            yield from ([RETURN, *value] for value in found.results)
            yield from found.out
        else:
            yield from found.results


def _sent_value(value: Any) -> Any:
    return sent_path(value) if isinstance(value, InstancePath) else value


def _list(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else list(names)


class WireFront:
    """A server behind HTTP, through pywbem."""

    def __init__(self, name: str, url: str, schema: Schema, *, pulls: bool = True) -> None:
        self.name = name
        self.pulls = pulls
        self.schema = schema
        self._url = url
        self._asked = 0
        self.connection = self._connected()

    def _connected(self) -> pywbem.WBEMConnection:
        return pywbem.WBEMConnection(self._url, timeout=WIRE_SECONDS)

    def knows(self, namespace: str, classname: str) -> bool:
        """Whether the server's schema has a class."""
        try:
            self.connection.GetClass(classname, namespace=namespace)
        except pywbem.CIMError:
            return False
        return True

    def ask(self, case: Case) -> Answer:
        call: Callable[[Case], Iterable[Any]] = getattr(self, f"_{case.operation}")
        self._asked += 1
        if self._asked % PER_CONNECTION == 0:
            self.connection.close()
            self.connection = self._connected()
        try:
            return Answer(items=tuple(call(case)))
        except pywbem.CIMError as error:
            return Answer(error.status_code, error.status_description)

    def _EnumerateInstances(self, case: Case) -> Iterator[Any]:
        given = {"namespace": case.namespace, "PropertyList": _list(case.properties)}
        name = case.path.classname
        if case.pulled:
            rows = self._instances(self.connection.OpenEnumerateInstances(
                name, MaxObjectCount=PART, **given
            ))  # fmt: skip
        else:
            rows = self.connection.EnumerateInstances(name, **given)
        return (self._instance(row, case) for row in rows)

    def _EnumerateInstanceNames(self, case: Case) -> Iterator[Any]:
        name = case.path.classname
        if case.pulled:
            paths = self._paths(self.connection.OpenEnumerateInstancePaths(
                name, namespace=case.namespace, MaxObjectCount=PART
            ))  # fmt: skip
        else:
            paths = self.connection.EnumerateInstanceNames(name, namespace=case.namespace)
        return (self._path(path, case.namespace) for path in paths)

    def _GetInstance(self, case: Case) -> Iterator[Any]:
        found = self.connection.GetInstance(
            self._sent(case.path), PropertyList=_list(case.properties)
        )
        found.path = None  # pywbem's own: the answer has none
        yield self._instance(found, case)

    def _CreateInstance(self, case: Case) -> Iterator[Any]:
        made = self.connection.CreateInstance(self._given(case), namespace=case.namespace)
        yield self._path(made, case.namespace)

    def _ModifyInstance(self, case: Case) -> Iterable[Any]:
        self.connection.ModifyInstance(self._given(case), PropertyList=_list(case.properties))
        return ()

    def _DeleteInstance(self, case: Case) -> Iterable[Any]:
        self.connection.DeleteInstance(self._sent(case.path))
        return ()

    def _Associators(self, case: Case) -> Iterator[Any]:
        given = {**self._filters(case), "PropertyList": _list(case.properties)}
        source = self._sent(case.path)
        if case.pulled:
            rows = self._instances(self.connection.OpenAssociatorInstances(
                source, MaxObjectCount=PART, **given
            ))  # fmt: skip
        else:
            rows = self.connection.Associators(source, **given)
        return (self._instance(row, case) for row in rows)

    def _AssociatorNames(self, case: Case) -> Iterator[Any]:
        source = self._sent(case.path)
        if case.pulled:
            paths = self._paths(self.connection.OpenAssociatorInstancePaths(
                source, MaxObjectCount=PART, **self._filters(case)
            ))  # fmt: skip
        else:
            paths = self.connection.AssociatorNames(source, **self._filters(case))
        return (self._path(path, case.namespace) for path in paths)

    def _References(self, case: Case) -> Iterator[Any]:
        given = {
            "ResultClass": case.assoc_class, "Role": case.role,
            "PropertyList": _list(case.properties),
        }  # fmt: skip
        source = self._sent(case.path)
        if case.pulled:
            rows = self._instances(self.connection.OpenReferenceInstances(
                source, MaxObjectCount=PART, **given
            ))  # fmt: skip
        else:
            rows = self.connection.References(source, **given)
        return (self._instance(row, case) for row in rows)

    def _ReferenceNames(self, case: Case) -> Iterator[Any]:
        given = {"ResultClass": case.assoc_class, "Role": case.role}
        source = self._sent(case.path)
        if case.pulled:
            paths = self._paths(self.connection.OpenReferenceInstancePaths(
                source, MaxObjectCount=PART, **given
            ))  # fmt: skip
        else:
            paths = self.connection.ReferenceNames(source, **given)
        return (self._path(path, case.namespace) for path in paths)

    def _InvokeMethod(self, case: Case) -> Iterator[Any]:
        target = self._sent(case.path)
        if not case.path.keys:
            target = pywbem.CIMClassName(case.path.classname, namespace=case.namespace)
        arguments = [
            pywbem.CIMParameter(name, given.type, value=self._typed(given))
            for name, given in case.arguments.items()
        ]
        value, outputs = self.connection.InvokeMethod(case.method, target, arguments)
        if value is not None:
            yield [RETURN, pywbem.cimtype(value), self._value(value, case.namespace)]
        for name, output in outputs.items():
            if output is not None:
                yield [name, pywbem.cimtype(output), self._value(output, case.namespace)]

    def _instances(self, opened: Any) -> Iterator[pywbem.CIMInstance]:
        return self._pulled(opened, "instances", self.connection.PullInstancesWithPath)

    def _paths(self, opened: Any) -> Iterator[pywbem.CIMInstanceName]:
        return self._pulled(opened, "paths", self.connection.PullInstancePaths)

    @staticmethod
    def _pulled(answer: Any, what: str, pull: Callable[..., Any]) -> Iterator[Any]:
        yield from getattr(answer, what)
        while not answer.eos:
            answer = pull(answer.context, MaxObjectCount=PART)
            yield from getattr(answer, what)

    # --- what is sent

    @staticmethod
    def _filters(case: Case) -> dict[str, str | None]:
        return {
            "AssocClass": case.assoc_class, "ResultClass": case.result_class,
            "Role": case.role, "ResultRole": case.result_role,
        }  # fmt: skip

    def _sent(self, path: InstancePath) -> pywbem.CIMInstanceName:
        keys = [
            (name, self._sent(value) if isinstance(value, InstancePath) else value)
            for name, value in path.keys
        ]
        return pywbem.CIMInstanceName(path.classname, keys, namespace=path.namespace)

    def _given(self, case: Case) -> pywbem.CIMInstance:
        assert isinstance(case.instance, GivenInstance)
        properties = [
            pywbem.CIMProperty(name, self._typed(given), type=given.type)
            for name, given in case.instance.values.items()
        ]
        made = pywbem.CIMInstance(case.instance.classname, properties)
        made.path = self._sent(case.path)
        return made

    def _typed(self, given: Given) -> Any:
        if isinstance(given.value, InstancePath):
            return self._sent(given.value)
        return None if given.value is None else pywbem.cimvalue(given.value, given.type)

    # --- what comes back

    def _path(self, path: pywbem.CIMInstanceName, namespace: str) -> Any:
        namespace = path.namespace or namespace
        cls = self.schema.find(namespace, path.classname)
        types = {} if cls is None else {p.name.lower(): p.type for p in cls.properties}
        return {
            "ns": namespace,
            "class": path.classname,
            "keys": [
                [name, types.get(name.lower(), "undeclared"), self._value(value, namespace)]
                for name, value in path.keybindings.items()
            ],
        }

    def _instance(self, row: pywbem.CIMInstance, case: Case) -> Any:
        slots = [
            [p.name, _type_name(p), self._value(p.value, case.namespace)]
            for p in row.properties.values()
        ]
        path = None if row.path is None else self._path(row.path, case.namespace)
        return {"path": path, "properties": slots}

    def _value(self, value: Any, namespace: str) -> Any:
        if isinstance(value, list):
            return [self._value(v, namespace) for v in value]
        if isinstance(value, pywbem.CIMInstanceName):
            return self._path(value, namespace)
        if isinstance(value, pywbem.CIMInstance):
            slots = [
                [p.name, _type_name(p), self._value(p.value, namespace)]
                for p in value.properties.values()
            ]
            return {
                "path": {"ns": namespace, "class": value.classname, "keys": []},
                "properties": slots,
            }
        if isinstance(value, pywbem.Char16):
            return ord(value)
        if isinstance(value, pywbem.CIMDateTime):
            return str(value)
        if isinstance(value, pywbem.CIMInt):
            return int(value)
        return float(value) if isinstance(value, pywbem.CIMFloat) else value


def _type_name(prop: pywbem.CIMProperty) -> str:
    base = "instance" if prop.embedded_object else prop.type
    return f"{base}[]" if prop.is_array else base
