# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every front end over libvirt's test hypervisor with the sample guests, and the broker next to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from libvirtcim import composition, demo, serve
from libvirtcim.config import Config, General
from libvirtcim.server.settings import ServerSettings
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.host import Hosts
from tests.cimom import pegasus, sfcb
from tests.cmpi.conftest import (
    checked_plugin,
    checked_program,
    checked_sample_plugin,
    environment,
    host_program,
    plugin,
    sample_plugin,
)
from tests.cmpi.driver import Host
from tests.frontends import bindings, cases, cimoms
from tests.frontends.differences import (
    BINDINGS_HOST,
    CMPI_HOST,
    EMBEDDED,
    PEGASUS,
    PEGASUS_BINDINGS,
    PEGASUS_IN_PROCESS,
    SFCB,
    SFCB_BINDINGS,
    TOLERATED,
)
from tests.frontends.fronts import BrokerFront, CmpiFront, Front, WireFront

__all__ = [
    "checked_plugin",
    "checked_program",
    "checked_sample_plugin",
    "environment",
    "host_program",
    "plugin",
    "sample_plugin",
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
    start: Start


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
    _skip_if(bindings.missing())
    program, make, config = map(
        request.getfixturevalue, ("host_program", "environment", "sample_config")
    )
    variables = {
        **bindings.environment(make, config),
        "LD_PRELOAD": bindings.preloaded(),
    }
    wrapper = ("env", *(f"{name}={value}" for name, value in variables.items()))
    with Host(program, bindings.library(), wrapper) as host:
        host.declare_all(SCHEMA)
        yield CmpiFront(BINDINGS_HOST, host, TOLERATED)


@contextmanager
def _pegasus(request: pytest.FixtureRequest, name: str, *, out_of_process: bool) -> Iterator[Front]:
    _skip_if(pegasus.missing())
    library = request.getfixturevalue("sample_plugin")
    with cimoms.pegasus(library, out_of_process=out_of_process) as server:
        yield WireFront(name, server.url, SCHEMA)


def _pegasus_agent(request: pytest.FixtureRequest) -> AbstractContextManager[Front]:
    return _pegasus(request, PEGASUS, out_of_process=True)


def _pegasus_alone(request: pytest.FixtureRequest) -> AbstractContextManager[Front]:
    return _pegasus(request, PEGASUS_IN_PROCESS, out_of_process=False)


@contextmanager
def _pegasus_bindings(request: pytest.FixtureRequest) -> Iterator[Front]:
    _skip_if(pegasus.missing())
    with (
        _bindings(request) as library,
        cimoms.pegasus(library, via="cmpi-bindings") as server,
    ):
        yield WireFront(PEGASUS_BINDINGS, server.url, SCHEMA)


@contextmanager
def _sfcb(request: pytest.FixtureRequest) -> Iterator[Front]:
    _skip_if(sfcb.missing())
    with cimoms.sfcb(request.getfixturevalue("sample_plugin")) as server:
        yield WireFront(SFCB, server.url, SCHEMA, pulls=False)


@contextmanager
def _sfcb_bindings(request: pytest.FixtureRequest) -> Iterator[Front]:
    _skip_if(sfcb.missing())
    with _bindings(request) as library, cimoms.sfcb(library, via="cmpi-bindings") as server:
        yield WireFront(SFCB_BINDINGS, server.url, SCHEMA, pulls=False)


@contextmanager
def _bindings(request: pytest.FixtureRequest) -> Iterator[Path]:
    """cmpi-bindings' library; what is started now finds the sample guests with it."""
    _skip_if(bindings.missing())
    make, config = map(request.getfixturevalue, ("environment", "sample_config"))
    with pytest.MonkeyPatch.context() as patched:
        for name, value in bindings.environment(make, config).items():
            patched.setenv(name, value)
        yield bindings.library()


def _skip_if(reason: str | None) -> None:
    if reason is not None:
        pytest.skip(reason)


@dataclass(frozen=True, slots=True)
class Start:
    """How a front end is started, and what it is asked."""

    start: Callable[[pytest.FixtureRequest], AbstractContextManager[Front]]
    classes: Sequence[tuple[str, str]]
    """(namespace, class) of what it serves, or of the part of it that it is asked for."""
    sampled: int = cases.SAMPLED
    """Instances of each class from which associations are followed."""
    is_cimom: bool = False


SERVED = cases.served(SCHEMA)
REGISTERED = cases.registered()
ONE_FAMILY = [name for name in REGISTERED if name[1].startswith("KVM_")]
"""Enough where only the way into a server differs from another front end's."""

STARTS = {
    EMBEDDED: Start(_embedded, SERVED),
    CMPI_HOST: Start(_cmpi_host, SERVED),
    BINDINGS_HOST: Start(_bindings_host, SERVED),
    PEGASUS: Start(_pegasus_agent, REGISTERED, sampled=1, is_cimom=True),
    PEGASUS_IN_PROCESS: Start(_pegasus_alone, ONE_FAMILY, sampled=1, is_cimom=True),
    SFCB: Start(_sfcb, REGISTERED, sampled=1, is_cimom=True),
    SFCB_BINDINGS: Start(_sfcb_bindings, ONE_FAMILY, sampled=1, is_cimom=True),
    PEGASUS_BINDINGS: Start(_pegasus_bindings, ONE_FAMILY, sampled=1, is_cimom=True),
}


def each(
    arguments: Callable[[Start], Iterable[tuple[str, ...]]], *names: str
) -> pytest.MarkDecorator:
    """Runs a test with every front end, for each tuple of arguments that it has."""
    parameters = []
    for name, start in STARTS.items():
        marks = [pytest.mark.xdist_group(name), *([pytest.mark.cimom] if start.is_cimom else [])]
        parameters += [pytest.param(name, *values, marks=marks) for values in arguments(start)]
    return pytest.mark.parametrize(("pair", *names), parameters, indirect=["pair"], scope="module")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One front end after the other, since starting one takes seconds."""
    places = [i for i, item in enumerate(items) if _front_of(item) is not None]
    own = [items[i] for i in places]
    own.sort(key=lambda item: list(STARTS).index(_front_of(item) or ""))
    for place, item in zip(places, own, strict=True):
        items[place] = item


def _front_of(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get("pair")


@pytest.fixture(scope="module")
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A front end and the reference; its hypervisors change only as the reference's do."""
    start = STARTS[request.param]
    with reference() as broker, start.start(request) as front:
        yield Pair(front, broker, start)
