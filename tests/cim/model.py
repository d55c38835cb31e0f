# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small model of its own: boxes, the things in them, and the association between the two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from libvirtcim.cim.associations import Association, Handler, Target
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.declare import VIRT, ClassDecl, Method, Parameter, Property, expand_all
from libvirtcim.cim.errors import Failed, NotFound
from libvirtcim.cim.objects import GivenInstance, InstancePath, Value
from libvirtcim.cim.provider import (
    InstanceProvider,
    InstanceWriter,
    MethodHandler,
    ProviderRequest,
)
from libvirtcim.cim.schema import LocalClass, PropertyInfo, QualifierType, Schema

BASES = [
    LocalClass(
        "CIM_Element",
        None,
        (PropertyInfo("Caption", "string"), PropertyInfo("Priority", "uint8", default=7)),
        qualifiers={"Abstract": True, "Version": "1.0"},
    ),
    LocalClass(
        "CIM_Part",
        None,
        (
            PropertyInfo("Whole", "reference", key=True, reference_class="CIM_Element"),
            PropertyInfo("Piece", "reference", key=True, reference_class="CIM_Element"),
        ),
        qualifiers={"Association": True},
    ),
]
QUALIFIERS = [
    QualifierType("Association", "boolean", scopes=("ASSOCIATION",), overridable=False),
    QualifierType("Abstract", "boolean", scopes=("CLASS",), tosubclass=False),
    QualifierType("Version", "string", scopes=("CLASS",), tosubclass=False),
    QualifierType("Description", "string", tosubclass=True),
]

BOX = ClassDecl(
    "Box",
    "CIM_Element",
    "A box.",
    ("T", "U"),
    (
        Property("Name", "string", "Its name.", key=True),
        Property("Size", "uint16", "Its size."),
        Property("Labels", "string", "What is written on it.", array=True, prefixes=("T",)),
    ),
    (
        Method(
            "Shake",
            "uint32",
            "Shakes the box.",
            (
                Parameter("Times", "uint16", "How often.", required=True),
                Parameter("Gently", "boolean", "Whether with care."),
                Parameter("Noise", "string", "What is heard.", out=True),
            ),
        ),
        Method("Open", "uint32", "Declared, but carried out by nobody."),
    ),
)
THING = ClassDecl(
    "Thing",
    "CIM_Element",
    "A thing in a box.",
    ("T", "U"),
    (
        Property("Box", "string", "The box.", key=True),
        Property("Number", "uint32", "Its number.", key=True),
    ),
)
HOLDS = ClassDecl("Holds", "CIM_Part", "A box holds a thing.", ("T", "U"))
LIKES = ClassDecl("Likes", "CIM_Part", "A box likes a thing, since somebody says so.", ("T",))


@dataclass(frozen=True)
class Box:
    name: str
    size: int | None
    things: int


@dataclass(frozen=True)
class Thing:
    box: str
    number: int


BOXES = [Box("big", 100, 2), Box("Ünïcode <&>", None, 1), Box("empty", 0, 0)]


class BoxProvider(InstanceProvider[Box]):
    classes = ("T_Box", "U_Box")
    columns = {
        "Name": lambda b: b.name,
        "size": lambda b: b.size,
        "Labels": lambda b: [b.name, "x"],
    }

    def __init__(self) -> None:
        self.computed: list[frozenset[str] | None] = []
        self.shaken: list[Mapping[str, Value]] = []

    def items(self, request: ProviderRequest) -> Iterable[Box]:
        self.computed.append(request.wanted)
        return BOXES

    def find(self, request: ProviderRequest, path: InstancePath) -> Box:
        name = path.text("Name")
        if not name:
            raise Failed("missing Name")
        for box in BOXES:
            if box.name.lower() == name.lower():
                return box
        raise NotFound(f"no box {name}")

    @property
    def methods(self) -> Mapping[str, MethodHandler]:
        return {"Shake": MethodHandler(self._shake)}

    def _shake(
        self, request: ProviderRequest, path: InstancePath, arguments: Mapping[str, Value]
    ) -> tuple[Value, dict[str, Value]]:
        self.shaken.append(arguments)
        return 0, {"Noise": "rattle" * arguments["Times"] or None}


class ThingProvider(InstanceProvider[Thing]):
    classes = ("T_Thing", "U_Thing")
    columns = {"Box": lambda t: t.box, "Number": lambda t: t.number}

    def items(self, request: ProviderRequest) -> Iterable[Thing]:
        return [Thing(b.name, n) for b in BOXES for n in range(b.things)]

    def find(self, request: ProviderRequest, path: InstancePath) -> Thing:
        for thing in self.items(request):
            if (thing.box, thing.number) == (path.get("Box"), path.get("Number")):
                return thing
        raise NotFound("no such thing")


def _things(_r: ProviderRequest, _b: str, box: Box, _w: frozenset[str]) -> Iterable[Target]:
    return [Target("Thing", Thing(box.name, n)) for n in range(box.things)]


def _box(_r: ProviderRequest, _b: str, thing: Thing, _w: frozenset[str]) -> Iterable[Target]:
    return [Target("Box", box) for box in BOXES if box.name == thing.box]


ASSOCIATION = Association(
    HOLDS,
    (
        Handler(("Box",), "Whole", ("Thing",), "Piece", _things, enumerated=True),
        Handler(("Thing",), "Piece", ("Box",), "Whole", _box),
    ),
)


class LikesWriter(InstanceWriter):
    """Notes which ends were given for what is made and what is deleted."""

    def __init__(self) -> None:
        self.made: list[Mapping[str, Value]] = []
        self.deleted: list[Mapping[str, Value]] = []

    def create(self, request: ProviderRequest, instance: GivenInstance) -> InstancePath:
        ends = {name: instance.value(name) for name in instance.values}
        self.made.append(ends)
        return InstancePath(request.cls.name, tuple(ends.items()), request.namespace)

    def delete(self, request: ProviderRequest, path: InstancePath) -> None:
        self.deleted.append(dict(path.keys))


def make_likes() -> tuple[Broker, LikesWriter]:
    """A broker whose one association class is written."""
    schema = Schema([*BASES, *expand_all((BOX, THING, LIKES))], QUALIFIERS, (VIRT, "root/interop"))
    writer = LikesWriter()
    table = [Association(LIKES, ASSOCIATION.handlers, writer)]
    return Broker(schema, [BoxProvider(), ThingProvider()], table), writer


def make() -> tuple[Broker, BoxProvider]:
    """A broker over the model, and the box provider to look at."""
    schema = Schema([*BASES, *expand_all((BOX, THING, HOLDS))], QUALIFIERS, (VIRT, "root/interop"))
    boxes = BoxProvider()
    return Broker(schema, [boxes, ThingProvider()], [ASSOCIATION]), boxes
