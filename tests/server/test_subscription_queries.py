# SPDX-License-Identifier: LGPL-2.1-or-later
"""What filters let through, in WQL and CQL, and what they show of it."""

from __future__ import annotations

import time

import pytest

from libvirtcim.cim.declare import VIRT
from libvirtcim.cim.errors import InvalidQuery, QueryLanguageNotSupported
from libvirtcim.cim.objects import Instance
from libvirtcim.server.indications import query
from tests.server.subscribing import SCHEMA, TICKS


def guest(state: int, **values: object) -> Instance:
    shown = {"Name": "web1", "ElementName": 'it\'s "web"', "EnabledState": state, **values}
    return Instance(SCHEMA.get(VIRT, "KVM_ComputerSystem"), None, shown)


TICK = Instance(
    SCHEMA.get(VIRT, TICKS),
    None,
    {
        "Number": 7,
        "IndicationIdentifier": "id",
        "SourceInstance": guest(3, OperationalStatus=[2, 10]),
        "PreviousInstance": guest(2, OperationalStatus=[2], OtherEnabledState="x\\y"),
    },
)


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ("Number = 7", True),
        ("number = 7.0", True),
        ("NUMBER <> 7", False),
        ("Number != 8", True),
        ("Number < 8 AND Number <= 7 AND Number > -1 AND Number >= 7", True),
        ("7 = Number", True),
        ("Number > 7", False),
        (f"{TICKS}.Number = 7", True),
        ("SourceInstance.EnabledState = 3", True),
        ("SourceInstance.EnabledState = PreviousInstance.EnabledState", False),
        ("SourceInstance.EnabledState <> PreviousInstance.EnabledState", True),
        ("SourceInstance.CIM_ComputerSystem::EnabledState = 3", True),
        ("SourceInstance.CIM_LogicalDisk::EnabledState = 3", False),
        ("SourceInstance.Name = 'web1'", True),
        ('SourceInstance.Name = "web1"', True),
        ("SourceInstance.Name = 'WEB1'", False),
        ("SourceInstance.Name > 'web0'", True),
        (r"""SourceInstance.ElementName = 'it\'s "web"'""", True),
        (r'''SourceInstance.ElementName = "it's \"web\""''', True),
        (r"PreviousInstance.OtherEnabledState = 'x\\y'", True),
        ("SourceInstance ISA KVM_ComputerSystem", True),
        ("SourceInstance isa CIM_ManagedElement", True),
        ('SourceInstance ISA "CIM_System"', True),
        ("SourceInstance ISA KVM_LogicalDisk", False),
        ("NOT SourceInstance ISA KVM_LogicalDisk", True),
        ("SourceInstance.OtherEnabledState IS NULL", True),
        ("SourceInstance.OtherEnabledState = NULL", True),
        ("SourceInstance.OtherEnabledState <> NULL", False),
        ("PreviousInstance.OtherEnabledState IS NOT NULL", True),
        ("SourceInstance.OperationalStatus[1] = 10", True),
        ("SourceInstance.OperationalStatus[2] = 10", False),
        ("SourceInstance.EnabledState[0] = 3", False),
        ("SourceInstance.OperationalStatus[*] <> PreviousInstance.OperationalStatus[*]", True),
        ("ANY SourceInstance.OperationalStatus[*] = 10", True),
        ("ANY SourceInstance.OperationalStatus = 11", False),
        ("ANY SourceInstance.Name = 'web1'", False),
        ("Number = 1 OR Number = 7 AND NOT Number = 8", True),
        ("(Number = 1 OR Number = 7) AND Number = 8", False),
        ("NOT (Number = 1 OR Number = 2)", True),
        # what is unknown lets nothing through, turned round neither
        ("SourceInstance.OtherEnabledState = 'x'", False),
        ("NOT SourceInstance.OtherEnabledState = 'x'", False),
        ("SourceInstance.OtherEnabledState = 'x' OR Number = 7", True),
        ("NOT (SourceInstance.OtherEnabledState = 'x' AND Number = 7)", False),
        ("NOT (SourceInstance.OtherEnabledState = 'x' AND Number = 8)", True),
        ("Number = '7'", False),
        ("Number = TRUE", False),
        ("SourceInstance.Nothing = 1", False),
        ("SourceInstance.Name.Nothing = 1", False),
        ("SourceInstance.OperationalStatus > 1", False),
        ("SourceInstance.OperationalStatus >= SourceInstance.OperationalStatus", False),
        ("SourceInstance.Dedicated IS NULL AND TRUE = TRUE AND FALSE <> TRUE", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("language", ["WQL", "DMTF:CQL", "cim:cql"])
def test_conditions(condition: str, matches: bool, language: str) -> None:
    parsed = query.parse(f"SELECT * FROM {TICKS} WHERE {condition}", language)
    assert parsed.matches(TICK) is matches


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [("web_", True), ("w%", True), ("%1", True), ("web", False), ("w*", False), ("[w]eb1", False)],
)
def test_patterns(pattern: str, matches: bool) -> None:
    text = f"SELECT * FROM {TICKS} WHERE SourceInstance.Name LIKE '{pattern}'"
    assert query.parse(text, "WQL").matches(TICK) is matches
    with pytest.raises(InvalidQuery, match="LIKE is not supported in DMTF:CQL"):
        query.parse(text, "DMTF:CQL")


def test_a_pattern_of_wild_cards_takes_no_time() -> None:
    text = f"SELECT * FROM {TICKS} WHERE SourceInstance.Name LIKE '{'%a' * 30}b'"
    tick = Instance(TICK.cls, None, {"SourceInstance": guest(2, Name="a" * 10_000)})
    start = time.monotonic()
    assert not query.parse(text, "WQL").matches(tick)
    assert time.monotonic() - start < 5


def test_no_condition() -> None:
    parsed = query.parse("select\t*\nfrom cim_instindication", "wql")
    assert (parsed.classname, parsed.matches(TICK)) == ("cim_instindication", True)
    assert parsed.shown(TICK) is TICK


def test_a_selection_shows_no_more() -> None:
    parsed = query.parse(
        f"SELECT number, {TICKS}.PreviousInstance.enabledstate, PreviousInstance.Name, SourceInstance, "
        f"SourceInstance.Name, Nothing FROM {TICKS} WHERE IndicationIdentifier = 'id'",
        "DMTF:CQL",
    )
    assert parsed.matches(TICK)
    shown = parsed.shown(TICK)
    assert {name for name, _ in shown.items()} == {"Number", "PreviousInstance", "SourceInstance"}
    assert shown["SourceInstance"] is TICK["SourceInstance"]
    assert dict(shown["PreviousInstance"].items()) == {"EnabledState": 2, "Name": "web1"}
    assert parsed.property_names == {
        "number", "previousinstance", "sourceinstance", "nothing", "indicationidentifier",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT",
        "SELECT * FROM",
        "SELECT * FROM A, B",
        "SELECT * FROM A WHERE",
        "SELECT * FROM A WHERE Name",
        "SELECT * FROM A WHERE Name = ",
        "SELECT * FROM A WHERE Name = 'open",
        "SELECT * FROM A WHERE (Name = 1",
        "SELECT * FROM A WHERE Name = 1 AND",
        "SELECT * FROM A WHERE Name[-1] = 1",
        "SELECT * FROM A WHERE Name = 1; DROP TABLE element",
        "SELECT * FROM A ORDER BY Name",
        "DELETE FROM A",
        "SELECT * FROM A WHERE Name = 1 \x00",
        "SELECT * FROM A WHERE " + "(" * 3000 + "Name = 1" + ")" * 3000,
        "SELECT * FROM A WHERE " + "NOT " * 40 + "Name = 1",
        "SELECT * FROM A WHERE " + "NOT " * 1900 + "Name = 1",
        "SELECT * FROM A WHERE Name = '" + "x" * 10_000 + "'",
    ],
)
def test_bad_queries(text: str) -> None:
    with pytest.raises(InvalidQuery, match="The query"):
        query.parse(text, "WQL")


def test_a_long_chain_is_not_deep() -> None:
    chain = " OR ".join(f"Number = {number}" for number in range(400))
    assert query.parse(f"SELECT * FROM {TICKS} WHERE {chain}", "WQL").matches(TICK)


@pytest.mark.parametrize("language", ["", "SQL", "DMTF:FQL"])
def test_other_languages(language: str) -> None:
    with pytest.raises(QueryLanguageNotSupported, match="but WQL, DMTF:CQL"):
        query.parse("SELECT * FROM A", language)
