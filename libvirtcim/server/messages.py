# SPDX-License-Identifier: LGPL-2.1-or-later
"""Requests as read from CIM-XML, and what is answered when there is no request to speak of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from libvirtcim.cim.objects import Given, GivenInstance, InstancePath, KeyValue

GivenKey: TypeAlias = "tuple[str, KeyValue]"


class RequestRefused(Exception):
    """The HTTP request is answered with a status and no body (DSP0200 7.3).

    `cim_error` goes into the CIMError header, `detail` into PGErrorDetail, which clients show.
    """

    def __init__(self, status: int, cim_error: str = "", detail: str = "") -> None:
        super().__init__(f"{status} {cim_error}: {detail}")
        self.status = status
        self.cim_error = cim_error
        self.detail = detail


def not_well_formed(detail: str) -> RequestRefused:
    """The body is not XML, or XML of a kind that is refused."""
    return RequestRefused(400, "request-not-well-formed", detail)


def not_valid(detail: str) -> RequestRefused:
    """The body is XML but no CIM-XML request (DSP0201 5)."""
    return RequestRefused(400, "request-not-valid", detail)


@dataclass(frozen=True, slots=True)
class ClassName:
    """A CLASSNAME element."""

    name: str


@dataclass(frozen=True, slots=True)
class NamedInstance:
    """A VALUE.NAMEDINSTANCE element."""

    path: InstancePath
    instance: GivenInstance


@dataclass(frozen=True, slots=True)
class Unread:
    """An element that no served operation takes (CLASS, QUALIFIER.DECLARATION)."""

    tag: str


Argument: TypeAlias = (
    "str | list[str | None] | InstancePath | list[InstancePath | None] | ClassName"
    " | GivenInstance | NamedInstance | Unread | None"
)
"""What an IPARAMVALUE holds; None: nothing, that is NULL."""


@dataclass(frozen=True, slots=True)
class IntrinsicCall:
    """An IMETHODCALL: arguments in the order sent, names as sent, duplicates kept."""

    message_id: str
    name: str
    namespace: str
    arguments: tuple[tuple[str, Argument], ...]


@dataclass(frozen=True, slots=True)
class ExtrinsicCall:
    """A METHODCALL on an instance, or on a class (`path` without keys)."""

    message_id: str
    name: str
    path: InstancePath
    arguments: Mapping[str, Given]
    duplicate: str | None = None
    """Name of a parameter that was given twice."""

    @property
    def namespace(self) -> str:
        """The namespace of the object called."""
        return self.path.namespace or ""


Call: TypeAlias = IntrinsicCall | ExtrinsicCall
