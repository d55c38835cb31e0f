# SPDX-License-Identifier: LGPL-2.1-or-later
"""The plugin and the host, built once; hosts over libvirt's test hypervisor with the sample guests."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from libvirtcim import composition, demo
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.schema import Schema
from libvirtcim.cmpi import build
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.host import Hosts
from tests.cmpi.driver import Host
from tests.cmpi.parts import ROOT, SANITIZERS, compile_host, make_environment
from tests.needs import skip_without_plugin

Plugin = Callable[..., Path]
Start = Callable[..., Host]


def _maker(factory: pytest.TempPathFactory, objects: Path, flags: Sequence[str] = ()) -> Plugin:
    skip_without_plugin()

    def make(config: str, python: str = sys.executable) -> Path:
        output = factory.mktemp("plugin") / build.OUTPUT.name
        build.build(output, python=python, config=config, objects=objects, flags=flags)
        return output

    return make


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    """Makes plugins with other compiled-in settings; the adapter is compiled once."""
    return _maker(tmp_path_factory, ROOT / "build" / "cmpi")


@pytest.fixture(scope="session")
def checked_plugin(tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    """As `plugin`, but every access to memory is checked; only for `checked_program`."""
    return _maker(tmp_path_factory, ROOT / "build" / "cmpi-checked", SANITIZERS)


@pytest.fixture(scope="session")
def host_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The host, compiled."""
    if shutil.which("gcc") is None:
        pytest.skip("the CMPI host can't be built here: gcc is not installed")
    return compile_host(tmp_path_factory.mktemp("host") / "host")


@pytest.fixture(scope="session")
def checked_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The host, compiled such that every access to memory is checked, the plugin's too."""
    if shutil.which("gcc") is None:
        pytest.skip("the CMPI host can't be built here: gcc is not installed")
    return compile_host(tmp_path_factory.mktemp("host") / "host", ("-g", "-O1", *SANITIZERS))


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], str]:
    """Makes virtual environments as `make_environment` does, each in a place of its own."""
    return lambda code, ours: make_environment(
        tmp_path_factory.mktemp("environment"), code, ours=ours
    )


def _sample_config(factory: pytest.TempPathFactory) -> str:
    """A configuration that names the sample hypervisor for every family."""
    config = factory.mktemp("config") / "libvirtcim.toml"
    lines = [f'{prefix} = "{demo.sample_uri()}"' for prefix in FAMILIES]
    config.write_text("\n".join(["[connections]", *lines, ""]))
    return str(config)


@pytest.fixture(scope="session")
def sample_plugin(plugin: Plugin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin whose configuration names the sample hypervisor for every family."""
    return plugin(_sample_config(tmp_path_factory))


@pytest.fixture(scope="session")
def checked_sample_plugin(checked_plugin: Plugin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `sample_plugin`, for `checked_program`."""
    return checked_plugin(_sample_config(tmp_path_factory))


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """The broker in this process, over a hypervisor of the same contents."""
    hosts = Hosts({prefix: demo.sample_uri() for prefix in FAMILIES})
    yield composition.broker(hosts)
    hosts.close()


@contextmanager
def _starter(program: Path, library: Path, schema: Schema) -> Iterator[Start]:
    started: list[Host] = []

    def make(plugin: Path = library, wrapper: tuple[str, ...] = ()) -> Host:
        host = Host(program, plugin, wrapper)
        started.append(host)
        host.declare_all(schema)
        return host

    try:
        yield make
    finally:
        for host in started:
            host.end()


@pytest.fixture
def start(host_program: Path, sample_plugin: Path, broker: Broker) -> Iterator[Start]:
    """Starts hosts that know all classes."""
    with _starter(host_program, sample_plugin, broker.schema) as make:
        yield make


@pytest.fixture
def checked_start(
    checked_program: Path, checked_sample_plugin: Path, broker: Broker
) -> Iterator[Start]:
    """As `start`, with every access to memory checked."""
    with _starter(checked_program, checked_sample_plugin, broker.schema) as make:
        yield make


@pytest.fixture(scope="module")
def host(host_program: Path, sample_plugin: Path, broker: Broker) -> Iterator[Host]:
    """One host for a whole module."""
    with Host(host_program, sample_plugin) as running:
        running.declare_all(broker.schema)
        yield running
