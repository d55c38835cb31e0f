# SPDX-License-Identifier: LGPL-2.1-or-later
"""The plugin and the host, built once; hosts over libvirt's test hypervisor with the sample guests."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libvirtcim import composition, demo
from libvirtcim.cim.broker import Broker
from libvirtcim.cmpi import build
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.host import Hosts
from tests.cmpi.driver import Host
from tests.cmpi.parts import ROOT, compile_host, make_environment

Plugin = Callable[..., Path]
Start = Callable[..., Host]


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    """Makes plugins with other compiled-in settings; the adapter is compiled once."""
    lacking = build.missing()
    if lacking is not None:
        pytest.skip(f"the CMPI plugin can't be built here: {lacking}")

    def make(config: str, python: str = sys.executable) -> Path:
        output = tmp_path_factory.mktemp("plugin") / "liblibvirtcim.so"
        build.build(output, python=python, config=config, objects=ROOT / "build" / "cmpi")
        return output

    return make


@pytest.fixture(scope="session")
def host_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The host, compiled."""
    if shutil.which("gcc") is None:
        pytest.skip("the CMPI host can't be built here: gcc is not installed")
    return compile_host(tmp_path_factory.mktemp("host") / "host")


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], str]:
    """Makes virtual environments as `make_environment` does, each in a place of its own."""
    return lambda code, ours: make_environment(
        tmp_path_factory.mktemp("environment"), code, ours=ours
    )


@pytest.fixture(scope="session")
def sample_plugin(plugin: Plugin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin whose configuration names the sample hypervisor for every family."""
    config = tmp_path_factory.mktemp("config") / "libvirtcim.toml"
    lines = [f'{prefix} = "{demo.sample_uri()}"' for prefix in FAMILIES]
    config.write_text("\n".join(["[connections]", *lines, ""]))
    return plugin(str(config))


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """The broker in this process, over a hypervisor of the same contents."""
    hosts = Hosts({prefix: demo.sample_uri() for prefix in FAMILIES})
    yield composition.broker(hosts)
    hosts.close()


@pytest.fixture
def start(host_program: Path, sample_plugin: Path, broker: Broker) -> Iterator[Start]:
    """Starts hosts that know all classes."""
    started: list[Host] = []

    def make(plugin: Path = sample_plugin, wrapper: tuple[str, ...] = ()) -> Host:
        host = Host(host_program, plugin, wrapper)
        started.append(host)
        schema = broker.schema
        seen = {
            c.name: c for ns in schema.namespaces for c in schema.subclasses(ns, None, deep=True)
        }
        host.declare(seen.values())
        return host

    yield make
    for host in started:
        host.end()


@pytest.fixture(scope="module")
def host(host_program: Path, sample_plugin: Path, broker: Broker) -> Iterator[Host]:
    """One host for a whole module."""
    with Host(host_program, sample_plugin) as running:
        schema = broker.schema
        seen = {
            c.name: c for ns in schema.namespaces for c in schema.subclasses(ns, None, deep=True)
        }
        running.declare(seen.values())
        yield running
