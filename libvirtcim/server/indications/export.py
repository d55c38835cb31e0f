# SPDX-License-Identifier: LGPL-2.1-or-later
"""Export messages (DSP0201 5.4.9, DSP0200 6): an indication as a listener gets it, and its answer."""

from __future__ import annotations

from dataclasses import dataclass

from libvirtcim import __version__
from libvirtcim.cim.objects import Instance
from libvirtcim.server.messages import RequestRefused
from libvirtcim.server.parser import XMLLimits, read_xml
from libvirtcim.server.writer import Writer

HEADERS = {
    "Content-Type": 'application/xml; charset="utf-8"',
    "CIMExport": "MethodRequest",
    "CIMExportMethod": "ExportIndication",
    "User-Agent": f"libvirtcim/{__version__}",
}
MAX_ANSWER_BYTES = 65536
_ANSWER_LIMITS = XMLLimits(depth=16, elements=1000)

_HEAD = (
    '<?xml version="1.0" encoding="utf-8" ?>\n'
    '<CIM CIMVERSION="2.0" DTDVERSION="2.0"><MESSAGE ID="{}" PROTOCOLVERSION="1.0"><SIMPLEEXPREQ>'
    '<EXPMETHODCALL NAME="ExportIndication"><EXPPARAMVALUE NAME="NewIndication">'
)
_TAIL = "</EXPPARAMVALUE></EXPMETHODCALL></SIMPLEEXPREQ></MESSAGE></CIM>"


@dataclass(frozen=True, slots=True)
class Sequence:
    """Where an indication stands among those for its destination (DSP1054 8.2)."""

    context: str
    number: int


class NotTaken(Exception):
    """A listener's answer says that it has not taken the indication; the text says why."""


def message(writer: Writer, indication: Instance, filter_name: str, sequence: Sequence) -> bytes:
    """The body of the request that exports an indication; its message ID is its number."""
    own = {
        "IndicationFilterName": filter_name,
        "SequenceContext": sequence.context,
        "SequenceNumber": sequence.number,
    }
    selected = indication.selected
    sent = Instance(
        indication.cls,
        None,
        {**indication.values, **own},
        None if selected is None else selected.union(own),
    )
    return f"{_HEAD.format(sequence.number)}{writer.instance(sent)}{_TAIL}".encode()


def check_answer(status: int, body: bytes) -> None:
    """Raises NotTaken unless status and body of an answer say that the indication was taken.

    A body may be missing, but not hold an ERROR or something else than CIM-XML.
    """
    if status != 200:
        raise NotTaken(f"HTTP status {status}")
    if not body:
        return
    try:
        root = read_xml(body, _ANSWER_LIMITS)
    except RequestRefused as refused:
        raise NotTaken(f"the answer is no XML: {refused.detail}") from None
    response = root.find("MESSAGE/SIMPLEEXPRSP/EXPMETHODRESPONSE")
    if response is None:
        raise NotTaken(f"the answer holds no EXPMETHODRESPONSE, but {root.tag}")
    error = response.find("ERROR")
    if error is not None:
        raise NotTaken(f"CIM error {error.get('CODE')}: {error.get('DESCRIPTION', '')}")
