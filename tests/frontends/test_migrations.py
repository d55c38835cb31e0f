# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests moved in all ways through the CMPI host, by the plugin and by cmpi-bindings.

`test_servers` moves them through CIM servers, `tests/system/test_migration` through the embedded one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pywbem

from libvirtcim.cim.objects import InstancePath
from tests.cmpi.driver import Answer, Host, sent_path
from tests.frontends import bindings
from tests.frontends.bindings import BindingsHost
from tests.frontends.conftest import SCHEMA
from tests.frontends.differences import BINDINGS_HOST, CMPI_HOST
from tests.hypervisor import build_guest_image
from tests.migration import Mover
from tests.needs import skip_where
from tests.pair import Pair

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("migration")]


class HostClient:
    """As much of pywbem's connection as it takes to move guests, over the CMPI host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def GetInstance(self, path: pywbem.CIMInstanceName) -> pywbem.CIMInstance:
        (found,) = self._ask("getInstance", path).results
        values = [pywbem.CIMProperty(name, value, kind) for name, kind, value in _plain(found)]
        return pywbem.CIMInstance(path.classname, values, path=path)

    def InvokeMethod(
        self, method: str, path: pywbem.CIMInstanceName, **arguments: Any
    ) -> tuple[int, dict[str, Any]]:
        args = [[name, *_sent(value)] for name, value in arguments.items()]
        answer = self._ask("invokeMethod", path, method=method, args=args)
        ((_kind, value),) = answer.results
        return value, {
            name: _path(value) if kind == "reference" else value for name, kind, value in answer.out
        }

    def _ask(self, operation: str, path: pywbem.CIMInstanceName, **more: Any) -> Answer:
        answer = self._host.call(operation, _own(path), **more)
        assert answer.violations == []
        if answer.rc:
            raise pywbem.CIMError(answer.rc, answer.message)
        return answer


def _own(path: pywbem.CIMInstanceName) -> InstancePath:
    return InstancePath(path.classname, tuple(path.keybindings.items()), path.namespace)


def _sent(value: str | pywbem.CIMInstanceName) -> tuple[str, Any]:
    """CIM type and value as the host reads them."""
    return ("string", value) if isinstance(value, str) else ("reference", sent_path(_own(value)))


def _path(found: Any) -> pywbem.CIMInstanceName:
    keys = {name: value for name, _kind, value in found["keys"]}
    return pywbem.CIMInstanceName(found["class"], keys, namespace=found["ns"])


def _plain(found: Any) -> list[Any]:
    """The properties of an instance that are neither arrays nor NULL."""
    return [row for row in found["properties"] if row[2] is not None and "[" not in row[1]]


@contextmanager
def _plugin(request: pytest.FixtureRequest, config: Path) -> Iterator[Host]:
    program, make = map(request.getfixturevalue, ("host_program", "plugin"))
    with Host(program, make(str(config))) as host:
        yield host


@contextmanager
def _bindings(request: pytest.FixtureRequest, config: Path) -> Iterator[Host]:
    skip_where(bindings.missing())
    program, make = map(request.getfixturevalue, ("host_program", "environment"))
    with BindingsHost(program, bindings.environment(make, config)) as host:
        yield host


HOSTS = {CMPI_HOST: _plugin, BINDINGS_HOST: _bindings}


@pytest.fixture(params=HOSTS)
def mover(request: pytest.FixtureRequest, hosts: Pair, tmp_path: Path) -> Iterator[Mover]:
    """A client of the plugin, or of what stands in for it."""
    config = tmp_path / "libvirtcim.toml"
    config.write_text(f'[connections]\nKVM = "{hosts.a.qemu_uri}"\n')
    with HOSTS[request.param](request, config) as host:
        host.declare_all(SCHEMA)
        made = Mover(HostClient(host), hosts, as_text=True)
        yield made
        made.close()


def test_in_all_ways(mover: Mover, tmp_path: Path) -> None:
    for job in mover.move_in_all_ways(build_guest_image(tmp_path)).values():
        assert (job["Status"], job["ErrorCode"]) == ("Completed", 0)
