# SPDX-License-Identifier: LGPL-2.1-or-later
"""OpenPegasus with the plugin when something goes wrong: processes die, modules lack, files change."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import pywbem

from libvirtcim import demo
from tests.cimom import pegasus
from tests.cimom.pegasus import Pegasus
from tests.cimom.test_pegasus_registration import SAMPLE_GUESTS, guests, libvirtcim
from tests.cmpi.conftest import Plugin
from tests.cmpi.parts import make_environment
from tests.hypervisor import wait_until
from tests.needs import skip_where

pytestmark = pytest.mark.cimom

ANSWER_SECONDS = 60.0
CLIENTS = 4
HELD = """
import libvirt, pathlib, time

usual = libvirt.open

def held(uri):
    pathlib.Path({reached!r}).touch()
    while pathlib.Path({hold!r}).exists():
        time.sleep(0.01)
    return usual(uri)

libvirt.open = held
"""
"""Code at Python's start after which connections to hypervisors wait while a file exists."""

Started = Callable[[Path], Pegasus]


@pytest.fixture
def started(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Started]:
    """Starts the server with a plugin registered; parameter False: providers in the server."""
    skip_where(pegasus.missing())
    with Pegasus(tmp_path, out_of_process=getattr(request, "param", True)) as server:

        def make(library: Path) -> Pegasus:
            server.start()
            libvirtcim(server, "register", "--plugin", library)
            return server

        yield make


def failure(server: Pegasus) -> tuple[int, str]:
    """Status code and text with which reading the guests fails."""
    with pytest.raises(pywbem.CIMError) as caught:
        guests(server)
    return caught.value.status_code, caught.value.status_description


def test_the_agent_dies_in_a_request(started: Started, plugin: Plugin, tmp_path: Path) -> None:
    """The client that waits gets an error, the next one an answer from a new agent."""
    reached, hold = tmp_path / "reached", tmp_path / "hold"
    hold.touch()
    code = HELD.format(reached=str(reached), hold=str(hold))
    config = tmp_path / "libvirtcim.toml"
    config.write_text(f'[connections]\nKVM = "{demo.sample_uri()}"\n')
    server = started(plugin(str(config), make_environment(tmp_path / "environment", code)))
    with ThreadPoolExecutor(1) as waiting:
        asked = waiting.submit(failure, server)
        wait_until(reached.exists, "the plugin connects", ANSWER_SECONDS)
        (agent,) = server.agents()
        os.kill(agent, signal.SIGKILL)
        code_, text = asked.result(ANSWER_SECONDS)
    assert code_ == pywbem.CIM_ERR_FAILED
    assert 'Lost connection with cimprovagt "libvirtcim"' in text
    hold.unlink()
    assert guests(server) == SAMPLE_GUESTS
    assert agent not in server.agents()


def test_the_server_dies(started: Started, sample_plugin: Path) -> None:
    server = started(sample_plugin)
    assert guests(server) == SAMPLE_GUESTS
    server.kill()
    wait_until(lambda: not server.agents(), "the agent ends with the server", ANSWER_SECONDS)
    server.start()
    assert guests(server) == SAMPLE_GUESTS


def test_without_its_modules(started: Started, plugin: Plugin, tmp_path: Path) -> None:
    """The client reads what is missing."""
    python = make_environment(tmp_path / "environment", "", ours=False)
    server = started(plugin("/etc/libvirtcim.toml", python))
    for _ in range(2):
        code, text = failure(server)
        assert code == pywbem.CIM_ERR_FAILED
        assert text.endswith("ModuleNotFoundError: No module named 'libvirtcim'")
    assert server.running


def test_the_library_is_replaced(started: Started, sample_plugin: Path, tmp_path: Path) -> None:
    """What is loaded stays as it is until it is registered again; no request fails."""
    library = tmp_path / sample_plugin.name
    shutil.copy(sample_plugin, library)
    server = started(library)
    assert guests(server) == SAMPLE_GUESTS
    (before,) = server.agents()
    fresh = library.with_suffix(".new")
    fresh.write_bytes(sample_plugin.read_bytes() + b"\0")
    fresh.replace(library)
    assert guests(server) == SAMPLE_GUESTS
    assert server.agents() == [before]
    libvirtcim(server, "status", status=1)
    libvirtcim(server, "register", "--plugin", library)
    assert guests(server) == SAMPLE_GUESTS
    assert before not in server.agents()


@pytest.mark.parametrize("started", [True, False], indirect=True, ids=["agent", "in process"])
def test_upgrading_under_load(started: Started, sample_plugin: Path, tmp_path: Path) -> None:
    """Every request gets its answer or a CIM error, and all is served when it is over."""
    library = tmp_path / sample_plugin.name
    shutil.copy(sample_plugin, library)
    server = started(library)
    assert guests(server) == SAMPLE_GUESTS
    ended = threading.Event()

    def ask() -> set[int]:
        codes = set()
        while not ended.is_set():
            try:
                assert guests(server) == SAMPLE_GUESTS
            except pywbem.CIMError as error:
                codes.add(error.status_code)
        return codes

    with ThreadPoolExecutor(CLIENTS) as clients:
        asked = [clients.submit(ask) for _ in range(CLIENTS)]
        try:
            for _ in range(2):
                fresh = library.with_suffix(".new")
                fresh.write_bytes(library.read_bytes() + b"\0")
                fresh.replace(library)
                done = libvirtcim(server, "register", "--plugin", library)
                assert "remove provider module" in done.stdout
        finally:
            ended.set()
        codes = set().union(*(one.result(ANSWER_SECONDS) for one in asked))
    assert codes <= {
        pywbem.CIM_ERR_FAILED,
        pywbem.CIM_ERR_NOT_SUPPORTED,
        pywbem.CIM_ERR_INVALID_CLASS,
        pywbem.CIM_ERR_INVALID_NAMESPACE,
    }
    assert guests(server) == SAMPLE_GUESTS
