# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the writer writes, pywbem reads as the same; what pywbem writes, the parser reads as the same."""

from __future__ import annotations

import math
import string
from typing import Any

import pytest
import pywbem
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from pywbem import _tupleparse, _tupletree

from libvirtcim.cim.objects import Given, Instance, InstancePath
from libvirtcim.cim.schema import INTEGER_RANGES
from libvirtcim.server import elements
from libvirtcim.server.parser import XMLLimits, read_xml
from libvirtcim.server.text import escape, escape_attribute, percent_encode, real
from libvirtcim.server.writer import PLAIN, STANDARD, Writer
from tests.server.memory import SCALAR_TYPES, VIRT, filled

BROKER = filled()
ALL = BROKER.schema.get(VIRT, "TST_All")
DETAIL = BROKER.schema.get(VIRT, "TST_Detail")
WRITER = Writer("host.example")

XML_TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ufffe\uffff\x7f"
                  + "".join(map(chr, [*range(1, 9), 11, 12, *range(14, 32)]))),
    max_size=30,
)  # fmt: skip
ANY_TEXT = st.text(max_size=30)
DATETIMES = st.datetimes().map(lambda d: f"{d:%Y%m%d%H%M%S}.{d.microsecond:06}+000".rjust(25, "0"))


def scalars(cim_type: str) -> st.SearchStrategy[Any]:
    if cim_type in INTEGER_RANGES:
        low, high = INTEGER_RANGES[cim_type]
        return st.integers(low, high)
    return {
        "boolean": st.booleans(),
        "real32": st.floats(width=32, allow_nan=False, allow_infinity=False),
        "real64": st.floats(allow_nan=False, allow_infinity=False),
        "string": XML_TEXT,
        "char16": st.sampled_from(string.printable.replace("\x0b", "").replace("\x0c", "") + "é日"),
        "datetime": DATETIMES,
    }[cim_type]


PATHS = st.builds(
    lambda name, n, b: InstancePath("TST_X", (("Name", name), ("N", n), ("B", b)), VIRT),
    XML_TEXT,
    st.integers(-(2**63), 2**63),
    st.booleans(),
)
DETAILS = st.builds(
    lambda tags, size: Instance(DETAIL, None, {"Tags": tags, "Size": size}),
    st.none() | st.lists(XML_TEXT, max_size=3),
    st.none() | st.integers(0, 2**64 - 1),
)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        **{f"P_{t}": scalars(t) for t in SCALAR_TYPES},
        **{f"A_{t}": st.lists(scalars(t), max_size=3) for t in SCALAR_TYPES},
        "P_reference": PATHS,
        "P_embedded": DETAILS,
        "P_object": DETAILS,
        "A_embedded": st.lists(DETAILS, max_size=2),
    },
)


def by_pywbem(xml: str) -> Any:
    return _tupleparse.TupleParser().parse_any(
        _tupletree.xml_to_tupletree_sax(xml.encode(), "test")
    )


def same(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, list):
        return len(mine) == len(theirs) and all(map(same, mine, theirs))
    if isinstance(mine, Instance):
        return all(same(mine[name], theirs[name]) for name, _ in mine.items())
    if isinstance(mine, InstancePath):
        return bool(
            theirs.namespace == mine.namespace
            and theirs.classname == mine.classname
            and dict(theirs.keybindings.items()) == dict(mine.keys)
        )
    if isinstance(theirs, pywbem.CIMDateTime):
        return bool(theirs == pywbem.CIMDateTime(mine))
    return bool(mine == theirs and isinstance(mine, bool) == isinstance(theirs, bool))


@settings(max_examples=300)
@given(values=VALUES, path=PATHS)
def test_instances(values: dict[str, Any], path: InstancePath) -> None:
    instance = Instance(ALL, path, values)
    found = by_pywbem(WRITER.instance(instance, origin=True))
    assert list(found.properties) == [p.name for p in ALL.properties]
    for prop in ALL.properties:
        theirs = found.properties[prop.name]
        assert (theirs.type, theirs.is_array) == (prop.type, prop.array)
        assert theirs.class_origin == prop.origin
        assert same(values.get(prop.name), theirs.value), prop.name
    for written in (WRITER.object_with_path(instance), WRITER.instance_with_path(instance)):
        read = by_pywbem(written)
        where = read[2].path if isinstance(read, tuple) else read.path
        assert same(path, where) and where.host == "host.example"
    etree.fromstring(Writer("h", PLAIN).instance(instance).encode())


@given(text=ANY_TEXT)
def test_any_text_is_well_formed(text: str) -> None:
    document = f'<a b="{escape_attribute(text)}">{escape(text)}</a>'.encode()
    found = etree.fromstring(document)
    if escape(text) == text:
        assert (found.text or "") == text


@given(text=XML_TEXT)
def test_legal_text_survives(text: str) -> None:
    assert (etree.fromstring(f"<a>{escape(text)}</a>".encode()).text or "") == text


@given(number=st.floats())
def test_reals(number: float) -> None:
    literal = real(number)
    if math.isnan(number):
        assert literal == "NaN"
    elif math.isinf(number):
        assert literal.endswith("INF")
    else:
        assert "." in literal and float(literal) == number


@given(text=st.text())
def test_percent_encoding_fits_a_header(text: str) -> None:
    encoded = percent_encode(text)
    assert encoded.isascii() and (encoded.isprintable() or not encoded)


def pywbem_value(value: Any, cim_type: str) -> Any:
    if isinstance(value, list):
        return [pywbem_value(v, cim_type) for v in value]
    return value if cim_type == "string" else pywbem.cimvalue(value, cim_type)


@settings(max_examples=200)
@given(values=VALUES)
def test_pywbem_instances_are_read(values: dict[str, Any]) -> None:
    instance = pywbem.CIMInstance("TST_All")
    for name, value in values.items():
        cim_type = ALL.by_name[name.lower()].type
        if cim_type in SCALAR_TYPES and "embedded" not in name and "object" not in name:
            if cim_type == "char16":
                continue
            instance[name] = pywbem.CIMProperty(
                name, pywbem_value(value, cim_type), type=cim_type, is_array=isinstance(value, list)
            )
    read = elements.instance(read_xml(instance.tocimxml().toxml().encode(), XMLLimits()))
    assert read.classname == "TST_All" and set(read.values) == set(instance.properties)
    for name, given_value in read.values.items():
        assert isinstance(given_value, Given)
        assert given_value.type == ALL.by_name[name.lower()].type
        mine = values[name]
        if given_value.type == "string":
            # pywbem writes carriage returns raw, which XML turns into line feeds
            expected = [_lines(m) for m in mine] if isinstance(mine, list) else _lines(mine)
            assert given_value.value == expected


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def test_references_of_every_form_are_read() -> None:
    path = pywbem.CIMInstanceName("X", {"A": "1"}, host="h", namespace="root/virt")
    for form in (path, pywbem.CIMInstanceName("X", {"A": "1"}, namespace="root/virt"),
                 pywbem.CIMInstanceName("X", {"A": "1"})):  # fmt: skip
        outer = pywbem.CIMInstanceName("Y", {"R": form})
        read = elements.path(read_xml(outer.tocimxml().toxml().encode(), XMLLimits()))
        assert read.keys == (("R", InstancePath("X", (("A", "1"),), form.namespace)),)
    for form in (pywbem.CIMClassName("X"), pywbem.CIMClassName("X", namespace="root/virt"),
                 pywbem.CIMClassName("X", host="h", namespace="root/virt")):  # fmt: skip
        read = elements.path(read_xml(form.tocimxml().toxml().encode(), XMLLimits()))
        assert read == InstancePath("X", (), form.namespace)


@pytest.mark.parametrize(
    ("name", "value"),
    [("P_uint8", "3"), ("P_boolean", 1), ("P_string", 3), ("A_uint8", 3), ("P_reference", "x"),
     ("P_real64", "1.5"), ("P_embedded", 3), ("A_string", "text")],
)  # fmt: skip
def test_wrong_values_are_named(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"TST_All.{name}"):
        WRITER.instance(Instance(ALL, None, {name: value}))


def test_selected_properties_in_class_order() -> None:
    instance = Instance(ALL, None, {"P_string": "s"}, frozenset({"P_string", "InstanceID"}))
    assert WRITER.instance(instance) == (
        '<INSTANCE CLASSNAME="TST_All"><PROPERTY NAME="InstanceID" TYPE="string"></PROPERTY>'
        '<PROPERTY NAME="P_string" TYPE="string"><VALUE>s</VALUE></PROPERTY></INSTANCE>'
    )


def test_dialects_differ_only_where_they_must() -> None:
    instance = Instance(ALL, None, {"P_embedded": Instance(DETAIL, None, {"Tags": ["a", None]})})
    plain = Writer("h", PLAIN).instance(instance)
    standard = Writer("h", STANDARD).instance(instance)
    assert plain == standard.replace(
        'NAME="A_embedded" TYPE="string" EmbeddedObject="instance"',
        'NAME="A_embedded" TYPE="string"',
    )
