# SPDX-License-Identifier: LGPL-2.1-or-later
"""The CIM-XML requests that are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

NAMESPACE = (
    '<LOCALNAMESPACEPATH><NAMESPACE NAME="root"/><NAMESPACE NAME="virt"/></LOCALNAMESPACEPATH>'
)


@dataclass(frozen=True, slots=True)
class Request:
    """One operation on one class, and its message."""

    operation: str
    cls: str
    body: bytes

    @property
    def title(self) -> str:
        """Operation and class for people."""
        return f"{self.operation} {self.cls}"


def _message(operation: str, parameters: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="utf-8"?><CIM CIMVERSION="2.0" DTDVERSION="2.0">'
        '<MESSAGE ID="1" PROTOCOLVERSION="1.0"><SIMPLEREQ>'
        f'<IMETHODCALL NAME="{operation}">{NAMESPACE}{parameters}</IMETHODCALL>'
        "</SIMPLEREQ></MESSAGE></CIM>"
    ).encode()


def enumerate_instances(cls: str, properties: Sequence[str] | None = None) -> Request:
    """EnumerateInstances, subclasses included; `properties` None: all."""
    listed = ""
    if properties is not None:
        values = "".join(f"<VALUE>{name}</VALUE>" for name in properties)
        listed = (
            f'<IPARAMVALUE NAME="PropertyList"><VALUE.ARRAY>{values}</VALUE.ARRAY></IPARAMVALUE>'
        )
    return _of_class("EnumerateInstances", cls, listed)


def enumerate_instance_names(cls: str) -> Request:
    """EnumerateInstanceNames, subclasses included."""
    return _of_class("EnumerateInstanceNames", cls)


def _of_class(operation: str, cls: str, more: str = "") -> Request:
    parameter = f'<IPARAMVALUE NAME="ClassName"><CLASSNAME NAME="{cls}"/></IPARAMVALUE>'
    return Request(operation, cls, _message(operation, parameter + more))


def get_computer_system(cls: str, name: str) -> Request:
    """GetInstance of a guest."""
    return _of_instance("GetInstance", cls, {"CreationClassName": cls, "Name": name})


def associators(cls: str, name: str) -> Request:
    """Associators of a guest, without any filter."""
    return of_object("Associators", cls, {"CreationClassName": cls, "Name": name})


def of_object(operation: str, cls: str, keys: Mapping[str, str], through: str = "") -> Request:
    """An association operation from the instance with the keys; `through`: AssocClass."""
    limit = f'<IPARAMVALUE NAME="AssocClass"><CLASSNAME NAME="{through}"/></IPARAMVALUE>'
    return _of_instance(operation, cls, keys, "ObjectName", limit if through else "")


def _of_instance(
    operation: str,
    cls: str,
    keys: Mapping[str, str],
    parameter: str = "InstanceName",
    more: str = "",
) -> Request:
    bindings = "".join(
        f'<KEYBINDING NAME="{key}"><KEYVALUE VALUETYPE="string">{escape(value)}</KEYVALUE></KEYBINDING>'
        for key, value in keys.items()
    )
    path = (
        f'<IPARAMVALUE NAME="{parameter}"><INSTANCENAME CLASSNAME="{cls}">{bindings}</INSTANCENAME>'
        "</IPARAMVALUE>"
    )
    return Request(operation, cls, _message(operation, path + more))
