# SPDX-License-Identifier: LGPL-2.1-or-later
"""The one exception tree of the CIM side: every error that a client can be given.

::

    CIMError                      status, message
    ├── Failed                    1   a general failure
    ├── AccessDenied              2
    ├── InvalidNamespace          3
    ├── InvalidParameter          4
    ├── InvalidClass              5
    ├── NotFound                  6   the object named by the keys does not exist
    ├── NotSupported              7
    ├── AlreadyExists            11
    ├── NoSuchProperty           12
    ├── TypeMismatch             13
    ├── QueryLanguageNotSupported 14
    ├── InvalidQuery             15
    ├── MethodNotAvailable       16
    ├── MethodNotFound           17
    ├── InvalidEnumerationContext 21
    ├── InvalidOperationTimeout  22
    ├── PullHasBeenAbandoned     23
    ├── FilteredEnumerationNotSupported 25
    ├── ServerLimitsExceeded     27
    └── ServerIsShuttingDown     28

Numbers and names: DSP0200 1.4, section 8.
"""

from __future__ import annotations

from typing import ClassVar


class CIMError(Exception):
    """An operation ended with a CIM status; `message` is what the client reads."""

    status: ClassVar[int] = 1
    symbol: ClassVar[str] = "CIM_ERR_FAILED"

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return f"{self.status} ({self.symbol}): {self.message}"


class Failed(CIMError):
    """A general failure that no other status describes."""


class AccessDenied(CIMError):
    """The user may not do this."""

    status = 2
    symbol = "CIM_ERR_ACCESS_DENIED"


class InvalidNamespace(CIMError):
    """The namespace does not exist."""

    status = 3
    symbol = "CIM_ERR_INVALID_NAMESPACE"


class InvalidParameter(CIMError):
    """A parameter is missing, unknown, duplicate or has an impossible value."""

    status = 4
    symbol = "CIM_ERR_INVALID_PARAMETER"


class InvalidClass(CIMError):
    """The class does not exist in the namespace."""

    status = 5
    symbol = "CIM_ERR_INVALID_CLASS"


class NotFound(CIMError):
    """The requested object does not exist."""

    status = 6
    symbol = "CIM_ERR_NOT_FOUND"


class NotSupported(CIMError):
    """The operation is not supported for this class or by this server."""

    status = 7
    symbol = "CIM_ERR_NOT_SUPPORTED"


class AlreadyExists(CIMError):
    """An object of that identity exists already."""

    status = 11
    symbol = "CIM_ERR_ALREADY_EXISTS"


class NoSuchProperty(CIMError):
    """The class has no property of that name."""

    status = 12
    symbol = "CIM_ERR_NO_SUCH_PROPERTY"


class TypeMismatch(CIMError):
    """A value does not have the declared CIM type."""

    status = 13
    symbol = "CIM_ERR_TYPE_MISMATCH"


class QueryLanguageNotSupported(CIMError):
    """The query language is unknown."""

    status = 14
    symbol = "CIM_ERR_QUERY_LANGUAGE_NOT_SUPPORTED"


class InvalidQuery(CIMError):
    """The query text is not valid in its language."""

    status = 15
    symbol = "CIM_ERR_INVALID_QUERY"


class MethodNotAvailable(CIMError):
    """The class declares the method, but nothing carries it out."""

    status = 16
    symbol = "CIM_ERR_METHOD_NOT_AVAILABLE"


class MethodNotFound(CIMError):
    """The class has no method of that name."""

    status = 17
    symbol = "CIM_ERR_METHOD_NOT_FOUND"


class InvalidEnumerationContext(CIMError):
    """The enumeration context is unknown, closed or expired."""

    status = 21
    symbol = "CIM_ERR_INVALID_ENUMERATION_CONTEXT"


class InvalidOperationTimeout(CIMError):
    """The operation time-out is outside what the server accepts."""

    status = 22
    symbol = "CIM_ERR_INVALID_OPERATION_TIMEOUT"


class PullHasBeenAbandoned(CIMError):
    """A pull was cut short by a concurrent close."""

    status = 23
    symbol = "CIM_ERR_PULL_HAS_BEEN_ABANDONED"


class FilteredEnumerationNotSupported(CIMError):
    """The server does not filter enumerations by query."""

    status = 25
    symbol = "CIM_ERR_FILTERED_ENUMERATION_NOT_SUPPORTED"


class ServerLimitsExceeded(CIMError):
    """A named limit of the server is reached; the message says which."""

    status = 27
    symbol = "CIM_ERR_SERVER_LIMITS_EXCEEDED"


class ServerIsShuttingDown(CIMError):
    """The server is ending and takes no new operations."""

    status = 28
    symbol = "CIM_ERR_SERVER_IS_SHUTTING_DOWN"
