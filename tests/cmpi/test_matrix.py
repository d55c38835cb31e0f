# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every served class, every operation: the plugin answers as the broker does.

What differs on purpose, because a CIM server routes by exact class:

==================================  ==========================  ===================================
case                                broker                      plugin
==================================  ==========================  ===================================
enumeration of a superclass         instances of subclasses     none (the server asks for each)
association filter or source class  INVALID_CLASS               none (another provider may answer)
that is not in the schema here
keys outside of the property list   left out                    shown (the server adds them)
==================================  ==========================  ===================================
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from libvirtcim import composition, demo
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import Given, GivenInstance, InstancePath, RequestContext
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.host import Hosts
from tests.cmpi.conftest import Start
from tests.cmpi.driver import Answer, Expected, Host, outcome

pytestmark = pytest.mark.xdist_group("cmpi")

CONTEXT = RequestContext()
SAMPLED = 2
"""Instances of each class from which associations are followed."""


def served() -> Iterator[tuple[str, str]]:
    """(namespace, class) of every class that is ours."""
    schema = composition.schema(composition.declarations())
    for namespace in schema.namespaces:
        for cls in schema.subclasses(namespace, None, deep=True):
            if cls.name.partition("_")[0] in FAMILIES and namespace in cls.local.namespaces:
                yield namespace, cls.name


SERVED = sorted(served())
each_class = pytest.mark.parametrize(("namespace", "classname"), SERVED)


def check(answer: Answer, expected: tuple[int, str | None, list[Any]]) -> None:
    assert not answer.violations
    rc, message, results = expected
    assert (answer.rc, answer.message) == (rc, message)
    assert in_order(answer.results) == in_order(results)


def in_order(found: list[Any]) -> list[str]:
    """Results in one order: libvirt's test hypervisor lists its guests in another in each process."""
    return sorted(json.dumps(item, sort_keys=True) for item in found)


def own(broker: Broker, call: Any, show: Any) -> tuple[int, str | None, list[Any]]:
    rc, message, found = outcome(call)
    return rc, message, [show(item) for item in found]


def paths(broker: Broker, namespace: str, classname: str) -> list[InstancePath]:
    return list(broker.enumerate_instance_names(CONTEXT, namespace, classname))


def exactly(found: Iterable[Any], classname: str) -> list[Any]:
    """Instances or paths without those of subclasses."""
    return [i for i in found if getattr(i, "path", i).classname == classname]


def test_there_is_something_to_compare(broker: Broker) -> None:
    filled = [c for n, c in SERVED if paths(broker, n, c)]
    assert len(SERVED) > 50 and len(filled) > len(SERVED) / 2


@each_class
def test_enumerate(host: Host, broker: Broker, namespace: str, classname: str) -> None:
    shown = Expected(broker)
    cls = InstancePath(classname, (), namespace)
    names = own(broker, lambda: exactly(paths(broker, namespace, classname), classname), shown.path)
    check(host.call("enumerateInstanceNames", cls), names)
    some = [p.name for p in broker.schema.get(namespace, classname).properties][::3]
    for wanted in (None, [], ["name", "Bogus"], some):
        rows = own(
            broker,
            lambda w=wanted: exactly(
                broker.enumerate_instances(CONTEXT, namespace, classname, w), classname
            ),
            shown.instance,
        )
        check(host.call("enumerateInstances", cls, properties=wanted), rows)


@each_class
def test_get(host: Host, broker: Broker, namespace: str, classname: str) -> None:
    shown = Expected(broker)
    found = paths(broker, namespace, classname)
    bad = [
        InstancePath(classname, (), namespace),
        InstancePath(classname, (("Name", "no such"),), namespace),
        InstancePath(classname, (("InstanceID", "no:such"),), namespace),
        *(InstancePath(p.classname, p.keys[:-1], namespace) for p in found[:1]),
        *(
            InstancePath(p.classname, (*p.keys[:-1], (p.keys[-1][0], "x")), namespace)
            for p in found[:1]
        ),
        *(p.at("root/nowhere") for p in found[:1]),
    ]
    for path, wanted in itertools.product([*found, *bad], (None, ["Caption", "elementname"])):
        row = own(
            broker,
            lambda p=path, w=wanted: [broker.get_instance(CONTEXT, p, w)],
            shown.instance,
        )
        check(host.call("getInstance", path, properties=wanted), row)


@each_class
def test_associations(host: Host, broker: Broker, namespace: str, classname: str) -> None:
    shown = Expected(broker)
    sources = paths(broker, namespace, classname)[:SAMPLED]
    sources.append(InstancePath(classname, (("Name", "no such"),), namespace))
    prefix = classname.partition("_")[0]
    for source in sources:
        for assoc, result, role, result_role in (
            (None, None, None, None),
            (None, "CIM_ComputerSystem", None, None),
            (f"{prefix}_SystemDevice", None, "GroupComponent", "PartComponent"),
            (None, None, "Bogus", None),
            (f"{prefix}_SettingsDefineState", f"{prefix}_VirtualSystemSettingData", None, None),
        ):
            filters = {"role": role, "resultRole": result_role}
            args = (assoc, result, role, result_role)
            check(
                host.call(
                    "associatorNames", source, assocClass=assoc, resultClass=result, **filters
                ),
                own(
                    broker,
                    lambda s=source, a=args: broker.associator_names(CONTEXT, s, *a),
                    shown.path,
                ),
            )
            check(
                host.call(
                    "associators", source, assocClass=assoc, resultClass=result,
                    properties=["Caption"], **filters,
                ),
                own(
                    broker,
                    lambda s=source, a=args: broker.associators(CONTEXT, s, *a, ["Caption"]),
                    shown.instance,
                ),
            )  # fmt: skip
            check(
                host.call("referenceNames", source, resultClass=assoc, role=role),
                own(
                    broker,
                    lambda s=source, a=assoc, r=role: broker.reference_names(CONTEXT, s, a, r),
                    shown.path,
                ),
            )
            check(
                host.call("references", source, resultClass=assoc, role=role),
                own(
                    broker,
                    lambda s=source, a=assoc, r=role: broker.references(CONTEXT, s, a, r),
                    shown.instance,
                ),
            )


@each_class
def test_what_changes_nothing(host: Host, broker: Broker, namespace: str, classname: str) -> None:
    """Create, modify, delete and methods where the class has none of them."""
    found = [*paths(broker, namespace, classname)[:1], InstancePath(classname, (), namespace)]
    first = broker.schema.get(namespace, classname).properties[0]
    for name, kind, value in (
        (first.name, first.type if first.type != "reference" else "string", "x"),
        ("NoSuchProperty", "string", "x"),
        ("Caption", "uint16", 5),
    ):
        sent = {"class": classname, "properties": [[name, kind, value]]}
        given = GivenInstance(classname, {name: Given(value, kind)})
        for path in found:
            check(
                host.call("createInstance", path, instance=sent),
                own(
                    broker,
                    lambda g=given: [broker.create_instance(CONTEXT, namespace, g)],
                    Expected(broker).path,
                ),
            )
            for wanted in (None, [name], ["Other"]):
                check(
                    host.call("modifyInstance", path, instance=sent, properties=wanted),
                    outcome(
                        lambda p=path, g=given, w=wanted: (
                            broker.modify_instance(CONTEXT, p, g, w) or ()
                        )
                    ),
                )
    for path in found:
        check(
            host.call("deleteInstance", path),
            outcome(lambda p=path: broker.delete_instance(CONTEXT, p) or ()),
        )
        for method in ("NoSuchMethod", "RequestStateChange", "requeststatechange"):
            check(
                host.call("invokeMethod", path, method=method, args=[]),
                outcome(lambda p=path, m=method: broker.invoke_method(CONTEXT, p, m, {})),
            )


@pytest.mark.parametrize("state", [2, 3, 9, 10, 11, 4, 99])
def test_methods(start: Start, state: int) -> None:
    """A method that changes guests, on two hypervisors of the same contents."""
    hosts = Hosts({prefix: demo.sample_uri() for prefix in FAMILIES})
    try:
        broker = composition.broker(hosts)
        host = start()
        shown = Expected(broker)
        cls = InstancePath("KVM_ComputerSystem", (), "root/virt")
        for path in paths(broker, "root/virt", cls.classname):
            for given in (
                Given(state, "uint16"),
                Given(str(state), "string"),
                Given(None, "uint16"),
            ):
                args = [["RequestedState", given.type, given.value]]
                answer = host.call("invokeMethod", path, method="RequestStateChange", args=args)
                rc, message, result = outcome(
                    lambda p=path, g=given: broker.invoke_method(
                        CONTEXT, p, "RequestStateChange", {"RequestedState": g}
                    )
                )
                assert (answer.rc, answer.message, answer.violations) == (rc, message, [])
                if rc == 0:
                    value, outputs = result
                    assert answer.results == ([] if value is None else [["uint32", value]])
                    assert {name: v for name, _type, v in answer.out} == outputs
            rows = own(
                broker,
                lambda: broker.enumerate_instances(CONTEXT, "root/virt", cls.classname),
                shown.instance,
            )
            check(host.call("enumerateInstances", cls), rows)
    finally:
        hosts.close()


def test_superclasses_are_left_to_the_server(host: Host) -> None:
    for op in ("enumerateInstances", "enumerateInstanceNames"):
        answer = host.call(op, InstancePath("CIM_ComputerSystem", (), "root/virt"))
        assert (answer.rc, answer.results, answer.violations) == (0, [], [])


@pytest.mark.parametrize("op", ["associators", "associatorNames", "references", "referenceNames"])
def test_foreign_classes_have_no_associations_here(host: Host, broker: Broker, op: str) -> None:
    source = paths(broker, "root/virt", "KVM_ComputerSystem")[0]
    foreign = InstancePath("Linux_Foreign", source.keys, "root/virt")
    for path, result in ((foreign, None), (source, "Linux_Foreign")):
        answer = host.call(op, path, resultClass=result)
        assert (answer.rc, answer.results, answer.violations) == (0, [], [])


def test_class_paths_come_with_empty_keys(host: Host) -> None:
    """OpenPegasus gives a class path the names of all keys, without type and value."""
    cls = {"ns": "root/virt", "class": "KVM_ComputerSystem", "keys": [["Name", "null", None]]}
    answer = host.together([{"op": "enumerateInstanceNames", "path": cls}])[0]
    assert answer.rc == 0 and len(answer.results) == 3
    answer = host.together([{"op": "getInstance", "path": cls}])[0]
    assert answer.rc != 0 and answer.message


def test_queries_are_not_supported(host: Host) -> None:
    answer = host.call("execQuery", InstancePath("KVM_ComputerSystem", (), "root/virt"))
    assert (answer.rc, answer.message) == (7, "Queries are not supported")


def test_unknown_classes_and_namespaces(host: Host, broker: Broker) -> None:
    for namespace, classname in (
        ("root/virt", "KVM_Nothing"),
        ("root/nowhere", "KVM_ComputerSystem"),
    ):
        expected = outcome(
            lambda n=namespace, c=classname: broker.enumerate_instances(CONTEXT, n, c)
        )
        check(host.call("enumerateInstances", InstancePath(classname, (), namespace)), expected)
