# SPDX-License-Identifier: LGPL-2.1-or-later
"""Operations that exist and are refused: queries, and changes to the fixed schema."""

from __future__ import annotations

from libvirtcim.cim.errors import NotSupported, QueryLanguageNotSupported
from libvirtcim.server.call import Answer, OperationCall, operation
from libvirtcim.server.enumerations import QUERY_LANGUAGES
from libvirtcim.server.parameters import Parameter, unread


def refuse(call: OperationCall) -> Answer:
    raise NotSupported(f"{call.operation} is not supported: the schema of this server is fixed")


def refuse_query(call: OperationCall) -> Answer:
    language = call.arguments.get("QueryLanguage") or call.arguments.get("FilterQueryLanguage")
    if isinstance(language, str) and language.lower() not in QUERY_LANGUAGES:
        raise QueryLanguageNotSupported(f"Query language {language!r} is not supported")
    raise NotSupported(f"{call.operation} is not supported: this server has no queries")


def refuse_count(call: OperationCall) -> Answer:
    raise NotSupported(f"{call.operation} is not supported")


def _any(*names: str) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, unread) for name in names)


OPERATIONS = (
    operation("ExecQuery", refuse_query, *_any("QueryLanguage", "Query")),
    operation(
        "OpenQueryInstances",
        refuse_query,
        *_any(
            "FilterQueryLanguage",
            "FilterQuery",
            "ReturnQueryResultClass",
            "OperationTimeout",
            "ContinueOnError",
            "MaxObjectCount",
        ),
    ),
    operation("PullInstances", refuse_count, *_any("EnumerationContext", "MaxObjectCount")),
    operation("EnumerationCount", refuse_count, *_any("EnumerationContext")),
    operation("CreateClass", refuse, *_any("NewClass")),
    operation("ModifyClass", refuse, *_any("ModifiedClass")),
    operation("DeleteClass", refuse, *_any("ClassName")),
    operation("SetQualifier", refuse, *_any("QualifierDeclaration")),
    operation("DeleteQualifier", refuse, *_any("QualifierName")),
)
