# SPDX-License-Identifier: LGPL-2.1-or-later
"""The CIM-XML requests that are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    return _of_guest("GetInstance", "InstanceName", cls, name)


def associators(cls: str, name: str) -> Request:
    """Associators of a guest, without any filter."""
    return _of_guest("Associators", "ObjectName", cls, name)


def _of_guest(operation: str, parameter: str, cls: str, name: str) -> Request:
    keys = "".join(
        f'<KEYBINDING NAME="{key}"><KEYVALUE VALUETYPE="string">{value}</KEYVALUE></KEYBINDING>'
        for key, value in (("CreationClassName", cls), ("Name", name))
    )
    path = (
        f'<IPARAMVALUE NAME="{parameter}"><INSTANCENAME CLASSNAME="{cls}">{keys}</INSTANCENAME>'
        "</IPARAMVALUE>"
    )
    return Request(operation, cls, _message(operation, path))
