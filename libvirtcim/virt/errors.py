# SPDX-License-Identifier: LGPL-2.1-or-later
"""The one exception tree of the libvirt side, and the one table that sorts libvirt's error codes.

::

    VirtError                  libvirt_message, code (libvirt's, or None)
    ├── ObjectNotFound         a pool, volume, network, filter, snapshot, ... does not exist
    │   └── GuestNotFound      a guest does not exist
    ├── Unreachable            no connection, connection lost, or the next attempt is not due yet
    ├── Unsupported            this hypervisor driver cannot do that
    ├── Denied                 not permitted, also on a read-only connection
    ├── Busy                   a lock or job of the guest was not free in time
    ├── Invalid                bad XML or argument, or an operation invalid in this state
    ├── Exists                 an object of that identity exists already
    └── Failed                 everything else
"""

from __future__ import annotations

import libvirt


class VirtError(Exception):
    """A libvirt operation failed; `libvirt_message` is libvirt's own text."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.libvirt_message = message
        self.code = code


class ObjectNotFound(VirtError):
    """The named libvirt object does not exist."""


class GuestNotFound(ObjectNotFound):
    """The named guest does not exist."""


class Unreachable(VirtError):
    """There is no working connection to the hypervisor at the moment."""


class Unsupported(VirtError):
    """The hypervisor driver has no such operation."""


class Denied(VirtError):
    """The operation is not permitted on this connection."""


class Busy(VirtError):
    """The guest or object is locked by another operation."""


class Invalid(VirtError):
    """The request cannot be right: bad XML, bad argument, or impossible in this state."""


class Exists(VirtError):
    """An object of that name or UUID exists already."""


class Failed(VirtError):
    """A failure that no other category describes."""


# libvirt error symbol -> category. By name, so that an older libvirt that lacks a code loads too.
_CATEGORY_OF_SYMBOL: dict[str, type[VirtError]] = {
    "VIR_ERR_NO_DOMAIN": GuestNotFound,
    "VIR_ERR_NO_NETWORK": ObjectNotFound,
    "VIR_ERR_NO_NETWORK_PORT": ObjectNotFound,
    "VIR_ERR_NO_STORAGE_POOL": ObjectNotFound,
    "VIR_ERR_NO_STORAGE_VOL": ObjectNotFound,
    "VIR_ERR_NO_NODE_DEVICE": ObjectNotFound,
    "VIR_ERR_NO_INTERFACE": ObjectNotFound,
    "VIR_ERR_NO_NWFILTER": ObjectNotFound,
    "VIR_ERR_NO_NWFILTER_BINDING": ObjectNotFound,
    "VIR_ERR_NO_SECRET": ObjectNotFound,
    "VIR_ERR_NO_DOMAIN_SNAPSHOT": ObjectNotFound,
    "VIR_ERR_NO_DOMAIN_CHECKPOINT": ObjectNotFound,
    "VIR_ERR_NO_DOMAIN_METADATA": ObjectNotFound,
    "VIR_ERR_NO_DOMAIN_BACKUP": ObjectNotFound,
    "VIR_ERR_DEVICE_MISSING": ObjectNotFound,
    "VIR_ERR_NO_CONNECT": Unreachable,
    "VIR_ERR_INVALID_CONN": Unreachable,
    "VIR_ERR_RPC": Unreachable,
    "VIR_ERR_NO_SERVER": Unreachable,
    "VIR_ERR_AUTH_FAILED": Unreachable,
    "VIR_ERR_AUTH_CANCELLED": Unreachable,
    "VIR_ERR_AUTH_UNAVAILABLE": Unreachable,
    "VIR_ERR_GNUTLS_ERROR": Unreachable,
    "VIR_ERR_SSH": Unreachable,
    "VIR_ERR_LIBSSH": Unreachable,
    "VIR_ERR_UNKNOWN_HOST": Unreachable,
    "VIR_ERR_NO_SUPPORT": Unsupported,
    "VIR_ERR_ARGUMENT_UNSUPPORTED": Unsupported,
    "VIR_ERR_OPERATION_UNSUPPORTED": Unsupported,
    "VIR_ERR_CONFIG_UNSUPPORTED": Unsupported,
    "VIR_ERR_OPERATION_DENIED": Denied,
    "VIR_ERR_ACCESS_DENIED": Denied,
    "VIR_ERR_OPERATION_TIMEOUT": Busy,
    "VIR_ERR_RESOURCE_BUSY": Busy,
    "VIR_ERR_INVALID_ARG": Invalid,
    "VIR_ERR_XML_ERROR": Invalid,
    "VIR_ERR_XML_DETAIL": Invalid,
    "VIR_ERR_XML_INVALID_SCHEMA": Invalid,
    "VIR_ERR_OPERATION_INVALID": Invalid,
    "VIR_ERR_INVALID_MAC": Invalid,
    "VIR_ERR_OS_TYPE": Invalid,
    "VIR_ERR_NO_OS": Invalid,
    "VIR_ERR_NO_NAME": Invalid,
    "VIR_ERR_NO_SOURCE": Invalid,
    "VIR_ERR_NO_TARGET": Invalid,
    "VIR_ERR_OVERFLOW": Invalid,
    "VIR_ERR_DOM_EXIST": Exists,
    "VIR_ERR_NETWORK_EXIST": Exists,
    "VIR_ERR_NETWORK_PORT_EXIST": Exists,
    "VIR_ERR_STORAGE_VOL_EXIST": Exists,
    "VIR_ERR_STORAGE_POOL_BUILT": Exists,
}

CATEGORY_OF_CODE: dict[int, type[VirtError]] = {
    getattr(libvirt, symbol): category
    for symbol, category in _CATEGORY_OF_SYMBOL.items()
    if hasattr(libvirt, symbol)
}


def from_libvirt(exc: libvirt.libvirtError) -> VirtError:
    """The `VirtError` that says what this libvirt exception says."""
    code: int | None = exc.get_error_code()
    message: str = exc.get_error_message() or str(exc)
    category = Failed if code is None else CATEGORY_OF_CODE.get(code, Failed)
    return category(message, code)


def silence_stderr() -> None:
    """Stop libvirt from printing every error to stderr; errors still arrive as exceptions."""
    libvirt.registerErrorHandler(_drop, None)


def _drop(_context: object, _error: object) -> None:
    return None


silence_stderr()
