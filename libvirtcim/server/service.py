# SPDX-License-Identifier: LGPL-2.1-or-later
"""From the body of an HTTP request to the body of its answer; knows no sockets.

CIM errors travel inside a 200 answer (DSP0200 7.3.4); only what is no CIM-XML request at all gets
another HTTP status. An unexpected exception becomes CIM error 1 with a reference to the log.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass

from libvirtcim.cim.broker import Broker
from libvirtcim.cim.errors import CIMError, Failed
from libvirtcim.cim.objects import GivenInstance, InstancePath, RequestContext
from libvirtcim.server.messages import (
    Call,
    ClassName,
    ExtrinsicCall,
    IntrinsicCall,
    NamedInstance,
    RequestRefused,
)
from libvirtcim.server.operations import Operations
from libvirtcim.server.parser import XMLLimits, parse_request
from libvirtcim.server.settings import ServerSettings
from libvirtcim.server.text import escape_attribute

logger = logging.getLogger(__name__)

_HEAD = (
    '<?xml version="1.0" encoding="utf-8" ?>\n'
    '<CIM CIMVERSION="2.0" DTDVERSION="2.0"><MESSAGE ID="{}" PROTOCOLVERSION="1.0"><SIMPLERSP>'
)
_TAIL = "</SIMPLERSP></MESSAGE></CIM>"


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, and what the access log says about it."""

    body: bytes = b""
    http_status: int = 200
    cim_error: str = ""
    detail: str = ""
    operation: str = ""
    namespace: str = ""
    subject: str = ""
    """Class, or class and method."""
    cim_status: int = 0
    objects: int = 0


@dataclass(slots=True)
class Pending:
    """Tells the event loop which call a worker has read, should it take too long."""

    call: Call | None = None


def refusal(refused: RequestRefused) -> Reply:
    """The answer to what is no request."""
    return Reply(http_status=refused.status, cim_error=refused.cim_error, detail=refused.detail)


class Service:
    """Answers CIM-XML requests from a broker. Safe in several threads."""

    def __init__(self, broker: Broker, settings: ServerSettings) -> None:
        self.operations = Operations(broker, settings)
        self._limits = XMLLimits(settings.max_xml_depth, settings.max_xml_elements)

    def respond(
        self,
        body: bytes,
        context: RequestContext,
        plain: bool = False,
        pending: Pending | None = None,
    ) -> Reply:
        """The answer to a request body; raises nothing. `plain`: see `writer.PLAIN`."""
        try:
            call = parse_request(body, self._limits)
            if pending is not None:
                pending.call = call
        except RequestRefused as refused:
            return refusal(refused)
        except Exception:
            reference = _log_unexpected("reading a request")
            return Reply(http_status=500, detail=_internal(reference))
        return self._carry_out(call, context, plain)

    def _carry_out(self, call: Call, context: RequestContext, plain: bool) -> Reply:
        try:
            if isinstance(call, IntrinsicCall):
                content = self.operations.intrinsic(call, context, plain)
            else:
                content = self.operations.extrinsic(call, context, plain)
            return _reply(call, content.xml, objects=content.objects)
        except CIMError as error:
            return error_reply(call, error)
        except Exception:
            reference = _log_unexpected(f"{call.name} on {subject(call)} in {call.namespace}")
            return error_reply(call, Failed(_internal(reference)))


def error_reply(call: Call, error: CIMError) -> Reply:
    """A method response with ERROR (DSP0201 5.3.5)."""
    element = (
        f'<ERROR CODE="{error.status}" DESCRIPTION="{escape_attribute(error.message)}"></ERROR>'
    )
    return _reply(call, element, cim_status=error.status)


def _reply(call: Call, content: str, *, cim_status: int = 0, objects: int = 0) -> Reply:
    tag = "IMETHODRESPONSE" if isinstance(call, IntrinsicCall) else "METHODRESPONSE"
    text = (
        f"{_HEAD.format(escape_attribute(call.message_id))}"
        f'<{tag} NAME="{escape_attribute(call.name)}">{content}</{tag}>{_TAIL}'
    )
    return Reply(
        text.encode(),
        operation=call.name if isinstance(call, IntrinsicCall) else "InvokeMethod",
        namespace=call.namespace,
        subject=subject(call),
        cim_status=cim_status,
        objects=objects,
    )


def subject(call: Call) -> str:
    """The class that a call is about; for a method with its name."""
    if isinstance(call, ExtrinsicCall):
        return f"{call.path.classname}.{call.name}"
    for _name, argument in call.arguments:
        match argument:
            case ClassName(name=name):
                return name
            case InstancePath(classname=name) | GivenInstance(classname=name):
                return name
            case NamedInstance(path=path):
                return path.classname
    return ""


def _internal(reference: str) -> str:
    return f"internal error, see the server's log (reference {reference})"


def _log_unexpected(what: str) -> str:
    reference = secrets.token_hex(4)
    logger.exception("internal error %s: %s", reference, escape_attribute(what))
    return reference
