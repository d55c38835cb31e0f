# SPDX-License-Identifier: LGPL-2.1-or-later
"""Conversion of what clients give, and embedded instances in both text forms."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libvirtcim.cim import embedded, values
from libvirtcim.cim.errors import Failed, TypeMismatch
from libvirtcim.cim.objects import Given, GivenInstance, Instance
from libvirtcim.cim.schema import INTEGER_RANGES, LocalClass, PropertyInfo, Schema
from tests.cim.model import BASES, QUALIFIERS


@pytest.mark.parametrize(
    ("text", "cim_type", "value"),
    [
        ("5", "uint8", 5),
        (" -5 ", "sint8", -5),
        ("+7", "uint16", 7),
        ("0xFf", "uint8", 255),
        ("TRUE", "boolean", True),
        ("false", "boolean", False),
        (True, "boolean", True),
        ("1.5e3", "real64", 1500.0),
        ("x", "char16", "x"),
        ("", "string", ""),
        ("20261125164700.000000+060", "datetime", "20261125164700.000000+060"),
        ("00000000000100.000000:000", "datetime", "00000000000100.000000:000"),
        ("256", "uint8", None),
        ("-1", "uint64", None),
        ("1.0", "uint8", None),
        ("", "uint8", None),
        ("9" * 5000, "uint64", None),
        (True, "uint8", None),
        ("yes", "boolean", None),
        ("ab", "char16", None),
        ("soon", "datetime", None),
        ("x", "real32", None),
        (5, "string", None),
        ("x", "reference", None),
    ],
)
def test_scalars(text: Any, cim_type: str, value: Any) -> None:
    if value is None:
        with pytest.raises(TypeMismatch, match="Thing"):
            values.scalar(text, cim_type, "Thing")
    else:
        assert values.scalar(text, cim_type, "Thing") == value


@pytest.mark.parametrize("cim_type", sorted(INTEGER_RANGES))
@given(number=st.integers(-(2**70), 2**70))
def test_integers_are_taken_exactly_within_their_range(cim_type: str, number: int) -> None:
    low, high = INTEGER_RANGES[cim_type]
    if low <= number <= high:
        assert values.scalar(str(number), cim_type, "n") == number
    else:
        with pytest.raises(TypeMismatch):
            values.scalar(str(number), cim_type, "n")


@pytest.mark.parametrize(
    ("given_value", "array", "result"),
    [
        (Given("5"), True, [5]),
        (Given(["5", None, "6"]), True, [5, None, 6]),
        (Given([]), True, []),
        (Given(None, "string"), False, None),
        (Given("5", "UINT8"), False, 5),
        (Given("5", "uint16"), False, TypeMismatch),
        (Given(["5"]), False, TypeMismatch),
        (Given(GivenInstance("X")), False, TypeMismatch),
    ],
)
def test_shapes(given_value: Given, array: bool, result: Any) -> None:
    declared = PropertyInfo("N", "uint8", array)
    if result is TypeMismatch:
        with pytest.raises(TypeMismatch):
            values.typed(given_value, declared)
    else:
        assert values.typed(given_value, declared) == result


@pytest.mark.parametrize(
    ("text", "classname", "expected"),
    [
        ('instance of X { a = "b"; };', "X", {"a": "b"}),
        ("INSTANCE OF x {a='b';n=NULL;};", "x", {"a": "b", "n": None}),
        (" \n Instance Of X { A = TRUE; b = false; } ; ", "X", {"A": True, "b": False}),
        ('instance of X { a = {"p", "q"}; b = {}; };', "X", {"a": ["p", "q"], "b": []}),
        (
            "instance of X { a = {1, -2}; n = -5; r = 1.5; };",
            "X",
            {"a": ["1", "-2"], "n": "-5", "r": "1.5"},
        ),
        (r'instance of X { a = "q\"\\\n\x41"; };', "X", {"a": 'q"\\\nA'}),
        (r'instance of X { a = "\xD83D\xDE00 \xD800"; };', "X", {"a": "\U0001f600 \ufffd"}),
        ('instance of X { a = "<INSTANCE>"; };', "X", {"a": "<INSTANCE>"}),
        ('instance of X { a = "one " "two"; // note\n /* more */ };', "X", {"a": "one two"}),
        ("instance of X {};", "X", {}),
        ('<INSTANCE CLASSNAME="X"/>', "X", {}),
        ('\ufeff\n<INSTANCE CLASSNAME="X"/>', "X", {}),
        (
            '<instance CLASSNAME="X"><property NAME="a" TYPE="sint8"><value>-3</value></property>'
            '<PROPERTY NAME="n" TYPE="string"/></instance>',
            "X",
            {"a": "-3", "n": None},
        ),
        (
            '<INSTANCE CLASSNAME="X"><PROPERTY.ARRAY NAME="a" TYPE="string"><VALUE.ARRAY><VALUE>p</VALUE>'
            "<VALUE.NULL/><VALUE><![CDATA[<q>]]></VALUE></VALUE.ARRAY></PROPERTY.ARRAY></INSTANCE>",
            "X",
            {"a": ["p", None, "<q>"]},
        ),
    ],
)
def test_embedded_instances(text: str, classname: str, expected: dict[str, Any]) -> None:
    instance = embedded.read(text)
    assert instance.classname == classname
    assert {name: value.value for name, value in instance.values.items()} == expected


_gaps = st.sampled_from([" ", "\n\t", "/* ; } = */", " // } ;\n", "\r\n  /**/ "])
_VALUES: dict[str, Any] = {
    '"a;\\"b"': 'a;"b',
    "'}'": "}",
    "-0x1F": "-0x1F",
    "+1.5e-3": "+1.5e-3",
    "tRUE": True,
    "NULL": None,
    "{ 1 , 'x' , null }": ["1", "x", None],
    "'a' \"b\"": "ab",
}


@given(st.lists(st.sampled_from(sorted(_VALUES)), max_size=4), st.data())
def test_blanks_and_comments_between_tokens_say_nothing(given_values: list[str], data: Any) -> None:
    tokens = ["instance", "of", "X_y", "{"]
    for number, value in enumerate(given_values):
        tokens += [f"p{number}", "=", *value.split(" "), ";"]
    text = "".join(token + data.draw(_gaps) for token in [*tokens, "}", ";"])
    read = embedded.read(text)
    plain = embedded.read(re.sub(r" ([={},;])", r"\1", " ".join([*tokens, "};"])))
    assert read == plain
    assert [value.value for value in read.values.values()] == [_VALUES[v] for v in given_values]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        'instance of X { a = "b" };',
        "instance of X { a = ; };",
        'instance of X { a = "b;',
        "instance of { a = 1; };",
        "<INSTANCE>",
        "\ud800<INSTANCE>",
        "<INSTANCE/>",
        '<OTHER><INSTANCE CLASSNAME="X"/></OTHER>',
        '<!DOCTYPE INSTANCE [<!ENTITY a "b">]><INSTANCE CLASSNAME="X">&a;</INSTANCE>',
        "x" * (embedded.MAX_EMBEDDED_TEXT + 1),
    ],
)
def test_text_that_is_no_instance(text: str) -> None:
    with pytest.raises(Failed, match=embedded.PARSE_ERROR):
        embedded.read(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(Failed):
        embedded.read(text)


SAMPLE = Schema(
    [
        *BASES,
        LocalClass(
            "T_All",
            None,
            (
                PropertyInfo("S", "string"),
                PropertyInfo("N", "sint32"),
                PropertyInfo("B", "boolean"),
                PropertyInfo("L", "string", True),
            ),
            namespaces=("root/virt",),
        ),
    ],
    QUALIFIERS,
    ("root/virt",),
).get("root/virt", "T_All")

_text = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\t\n\r\b\f"))


@given(_text, st.integers(-(2**31), 2**31 - 1), st.booleans(), st.lists(_text))
def test_written_mof_reads_back(text: str, number: int, flag: bool, texts: list[str]) -> None:
    given_values = {"S": text, "N": number, "B": flag, "L": texts}
    back = embedded.read(embedded.write_mof(Instance(SAMPLE, None, dict(given_values))))
    read = {
        name: values.typed(value, SAMPLE.by_name[name.lower()])
        for name, value in back.values.items()
    }
    assert read == given_values
