# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rows 34 to 59: associations, methods, pull operations, classes, discovery."""

from __future__ import annotations

from typing import Any

from tests.server.checklist import A, row
from tests.server.wire import (
    PLAIN_HEADERS,
    Client,
    cls,
    inst,
    namespace_path,
    value,
)


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
