# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every CIM type in both directions, through a plugin that serves a broker in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from libvirtcim.cim.objects import Given, InstancePath, RequestContext
from libvirtcim.cim.schema import INTEGER_RANGES
from tests.cmpi.conftest import Plugin
from tests.cmpi.driver import Answer, Expected, Host, outcome, request, type_name
from tests.server.memory import INTEROP, SCALAR_TYPES, VIRT, MemoryBroker, filled, thing

pytestmark = pytest.mark.xdist_group("cmpi")

CONTEXT = RequestContext()

AT_START = """
import logging
from libvirtcim.cim.provider import MethodHandler
from libvirtcim.cmpi import loader
from tests.server.memory import filled

class Nothing:
    def close(self):
        pass

class Service(loader.Service):
    def __init__(self, file):
        logging.basicConfig()
        self.hosts = Nothing()
        self.broker = filled()
        self.broker.handlers["Nothing"] = MethodHandler(lambda r, _p, _a: (r.context.user, {}))
        rows = self.broker.rows
        rows["CIM_ObjectManager"] = [{"Name": "x", "Description": "a\\x01b"}]
        rows["CIM_RegisteredProfile"] = [{"InstanceID": "x", "RegisteredOrganization": 70000}]
        rows["CIM_Namespace"] = [{"Name": 5}]
        keys = ("CreationClassName", "SystemCreationClassName", "SystemName", "Name")
        listeners = [dict.fromkeys(keys, str(i)) for i in range(700)]
        rows["CIM_ListenerDestinationCIMXML"] = [*listeners, dict.fromkeys(keys, 5)]

loader.Service = Service
"""

MANY = 1000
"""Instances that take more than one batch."""


@pytest.fixture(scope="module")
def memory() -> MemoryBroker:
    return filled()


@pytest.fixture(scope="module")
def memory_host(
    checked_program: Path,
    checked_plugin: Plugin,
    environment: Callable[[str, bool], str],
    memory: MemoryBroker,
) -> Iterator[Host]:
    library = checked_plugin("/nonexistent", environment(AT_START, True))
    with Host(checked_program, library) as host:
        for namespace in (VIRT, INTEROP):
            host.declare(memory.schema.subclasses(namespace, None, deep=True))
        yield host


def good(answer: Answer) -> Answer:
    assert (answer.rc, answer.message, answer.violations) == (0, None, [])
    return answer


@pytest.mark.parametrize("op", ["enumerateInstances", "enumerateInstanceNames"])
def test_many(memory_host: Host, op: str) -> None:
    """More than are sent at once; created through the plugin, gone again in the end."""
    cls = InstancePath("CIM_IndicationFilter", (), INTEROP)
    keys = ("CreationClassName", "SystemCreationClassName", "SystemName")
    paths = []
    for number in range(MANY):
        values = {**dict.fromkeys(keys, "x"), "Name": f"filter {number}"}
        paths.append(InstancePath(cls.classname, tuple(values.items()), INTEROP))
    sent = [
        request("createInstance", cls, instance={
            "class": cls.classname, "properties": [[n, "string", v] for n, v in path.keys],
        })
        for path in paths
    ]  # fmt: skip
    for start in range(0, MANY, 100):
        for answer in memory_host.together(sent[start : start + 100]):
            good(answer)
    found = good(memory_host.call(op, cls)).results
    names = {
        next(v for n, _t, v in item.get("path", item)["keys"] if n == "Name") for item in found
    }
    assert len(found) == MANY and names == {f"filter {number}" for number in range(MANY)}
    for start in range(0, MANY, 100):
        removed = [request("deleteInstance", path) for path in paths[start : start + 100]]
        for answer in memory_host.together(removed):
            good(answer)
    assert good(memory_host.call(op, cls)).results == []


@pytest.mark.parametrize(
    "classname", ["TST_All", "TST_Thing", "TST_SubThing", "TST_Keys", "TST_Link"]
)
@pytest.mark.parametrize("wanted", [None, [], ["name", "P_uint64", "A_string", "Note"]])
def test_out(
    memory_host: Host, memory: MemoryBroker, classname: str, wanted: list[str] | None
) -> None:
    shown = Expected(memory)
    expected = [
        shown.instance(row)
        for row in memory.enumerate_instances(CONTEXT, VIRT, classname, wanted)
        if row.cls.name == classname
    ]
    cls = InstancePath(classname, (), VIRT)
    assert good(memory_host.call("enumerateInstances", cls, properties=wanted)).results == expected
    for instance in expected:
        path = next(
            row.path
            for row in memory.enumerate_instances(CONTEXT, VIRT, classname)
            if row.path and shown.path(row.path) == instance["path"]
        )
        found = good(memory_host.call("getInstance", path, properties=wanted)).results
        assert found == [instance]


EXTREMES: dict[str, list[Any]] = {
    **{t: list(r) for t, r in INTEGER_RANGES.items()},
    "real32": [1.5, -0.25],
    "real64": [1e300, -1e-300],
    "string": ["", "é日本🦊 <&>\"'\\ \t\n"],
    "boolean": [True, False],
    "char16": ["a", "日"],
    "datetime": ["20260102030405.000000+060", "00000001020304.000005:000"],
}


def test_extremes_cover_all_types() -> None:
    assert set(EXTREMES) == set(SCALAR_TYPES)


def _sent(value: Any, cim_type: str) -> Any:
    return ord(value) if cim_type == "char16" else value


@pytest.mark.parametrize("cim_type", SCALAR_TYPES)
def test_there_and_back(memory_host: Host, cim_type: str) -> None:
    """In as an argument, out as an output parameter: scalar and array."""
    for value in EXTREMES[cim_type]:
        sent = _sent(value, cim_type)
        answer = good(
            memory_host.call(
                "invokeMethod", thing("a"), method="Echo",
                args=[[f"In_{cim_type}", cim_type, sent], [f"InArray_{cim_type}", f"{cim_type}[]", [sent]]],
            )
        )  # fmt: skip
        assert answer.results == [["uint32", 2]]
        assert answer.out == [
            [f"Out_{cim_type}", cim_type, sent],
            [f"OutArray_{cim_type}", f"{cim_type}[]", [sent]],
        ]


def test_arrays_with_nulls_and_without_elements(memory_host: Host) -> None:
    args = [["InArray_string", "string[]", ["a", None]], ["InArray_uint8", "uint8[]", []]]
    answer = good(memory_host.call("invokeMethod", thing("a"), method="Echo", args=args))
    assert {name: value for name, _, value in answer.out} == {
        "OutArray_string": ["a", None],
        "OutArray_uint8": [],
    }


def test_references_and_embedded_instances(memory_host: Host, memory: MemoryBroker) -> None:
    reference = {"class": "TST_Thing", "ns": VIRT, "keys": [["Name", "string", "b"]]}
    detail = {
        "class": "TST_Detail",
        "properties": [
            ["Size", "uint64", 7],
            ["Tags", "string[]", ["x"]],
            ["InstanceID", "string", None],
        ],
    }
    args = [
        ["In_reference", "reference", reference],
        ["InArray_reference", "reference[]", [reference]],
        ["In_embedded", "instance", detail],
    ]
    answer = good(memory_host.call("invokeMethod", thing("a"), method="Echo", args=args))
    out = {name: value for name, _, value in answer.out}
    assert out["Out_reference"] == reference and out["OutArray_reference"] == [reference]
    properties = {name: value for name, _, value in out["Out_embedded"]["properties"]}
    assert {n: v for n, v in properties.items() if v is not None} == {"Size": 7, "Tags": ["x"]}


def test_references_as_clients_write_them(memory_host: Host) -> None:
    """Handed back to the client: names in any case, but no keys that the class lacks."""
    given = {"class": "tst_thing", "ns": None, "keys": [["NAME", "string", "b"]]}
    args = [["In_reference", "reference", given]]
    answer = good(memory_host.call("invokeMethod", thing("a"), method="Echo", args=args))
    assert answer.out[0][2] == {"class": "TST_Thing", "ns": VIRT, "keys": [["NAME", "string", "b"]]}
    for classname, key, message in (
        ("TST_Thing", "Bogus", "TST_Thing has no key Bogus"),
        ("TST_Bogus", "Name", "Class 'TST_Bogus' does not exist in namespace root/virt"),
    ):
        args[0][2] = {"class": classname, "ns": VIRT, "keys": [[key, "string", "b"]]}
        answer = memory_host.call("invokeMethod", thing("a"), method="Echo", args=args)
        assert answer.rc != 0 and answer.message == message and not answer.violations


def test_nested_embedded_instances_out(memory_host: Host, memory: MemoryBroker) -> None:
    _value, outputs = memory.invoke_method(CONTEXT, thing("a"), "Details", {})
    answer = good(memory_host.call("invokeMethod", thing("a"), method="Details", args=[]))
    declared = memory.schema.get(VIRT, "TST_Thing").method("Details")
    assert declared is not None
    shown = Expected(memory)
    assert answer.out == [
        [p.name, type_name(p), shown.value(outputs[p.name], p.type, VIRT)]
        for p in declared.parameters
    ]


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("Demanding", []),
        ("Demanding", [["Text", "uint16", 1]]),
        ("NotThere", []),
        ("Bogus", []),
        ("Demanding", [["Text", "string", "x"]]),
    ],
)
def test_methods_are_checked(
    memory_host: Host, memory: MemoryBroker, method: str, args: list[Any]
) -> None:
    given = {name: Given(value, kind) for name, kind, value in args}
    rc, message, result = outcome(lambda: memory.invoke_method(CONTEXT, thing("a"), method, given))
    answer = memory_host.call("invokeMethod", thing("a"), method=method, args=args)
    assert (answer.rc, answer.message, answer.violations) == (rc, message, [])
    assert answer.results == ([["uint32", result[0]]] if result else [])


@pytest.mark.parametrize(
    ("sent", "seen"), [("root", "root"), ("", None), (None, None), ("zoë", "zoë")]
)
def test_who_asks(memory_host: Host, sent: str | None, seen: str | None) -> None:
    answer = good(
        memory_host.call("invokeMethod", thing("a"), method="Nothing", args=[], user=sent)
    )
    assert answer.results == ([] if seen is None else [["string", seen]])


def test_create_modify_delete(memory_host: Host) -> None:
    new = thing("new one")
    sent: dict[str, Any] = {
        "class": "TST_Thing",
        "properties": [["Name", "string", "new one"], ["Num", "uint32", 2**32 - 1],
                       ["Flag", "boolean", None], ["List", "string[]", ["a", "b"]]],
    }  # fmt: skip
    cls = InstancePath("TST_Thing", (), VIRT)
    made = good(memory_host.call("createInstance", cls, instance=sent)).results
    assert made == [{"class": "TST_Thing", "ns": VIRT, "keys": [["Name", "string", "new one"]]}]
    again = memory_host.call("createInstance", cls, instance=sent)
    assert (again.rc, again.results) == (11, []) and "exists" in (again.message or "")

    def values() -> dict[str, Any]:
        row = good(memory_host.call("getInstance", new)).results[0]
        return {name: value for name, _, value in row["properties"]}

    assert values()["Num"] == 2**32 - 1 and values()["List"] == ["a", "b"]
    change = {
        "class": "TST_Thing",
        "properties": [["Num", "uint32", 5], ["List", "string[]", None]],
    }
    good(memory_host.call("modifyInstance", new, instance=change, properties=["num"]))
    assert values()["Num"] == 5 and values()["List"] == ["a", "b"]
    # a NULL says nothing unless the property list names it
    good(memory_host.call("modifyInstance", new, instance=change))
    assert values()["List"] == ["a", "b"]
    good(memory_host.call("modifyInstance", new, instance=change, properties=["LIST"]))
    assert values()["List"] is None
    good(memory_host.call("deleteInstance", new))
    gone = memory_host.call("deleteInstance", new)
    assert gone.rc == 6 and gone.message and "new one" in gone.message


@pytest.mark.parametrize(
    ("classname", "message"),
    [
        (
            "CIM_ObjectManager",
            "CIM_ObjectManager.Description: the control character U+0001 can't be sent",
        ),
        ("CIM_RegisteredProfile", "CIM_RegisteredProfile.RegisteredOrganization: value too large"),
        ("CIM_Namespace", "CIM_Namespace.Name: text expected, not int"),
    ],
)
def test_what_cannot_be_sent(memory_host: Host, classname: str, message: str) -> None:
    answer = memory_host.call("enumerateInstances", InstancePath(classname, (), INTEROP))
    assert (answer.rc, answer.results, answer.violations) == (1, [], [])
    assert answer.message is not None and answer.message.startswith(message)


@pytest.mark.parametrize("op", ["enumerateInstances", "enumerateInstanceNames"])
def test_an_error_after_many(memory_host: Host, op: str) -> None:
    """What is made before it arrives, then the error's text."""
    cls = InstancePath("CIM_ListenerDestinationCIMXML", (), INTEROP)
    answer = memory_host.call(op, cls)
    assert (answer.rc, answer.violations) == (1, [])
    assert answer.message is not None and "text expected, not int" in answer.message
    assert 0 < len(answer.results) <= 700


@pytest.mark.parametrize("wanted", [0, 1, 30, 600])
@pytest.mark.parametrize("op", ["enumerateInstances", "enumerateInstanceNames"])
def test_a_server_that_wants_no_more(memory_host: Host, op: str, wanted: int) -> None:
    """Nothing is handed to it after what it refuses."""
    cls = InstancePath("CIM_ListenerDestinationCIMXML", (), INTEROP)
    answer = memory_host.call(op, cls, wanted=wanted)
    assert (answer.rc, len(answer.results), answer.violations) == (1, wanted, [])
    refused = "an instance" if op == "enumerateInstances" else "a path"
    assert answer.message is not None
    assert answer.message.startswith(f"The CIM server refused {refused} (code ")


def test_associations_in_memory(memory_host: Host, memory: MemoryBroker) -> None:
    shown = Expected(memory)
    expected = [shown.instance(row) for row in memory.associators(CONTEXT, thing("a"))]
    assert good(memory_host.call("associators", thing("a"))).results == expected
    names = [shown.path(path) for path in memory.reference_names(CONTEXT, thing("a"))]
    assert good(memory_host.call("referenceNames", thing("a"))).results == names


def test_unexpected_errors(
    checked_program: Path, checked_plugin: Plugin, environment: Callable[[str, bool], str]
) -> None:
    """The client reads type and text; the traceback goes to the log."""
    library = checked_plugin("/nonexistent", environment(AT_START, True))
    host = Host(checked_program, library)
    answer = host.call("invokeMethod", thing("a"), method="Crash", args=[])
    assert (answer.rc, answer.message) == (1, "RuntimeError: secret in a traceback")
    assert not answer.violations
    code, log = host.end()
    assert code == 0
    assert "Traceback (most recent call last)" in log and "in _crash" in log
