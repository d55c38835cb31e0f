# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the front ends are asked: every operation on every class, with good and bad arguments.

Cases are made from the class declarations and from the instances that the reference broker has, so
that a class, a property, an association or a method that is added is asked for without a change here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from libvirtcim import composition
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import Given, GivenInstance, InstancePath, RequestContext
from libvirtcim.cim.registration import rows
from libvirtcim.cim.schema import ClassInfo, Schema
from libvirtcim.virt.families import FAMILIES

CONTEXT = RequestContext()
SAMPLED = 2
"""Instances of each class that are read with property lists."""
UNKNOWN = "CIM_Bogus"
"""A class that no schema has."""
NOWHERE = "root/nowhere"
"""A namespace that no server has."""


@dataclass(frozen=True, slots=True)
class Case:
    """One operation with its arguments; what an operation does not take is left at its default."""

    operation: str
    """Its name in DSP0200."""
    kind: str
    """What is good or bad about the arguments, in words."""
    path: InstancePath
    """The object, or the class (without keys), always with its namespace."""
    properties: tuple[str, ...] | None = None
    assoc_class: str | None = None
    result_class: str | None = None
    role: str | None = None
    result_role: str | None = None
    instance: GivenInstance | None = None
    method: str = ""
    arguments: Mapping[str, Given] = field(default_factory=dict)
    pulled: bool = False
    """Whether the answer is fetched in parts (Open… and Pull…)."""

    @property
    def namespace(self) -> str:
        return self.path.namespace or ""


def served(schema: Schema) -> list[tuple[str, str]]:
    """(namespace, class) of every class that has a provider here."""
    return sorted(
        (namespace, cls.name)
        for namespace in schema.namespaces
        for cls in schema.subclasses(namespace, None, deep=True)
        if cls.name.partition("_")[0] in FAMILIES and namespace in cls.local.namespaces
    )


def registered() -> list[tuple[str, str]]:
    """(namespace, class) of every class of which CIM servers ask the library for instances."""
    return sorted(
        (row.namespace, row.classname)
        for row in rows(composition.declarations())
        if {"instance", "association"}.intersection(row.types)
    )


def superclasses(schema: Schema, classes: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """(namespace, class) of every DMTF class that one of the classes derives from."""
    found = set()
    for namespace, classname in classes:
        for name in schema.get(namespace, classname).lineage:
            cls = schema.get(namespace, name)
            if cls.name.partition("_")[0] not in FAMILIES:
                found.add((namespace, cls.name))
    return sorted(found)


def of_superclass(namespace: str, classname: str) -> Iterator[Case]:
    """Enumerations that span many classes."""
    cls = InstancePath(classname, (), namespace)
    for pulled in (False, True):
        yield Case("EnumerateInstanceNames", "superclass", cls, pulled=pulled)
        yield Case("EnumerateInstances", "superclass", cls, ("Caption",), pulled=pulled)


def of_unknown(broker: Broker) -> Iterator[Case]:
    """Classes and namespaces that do not exist, in every operation."""
    known = next(broker.enumerate_instance_names(CONTEXT, "root/virt", "KVM_ComputerSystem"))
    nothing = InstancePath(UNKNOWN, known.keys, "root/virt")
    for kind, path in (("unknown class", nothing), ("unknown namespace", known.at(NOWHERE))):
        cls = InstancePath(path.classname, (), path.namespace)
        sent = GivenInstance(path.classname, {"Caption": Given("x", "string")})
        yield Case("EnumerateInstances", kind, cls)
        yield Case("EnumerateInstanceNames", kind, cls)
        yield Case("EnumerateInstances", kind, cls, pulled=True)
        yield Case("GetInstance", kind, path)
        yield Case("CreateInstance", kind, path, instance=sent)
        yield Case("ModifyInstance", kind, path, instance=sent)
        yield Case("DeleteInstance", kind, path)
        yield Case("InvokeMethod", kind, path, method="RequestStateChange")
        for operation in ("Associators", "AssociatorNames", "References", "ReferenceNames"):
            yield Case(operation, kind, path)


def of_class(
    broker: Broker, namespace: str, classname: str, sampled: int = SAMPLED
) -> Iterator[Case]:
    """Every operation on one served class and its instances.

    `sampled`: instances from which associations are followed.
    """
    cls = broker.schema.get(namespace, classname)
    found = [
        path
        for path in broker.enumerate_instance_names(CONTEXT, namespace, classname)
        if path.classname == classname
    ]
    yield from _enumerations(cls, namespace)
    yield from _readings(cls, namespace, found)
    for source in found[:sampled]:
        yield from _associations(broker.schema, source)
    yield from _associations_of_nothing(cls, namespace)
    yield from _changes(cls, namespace, found[:1])
    yield from _calls(cls, namespace, found[:1])


def _property_lists(cls: ClassInfo) -> Iterator[tuple[str, tuple[str, ...] | None]]:
    yield "no property list", None
    yield "empty property list", ()
    yield "unknown property", ("name", "Bogus")
    yield "some properties", tuple(p.name for p in cls.properties[::3])


def _enumerations(cls: ClassInfo, namespace: str) -> Iterator[Case]:
    path = InstancePath(cls.name, (), namespace)
    yield Case("EnumerateInstanceNames", "class", path)
    yield Case("EnumerateInstanceNames", "class", path, pulled=True)
    yield Case("EnumerateInstanceNames", "lower case", path_like(path, cls.name.lower()))
    for kind, names in _property_lists(cls):
        yield Case("EnumerateInstances", kind, path, names)
    yield Case("EnumerateInstances", "no property list", path, pulled=True)


def path_like(path: InstancePath, classname: str) -> InstancePath:
    """The same path of another class."""
    return InstancePath(classname, path.keys, path.namespace)


def short_references(path: InstancePath) -> InstancePath:
    """The same path with keys that leave their namespace out, as clients may."""
    keys = [(n, v.at(None) if isinstance(v, InstancePath) else v) for n, v in path.keys]
    return InstancePath(path.classname, tuple(keys), path.namespace)


def _readings(cls: ClassInfo, namespace: str, found: list[InstancePath]) -> Iterator[Case]:
    for path in found:
        yield Case("GetInstance", "instance", path)
    for path in found[:SAMPLED]:
        for kind, names in _property_lists(cls):
            if names is not None:
                yield Case("GetInstance", kind, path, names)
        yield Case("GetInstance", "lower case", path_like(path, path.classname.lower()))
        yield Case("GetInstance", "references without namespace", short_references(path))
    for kind, path in wrong_paths(cls, namespace, found):
        yield Case("GetInstance", kind, path)


def wrong_paths(
    cls: ClassInfo, namespace: str, found: list[InstancePath]
) -> Iterator[tuple[str, InstancePath]]:
    """Paths that name nothing, or say too much or too little."""
    yield "no keys", InstancePath(cls.name, (), namespace)
    yield "wrong key", InstancePath(cls.name, (("Name", "no such"),), namespace)
    yield "wrong key", InstancePath(cls.name, (("InstanceID", "no:such"),), namespace)
    for path in found[:1]:
        *others, (last, _value) = path.keys
        yield "missing key", InstancePath(cls.name, tuple(others), namespace)
        yield "wrong key", InstancePath(cls.name, (*others, (last, "x")), namespace)
        yield "extra key", InstancePath(cls.name, (*path.keys, ("Bogus", "x")), namespace)


def _associations(schema: Schema, source: InstancePath) -> Iterator[Case]:
    for kind, filters in _filters(schema, source):
        yield Case("AssociatorNames", kind, source, **filters)
        yield Case("Associators", kind, source, ("Caption",), **filters)
        if "result_class" not in filters and "result_role" not in filters:
            yield Case("ReferenceNames", kind, source, **filters)
            yield Case("References", kind, source, **filters)
    for operation in ("AssociatorNames", "Associators", "ReferenceNames", "References"):
        yield Case(operation, "no filter", source, pulled=True)
    yield Case("Associators", "no property list", source)
    yield Case("References", "empty property list", source, ())


def _filters(schema: Schema, source: InstancePath) -> Iterator[tuple[str, dict[str, str]]]:
    namespace, prefix = source.namespace or "", source.classname.partition("_")[0]
    yield "no filter", {}
    lineage = {name.lower() for name in schema.get(namespace, source.classname).lineage}
    for cls in schema.subclasses(namespace, None, deep=True):
        ends = [p for p in cls.properties if p.type == "reference"]
        if cls.is_association and cls.name.startswith(f"{prefix}_"):
            yield "association", {"assoc_class": cls.name}
            if not any((end.reference_class or "").lower() in lineage for end in ends):
                continue
            for role, other in itertools.permutations((end.name for end in ends), 2):
                filters = {"assoc_class": cls.name, "role": role}
                yield "role", filters
                yield "both roles", {**filters, "result_role": other}
    for kind, filters in (
        ("superclass", {"assoc_class": "CIM_SystemDevice", "result_class": "CIM_LogicalDevice"}),
        ("superclass", {"result_class": "CIM_ComputerSystem"}),
        ("result class", {"result_class": f"{prefix}_VirtualSystemSettingData"}),
        ("lower case", {"result_class": f"{prefix}_Processor".lower(), "role": "groupcomponent"}),
    ):
        names = (name for option, name in filters.items() if option.endswith("_class"))
        if all(schema.find(namespace, name) for name in names):
            yield kind, filters
    yield "unknown role", {"role": "Bogus"}
    yield "unknown role", {"result_role": "Bogus"}
    yield "no association", {"assoc_class": f"{prefix}_ComputerSystem"}
    yield "unknown class", {"assoc_class": UNKNOWN}
    yield "unknown class", {"result_class": UNKNOWN}


def _associations_of_nothing(cls: ClassInfo, namespace: str) -> Iterator[Case]:
    for kind, path in wrong_paths(cls, namespace, []):
        for operation in ("Associators", "AssociatorNames", "References", "ReferenceNames"):
            yield Case(operation, kind, path)


def _changes(cls: ClassInfo, namespace: str, found: list[InstancePath]) -> Iterator[Case]:
    texts = (p.name for p in cls.properties if p.type == "string" and not p.array)
    first = next(texts, cls.properties[0].name)
    for kind, name, given in (
        ("known property", first, Given("x", "string")),
        ("unknown property", "NoSuchProperty", Given("x", "string")),
        ("wrong type", "Caption", Given(5, "uint16")),
    ):
        instance = GivenInstance(cls.name, {name: given})
        for path in (InstancePath(cls.name, (), namespace), *found):
            yield Case("CreateInstance", kind, path, instance=instance)
            for names in (None, (name,), ("Other",)):
                yield Case("ModifyInstance", kind, path, names, instance=instance)
    yield Case("DeleteInstance", "no keys", InstancePath(cls.name, (), namespace))
    for path in found:
        yield Case("DeleteInstance", "instance", path)
    if cls.is_association:
        yield from _wrong_ends(cls, namespace)


def _wrong_ends(cls: ClassInfo, namespace: str) -> Iterator[Case]:
    """An association between guests, which are associated with no guest."""
    prefix = cls.name.partition("_")[0]
    keys = (("CreationClassName", f"{prefix}_ComputerSystem"), ("Name", "no such"))
    guest = InstancePath(f"{prefix}_ComputerSystem", keys, namespace)
    ends = {p.name: guest for p in cls.properties if p.type == "reference"}
    given = GivenInstance(cls.name, {name: Given(end, "reference") for name, end in ends.items()})
    path = InstancePath(cls.name, tuple(ends.items()), namespace)
    yield Case("CreateInstance", "wrong ends", path, instance=given)
    yield Case("DeleteInstance", "wrong ends", path)


def _calls(cls: ClassInfo, namespace: str, found: list[InstancePath]) -> Iterator[Case]:
    bogus = {"Bogus": Given("x", "string")}
    for path in (InstancePath(cls.name, (), namespace), *found):
        yield Case("InvokeMethod", "unknown method", path, method="NoSuchMethod")
        yield Case("InvokeMethod", "lower case", path, method="requeststatechange")
        yield Case("InvokeMethod", "no such method here", path, method="RequestStateChange")
        for method in cls.methods:
            yield Case("InvokeMethod", "no arguments", path, method=method.name)
            yield Case(
                "InvokeMethod", "unknown argument", path, method=method.name, arguments=bogus
            )


def state_changes(guests: list[InstancePath]) -> Iterator[Case]:
    """Every state that can be requested and some that cannot, of every guest, in right and wrong types."""
    for state in (2, 3, 9, 10, 11, 4, 99):
        for path in guests:
            for kind, given in (
                ("right type", Given(state, "uint16")),
                ("wrong type", Given(str(state), "string")),
                ("NULL", Given(None, "uint16")),
            ):
                yield Case(
                    "InvokeMethod", kind, path,
                    method="RequestStateChange", arguments={"RequestedState": given},
                )  # fmt: skip
