# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every front end over libvirt's test hypervisor with the sample guests, and the broker next to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest

from libvirtcim import composition, demo, serve
from libvirtcim.cim.schema import Schema
from libvirtcim.config import Config, General
from libvirtcim.server.settings import ServerSettings
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.host import Hosts
from tests.cmpi.conftest import environment, host_program, plugin, sample_plugin
from tests.cmpi.driver import Host
from tests.frontends.differences import CMPI_HOST, EMBEDDED
from tests.frontends.fronts import BrokerFront, CmpiFront, Front, WireFront

__all__ = ["environment", "host_program", "plugin", "sample_plugin"]

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
    program, library = map(request.getfixturevalue, ("host_program", "sample_plugin"))
    with Host(program, library) as host:
        declare_all(host, SCHEMA)
        yield CmpiFront(CMPI_HOST, host)


def declare_all(host: Host, schema: Schema) -> None:
    """Makes all classes known to a CMPI host."""
    host.declare(
        {
            cls.name: cls
            for namespace in schema.namespaces
            for cls in schema.subclasses(namespace, None, deep=True)
        }.values()
    )


STARTS: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[Front]]] = {
    EMBEDDED: _embedded,
    CMPI_HOST: _cmpi_host,
}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in STARTS],
)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Each front end in turn; its hypervisors change only as the reference's do."""
    with reference() as broker, STARTS[request.param](request) as front:
        yield Pair(front, broker)
