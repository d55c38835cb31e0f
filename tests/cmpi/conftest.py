# SPDX-License-Identifier: LGPL-2.1-or-later
"""The plugin and the host, built once; hosts over libvirt's test hypervisor with the sample guests."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libvirtcim import composition, demo
from libvirtcim.cim.broker import Broker
from libvirtcim.cmpi import build
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.host import Hosts
from tests.cmpi.driver import Host

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

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
    program = tmp_path_factory.mktemp("host") / "host"
    subprocess.run(
        ["gcc", "-g", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{build.SOURCES}",
         str(HERE / "host.c"), "-o", str(program), "-ldl", "-lpthread"],
        check=True,
    )  # fmt: skip
    return program


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], str]:
    """Makes virtual environments that run a piece of code at start; returns their Python."""

    def make(code: str, ours: bool) -> str:
        """`ours`: with this project and what it needs."""
        root = tmp_path_factory.mktemp("environment")
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        site = root / "lib" / version / "site-packages"
        site.mkdir(parents=True)
        (root / "bin").mkdir()
        (root / "bin" / "python").symlink_to(Path(sys.executable).resolve())
        home = Path(sys.executable).resolve().parent
        (root / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
        (site / "at_start.py").write_text(code)
        lines = [str(ROOT), sysconfig.get_path("purelib")] if ours else []
        (site / "at_start.pth").write_text("\n".join([*lines, "import at_start", ""]))
        return str(root / "bin" / "python")

    return make


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
