# SPDX-License-Identifier: LGPL-2.1-or-later
"""Dispatch, checks and associations of the broker, on a model of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from libvirtcim.cim import errors
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.objects import Given, GivenInstance, InstancePath, RequestContext
from tests.cim import model

CONTEXT = RequestContext()
NS = "root/virt"


@pytest.fixture
def broker() -> Broker:
    return model.make()[0]


def box(name: Any = "big", cls: str = "T_Box", namespace: str = NS) -> InstancePath:
    return InstancePath(cls, (("Name", name),), namespace)


def thing(name: str = "big", number: Any = 0, cls: str = "T_Thing") -> InstancePath:
    return InstancePath(cls, (("Box", name), ("Number", number)), NS)


def test_enumeration_of_a_superclass_walks_all_subclasses(broker: Broker) -> None:
    rows = list(broker.enumerate_instances(CONTEXT, NS, "cim_element"))
    assert {r.cls.name for r in rows} == {"T_Box", "U_Box", "T_Thing", "U_Thing"}
    assert len(rows) == 2 * (3 + 3)


def test_values_defaults_and_nulls(broker: Broker) -> None:
    big, odd, _ = broker.enumerate_instances(CONTEXT, NS, "T_Box")
    assert dict(big.items()) == {
        "Caption": None,
        "Priority": 7,
        "Name": "big",
        "Size": 100,
        "Labels": ["big", "x"],
    }
    assert odd["Size"] is None
    assert "Labels" not in dict(next(broker.enumerate_instances(CONTEXT, NS, "U_Box")).items())


@pytest.mark.parametrize(
    ("asked", "deep", "shown"),
    [
        (None, True, ["Caption", "Priority", "Name", "Size", "Labels"]),
        (["size", "NAME", "nonsense"], True, ["Name", "Size"]),
        ([], True, []),
        (None, False, ["Caption", "Priority"]),
        (["Size", "Caption"], False, ["Caption"]),
    ],
)
def test_property_lists(
    broker: Broker, asked: list[str] | None, deep: bool, shown: list[str]
) -> None:
    classname = "T_Box" if deep else "CIM_Element"
    rows = broker.enumerate_instances(CONTEXT, NS, classname, asked, deep=deep)
    assert [name for name, _ in next(rows).items()] == shown


def test_only_wanted_properties_reach_the_provider() -> None:
    broker, boxes = model.make()
    list(broker.enumerate_instances(CONTEXT, NS, "T_Box", ["size"]))
    list(broker.enumerate_instance_names(CONTEXT, NS, "T_Box"))
    assert boxes.computed == [frozenset({"Size"}), frozenset()]


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (box(), None),
        (box("BIG"), None),
        (InstancePath("t_box", (("NAME", "big"), ("Extra", "x")), "ROOT/virt"), None),
        (thing(number="1"), None),
        (box("nosuch"), errors.NotFound),
        (box(""), errors.Failed),
        (InstancePath("T_Box", (), NS), errors.Failed),
        (box(5), errors.NotFound),
        (thing(number="x"), errors.NotFound),
        (thing(number=-1), errors.NotFound),
        (box(cls="T_Nothing"), errors.InvalidClass),
        (box(namespace="root/nowhere"), errors.InvalidNamespace),
        (box(namespace="root/interop"), errors.InvalidClass),
        (InstancePath("CIM_Element", (("Name", "big"),), NS), errors.NotFound),
    ],
    ids=str,
)
def test_get_instance(
    broker: Broker, path: InstancePath, error: type[errors.CIMError] | None
) -> None:
    if error is None:
        assert broker.get_instance(CONTEXT, path).cls.name in ("T_Box", "T_Thing")
    else:
        with pytest.raises(error):
            broker.get_instance(CONTEXT, path)


def test_the_six_ways_to_walk_an_association_agree(broker: Broker) -> None:
    enumerated = list(broker.enumerate_instances(CONTEXT, NS, "T_Holds"))
    assert len(enumerated) == 3
    assert {str(p) for p in broker.enumerate_instance_names(CONTEXT, NS, "CIM_Part")} == {
        str(r.path)
        for cls in ("T_Holds", "U_Holds")
        for r in broker.enumerate_instances(CONTEXT, NS, cls)
    }
    for source in broker.enumerate_instance_names(CONTEXT, NS, "T_Box"):
        mine = [r for r in enumerated if r["Whole"] == source]
        assert [r["Piece"] for r in mine] == list(broker.associator_names(CONTEXT, source))
        assert [r.path for r in broker.associators(CONTEXT, source)] == [r["Piece"] for r in mine]
        assert [r.path for r in broker.references(CONTEXT, source)] == [r.path for r in mine]
        assert list(broker.reference_names(CONTEXT, source)) == [r.path for r in mine]
    for row in enumerated:
        assert row.path is not None
        assert broker.get_instance(CONTEXT, row.path).values == row.values
        back = list(broker.references(CONTEXT, row["Piece"]))
        assert [r.path for r in back] == [row.path]


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({}, 2),
        ({"assoc_class": "T_Holds"}, 2),
        ({"assoc_class": "CIM_Part"}, 2),
        ({"assoc_class": "U_Holds"}, 0),
        ({"result_class": "T_Thing"}, 2),
        ({"result_class": "CIM_Element"}, 2),
        ({"result_class": "U_Thing"}, 0),
        ({"result_class": "T_Box"}, 0),
        ({"role": "WHOLE"}, 2),
        ({"role": "Piece"}, 0),
        ({"result_role": "piece"}, 2),
        ({"result_role": "nonsense"}, 0),
        ({"assoc_class": "T_Box"}, 0),
    ],
    ids=str,
)
def test_association_filters(broker: Broker, filters: dict[str, str], count: int) -> None:
    assert len(list(broker.associator_names(CONTEXT, box(), **filters))) == count


@pytest.mark.parametrize(
    ("source", "filters", "error"),
    [
        (box("nosuch"), {}, errors.NotFound),
        (box(""), {}, errors.Failed),
        (box(), {"assoc_class": "T_Nothing"}, errors.InvalidClass),
        (box(), {"result_class": "T_Nothing"}, errors.InvalidClass),
        (box(cls="T_Nothing"), {}, errors.InvalidClass),
    ],
    ids=str,
)
def test_association_errors(
    broker: Broker, source: InstancePath, filters: dict[str, str], error: type[errors.CIMError]
) -> None:
    with pytest.raises(error):
        list(broker.associator_names(CONTEXT, source, **filters))


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        ({"Times": Given("2", "uint16")}, {"Times": 2}),
        ({"times": Given("0x10")}, {"Times": 16}),
        ({"Times": Given(3), "Gently": Given("TRUE")}, {"Times": 3, "Gently": True}),
        ({"Times": Given("1"), "Gently": Given("maybe")}, {"Times": 1}),
        ({"Times": Given("1"), "Nonsense": Given("x")}, {"Times": 1}),
        ({}, errors.InvalidParameter),
        ({"Times": Given(None)}, errors.InvalidParameter),
        ({"Times": Given("2", "uint32")}, errors.TypeMismatch),
        ({"Times": Given("70000")}, errors.TypeMismatch),
        ({"Times": Given(["1"])}, errors.TypeMismatch),
    ],
    ids=str,
)
def test_method_arguments(
    arguments: dict[str, Given], seen: dict[str, Any] | type[errors.CIMError]
) -> None:
    broker, boxes = model.make()
    if isinstance(seen, type):
        with pytest.raises(seen):
            broker.invoke_method(CONTEXT, box(), "Shake", arguments)
        assert not boxes.shaken
    else:
        result, outputs = broker.invoke_method(CONTEXT, box(), "Shake", arguments)
        assert boxes.shaken == [seen]
        assert (result, outputs) == (0, {"Noise": "rattle" * seen["Times"]})


@pytest.mark.parametrize(
    ("path", "method", "error"),
    [
        (box(), "shake", errors.Failed),
        (box(), "Open", errors.Failed),
        (box(), "Nonsense", errors.Failed),
        (thing(), "Nonsense", errors.MethodNotFound),
    ],
)
def test_unknown_methods(
    broker: Broker, path: InstancePath, method: str, error: type[errors.CIMError]
) -> None:
    with pytest.raises(error):
        broker.invoke_method(CONTEXT, path, method, {})


def test_null_outputs_are_left_out(broker: Broker) -> None:
    assert broker.invoke_method(CONTEXT, box(), "Shake", {"Times": Given("0")}) == (0, {})


Change = Callable[[Broker], Any]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda b: b.create_instance(CONTEXT, NS, GivenInstance("T_Box")), errors.NotSupported),
        (lambda b: b.create_instance(CONTEXT, NS, GivenInstance("T_No")), errors.InvalidClass),
        (
            lambda b: b.create_instance(CONTEXT, NS, GivenInstance("T_Box", {"No": Given("1")})),
            errors.NoSuchProperty,
        ),
        (
            lambda b: b.create_instance(CONTEXT, NS, GivenInstance("T_Box", {"Size": Given("x")})),
            errors.TypeMismatch,
        ),
        (lambda b: b.modify_instance(CONTEXT, box(), GivenInstance("T_Box")), errors.NotSupported),
        (lambda b: b.delete_instance(CONTEXT, box()), errors.NotSupported),
        (
            lambda b: b.delete_instance(CONTEXT, InstancePath("T_Holds", (), NS)),
            errors.NotSupported,
        ),
    ],
)
def test_changes_that_no_provider_makes(
    broker: Broker, change: Change, error: type[errors.CIMError]
) -> None:
    with pytest.raises(error):
        change(broker)


def test_associations_that_are_made_and_deleted() -> None:
    """Ends reach the writer as their classes have them, whether in a property or in a key."""
    broker, writer = model.make_likes()
    number = InstancePath("t_thing", (("box", "big"), ("NUMBER", "1")))
    given = {"whole": Given(box().at(None)), "Piece": Given(number, "reference")}
    path = broker.create_instance(CONTEXT, NS, GivenInstance("t_likes", given))
    ends = {"Whole": box(), "Piece": thing(number=1)}
    assert writer.made == [ends]
    broker.delete_instance(CONTEXT, InstancePath("T_LIKES", path.keys, NS))
    assert writer.deleted == [ends]
    with pytest.raises(errors.NotSupported):
        broker.modify_instance(CONTEXT, path, GivenInstance("T_Likes"))


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (Given("text"), errors.TypeMismatch),
        (Given(box().at("root/nowhere")), errors.InvalidNamespace),
        (Given(thing(), "string"), errors.TypeMismatch),
    ],
)
def test_ends_that_are_none(value: Given, error: type[errors.CIMError]) -> None:
    broker, writer = model.make_likes()
    with pytest.raises(error):
        broker.create_instance(CONTEXT, NS, GivenInstance("T_Likes", {"Whole": value}))
    assert not writer.made


def tree(node: type[errors.CIMError]) -> Iterator[type[errors.CIMError]]:
    yield node
    for child in node.__subclasses__():
        yield from tree(child)


def test_every_error_has_a_number_of_its_own_and_stands_in_the_picture() -> None:
    every = [kind for kind in tree(errors.CIMError) if kind is not errors.CIMError]
    kinds = [kind for kind in every if kind.__module__ == errors.__name__]
    numbers = [kind.status for kind in kinds]
    assert len(set(numbers)) == len(numbers)
    for kind in kinds:
        assert f"{kind.__name__} " in (errors.__doc__ or "")
