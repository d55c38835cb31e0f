# SPDX-License-Identifier: LGPL-2.1-or-later
"""`libvirtcim register pegasus` and its undoing, with real servers and the sample guests."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pywbem

from libvirtcim import __version__ as libvirtcim_version
from tests.cimom import older_pegasus, pegasus
from tests.cimom.command import LIBVIRTCIM
from tests.cimom.pegasus import Pegasus
from tests.needs import skip_where

pytestmark = pytest.mark.cimom

INTEROP = "root/interop"
REGISTRATIONS = ("PG_ProviderModule", "PG_Provider", "PG_ProviderCapabilities")
FOREIGN_MODULE = """
instance of PG_ProviderModule {
   Name = "%(module)s"; Location = "%(module)s"; Vendor = "SBLIM"; Version = "2.0.0";
   InterfaceType = "CMPI"; InterfaceVersion = "2.0.0"; ModuleGroupName = "libvirt-cim";
};
instance of PG_Provider { ProviderModuleName = "%(module)s"; Name = "%(module)s"; };
instance of PG_ProviderCapabilities {
   ProviderModuleName = "%(module)s"; ProviderName = "%(module)s"; CapabilityID = "1";
   ClassName = "%(classname)s"; Namespaces = { "root/virt" }; ProviderType = { 2, 5 };
   SupportedProperties = NULL; SupportedMethods = NULL;
};
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Pegasus]:
    """An OpenPegasus that runs."""
    skip_where(pegasus.missing())
    with Pegasus(tmp_path) as made:
        made.start()
        yield made


@pytest.fixture(params=["stopped", "running"])
def any_server(request: pytest.FixtureRequest, server: Pegasus) -> Pegasus:
    """One that runs, and one that has run before."""
    if request.param == "stopped":
        server.stop()
    return server


def libvirtcim(
    server: Pegasus, command: str, *options: str | Path, status: int = 0
) -> subprocess.CompletedProcess[str]:
    """Runs the command as on a machine whose OpenPegasus is `server`; checks its exit status."""
    done = server.run(*LIBVIRTCIM, command, "pegasus", *options, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def client(server: Pegasus) -> pywbem.WBEMConnection:
    """A connection whose default namespace is root/virt."""
    return pywbem.WBEMConnection(server.url, default_namespace="root/virt", timeout=60)


@contextmanager
def started(server: Pegasus) -> Iterator[pywbem.WBEMConnection]:
    """A connection; a server that is stopped runs for the block."""
    running = server.running
    if not running:
        server.start()
    yield client(server)
    if not running:
        server.stop()


def contents(server: Pegasus) -> dict[str, Any]:
    """Everything in the repository: files as they are, of registrations what they say.

    Deleted instances leave gaps in files, so the files of registrations are not compared.
    """
    repository = server.home / "repository"
    found: dict[str, Any] = {
        str(path.relative_to(repository)): path.read_bytes() if path.is_file() else None
        for path in repository.rglob("*")
        if path.stem not in REGISTRATIONS or path.parent.name != "instances"
    }
    with started(server) as connection:
        for name in REGISTRATIONS:
            instances = connection.EnumerateInstances(name, namespace=INTEROP)
            found[name] = sorted(instance.tomof() for instance in instances)
    return found


def files(server: Pegasus) -> set[str]:
    """Names of the provider libraries, and of files in the server's directory that it didn't make."""
    own = {path.name for path in server.home.iterdir() if not path.name.startswith("cimserver")}
    return own | {path.name for path in server.library_directory.iterdir()}


def guests(server: Pegasus) -> set[str]:
    """Names of the guests that a client sees."""
    with started(server) as connection:
        return {g["Name"] for g in connection.EnumerateInstances("KVM_ComputerSystem")}


SAMPLE_GUESTS = {"web1", "db1", "build server"}


def test_registering_and_unregistering(any_server: Pegasus, sample_plugin: Path) -> None:
    running = any_server.running
    before = contents(any_server), files(any_server)
    done = libvirtcim(any_server, "register", "--plugin", sample_plugin)
    assert "is registered in root/interop" in done.stdout
    assert any_server.running == running
    assert guests(any_server) == SAMPLE_GUESTS
    libvirtcim(any_server, "unregister")
    assert any_server.running == running
    assert (contents(any_server), files(any_server)) == before
    assert "as it was already" in libvirtcim(any_server, "unregister").stdout


def test_a_dry_run_changes_nothing(any_server: Pegasus, sample_plugin: Path) -> None:
    before = contents(any_server), files(any_server)
    done = libvirtcim(any_server, "register", "--dry-run", "--plugin", sample_plugin)
    planned = [line.removeprefix("  would ") for line in done.stdout.splitlines()[1:]]
    assert (contents(any_server), files(any_server)) == before
    taken = libvirtcim(any_server, "register", "--plugin", sample_plugin).stdout.splitlines()
    assert [line.strip() for line in taken[1:-1]] == planned
    assert any(step.startswith("create namespace (root/virt") for step in planned)


def test_registering_twice(server: Pegasus, sample_plugin: Path) -> None:
    libvirtcim(server, "register", "--plugin", sample_plugin)
    once = contents(server)
    done = libvirtcim(server, "register", "--plugin", sample_plugin)
    assert done.stdout.splitlines()[1:] == [
        f"  libvirtcim {libvirtcim_version} is registered in root/interop, as it was already"
    ]
    assert contents(server) == once


def test_status(server: Pegasus, sample_plugin: Path) -> None:
    def status(expected: int) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(
            libvirtcim(server, "status", "--json", status=expected).stdout
        )
        assert len(found) == 1 and found[0]["running"]
        return found[0]

    assert not status(1)["registered"]
    libvirtcim(server, "register", "--plugin", sample_plugin)
    good = status(0)
    assert good["registered"] and good["current"] and not good["problems"]
    assert (good["version"], good["door"]) == (libvirtcim_version, "plugin")
    assert good["library"] == str(sample_plugin)
    link = server.library_directory / sample_plugin.name
    link.unlink()
    assert sample_plugin.name in status(1)["problems"][0]
    libvirtcim(server, "register", "--plugin", sample_plugin)
    assert status(0)["current"] and link.exists()


def test_status_of_a_stopped_server(server: Pegasus) -> None:
    server.stop()
    said = libvirtcim(server, "status", status=1).stdout
    assert said == f"OpenPegasus in {server.home}: stopped\n  libvirtcim is not registered\n"
    assert not server.running


def test_a_disabled_module_is_told_and_enabled(server: Pegasus, sample_plugin: Path) -> None:
    libvirtcim(server, "register", "--plugin", sample_plugin)
    server.run("cimprovider", "-d", "-m", "libvirtcim")
    said = libvirtcim(server, "status", status=1).stdout
    assert "cimprovider -e -m libvirtcim" in said
    done = libvirtcim(server, "register", "--plugin", sample_plugin)
    assert "enable provider module libvirtcim" in done.stdout
    assert guests(server) == SAMPLE_GUESTS


def test_upgrading(server: Pegasus, sample_plugin: Path) -> None:
    """Nothing of the older registration survives: no class, no superclass only it needed."""
    before = contents(server), files(server)
    server.run(sys.executable, older_pegasus.__file__, sample_plugin)
    connection = client(server)
    classes = connection.EnumerateClassNames(DeepInheritance=True)
    gone = {older_pegasus.BYGONE.class_name("KVM"), older_pegasus.BYGONE.superclass}
    assert gone <= set(classes)
    assert not json.loads(libvirtcim(server, "status", "--json", status=1).stdout)[0]["current"]
    libvirtcim(server, "register", "--plugin", sample_plugin)
    assert set(connection.EnumerateClassNames(DeepInheritance=True)) == set(classes) - gone
    capabilities = connection.EnumerateInstances("PG_ProviderCapabilities", namespace=INTEROP)
    assert not gone & {one["ClassName"] for one in capabilities}
    assert guests(server) == SAMPLE_GUESTS
    libvirtcim(server, "unregister")
    assert (contents(server), files(server)) == before


def test_libvirt_cim_is_in_the_way(server: Pegasus, sample_plugin: Path, tmp_path: Path) -> None:
    registration = tmp_path / "foreign.mof"
    module = {"module": "Virt_ComputerSystem", "classname": "KVM_ComputerSystem"}
    registration.write_text(FOREIGN_MODULE % module)
    server.run("cimmof", "-n", INTEROP, registration)
    before = contents(server), files(server)
    done = libvirtcim(server, "register", "--plugin", sample_plugin, status=1)
    for expected in ("libvirt-cim", "Virt_ComputerSystem", "uninstall", "cimprovider -r -m"):
        assert expected in done.stderr
    assert (contents(server), files(server)) == before
    server.run("cimprovider", "-r", "-m", "Virt_ComputerSystem")
    libvirtcim(server, "register", "--plugin", sample_plugin)
    assert guests(server) == SAMPLE_GUESTS


def test_classes_that_others_need_stay(
    server: Pegasus, sample_plugin: Path, tmp_path: Path
) -> None:
    """What others built on the DMTF classes that we brought is not torn down."""
    libvirtcim(server, "register", "--plugin", sample_plugin)
    added = tmp_path / "foreign.mof"
    added.write_text("class Foreign_Disk : CIM_LogicalDisk { string Colour; };\n")
    connection = client(server)
    server.run("cimmof", "-n", "root/virt", added)
    done = libvirtcim(server, "unregister")
    assert "stay in root/virt" in done.stdout
    left = set(connection.EnumerateClassNames(DeepInheritance=True))
    assert {"Foreign_Disk", "CIM_LogicalDisk", "CIM_ManagedElement"} <= left
    assert not {name for name in left if name.startswith("KVM_")}
    added.write_text("class Foreign_Guest : KVM_ComputerSystem { string Colour; };\n")
    libvirtcim(server, "register", "--plugin", sample_plugin)
    server.run("cimmof", "-n", "root/virt", added)
    done = libvirtcim(server, "unregister", status=1)
    assert "Foreign_Guest" in done.stderr and "KVM_ComputerSystem" in done.stderr
    assert guests(server) == SAMPLE_GUESTS


def test_another_library_of_the_name_is_in_the_way(server: Pegasus, sample_plugin: Path) -> None:
    (server.library_directory / sample_plugin.name).write_bytes(b"not ours")
    done = libvirtcim(server, "register", "--plugin", sample_plugin, status=1)
    assert str(server.library_directory / sample_plugin.name) in done.stderr


def test_after_a_registration_that_failed(
    server: Pegasus, sample_plugin: Path, tmp_path: Path
) -> None:
    """Half a registration is taken back, or completed, like a whole one."""
    before = contents(server), files(server)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "cimmof").write_text(
        f'#!/bin/sh\ncase "$*" in *cimv2*) echo "no space left"; exit 1;; esac\n'
        f'exec {server.home}/bin/cimmof "$@"\n'
    )
    (tools / "cimmof").chmod(0o755)
    path = {"PATH": f"{tools}:{server.home}/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    for finish in ("unregister", "register"):
        done = server.run(
            *LIBVIRTCIM, "register", "pegasus", "--plugin", sample_plugin,
            environment=path, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert "no space left" in done.stderr and "not done: " in done.stderr
        if finish == "unregister":
            libvirtcim(server, "unregister")
            assert (contents(server), files(server)) == before
    libvirtcim(server, "register", "--plugin", sample_plugin)
    assert guests(server) == SAMPLE_GUESTS


def test_reading_through_clients(server: Pegasus, sample_plugin: Path) -> None:
    libvirtcim(server, "register", "--plugin", sample_plugin)
    connection = client(server)
    (guest,) = (
        path
        for path in connection.EnumerateInstanceNames("KVM_ComputerSystem")
        if path["Name"] == "web1"
    )
    assert connection.GetInstance(guest)["EnabledState"] == 2
    disks = connection.Associators(
        guest, AssocClass="KVM_SystemDevice", ResultClass="CIM_LogicalDisk"
    )
    assert disks and all(disk.classname == "KVM_LogicalDisk" for disk in disks)
    if shutil.which("wbemcli") is None:
        pytest.skip("wbemcli is not installed (Debian: sblim-wbemcli)")
    url = f"{server.url}/root/virt:KVM_ComputerSystem"
    done = subprocess.run(
        ["wbemcli", "ei", url, "Name,EnabledState"], capture_output=True, text=True, check=True
    )
    assert all(f'Name="{name}"' in done.stdout for name in SAMPLE_GUESTS)


def test_two_registrations_at_once(server: Pegasus, sample_plugin: Path) -> None:
    """One is made, the others say that it is going on, or find it done."""
    command = server.command(*LIBVIRTCIM, "register", "pegasus", "--plugin", sample_plugin)
    commands = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for one in commands:
        said, failure = one.communicate(timeout=pegasus.TOOL_SECONDS)
        assert "is registered" in said or "another registration is going on" in failure
    assert 0 in {one.returncode for one in commands}
    assert guests(server) == SAMPLE_GUESTS
