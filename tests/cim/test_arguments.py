# SPDX-License-Identifier: LGPL-2.1-or-later
"""Embedded instances among the arguments of a method: as text in both forms, and decoded."""

from __future__ import annotations

import pytest

from libvirtcim.cim.arguments import check_arguments, instance_of
from libvirtcim.cim.errors import CIMError, Failed, InvalidParameter
from libvirtcim.cim.objects import Given, GivenInstance
from tests.server.memory import VIRT, filled

SCHEMA = filled().schema
MOF = 'instance of TST_Detail { Size = 5; Tags = {"a", "b"}; Unknown = 1; };'
XML = (
    '<INSTANCE CLASSNAME="tst_detail"><PROPERTY NAME="SIZE" TYPE="uint64"><VALUE>5</VALUE></PROPERTY>'
    '<PROPERTY.ARRAY NAME="Tags" TYPE="string"><VALUE.ARRAY><VALUE>a</VALUE><VALUE>b</VALUE>'
    "</VALUE.ARRAY></PROPERTY.ARRAY></INSTANCE>"
)
DECODED = GivenInstance(
    "TST_Detail",
    {"Size": Given(5, "uint64"), "Tags": Given(["a", "b"]), "Inner": Given(None)},
)


@pytest.mark.parametrize("given", [MOF, XML, DECODED])
def test_every_form(given: GivenInstance | str) -> None:
    """Names as declared, values typed, unknown and NULL properties gone."""
    made = instance_of(SCHEMA, VIRT, given)
    assert (made.cls.name, made.values) == ("TST_Detail", {"Size": 5, "Tags": ["a", "b"]})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("no instance", "no MOF instance declaration"),
        ("instance of TST_Absent { };", "no class 'TST_Absent'"),
        (
            'instance of TST_Detail { Size = "many"; };',
            "TST_Detail: Size: 'many' is not an integer",
        ),
        (GivenInstance("TST_Detail", {"Size": Given(5, "string")}), "Size is uint64, not string"),
    ],
)
def test_what_cannot_be_read(given: GivenInstance | str, text: str) -> None:
    with pytest.raises(Failed, match="Unable to parse embedded object: ") as raised:
        instance_of(SCHEMA, VIRT, given)
    assert text in raised.value.message


def _check(value: object) -> dict[str, object]:
    method = SCHEMA.get(VIRT, "TST_Thing").method("Echo")
    assert method is not None
    return check_arguments(SCHEMA, VIRT, method, {"InArray_embedded": Given(value, "string")})


def test_arrays() -> None:
    found = _check([MOF, XML])["InArray_embedded"]
    assert isinstance(found, list) and [one.values["Size"] for one in found] == [5, 5]


@pytest.mark.parametrize(("value", "kind"), [([MOF, None], InvalidParameter), ([MOF, ""], Failed)])
def test_bad_elements(value: list[str | None], kind: type[CIMError]) -> None:
    with pytest.raises(kind):
        _check(value)
