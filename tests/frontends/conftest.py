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
from tests.cmpi.conftest import (
    checked_plugin,
    checked_program,
    checked_sample_plugin,
    environment,
    host_program,
    plugin,
)
from tests.cmpi.driver import Host
from tests.frontends import bindings, cases
from tests.frontends.cimoms import BINDINGS, Hosting
from tests.frontends.differences import (
    BINDINGS_HOST,
    CMPI_HOST,
    EMBEDDED,
    PEGASUS,
    PEGASUS_BINDINGS,
    PEGASUS_IN_PROCESS,
    SFCB,
    SFCB_BINDINGS,
)
from tests.frontends.fronts import BrokerFront, CmpiFront, Front, WireFront
from tests.needs import skip_where

__all__ = [
    "checked_plugin",
    "checked_program",
    "checked_sample_plugin",
    "environment",
    "host_program",
    "plugin",
]

SCHEMA = composition.schema(composition.declarations())
HOSTINGS = {
    PEGASUS: Hosting("pegasus"),
    PEGASUS_IN_PROCESS: Hosting("pegasus", out_of_process=False),
    PEGASUS_BINDINGS: Hosting("pegasus", BINDINGS),
    SFCB: Hosting("sfcb"),
    SFCB_BINDINGS: Hosting("sfcb", BINDINGS),
}
"""Front ends that are CIM servers."""
FAMILY = "KVM_"
"""What is asked in all ways."""


def sample_connections() -> dict[str, str]:
    """The sample guests as every family."""
    return {prefix: demo.sample_uri() for prefix in FAMILIES}


@dataclass(frozen=True, slots=True)
class Pair:
    """A front end, and the broker over hypervisors of the same contents."""

    front: Front
    reference: BrokerFront
    start: Start
    guests: frozenset[str]
    """InstanceIDs of the settings of all guests."""


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
    server = serve.make_server(Config(General(), connections, (), settings), hosts)
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
    skip_where(bindings.missing())
    program, make, config = map(
        request.getfixturevalue, ("host_program", "environment", "sample_config")
    )
    with bindings.BindingsHost(program, bindings.environment(make, config)) as host:
        host.declare_all(SCHEMA)
        yield CmpiFront(BINDINGS_HOST, host)


def _in_server(
    name: str,
) -> Callable[[pytest.FixtureRequest], AbstractContextManager[Front]]:
    hosting = HOSTINGS[name]

    @contextmanager
    def start(request: pytest.FixtureRequest) -> Iterator[Front]:
        config = request.getfixturevalue("sample_config")
        with hosting.running(request, config) as server:
            yield WireFront(name, server.url, SCHEMA, pulls=hosting.pulls)

    return start


@dataclass(frozen=True, slots=True)
class Start:
    """How a front end is started, and what it is asked."""

    start: Callable[[pytest.FixtureRequest], AbstractContextManager[Front]]
    classes: Sequence[tuple[str, str]]
    """(namespace, class) of what it serves, or of the part of it that it is asked for."""
    sampled: int = cases.SAMPLED
    """Instances of each class of one family from which associations are followed."""
    is_cimom: bool = False

    def samples(self, classname: str) -> int:
        """Instances of a class from which associations are followed: of one family, the others' are alike."""
        return self.sampled if classname.startswith(FAMILY) else 0


SERVED = cases.served(SCHEMA)
REGISTERED = cases.registered()
ONE_FAMILY = [name for name in REGISTERED if name[1].startswith(FAMILY)]
"""Enough where only the way into a server differs from another front end's."""

STARTS = {
    EMBEDDED: Start(_embedded, SERVED),
    CMPI_HOST: Start(_cmpi_host, SERVED),
    BINDINGS_HOST: Start(_bindings_host, SERVED),
    **{
        name: Start(
            _in_server(name),
            REGISTERED if name in (PEGASUS, SFCB) else ONE_FAMILY,
            sampled=1,
            is_cimom=True,
        )
        for name in HOSTINGS
    },
}


def each(
    arguments: Callable[[Start], Iterable[tuple[str, ...]]], *names: str
) -> pytest.MarkDecorator:
    """Runs a test with every front end, for each tuple of arguments that it has."""
    parameters = []
    for name, start in STARTS.items():
        group = pytest.mark.xdist_group(HOSTINGS[name].group if start.is_cimom else name)
        marks = [group, *([pytest.mark.cimom] if start.is_cimom else [])]
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


@pytest.fixture(scope="session", autouse=True)
def cheap_warnings() -> Iterator[None]:
    """pywbem's warnings of paths without keys, which the cases are full of, would look up the whole stack."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pywbem._cim_obj._stacklevel_above_module", lambda _module: 2)
        yield


@pytest.fixture(scope="module")
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A front end and the reference; its hypervisors change only as the reference's do."""
    start = STARTS[request.param]
    with reference() as own, start.start(request) as front:
        settings = own.broker.enumerate_instance_names(
            cases.CONTEXT, "root/virt", "CIM_VirtualSystemSettingData"
        )
        guests = frozenset(path.text("InstanceID") for path in settings)
        yield Pair(front, own, start, guests)
