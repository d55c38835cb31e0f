# SPDX-License-Identifier: LGPL-2.1-or-later
"""pywbem, pywbemcli and wbemcli as they are, against a server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pywbem

from libvirtcim.server.http import CIMServer
from libvirtcim.server.settings import ServerSettings
from tests.server.memory import INTEROP, QUALIFIER_TYPES, SCALAR_TYPES, VIRT, MemoryBroker, filled

WBEMCLI = shutil.which("wbemcli")
PYWBEMCLI = Path(sys.executable).with_name("pywbemcli")

needs_wbemcli = pytest.mark.skipif(
    WBEMCLI is None, reason="wbemcli is not installed (Debian package sblim-wbemcli)"
)
needs_pywbemcli = pytest.mark.skipif(
    not PYWBEMCLI.exists(), reason="pywbemcli is not installed (pip package pywbemtools)"
)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[CIMServer, MemoryBroker]]:
    broker = filled()
    with CIMServer(broker, ServerSettings(listen=(("127.0.0.1", 0),))) as server:
        yield server, broker


@pytest.fixture
def cim(running: tuple[CIMServer, MemoryBroker]) -> Iterator[pywbem.WBEMConnection]:
    with pywbem.WBEMConnection(running[0].urls[0], default_namespace=VIRT) as connection:
        yield connection


def path(name: str, classname: str = "TST_Thing") -> pywbem.CIMInstanceName:
    return pywbem.CIMInstanceName(classname, {"Name": name})


# --- pywbem ----------------------------------------------------------------------------------


def test_instances(cim: pywbem.WBEMConnection) -> None:
    rows = cim.EnumerateInstances("TST_Thing")
    assert [r["Name"] for r in rows] == ["a", "b", 'q"\\<&>, =é日本', "sub"]
    assert rows[0]["List"] == ["x", "<&>\"'", ""]
    assert rows[1]["List"] == [] and rows[1]["Num"] is None
    assert rows[2]["ElementName"] == "tab\tline\nend" and rows[2]["List"] == ["one", None]
    assert rows[3]["Extra"] == 2**64 - 1
    for row in rows:
        assert cim.GetInstance(row.path) == row
    assert [r.path for r in rows] == cim.EnumerateInstanceNames("TST_Thing")
    only = cim.EnumerateInstances("TST_Thing", PropertyList=["Num"], IncludeClassOrigin=True)
    assert only[0].properties["Num"].class_origin == "TST_Thing"


def test_every_type(cim: pywbem.WBEMConnection) -> None:
    full = cim.GetInstance(pywbem.CIMInstanceName("TST_All", {"InstanceID": "full"}))
    for name in SCALAR_TYPES:
        assert full.properties[f"P_{name}"].type == name
        assert full.properties[f"A_{name}"].is_array
        assert full[f"P_{name}"] is not None
    assert full["P_real64"] == 1e300 and full["A_uint8"] == [0, 1]
    assert full["P_reference"] == pywbem.CIMInstanceName("TST_Thing", {"Name": "a"}, namespace=VIRT)
    assert full["P_embedded"]["Tags"] == ["t", None]
    assert full["P_object"].classname == "TST_Detail"
    assert full["P_datetime"] == pywbem.CIMDateTime("20260102030405.000000+060")


def test_typed_keys(cim: pywbem.WBEMConnection) -> None:
    (found,) = cim.EnumerateInstanceNames("TST_Keys")
    assert found.keybindings["I"] == -5 and found.keybindings["B"] is True
    assert cim.GetInstance(found)["D"] == pywbem.CIMDateTime("20260102030405.000000+060")


def test_create_modify_delete(cim: pywbem.WBEMConnection) -> None:
    new = pywbem.CIMInstance(
        "TST_Thing",
        {"Name": "n&w", "Num": pywbem.Uint32(7), "List": ["<", None], "Flag": True},
    )
    made = cim.CreateInstance(new)
    assert (made.classname, made.keybindings["Name"], made.namespace) == ("TST_Thing", "n&w", VIRT)
    change = pywbem.CIMInstance("TST_Thing", {"Num": pywbem.Uint32(8), "Flag": False}, path=made)
    cim.ModifyInstance(change, PropertyList=["Num"])
    found = cim.GetInstance(made)
    assert (found["Num"], found["Flag"], found["List"]) == (8, True, ["<", None])
    with pytest.raises(pywbem.CIMError, match="is uint32, not string") as raised:
        cim.ModifyInstance(pywbem.CIMInstance("TST_Thing", {"Num": "8"}, path=made))
    assert raised.value.status_code == 13
    cim.DeleteInstance(made)
    with pytest.raises(pywbem.CIMError) as raised:
        cim.DeleteInstance(made)
    assert raised.value.status_code == 6


def test_associations(cim: pywbem.WBEMConnection) -> None:
    for found in (cim.Associators(path("a")), cim.AssociatorNames(path("a"))):
        paths = [f if isinstance(f, pywbem.CIMInstanceName) else f.path for f in found]
        assert [p.keybindings["Name"] for p in paths] == ["b", "sub"]
        assert all(p.namespace == VIRT and p.host for p in paths)
    links = cim.References(path("a"))
    assert [link.path for link in links] == cim.ReferenceNames(path("a"))
    assert cim.GetInstance(links[0].path)["Note"] == "first"
    assert cim.Associators(path("a"), ResultClass="TST_SubThing")[0]["Name"] == "sub"


def test_class_associations(cim: pywbem.WBEMConnection) -> None:
    names = [name.classname for name in cim.AssociatorNames("TST_SubThing")]
    assert names == ["CIM_ManagedElement", "TST_Thing"]
    assert cim.ReferenceNames("TST_Thing")[0].classname == "TST_Link"
    where, cls = cim.References("TST_Thing", IncludeQualifiers=True)[0]
    assert where.namespace == VIRT and cls.qualifiers["Association"].value is True
    assert cim.Associators("TST_SubThing")[0][1].classname == "CIM_ManagedElement"


def _hostless(found: Any) -> Any:
    path = found if isinstance(found, pywbem.CIMInstanceName) else found.path
    path.host = None
    path.namespace = VIRT
    return found


@pytest.mark.parametrize("use_pull", [True, None, False])
def test_iterations(running: tuple[CIMServer, MemoryBroker], use_pull: bool | None) -> None:
    with pywbem.WBEMConnection(
        running[0].urls[0], default_namespace=VIRT, use_pull_operations=use_pull
    ) as cim:
        count = {"MaxObjectCount": 1}
        for iterated, plain in (
            (cim.IterEnumerateInstances("TST_Thing", **count), cim.EnumerateInstances("TST_Thing")),
            (
                cim.IterEnumerateInstancePaths("TST_Thing", **count),
                cim.EnumerateInstanceNames("TST_Thing"),
            ),
            (cim.IterAssociatorInstances(path("a"), **count), cim.Associators(path("a"))),
            (cim.IterAssociatorInstancePaths(path("a"), **count), cim.AssociatorNames(path("a"))),
            (cim.IterReferenceInstances(path("a"), **count), cim.References(path("a"))),
            (cim.IterReferenceInstancePaths(path("a"), **count), cim.ReferenceNames(path("a"))),
        ):
            assert [_hostless(found) for found in iterated] == [_hostless(p) for p in plain]
        abandoned = cim.IterEnumerateInstances("TST_Thing", MaxObjectCount=1)
        next(abandoned)
        abandoned.close()
    assert running[0].open_enumerations == 0


@pytest.mark.parametrize("use_pull", [True, None, False])
def test_query_is_refused(running: tuple[CIMServer, MemoryBroker], use_pull: bool | None) -> None:
    with pywbem.WBEMConnection(
        running[0].urls[0], default_namespace=VIRT, use_pull_operations=use_pull
    ) as cim, pytest.raises(pywbem.CIMError) as raised:  # fmt: skip
        list(
            cim.IterQueryInstances(
                "DMTF:CQL", "SELECT * FROM TST_Thing", MaxObjectCount=1
            ).generator
        )
    assert raised.value.status_code == 7


def test_methods(cim: pywbem.WBEMConnection) -> None:
    given: dict[str, Any] = {
        "In_uint8": pywbem.Uint8(255),
        "In_sint64": pywbem.Sint64(-(2**63)),
        "In_real64": pywbem.Real64(1.25),
        "In_boolean": True,  # pywbem 1.9 reads FALSE in an output as True
        "In_string": "<&>é日本\t\n",
        "In_datetime": pywbem.CIMDateTime("20260102030405.000000+060"),
        "InArray_string": ["a", ""],
        "InArray_uint16": [pywbem.Uint16(1), pywbem.Uint16(2)],
        "In_reference": pywbem.CIMInstanceName("TST_Thing", {"Name": "a"}, namespace=VIRT),
        "InArray_reference": [pywbem.CIMInstanceName("TST_Thing", {"Name": "b"}, namespace=VIRT)],
        "In_embedded": pywbem.CIMInstance("TST_Detail", {"Size": pywbem.Uint64(5)}),
        "InArray_embedded": [pywbem.CIMInstance("TST_Detail", {"Tags": ["<&>"]})],
    }
    result, outputs = cim.InvokeMethod("Echo", path("a"), **given)
    assert result == len(given)
    for name, value in given.items():
        found = outputs["Out" + name.removeprefix("In")]
        if "embedded" in name:
            assert (found[0] if isinstance(found, list) else found).classname == "TST_Detail"
        else:
            assert found == value, name
    assert cim.InvokeMethod("Nothing", path("a")) == (None, {})
    result, outputs = cim.InvokeMethod("Details", path("a"))
    assert outputs["One"]["Inner"]["Tags"] == ["<&>", None]
    assert [i.classname for i in outputs["Many"]] == ["TST_Detail"] * 2
    assert len(outputs["Things"]) == 4
    assert cim.InvokeMethod("Nothing", "TST_Thing") == (None, {})


def test_internal_error_keeps_its_secrets(
    cim: pywbem.WBEMConnection, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(pywbem.CIMError) as raised:
        cim.InvokeMethod("Crash", path("a"))
    assert raised.value.status_code == 1
    text = raised.value.status_description
    reference = text.partition("(reference ")[2].rstrip(")")
    assert reference and "secret" not in text and "Traceback" not in text
    assert reference in caplog.text and "secret in a traceback" in caplog.text


def test_classes_and_qualifiers(cim: pywbem.WBEMConnection) -> None:
    cls = cim.GetClass("TST_Thing", LocalOnly=False, IncludeClassOrigin=True)
    assert cls.superclass == "CIM_ManagedElement"
    assert cls.properties["Name"].qualifiers["Key"].value is True
    assert cls.properties["Num"].qualifiers["Values"].value == ["Zero", "One"]
    assert cls.properties["State"].value == 2
    assert cls.properties["InstanceID"].qualifiers["MaxLen"].value == 64
    description = cls.properties["ElementName"].qualifiers["Description"].value
    assert description == 'A <name> & "more"\nof it'
    echo = cls.methods["Echo"]
    assert echo.return_type == "uint32" and echo.class_origin == "TST_Thing"
    assert echo.parameters["Out_embedded"].qualifiers["EmbeddedInstance"].value == "TST_Detail"
    assert cls.methods["Demanding"].parameters["Text"].qualifiers["Required"].value is True
    deep = cim.EnumerateClassNames(DeepInheritance=True)
    assert len(cim.EnumerateClasses(DeepInheritance=True, LocalOnly=False)) == len(deep)
    assert {q.name for q in cim.EnumerateQualifiers()} == {q.name for q in QUALIFIER_TYPES}
    key = cim.GetQualifier("Key")
    assert key.overridable is False and key.scopes["PROPERTY"] and key.value is False
    assert cim.GetQualifier("Values").is_array


def test_schema_is_fixed(cim: pywbem.WBEMConnection) -> None:
    cls = cim.GetClass("TST_Thing")
    key = cim.GetQualifier("Key")
    for change in (
        lambda: cim.CreateClass(cls),
        lambda: cim.ModifyClass(cls),
        lambda: cim.DeleteClass("TST_Thing"),
        lambda: cim.SetQualifier(key),
        lambda: cim.DeleteQualifier("Key"),
    ):
        with pytest.raises(pywbem.CIMError) as raised:
            change()
        assert raised.value.status_code == 7


def test_discovery(cim: pywbem.WBEMConnection) -> None:
    server = pywbem.WBEMServer(cim)
    assert server.interop_ns == INTEROP
    assert set(server.namespaces) == {"root/virt", "root/interop", "root/cimv2"}
    assert (server.brand, server.version) == ("Test", "1.2")
    assert server.profiles == []


def test_statistics(running: tuple[CIMServer, MemoryBroker]) -> None:
    with pywbem.WBEMConnection(
        running[0].urls[0], default_namespace=VIRT, stats_enabled=True
    ) as cim:
        cim.EnumerateInstanceNames("TST_Thing")
        (_, statistic), *_ = cim.statistics.snapshot()
    assert statistic.max_server_time > 0


def test_refusals_reach_people(cim: pywbem.WBEMConnection) -> None:
    with pytest.raises(pywbem.HTTPError) as raised:
        cim.imethodcall = None  # nothing is sent by this
        cim._imethodcall("X" * 10, "root/virt", Bad="\x01")
    assert raised.value.status == 400
    assert raised.value.cimerror == "request-not-well-formed"
    assert "PGErrorDetail" in raised.value.cimdetails


# --- wbemcli ---------------------------------------------------------------------------------


def wbemcli(server: CIMServer, command: str, objectpath: str, *more: str) -> str:
    url = f"{server.urls[0]}/{objectpath}"
    assert WBEMCLI is not None
    done = subprocess.run(
        [WBEMCLI, "-nl", command, url, *more], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[:2000]
    return done.stdout + done.stderr


@needs_wbemcli
@pytest.mark.parametrize(
    ("command", "objectpath", "expected"),
    [
        ("ei", "root/virt:TST_Thing", '-Name="sub"'),
        ("ei", "root/virt:TST_All", '-InstanceID="full"'),
        ("ein", "root/virt:TST_Thing", 'root/virt:TST_Thing.Name="b"'),
        ("ein", "root/virt:TST_Link", 'Antecedent=root/virt:TST_Thing.Name="a"'),
        ("gi", 'root/virt:TST_Thing.Name="a"', "-Num=1"),
        ("gi", 'root/virt:TST_All.InstanceID="full"', "-P_embedded=\"<INSTANCE"),
        ("gi", 'root/virt:TST_Keys.S="k",I=-5,B=TRUE,D="20260102030405.000000+060"', "-I=-5"),
        ("gp", 'root/virt:TST_Thing.Name="a"', ""),
        ("ai", 'root/virt:TST_Thing.Name="a"', '-Name="sub"'),
        ("ain", 'root/virt:TST_Thing.Name="a"', 'TST_SubThing.Name="sub"'),
        ("ri", 'root/virt:TST_Thing.Name="a"', '-Note="first"'),
        ("rin", 'root/virt:TST_Thing.Name="a"', "TST_Link"),
        ("gc", "root/virt:TST_Thing", "-Num"),
        ("gcd", "root/virt:TST_All", "P_embedded"),
        ("gcd", "root/virt:TST_Thing", "Num"),
        ("ec", "root/virt", "TST_Thing"),
        ("ecn", "root/virt", "TST_Link"),
        ("ein", "root/interop:CIM_Namespace", "CIM_Namespace"),
    ],
)  # fmt: skip
def test_wbemcli_reads(
    running: tuple[CIMServer, MemoryBroker], command: str, objectpath: str, expected: str
) -> None:
    more = ["Num"] if command == "gp" else []
    assert expected in wbemcli(running[0], command, objectpath, *more)


@needs_wbemcli
def test_wbemcli_writes(running: tuple[CIMServer, MemoryBroker]) -> None:
    server, broker = running
    made = 'root/virt:TST_Thing.Name="w"'
    wbemcli(server, "ci", made, "Name=w,Num=3,Flag=true")
    assert {"Name": "w", "Num": 3, "Flag": True} in broker.rows["TST_Thing"]
    wbemcli(server, "mi", made, "Num=4")
    assert "-Num=4" in wbemcli(server, "gi", made)
    wbemcli(server, "sp", made, "Num=5")
    assert "-Num=5" in wbemcli(server, "gi", made)
    wbemcli(server, "di", made)
    assert made not in wbemcli(server, "ein", "root/virt:TST_Thing")


@needs_wbemcli
def test_wbemcli_methods(running: tuple[CIMServer, MemoryBroker]) -> None:
    thing = 'root/virt:TST_Thing.Name="a"'
    assert "Echo: 1" in wbemcli(running[0], "cm", thing, 'Echo.In_string="x"')
    assert "Details: 0" in wbemcli(running[0], "cm", thing, "Details")


@needs_wbemcli
@pytest.mark.parametrize(
    ("command", "objectpath", "expected"),
    [
        ("ei", "root/virt:Nonsense", "CIM_ERR_INVALID_CLASS"),
        ("ein", "root/nowhere:TST_Thing", "CIM_ERR_INVALID_NAMESPACE"),
        ("gi", 'root/virt:TST_Thing.Name="none"', "CIM_ERR_NOT_FOUND"),
        ("dc", "root/virt:TST_Thing", "CIM_ERR_NOT_SUPPORTED"),
    ],
)
def test_wbemcli_errors(
    running: tuple[CIMServer, MemoryBroker], command: str, objectpath: str, expected: str
) -> None:
    assert WBEMCLI is not None
    done = subprocess.run(
        [WBEMCLI, command, f"{running[0].urls[0]}/{objectpath}"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert expected in done.stdout + done.stderr


# --- pywbemcli -------------------------------------------------------------------------------


def pywbemcli(server: CIMServer, *arguments: str) -> str:
    done = subprocess.run(
        [str(PYWBEMCLI), "-s", server.urls[0], "-d", VIRT, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[:2000]
    return done.stdout


@needs_pywbemcli
@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("instance", "enumerate", "TST_Thing"), 'Name = "sub"'),
        (("-U", "no", "instance", "enumerate", "TST_Thing", "--no"), 'TST_Thing.Name="a"'),
        (("instance", "get", 'TST_Thing.Name="a"'), "Num = 1;"),
        (("instance", "associators", 'TST_Thing.Name="a"'), 'Name = "b"'),
        (("instance", "references", 'TST_Thing.Name="a"', "--no"), "TST_Link"),
        (("instance", "invokemethod", 'TST_Thing.Name="a"', "Echo", "-p", "In_uint8=3"), "Out_uint8=3"),
        (("class", "get", "TST_Thing"), "class TST_Thing"),
        (("class", "enumerate", "--no"), "CIM_ManagedElement"),
        (("class", "tree"), "TST_SubThing"),
        (("class", "find", "TST_L*", "-n", VIRT), "TST_Link"),
        (("class", "associators", "TST_SubThing", "--no"), "CIM_ManagedElement"),
        (("qualifier", "enumerate"), "Association"),
        (("namespace", "list"), "root/cimv2"),
        (("server", "info"), "Test"),
    ],
)  # fmt: skip
def test_pywbemcli(
    running: tuple[CIMServer, MemoryBroker], arguments: tuple[str, ...], expected: str
) -> None:
    options = arguments[:2] if arguments[0] == "-U" else ()
    assert expected in pywbemcli(running[0], *options, *arguments[len(options) :])
