# SPDX-License-Identifier: LGPL-2.1-or-later
"""What clients send and accept, row by row: wbemcli, pywbem and pywbemcli agree on these answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.server.wire import (
    HEADERS,
    PLAIN_HEADERS,
    Client,
    Connection,
    cls,
    extrinsic,
    http,
    inst,
    intrinsic,
    message,
    namespace_path,
    value,
)

Check = Callable[[Client], None]
ROWS: dict[int, Check] = {}
ELSEWHERE = {60: "indications are sent by their own part, not by the server's protocol side"}

NAMES = intrinsic("EnumerateInstanceNames", {"ClassName": cls("TST_Thing")})
A = inst("TST_Thing", Name="a")
NOBODY = inst("TST_Thing", Name="nobody")


def row(number: int) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        assert number not in ROWS
        ROWS[number] = check
        return check

    return add


def test_every_row_is_here() -> None:
    assert set(ROWS) | set(ELSEWHERE) == set(range(1, 61))


def names_of(client: Client) -> list[str]:
    answer = client.call("EnumerateInstanceNames", ClassName=cls("TST_Thing"))
    return [element.findtext("KEYBINDING/KEYVALUE") or "" for element in answer.values]


@row(1)
def _post(client: Client) -> None:
    for path in ("/cimom", "/", "/foo/bar?x=1"):
        answer = client.post(NAMES, path=path)
        assert answer.status == 200
        assert answer.headers["content-type"] == 'application/xml; charset="utf-8"'
        assert answer.headers["cimoperation"] == "MethodResponse"
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert int(answer.headers["wbemserverresponsetime"]) > 0
        assert "content-encoding" not in answer.headers
        assert 'ID="4711"' in answer.text


@row(2)
def _other_methods(client: Client) -> None:
    for method in ("GET", "PUT", "OPTIONS", "HEAD", "DELETE"):
        answer = client.post(b"", method=method)
        assert answer.status == 405
        assert answer.headers["allow"] == "POST"
        assert answer.headers["content-length"] == "0"


@row(3)
def _m_post(client: Client) -> None:
    man = {
        "Man": "http://www.dmtf.org/cim/mapping/http/v1.0 ; ns=40",
        "40-CIMOperation": "MethodCall",
    }
    answer = client.post(NAMES, {**HEADERS, "CIMOperation": "", **man}, method="M-POST")
    assert answer.status == 501
    assert answer.headers["content-length"] == "0"


@row(4)
def _no_authorization(client: Client) -> None:
    """Answered without one here; the matrix of users and passwords is in test_auth."""
    assert client.post(NAMES).status == 200


@row(5)
def _authorization_at_once(client: Client) -> None:
    assert client.post(NAMES, {**HEADERS, "Authorization": "Basic dTpw"}).status == 200


@row(6)
def _object_header(client: Client) -> None:
    for header in ("root%2Fvirt", "root/virt"):
        assert client.post(NAMES, {**HEADERS, "CIMObject": header}).tags


@row(7)
def _latin1_header(client: Client) -> None:
    odd = 'root/virt:TST_Thing.Name="é\xff,<>&%"'
    assert client.post(extrinsic("Nothing", A), {**HEADERS, "CIMObject": odd}).error == 0


@row(8)
def _no_operation_header(client: Client) -> None:
    for header in ("", "MethodResponse", "x"):
        answer = client.post(NAMES, {**HEADERS, "CIMOperation": header})
        assert (answer.status, answer.headers["cimerror"]) == (400, "unsupported-operation")
        assert answer.headers["content-length"] == "0"


@row(9)
def _not_well_formed(client: Client) -> None:
    for body in (NAMES.replace("TST_Thing", "a&b"), NAMES[:-10], "", "no xml", "\x01"):
        answer = client.post(body)
        assert (answer.status, answer.headers["cimerror"]) == (400, "request-not-well-formed")
        assert answer.headers["content-length"] == "0"


@row(10)
def _not_valid(client: Client) -> None:
    for body in (
        "<X/>",
        '<CIM CIMVERSION="2.0" DTDVERSION="2.0"/>',
        NAMES.replace("SIMPLEREQ", "SIMPLERSP"),
        NAMES.replace("MESSAGE", "LETTER"),
        NAMES.replace("IMETHODCALL", "EXPMETHODCALL"),
        NAMES.replace("IPARAMVALUE", "PARAMVALUE"),
        NAMES.replace(' ID="4711"', ""),
        message(""),
        message('<IMETHODCALL NAME="EnumerateClassNames"/>'),
        message(f'<IMETHODCALL>{namespace_path("root/virt")}</IMETHODCALL>'),
        message(f'<IMETHODCALL NAME="X">{namespace_path("root/virt")}text</IMETHODCALL>'),
        intrinsic("GetInstance", {"InstanceName": "<VALUE><B/></VALUE>"}),
        intrinsic("GetInstance", {"InstanceName": '<INSTANCENAME CLASSNAME="X"><VALUE/></INSTANCENAME>'}),
    ):  # fmt: skip
        answer = client.post(body)
        assert (answer.status, answer.headers["cimerror"]) == (400, "request-not-valid"), body


@row(11)
def _versions(client: Client) -> None:
    call = NAMES.partition("<SIMPLEREQ>")[2].partition("</SIMPLEREQ>")[0]
    for versions, cim_error in (
        ({"cim": "3.0"}, "unsupported-cim-version"),
        ({"dtd": "3.0"}, "unsupported-dtd-version"),
        ({"protocol": "2.0"}, "unsupported-protocol-version"),
    ):
        answer = client.post(message(call, **versions))
        assert (answer.status, answer.headers["cimerror"]) == (501, cim_error)
    assert client.post(message(call, cim="2.9", dtd="2.4", protocol="1.4")).tags


@row(12)
def _multiple(client: Client) -> None:
    answer = client.post(NAMES.replace("SIMPLEREQ>", "MULTIREQ>"))
    assert (answer.status, answer.headers["cimerror"]) == (501, "multiple-requests-unsupported")


@row(13)
def _expect(client: Client) -> None:
    with Connection(client.endpoint) as connection:
        whole = http(NAMES.encode(), {**HEADERS, "Expect": "100-continue"})
        head, _, body = whole.partition(b"\r\n\r\n")
        connection.send(head + b"\r\n\r\n")
        first = connection.answer()
        assert first is not None and first.status == 100
        connection.send(body)
        second = connection.answer()
        assert second is not None and second.tags
    assert client.post(NAMES, {**HEADERS, "Expect": "miracles"}).status == 417


@row(14)
def _unknown_operation(client: Client) -> None:
    assert client.call("Frobnicate").error == 7


@row(15)
def _parameters(client: Client) -> None:
    thing: dict[str, Any] = {"ClassName": cls("TST_Thing")}
    assert client.call("EnumerateInstances", **thing, Colour="red").error == 4
    assert client.call("EnumerateInstances").error == 4
    assert client.call("EnumerateInstances", ClassName=value("TST_Thing")).error == 4
    assert client.call("EnumerateInstances", **thing, DeepInheritance="maybe").error == 4
    twice = NAMES.replace(
        "</IMETHODCALL>", f'<IPARAMVALUE NAME="classname">{cls("X")}</IPARAMVALUE></IMETHODCALL>'
    )
    assert client.post(twice).error == 4


@row(16)
def _unknown_namespace(client: Client) -> None:
    for namespace in ("root/nowhere", "interop"):
        for name in ("CIM_Namespace", "Nonsense"):
            call = client.call("EnumerateInstanceNames", namespace, ClassName=cls(name))
            assert call.error == 3
    assert client.post(extrinsic("Nothing", A, namespace="interop")).error == 3


@row(17)
def _unknown_class(client: Client) -> None:
    assert client.call("EnumerateInstanceNames", ClassName=cls("Nonsense")).error == 5
    assert client.call("EnumerateInstances", ClassName=cls("Nonsense")).error == 5


@row(18)
def _unknown_parent_class(client: Client) -> None:
    assert client.call("EnumerateClasses", ClassName=cls("Nonsense")).error == 5
    assert client.call("EnumerateClassNames", ClassName=cls("Nonsense")).error == 5


@row(19)
def _get_unknown_class(client: Client) -> None:
    assert client.call("GetClass", ClassName=cls("Nonsense")).error == 6


@row(20)
def _unknown_instance(client: Client) -> None:
    assert client.call("GetInstance", InstanceName=NOBODY).error == 6
    assert client.call("GetInstance", InstanceName=inst("TST_Thing")).error == 6
    assert client.call("GetInstance", InstanceName=inst("Nonsense", Name="a")).error == 5
    wrong = inst("TST_Keys", S="k", I="one", B="TRUE", D="x")
    assert client.call("GetInstance", InstanceName=wrong).error in (4, 6)


@row(21)
def _no_instances(client: Client) -> None:
    answer = client.call("EnumerateInstances", ClassName=cls("TST_ReadOnly"))
    assert "<IRETURNVALUE></IRETURNVALUE>" in answer.text
    assert answer.values == []


@row(22)
def _enumerate(client: Client) -> None:
    answer = client.call("EnumerateInstances", ClassName=cls("TST_Thing"))
    assert set(answer.tags) == {"VALUE.NAMEDINSTANCE"}
    assert all([e.tag for e in v] == ["INSTANCENAME", "INSTANCE"] for v in answer.values)
    assert [v[1].get("CLASSNAME") for v in answer.values] == ["TST_Thing"] * 3 + ["TST_SubThing"]
    assert "CLASSORIGIN" not in answer.text
    with_origin = client.call(
        "EnumerateInstances", ClassName=cls("TST_Thing"), IncludeClassOrigin="true"
    )
    assert 'CLASSORIGIN="CIM_ManagedElement"' in with_origin.text
    shallow = client.call("EnumerateInstances", ClassName=cls("TST_Thing"), DeepInheritance="FALSE")
    assert 'NAME="Extra"' in answer.text and 'NAME="Extra"' not in shallow.text
    few = client.call(
        "EnumerateInstances",
        ClassName=cls("TST_Thing"),
        PropertyList="<VALUE.ARRAY><VALUE>num</VALUE><VALUE>nonsense</VALUE></VALUE.ARRAY>",
    )
    assert {p.get("NAME") for v in few.values for p in v[1]} == {"Num"}
    none = client.call(
        "EnumerateInstances", ClassName=cls("TST_Thing"), PropertyList="<VALUE.ARRAY/>"
    )
    assert [len(v[1]) for v in none.values] == [0, 0, 0, 0]


@row(23)
def _enumerate_names(client: Client) -> None:
    answer = client.call("EnumerateInstanceNames", ClassName=cls("TST_Thing"))
    assert set(answer.tags) == {"INSTANCENAME"}
    assert names_of(client)[:3] == ["a", "b", 'q"\\<&>, =é日本']


@row(24)
def _get(client: Client) -> None:
    assert client.call("GetInstance", InstanceName=A).tags == ["INSTANCE"]


@row(25)
def _case(client: Client) -> None:
    assert client.call("GetInstance", InstanceName=inst("tst_THING", NAME="a")).tags == ["INSTANCE"]
    assert client.call("ENUMERATEinstances", "ROOT/Virt", CLASSNAME=cls("tst_thing")).tags


@row(26)
def _null(client: Client) -> None:
    answer = client.call("GetInstance", InstanceName=inst("TST_Thing", Name="b"))
    assert '<PROPERTY NAME="Num" TYPE="uint32"></PROPERTY>' in answer.text
    answer = client.call("GetInstance", InstanceName=inst("TST_All", InstanceID="empty"))
    assert '<PROPERTY.ARRAY NAME="A_uint8" TYPE="uint8"></PROPERTY.ARRAY>' in answer.text


@row(27)
def _arrays(client: Client) -> None:
    empty = client.call("GetInstance", InstanceName=inst("TST_Thing", Name="b"))
    assert "<VALUE.ARRAY></VALUE.ARRAY>" in empty.text
    odd = inst("TST_Thing", Name='q"\\<&>, =é日本')
    assert "<VALUE>one</VALUE><VALUE.NULL/>" in client.call("GetInstance", InstanceName=odd).text
    plain = client.call("GetInstance", headers=PLAIN_HEADERS, InstanceName=odd)
    assert "<VALUE>one</VALUE><VALUE></VALUE>" in plain.text


@row(28)
def _embedded(client: Client) -> None:
    answer = client.call("GetInstance", InstanceName=inst("TST_All", InstanceID="full"))
    scalar = answer.response.find(".//PROPERTY[@NAME='P_embedded']")
    assert scalar is not None
    assert {str(k): v for k, v in scalar.attrib.items()} == {
        "NAME": "P_embedded", "TYPE": "string", "EmbeddedObject": "instance",
    }  # fmt: skip
    assert (scalar[0].text or "").startswith('<INSTANCE CLASSNAME="TST_Detail">')


@row(29)
def _embedded_arrays(client: Client) -> None:
    attribute = '<PROPERTY.ARRAY NAME="A_embedded" TYPE="string" EmbeddedObject="instance">'
    path = inst("TST_All", InstanceID="full")
    assert attribute in client.call("GetInstance", InstanceName=path).text
    plain = client.call("GetInstance", headers=PLAIN_HEADERS, InstanceName=path).text
    assert '<PROPERTY.ARRAY NAME="A_embedded" TYPE="string">' in plain


@row(30)
def _create(client: Client) -> None:
    def new(name: str, classname: str = "TST_Thing") -> str:
        return (
            f'<INSTANCE CLASSNAME="{classname}"><QUALIFIER NAME="x" TYPE="boolean"/>'
            f'<PROPERTY NAME="name" TYPE="string"><VALUE>{name}</VALUE></PROPERTY></INSTANCE>'
        )

    answer = client.call("CreateInstance", NewInstance=new("made"))
    assert answer.tags == ["INSTANCENAME"]
    assert client.call("GetInstance", InstanceName=inst("TST_Thing", Name="made")).error == 0
    assert client.call("CreateInstance", NewInstance=new("made")).error == 11
    assert client.call("CreateInstance", NewInstance=new("made", "Nonsense")).error == 5
    assert client.call("CreateInstance", NewInstance=new("made", "TST_ReadOnly")).error == 7
    assert client.call("DeleteInstance", InstanceName=inst("TST_Thing", Name="made")).error == 0


@row(31)
def _modify(client: Client) -> None:
    def change(path: str, number: str) -> str:
        return (
            f'<VALUE.NAMEDINSTANCE>{path}<INSTANCE CLASSNAME="TST_Thing">'
            f'<PROPERTY NAME="Num" TYPE="uint32">{number}</PROPERTY>'
            '<PROPERTY NAME="ElementName" TYPE="string"></PROPERTY></INSTANCE></VALUE.NAMEDINSTANCE>'
        )

    answer = client.call("ModifyInstance", ModifiedInstance=change(A, value(9)))
    assert '<IMETHODRESPONSE NAME="ModifyInstance"></IMETHODRESPONSE>' in answer.text
    assert ">9<" in client.call("GetInstance", InstanceName=A).text
    assert client.call("ModifyInstance", ModifiedInstance=change(A, value(1))).error == 0
    assert client.call("ModifyInstance", ModifiedInstance=change(NOBODY, value(9))).error == 6


@row(32)
def _delete(client: Client) -> None:
    name = f'<PROPERTY NAME="Name" TYPE="string">{value("x")}</PROPERTY>'
    new = f'<INSTANCE CLASSNAME="TST_Thing">{name}</INSTANCE>'
    assert client.call("CreateInstance", NewInstance=new).error == 0
    answer = client.call("DeleteInstance", InstanceName=inst("TST_Thing", Name="x"))
    assert '<IMETHODRESPONSE NAME="DeleteInstance"></IMETHODRESPONSE>' in answer.text
    assert client.call("DeleteInstance", InstanceName=inst("TST_Thing", Name="x")).error == 6


@row(33)
def _properties(client: Client) -> None:
    answer = client.call("GetProperty", InstanceName=A, PropertyName="flag")
    assert [(v.tag, v.text) for v in answer.values] == [("VALUE", "TRUE")]
    assert client.call("GetProperty", InstanceName=A, PropertyName="List").tags == ["VALUE.ARRAY"]
    assert client.call("GetProperty", InstanceName=A, PropertyName="InstanceID").tags == []
    assert client.call("GetProperty", InstanceName=A, PropertyName="Nonsense").error == 12
    answer = client.call("SetProperty", PropertyName="Num", NewValue="5", InstanceName=A)
    assert '<IMETHODRESPONSE NAME="SetProperty"></IMETHODRESPONSE>' in answer.text
    assert client.call("GetProperty", InstanceName=A, PropertyName="Num").values[0].text == "5"
    assert client.call("SetProperty", PropertyName="Num", InstanceName=A).error == 0
    assert client.call("GetProperty", InstanceName=A, PropertyName="Num").tags == []
    assert client.call("SetProperty", PropertyName="X", NewValue="5", InstanceName=A).error == 12


@row(34)
def _association_objects(client: Client) -> None:
    for operation, classes in (
        ("Associators", ["TST_Thing", "TST_SubThing"]),
        ("References", ["TST_Link", "TST_Link"]),
    ):
        answer = client.call(operation, ObjectName=A)
        assert set(answer.tags) == {"VALUE.OBJECTWITHPATH"}
        assert all([e.tag for e in v] == ["INSTANCEPATH", "INSTANCE"] for v in answer.values)
        assert [v[1].get("CLASSNAME") for v in answer.values] == classes


@row(35)
def _association_names(client: Client) -> None:
    for operation in ("AssociatorNames", "ReferenceNames"):
        answer = client.call(operation, ObjectName=A)
        assert answer.tags == ["OBJECTPATH", "OBJECTPATH"]
        for found in answer.values:
            assert found.findtext("INSTANCEPATH/NAMESPACEPATH/HOST")
            assert found.find("INSTANCEPATH/INSTANCENAME") is not None


@row(36)
def _class_associations(client: Client) -> None:
    answer = client.call("Associators", ObjectName=cls("TST_SubThing"))
    assert [v[1].get("NAME") for v in answer.values] == ["CIM_ManagedElement", "TST_Thing"]
    assert [e.tag for e in answer.values[0]] == ["CLASSPATH", "CLASS"]
    answer = client.call("References", ObjectName=cls("TST_Thing"), IncludeQualifiers="TRUE")
    assert [v[1].get("NAME") for v in answer.values] == ["TST_Link"]
    for operation, role in (("AssociatorNames", "Dependent"), ("ReferenceNames", "dependent")):
        answer = client.call(operation, ObjectName=cls("TST_Thing"), Role=role)
        assert set(answer.tags) == {"OBJECTPATH"}
        assert answer.values[0].findtext("CLASSPATH/NAMESPACEPATH/HOST")
    detail = client.call("ReferenceNames", ObjectName=cls("TST_Detail"), Role="Antecedent")
    assert detail.values == []
    assert client.call("AssociatorNames", ObjectName=inst("TST_Thing")).error in (4, 6)


@row(37)
def _association_filters(client: Client) -> None:
    for name in ("AssocClass", "ResultClass"):
        filters: dict[str, Any] = {name: cls("Nonsense")}
        answer = client.call("AssociatorNames", ObjectName=A, **filters)
        assert answer.error in (4, 5)
        answer = client.call("AssociatorNames", ObjectName=cls("TST_Thing"), **filters)
        assert answer.error in (4, 5)
    assert client.call("AssociatorNames", ObjectName=A, Role="Nonsense").values == []
    filtered = client.call("AssociatorNames", ObjectName=A, ResultClass=cls("TST_SubThing"))
    assert len(filtered.values) == 1


@row(38)
def _method(client: Client) -> None:
    answer = client.method(
        "Echo", A, f'<PARAMVALUE NAME="In_string" PARAMTYPE="string">{value("x")}</PARAMVALUE>'
    )
    assert (
        '<METHODRESPONSE NAME="Echo"><RETURNVALUE PARAMTYPE="uint32"><VALUE>1</VALUE></RETURNVALUE>'
        '<PARAMVALUE NAME="Out_string" PARAMTYPE="string"><VALUE>x</VALUE></PARAMVALUE></METHODRESPONSE>'
    ) in answer.text
    answer = client.method("Nothing", A)
    assert '<METHODRESPONSE NAME="Nothing"></METHODRESPONSE>' in answer.text


@row(39)
def _untyped_arguments(client: Client) -> None:
    answer = client.method(
        "Echo",
        A,
        '<PARAMVALUE NAME="In_uint8"><VALUE>3</VALUE></PARAMVALUE><PARAMVALUE NAME="In_string"/>'
        '<PARAMVALUE NAME="InArray_uint16"><VALUE>7</VALUE></PARAMVALUE>',
    )
    assert answer.output("Out_uint8") == "3"
    assert answer.output("Out_string") is None
    assert "<VALUE.ARRAY><VALUE>7</VALUE></VALUE.ARRAY>" in answer.text


@row(40)
def _method_errors(client: Client) -> None:
    link = inst("CIM_Namespace", Name="root/virt")
    assert client.method("Nonsense", link, namespace="root/interop").error == 17
    assert client.method("Nonsense", A).error in (1, 17)
    assert client.method("NotThere", A).error in (1, 16)
    assert client.method("Demanding", A).error == 4
    twice = f'<PARAMVALUE NAME="text">{value(1)}</PARAMVALUE><PARAMVALUE NAME="Text">{value(2)}</PARAMVALUE>'
    assert client.method("Demanding", A, twice).error == 4
    assert client.method("Nothing", inst("Nonsense", Name="a")).error in (5, 6)


def pull_all(client: Client, operation: str, pull: str, **given: Any) -> list[str]:
    answer = client.call(operation, MaxObjectCount="2", **given)
    tags = answer.tags
    assert len(tags) <= 2
    while answer.output("EndOfSequence") == "FALSE":
        context = answer.output("EnumerationContext")
        assert context
        answer = client.call(pull, EnumerationContext=context, MaxObjectCount="1")
        assert len(answer.values) <= 1
        tags += answer.tags
    assert answer.output("EndOfSequence") == "TRUE"
    assert answer.output("EnumerationContext") == ""
    return tags


@row(41)
def _open_instances(client: Client) -> None:
    tags = pull_all(
        client, "OpenEnumerateInstances", "PullInstancesWithPath", ClassName=cls("TST_Thing")
    )
    assert tags == ["VALUE.INSTANCEWITHPATH"] * 4
    for operation in ("OpenAssociatorInstances", "OpenReferenceInstances"):
        tags = pull_all(client, operation, "PullInstancesWithPath", InstanceName=A)
        assert tags == ["VALUE.INSTANCEWITHPATH"] * 2


@row(42)
def _open_paths(client: Client) -> None:
    tags = pull_all(
        client, "OpenEnumerateInstancePaths", "PullInstancePaths", ClassName=cls("TST_Thing")
    )
    assert tags == ["INSTANCEPATH"] * 4
    for operation in ("OpenAssociatorInstancePaths", "OpenReferenceInstancePaths"):
        tags = pull_all(client, operation, "PullInstancePaths", InstanceName=A)
        assert tags == ["INSTANCEPATH"] * 2


@row(43)
def _open_without_count(client: Client) -> None:
    answer = client.call("OpenEnumerateInstances", ClassName=cls("TST_Thing"))
    assert answer.values == []
    assert answer.output("EndOfSequence") == "FALSE"
    context = answer.output("EnumerationContext")
    assert client.call("CloseEnumeration", EnumerationContext=context).error == 0
    answer = client.call("OpenEnumerateInstances", ClassName=cls("TST_ReadOnly"))
    assert answer.output("EndOfSequence") == "TRUE"


def opened(client: Client) -> str:
    answer = client.call("OpenEnumerateInstances", ClassName=cls("TST_Thing"))
    return answer.output("EnumerationContext") or ""


@row(44)
def _pull_after_end(client: Client) -> None:
    context = opened(client)
    some = client.call("PullInstancesWithPath", EnumerationContext=context, MaxObjectCount="0")
    assert some.values == [] and some.output("EnumerationContext") == context
    rest = client.call("PullInstancesWithPath", EnumerationContext=context, MaxObjectCount="99")
    assert rest.output("EndOfSequence") == "TRUE"
    again = client.call("PullInstancesWithPath", EnumerationContext=context, MaxObjectCount="99")
    assert again.error == 21


@row(45)
def _close(client: Client) -> None:
    context = opened(client)
    answer = client.call("CloseEnumeration", EnumerationContext=context)
    assert '<IMETHODRESPONSE NAME="CloseEnumeration"></IMETHODRESPONSE>' in answer.text
    assert client.call("CloseEnumeration", EnumerationContext=context).error == 21


@row(46)
def _count(client: Client) -> None:
    assert client.call("EnumerationCount", EnumerationContext="x").error == 7


@row(47)
def _open_options(client: Client) -> None:
    def opening(**given: Any) -> int:
        answer = client.call("OpenEnumerateInstances", ClassName=cls("TST_Thing"), **given)
        return answer.error

    assert opening(FilterQueryLanguage="DMTF:FQL", FilterQuery="Num = 1") == 25
    assert opening(FilterQueryLanguage="Klingon", FilterQuery="Num = 1") == 14
    assert opening(FilterQuery="Num = 1") == 4
    assert opening(FilterQueryLanguage="DMTF:FQL") == 4
    assert opening(ContinueOnError="TRUE") == 7
    assert opening(OperationTimeout="0") == 22
    assert opening(OperationTimeout="601") == 22
    assert opening(OperationTimeout="-1") == 4
    assert opening(MaxObjectCount="many") == 4


@row(48)
def _queries(client: Client) -> None:
    assert client.call("ExecQuery", QueryLanguage="WQL", Query="SELECT * FROM X").error == 7
    assert client.call("ExecQuery", QueryLanguage="Klingon", Query="x").error == 14
    answer = client.call("OpenQueryInstances", FilterQueryLanguage="DMTF:CQL", FilterQuery="x")
    assert answer.error == 7
    assert client.call("PullInstances", EnumerationContext="x", MaxObjectCount="1").error == 7


@row(49)
def _get_class(client: Client) -> None:
    full: dict[str, Any] = {
        "ClassName": cls("TST_Thing"),
        "LocalOnly": "FALSE",
        "IncludeClassOrigin": "TRUE",
    }
    answer = client.call("GetClass", **full)
    assert answer.tags == ["CLASS"]
    found = answer.values[0]
    assert {str(k): v for k, v in found.attrib.items()} == {
        "NAME": "TST_Thing",
        "SUPERCLASS": "CIM_ManagedElement",
    }
    order = [e.tag for e in found]
    assert order == sorted(order, key=lambda t: ("QUALIFIER", "PROPERTY", "PROPERTY.ARRAY", "METHOD")
                           .index(t.replace(".ARRAY", "")))  # fmt: skip
    key = found.find("PROPERTY[@NAME='Name']/QUALIFIER[@NAME='Key']")
    assert key is not None and key.get("OVERRIDABLE") == "false"
    inherited = found.find("PROPERTY[@NAME='InstanceID']")
    assert inherited is not None
    assert (inherited.get("PROPAGATED"), inherited.get("CLASSORIGIN")) == (
        "true",
        "CIM_ManagedElement",
    )
    arrays = client.call("GetClass", ClassName=cls("TST_All"))
    assert (
        'NAME="A_embedded" TYPE="string" PROPAGATED="false" EmbeddedObject="instance"'
        in arrays.text
    )
    plain = client.call("GetClass", headers=PLAIN_HEADERS, ClassName=cls("TST_All"))
    assert 'NAME="A_embedded" TYPE="string" PROPAGATED="false">' in plain.text
    assert "<PARAMETER.ARRAY" in answer.text and "EmbeddedObject=" not in answer.text
    bare = client.call("GetClass", ClassName=cls("TST_Thing"), IncludeQualifiers="FALSE")
    assert "<QUALIFIER" not in bare.text and 'NAME="InstanceID"' not in bare.text


@row(50)
def _class_names(client: Client) -> None:
    answer = client.call("EnumerateClassNames", DeepInheritance="TRUE")
    found = [v.get("NAME") for v in answer.values]
    assert len(found) == len(set(found)) and {"TST_Link", "TST_SubThing"} <= set(found)
    assert '<CLASSNAME NAME="TST_Thing"/>' in answer.text
    roots = client.call("EnumerateClassNames")
    assert "TST_Thing" not in [v.get("NAME") for v in roots.values]


@row(51)
def _classes(client: Client) -> None:
    answer = client.call("EnumerateClasses", ClassName=cls("CIM_ManagedElement"))
    assert {v.get("NAME") for v in answer.values} == {"TST_Thing", "TST_Detail", "TST_All"}
    deep = client.call(
        "EnumerateClasses", ClassName=cls("CIM_ManagedElement"), DeepInheritance="TRUE"
    )
    assert "TST_SubThing" in {v.get("NAME") for v in deep.values}


@row(52)
def _qualifier(client: Client) -> None:
    answer = client.call("GetQualifier", QualifierName="key")
    assert answer.tags == ["QUALIFIER.DECLARATION"]
    scope = answer.values[0].find("SCOPE")
    assert scope is not None and {str(k): v for k, v in scope.attrib.items()} == {
        "REFERENCE": "true",
        "PROPERTY": "true",
    }
    assert client.call("GetQualifier", QualifierName="Nonsense").error == 6


@row(53)
def _qualifiers(client: Client) -> None:
    answer = client.call("EnumerateQualifiers")
    assert set(answer.tags) == {"QUALIFIER.DECLARATION"} and len(answer.tags) == 14


@row(54)
def _schema_changes(client: Client) -> None:
    changes: tuple[tuple[str, dict[str, Any]], ...] = (
        ("DeleteClass", {"ClassName": cls("TST_Thing")}),
        ("CreateClass", {"NewClass": '<CLASS NAME="X"></CLASS>'}),
        ("ModifyClass", {"ModifiedClass": '<CLASS NAME="X"></CLASS>'}),
        (
            "SetQualifier",
            {"QualifierDeclaration": '<QUALIFIER.DECLARATION NAME="X" TYPE="string"/>'},
        ),
        ("DeleteQualifier", {"QualifierName": "Key"}),
    )
    for operation, given in changes:
        assert client.call(operation, **given).error == 7


@row(55)
def _namespaces(client: Client) -> None:
    answer = client.call("EnumerateInstanceNames", "root/interop", ClassName=cls("CIM_Namespace"))
    found = [v.findtext("KEYBINDING[@NAME='Name']/KEYVALUE") for v in answer.values]
    assert found == ["root/virt", "root/interop", "root/cimv2"]
    assert (
        client.call("EnumerateInstanceNames", "interop", ClassName=cls("CIM_Namespace")).error == 3
    )


@row(56)
def _object_manager(client: Client) -> None:
    answer = client.call("EnumerateInstances", "root/interop", ClassName=cls("CIM_ObjectManager"))
    assert len(answer.values) == 1


@row(57)
def _profiles(client: Client) -> None:
    classname = cls("CIM_RegisteredProfile")
    assert client.call("EnumerateInstances", "root/interop", ClassName=classname).values == []
    answer = client.call("GetClass", "root/interop", ClassName=classname, LocalOnly="FALSE")
    organization = answer.response.find(".//PROPERTY[@NAME='RegisteredOrganization']")
    assert organization is not None
    assert [q.get("NAME") for q in organization] == ["ValueMap", "Values"]


@row(58)
def _paths_elsewhere(client: Client) -> None:
    """Paths in another namespace keep it (here: the references that an association holds)."""
    answer = client.call("References", ObjectName=A)
    local = answer.values[0].find(".//PROPERTY.REFERENCE//LOCALNAMESPACEPATH")
    assert local is not None and [e.get("NAME") for e in local] == ["root", "virt"]


@row(59)
def _subscription(client: Client) -> None:
    def create(body: str) -> str:
        answer = client.call("CreateInstance", "root/interop", NewInstance=body)
        assert answer.tags == ["INSTANCENAME"], answer.text
        path = answer.text.partition("<IRETURNVALUE>")[2].partition("</IRETURNVALUE>")[0]
        assert client.call("GetInstance", "root/interop", InstanceName=path).tags == ["INSTANCE"]
        return path

    def properties(name: str) -> str:
        given = {
            "CreationClassName": name,
            "Name": "n",
            "SystemCreationClassName": "s",
            "SystemName": "h",
        }
        return "".join(
            f'<PROPERTY NAME="{key}" TYPE="string">{value(text)}</PROPERTY>'
            for key, text in given.items()
        )

    def reference(name: str, path: str) -> str:
        local = f"<LOCALINSTANCEPATH>{namespace_path('root/interop')}{path}</LOCALINSTANCEPATH>"
        return (
            f'<PROPERTY.REFERENCE NAME="{name}"><VALUE.REFERENCE>{local}</VALUE.REFERENCE>'
            "</PROPERTY.REFERENCE>"
        )

    destination, filter_ = (
        create(f'<INSTANCE CLASSNAME="{name}">{properties(name)}</INSTANCE>')
        for name in ("CIM_ListenerDestinationCIMXML", "CIM_IndicationFilter")
    )
    ends = reference("Filter", filter_) + reference("Handler", destination)
    create(f'<INSTANCE CLASSNAME="CIM_IndicationSubscription">{ends}</INSTANCE>')


@pytest.mark.parametrize("number", sorted(ROWS))
def test_row(number: int, client: Client) -> None:
    ROWS[number](client)
