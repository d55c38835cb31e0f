# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `libvirtcim doctor` reports, as plain data ready for JSON or a terminal."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import psutil

from libvirtcim import __version__, composition
from libvirtcim.config import Config
from libvirtcim.server.indications.status import StatusFile
from libvirtcim.virt import errors as virt
from libvirtcim.virt.families import KNOWN
from libvirtcim.virt.host import Host, Hosts, Needs

LIBRARIES = (
    "libvirt-python",
    "lxml",
    "aiohttp",
    "lark",
    "psutil",
    "libconf",
    "libpass",
    "python-pam",
    "pywbem",
)


def doctor(config: Config, served: Hosts) -> dict[str, Any]:
    """How everything stands: versions, configuration, hypervisors, class table."""
    schema = composition.schema(composition.declarations())
    return {
        "libvirtcim": __version__,
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "configuration": [str(path) for path in config.sources],
        "readonly": config.general.readonly,
        "namespaces": {
            name: sum(1 for _ in schema.subclasses(name, None, deep=True))
            for name in schema.namespaces
        },
        "hypervisors": [_hypervisor(served.host(prefix), prefix) for prefix in config.connections],
        "subscriptions": _subscriptions(config.server.subscriptions_file),
    }


def _subscriptions(file: Path | None) -> dict[str, Any]:
    """Where subscriptions are kept, and how a running server's deliveries to listeners stand."""
    told = StatusFile(file).read()
    running = told is not None and psutil.pid_exists(told["pid"])
    return {
        "file": file and str(file),
        "server": told["pid"] if told is not None and running else None,
        "destinations": told["destinations"] if told is not None and running else [],
        "sources": told["sources"] if told is not None and running else [],
    }


def _version(name: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return None


def _hypervisor(host: Host, prefix: str) -> dict[str, Any]:
    count: int | None = None
    problem: str | None = None
    try:
        count = len(host.guests(Needs.STATE))
    except virt.VirtError as error:
        problem = error.libvirt_message
    status = host.connection.status()
    expected = KNOWN[prefix].connection_types
    note = None
    if status.hypervisor_type and status.hypervisor_type.upper() not in {
        t.upper() for t in expected
    }:
        note = f"driver {status.hypervisor_type} serves the family {prefix}"
    return {
        "family": prefix,
        "uri": status.uri,
        "answers": problem is None,
        "guests": count,
        "problem": problem,
        "note": note,
        "state": status.state.value,
        "attempts": status.attempts,
        "type": status.hypervisor_type,
        "version": _dotted(status.hypervisor_version),
        "libvirt": _dotted(status.libvirt_version),
    }


def _dotted(number: int | None) -> str | None:
    """libvirt's version number as major.minor.release."""
    if number is None:
        return None
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
