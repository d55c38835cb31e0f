# SPDX-License-Identifier: LGPL-2.1-or-later
"""SFCB with the plugin when something goes wrong: processes die, modules lack, files are replaced."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import pywbem

from libvirtcim.demo import sample_uri
from tests.cimom import sfcb
from tests.cimom.sfcb import Sfcb
from tests.cimom.test_sfcb_registration import SAMPLE_GUESTS, libvirtcim
from tests.cmpi.conftest import Plugin
from tests.cmpi.parts import make_environment
from tests.hypervisor import wait_until
from tests.needs import skip_where

pytestmark = [pytest.mark.cimom, pytest.mark.xdist_group("sfcb")]

ANSWER_SECONDS = 60
GIVE_UP_SECONDS = 5
"""After which SFCB ends requests whose provider doesn't answer; 40 by its default."""
HELD = """
import time
from pathlib import Path
import libvirt
listed, hold = libvirt.virConnect.listAllDomains, Path("%(hold)s")
def held(*arguments):
    if hold.exists():
        Path("%(entered)s").touch()
        while hold.exists():
            time.sleep(0.02)
    return listed(*arguments)
libvirt.virConnect.listAllDomains = held
"""
"""Code that holds the plugin up within a request as long as a file is there."""


@pytest.fixture
def server(tmp_path: Path, sample_plugin: Path) -> Iterator[Sfcb]:
    """An SFCB that runs, with a plugin of its own that may be replaced."""
    skip_where(sfcb.missing())
    with Sfcb(tmp_path) as made:
        library = made.library_directory / "liblibvirtcim.so"
        shutil.copy(sample_plugin, library)
        libvirtcim(made, "register", "--plugin", library)
        made.start()
        yield made


def client(server: Sfcb) -> pywbem.WBEMConnection:
    """A connection whose default namespace is root/virt."""
    return pywbem.WBEMConnection(server.url, default_namespace="root/virt", timeout=ANSWER_SECONDS)


def guests(server: Sfcb) -> set[str]:
    """Names of the guests that a client sees."""
    with client(server) as connection:
        return {guest["Name"] for guest in connection.EnumerateInstances("KVM_ComputerSystem")}


def provider(server: Sfcb) -> int:
    """The process that holds the plugin."""
    (found,) = server.providers()
    return found


def test_all_classes_are_served_by_one_process(server: Sfcb) -> None:
    with client(server) as connection:
        for name in ("KVM_ComputerSystem", "LXC_Memory", "Xen_HostSystem", "KVM_SystemDevice"):
            assert connection.EnumerateInstanceNames(name)
            assert len(server.providers()) == 1


def test_the_provider_process_dies_between_requests(server: Sfcb) -> None:
    assert guests(server) == SAMPLE_GUESTS
    first = provider(server)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{first}").exists(), "SFCB notices that the process ended")
    assert guests(server) == SAMPLE_GUESTS
    assert provider(server) != first


def test_the_provider_process_dies_within_a_request(
    server: Sfcb, plugin: Plugin, tmp_path: Path
) -> None:
    hold, entered = tmp_path / "hold", tmp_path / "entered"
    python = make_environment(tmp_path / "held", HELD % {"hold": hold, "entered": entered})
    config = tmp_path / "sample.toml"
    config.write_text(f'[connections]\nKVM = "{sample_uri()}"\n')
    library = replace(server, plugin(str(config), python))
    libvirtcim(server, "register", "--plugin", library)
    server.configure(httpReqHandlerTimeout=str(GIVE_UP_SECONDS))
    server.restart()
    assert guests(server) == SAMPLE_GUESTS
    first = provider(server)
    hold.touch()
    with ThreadPoolExecutor() as pool:
        pending = pool.submit(guests, server)
        wait_until(entered.exists, "the plugin is at work on the request", ANSWER_SECONDS)
        os.kill(first, signal.SIGKILL)
        hold.unlink()
        with pytest.raises(pywbem.CIMError, match="timed out waiting for provider") as failed:
            pending.result(ANSWER_SECONDS)
    assert failed.value.status_code == pywbem.CIM_ERR_FAILED
    assert guests(server) == SAMPLE_GUESTS
    assert provider(server) != first


def test_the_server_is_killed_and_started_again(server: Sfcb) -> None:
    assert guests(server) == SAMPLE_GUESTS
    server.kill()
    with pytest.raises(pywbem.ConnectionError):
        guests(server)
    server.start()
    assert guests(server) == SAMPLE_GUESTS


def test_the_server_ends_while_the_plugin_is_loaded(server: Sfcb) -> None:
    assert guests(server) == SAMPLE_GUESTS
    server.restart()
    assert guests(server) == SAMPLE_GUESTS


def test_a_plugin_without_its_modules(server: Sfcb, plugin: Plugin, tmp_path: Path) -> None:
    python = make_environment(tmp_path / "empty", "", ours=False)
    replace(server, plugin("/etc/libvirtcim.toml", python))
    libvirtcim(server, "register", "--plugin", server.library_directory / "liblibvirtcim.so")
    for _ in range(2):
        with pytest.raises(pywbem.CIMError) as failed:
            guests(server)
        assert "No module named 'libvirtcim'" in str(failed.value)
    assert server.processes(), "SFCB lives on"


def test_a_plugin_is_replaced_while_it_runs(server: Sfcb, plugin: Plugin, tmp_path: Path) -> None:
    assert guests(server) == SAMPLE_GUESTS
    first = provider(server)
    config = tmp_path / "other.toml"
    config.write_text('[connections]\nKVM = "test:///default"\n')
    library = replace(server, plugin(str(config)))
    assert guests(server) == SAMPLE_GUESTS, "the running process has the old one"
    assert provider(server) == first
    assert "run `libvirtcim register`" in libvirtcim(server, "status", status=1).stdout
    assert "restart sfcbd" in libvirtcim(server, "register", "--plugin", library).stdout
    assert guests(server) == {"test"}


def replace(server: Sfcb, library: Path) -> Path:
    """Puts another library in the place of the plugin, as an installation does; returns the place."""
    place = server.library_directory / "liblibvirtcim.so"
    fresh = place.with_suffix(".new")
    shutil.copy(library, fresh)
    fresh.replace(place)
    return place
