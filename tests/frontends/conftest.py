# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every front end over libvirt's test hypervisor with the sample guests, and the broker next to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from libvirtcim import composition, demo, serve
from libvirtcim.config import Config, General
from libvirtcim.server.settings import ServerSettings
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.host import Hosts
from tests.cmpi.conftest import (
    checked_plugin,
    checked_program,
    checked_sample_plugin,
    environment,
    host_program,
)
from tests.cmpi.driver import Host
from tests.frontends import bindings
from tests.frontends.differences import BINDINGS_HOST, CMPI_HOST, EMBEDDED, TOLERATED
from tests.frontends.fronts import BrokerFront, CmpiFront, Front, WireFront

__all__ = [
    "checked_plugin",
    "checked_program",
    "checked_sample_plugin",
    "environment",
    "host_program",
]

SCHEMA = composition.schema(composition.declarations())


def sample_connections() -> dict[str, str]:
    """The sample guests as every family."""
    return {prefix: demo.sample_uri() for prefix in FAMILIES}


@dataclass(frozen=True, slots=True)
class Pair:
    """A front end, and the broker over hypervisors of the same contents."""

    front: Front
    reference: BrokerFront


@contextmanager
def reference() -> Iterator[BrokerFront]:
    """The broker in this process, over hypervisors of its own."""
    hosts = Hosts(sample_connections())
    try:
        yield BrokerFront(composition.broker(hosts))
    finally:
        hosts.close()


@pytest.fixture(scope="session")
def sample_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration file with the sample guests as every family."""
    file = tmp_path_factory.mktemp("config") / "libvirtcim.toml"
    lines = [f'{prefix} = "{uri}"' for prefix, uri in sample_connections().items()]
    file.write_text("\n".join(["[connections]", *lines, ""]))
    return file


@contextmanager
def _embedded(_request: pytest.FixtureRequest) -> Iterator[Front]:
    settings = ServerSettings(listen=(("127.0.0.1", 0),))
    connections = sample_connections()
    hosts = Hosts(connections)
    server = serve.make_server(Config(General(), settings, connections, sources=()), hosts)
    server.start()
    try:
        yield WireFront(EMBEDDED, server.urls[0], SCHEMA)
    finally:
        server.stop()
        hosts.close()


@contextmanager
def _cmpi_host(request: pytest.FixtureRequest) -> Iterator[Front]:
    program, library = map(request.getfixturevalue, ("checked_program", "checked_sample_plugin"))
    with Host(program, library) as host:
        host.declare_all(SCHEMA)
        yield CmpiFront(CMPI_HOST, host)


@contextmanager
def _bindings_host(request: pytest.FixtureRequest) -> Iterator[Front]:
    lacking = bindings.missing()
    if lacking is not None:
        pytest.skip(lacking)
    program, make, config = map(
        request.getfixturevalue, ("host_program", "environment", "sample_config")
    )
    variables = {
        **bindings.environment(make, config),
        "LD_PRELOAD": bindings.preloaded(),
    }
    wrapper = ("env", *(f"{name}={value}" for name, value in variables.items()))
    library = bindings.library()
    assert library is not None
    with Host(program, library, wrapper) as host:
        host.declare_all(SCHEMA)
        yield CmpiFront(BINDINGS_HOST, host, TOLERATED)


STARTS: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[Front]]] = {
    EMBEDDED: _embedded,
    CMPI_HOST: _cmpi_host,
    BINDINGS_HOST: _bindings_host,
}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in STARTS],
)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Each front end in turn; its hypervisors change only as the reference's do."""
    with reference() as broker, STARTS[request.param](request) as front:
        yield Pair(front, broker)
