# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rows 1 to 33: HTTP, envelope, instances and properties."""

from __future__ import annotations

from typing import Any

from tests.server.checklist import NAMES, NOBODY, A, names_of, row
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
