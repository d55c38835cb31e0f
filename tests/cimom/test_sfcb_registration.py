# SPDX-License-Identifier: LGPL-2.1-or-later
"""`libvirtcim register sfcb` and its undoing, with real servers and the sample guests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pywbem

from libvirtcim.register import schema
from tests.cimom import older_sfcb, sfcb
from tests.cimom.command import LIBVIRTCIM
from tests.cimom.sfcb import Sfcb
from tests.needs import skip_where

pytestmark = [pytest.mark.cimom, pytest.mark.xdist_group("sfcb")]

SAMPLE_GUESTS = {"web1", "db1", "build server"}
PREDECESSOR = """\
[KVM_ComputerSystem]
   provider: Virt_ComputerSystem
   location: Virt_ComputerSystem
   type: instance method
   namespace: root/virt
#
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sfcb]:
    """An SFCB that doesn't run yet."""
    skip_where(sfcb.missing())
    with Sfcb(tmp_path) as made:
        yield made


@pytest.fixture(params=["stopped", "running"])
def any_server(request: pytest.FixtureRequest, server: Sfcb) -> Sfcb:
    """One that runs, and one that doesn't."""
    if request.param == "running":
        server.start()
    return server


def arguments(server: Sfcb, command: str, *options: str | Path) -> tuple[str | Path, ...]:
    """The words of a command about a server."""
    places = ("--prefix", server.prefix, "--config", server.config, "--schema", server.schema)
    return (*LIBVIRTCIM, command, "sfcb", *places, *options)


def libvirtcim(
    server: Sfcb, command: str, *options: str | Path, status: int = 0
) -> subprocess.CompletedProcess[str]:
    """Runs the command as on a machine whose SFCB is `server`; checks its exit status."""
    done = server.run(*arguments(server, command, *options), check=False)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def contents(server: Sfcb) -> dict[str, Any]:
    """Every file, directory and link that a registration could touch, except SFCB's own backups.

    SFCB's repository holds dates and, between its texts, whatever was in memory: of its files the
    length and the longer texts are compared.
    """
    found: dict[str, Any] = {}
    for top in (server.staging, server.registration, server.library_directory):
        for path in top.rglob("*"):
            name = str(path.relative_to(server.directory))
            if ".previous" in name:
                continue
            if path.is_symlink():
                found[name] = path.readlink()
            elif path.is_dir():
                found[name] = None
            else:
                text = path.read_bytes()
                stored = "/repository/" in name and path.suffix != ".idx"
                found[name] = (
                    (len(text), set(re.findall(rb"[A-Z]\w{8,}", text))) if stored else text
                )
    return found


def guests(server: Sfcb) -> set[str]:
    """Names of the guests that a client sees; a server that is stopped runs meanwhile."""
    running = server.running
    if not running:
        server.start()
    with pywbem.WBEMConnection(server.url, default_namespace="root/virt") as client:
        names = {guest["Name"] for guest in client.EnumerateInstances("KVM_ComputerSystem")}
    if not running:
        server.stop()
    return names


def test_registering_and_unregistering(any_server: Sfcb, sample_plugin: Path) -> None:
    running = any_server.running
    before = contents(any_server)
    done = libvirtcim(any_server, "register", "--plugin", sample_plugin)
    assert done.stdout.endswith("  libvirtcim 0.1.0 is registered\n")
    assert any_server.running == running
    assert ("restart" in done.stdout) == running
    assert guests(any_server) == SAMPLE_GUESTS
    libvirtcim(any_server, "unregister")
    assert any_server.running == running
    assert contents(any_server) == before
    with pytest.raises(pywbem.CIMError, match="Invalid namespace"):
        guests(any_server)
    assert "as it was already" in libvirtcim(any_server, "unregister").stdout


def test_a_dry_run_changes_nothing(any_server: Sfcb, sample_plugin: Path) -> None:
    before = contents(any_server)
    done = libvirtcim(any_server, "register", "--dry-run", "--plugin", sample_plugin)
    planned = [line.removeprefix("  would ") for line in done.stdout.splitlines()[1:]]
    done = libvirtcim(any_server, "register", "--dry-run", "--json", "--plugin", sample_plugin)
    (plan,) = json.loads(done.stdout)
    assert [step["verb"] for step in plan["steps"]] == [step.split()[0] for step in planned]
    assert contents(any_server) == before
    taken = libvirtcim(any_server, "register", "--plugin", sample_plugin).stdout.splitlines()
    assert [line.strip() for line in taken[1:-1]] == planned


def test_registering_twice(server: Sfcb, sample_plugin: Path) -> None:
    server.start()
    libvirtcim(server, "register", "--plugin", sample_plugin)
    once, pid = contents(server), server.pid
    done = libvirtcim(server, "register", "--plugin", sample_plugin)
    assert done.stdout.splitlines()[1:] == ["  libvirtcim 0.1.0 is registered, as it was already"]
    assert (contents(server), server.pid) == (once, pid)


def test_status(any_server: Sfcb, sample_plugin: Path) -> None:
    def status(expected: int) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(
            libvirtcim(any_server, "status", "--json", status=expected).stdout
        )
        assert len(found) == 1 and found[0]["running"] == any_server.running
        return found[0]

    assert not status(1)["registered"]
    libvirtcim(any_server, "register", "--plugin", sample_plugin)
    good = status(0)
    assert good["registered"] and good["current"] and not good["problems"]
    assert (good["version"], good["door"]) == ("0.1.0", "plugin")
    link = any_server.library_directory / "liblibvirtcim.so"
    assert link.readlink() == sample_plugin
    link.unlink()
    assert "liblibvirtcim.so" in status(1)["problems"][0]
    libvirtcim(any_server, "register", "--plugin", sample_plugin)
    assert status(0)["current"] and link.readlink() == sample_plugin
    any_server.rebuild()
    assert status(0)["current"]


def test_a_library_that_lies_there_is_not_linked(server: Sfcb, sample_plugin: Path) -> None:
    there = server.library_directory / "liblibvirtcim.so"
    shutil.copy(sample_plugin, there)
    before = contents(server)
    done = libvirtcim(server, "register", "--plugin", sample_plugin, status=1)
    assert f"--plugin {there}" in done.stderr
    assert "link" not in libvirtcim(server, "register", "--plugin", there).stdout
    assert guests(server) == SAMPLE_GUESTS
    libvirtcim(server, "unregister")
    assert contents(server) == before


def test_upgrading(any_server: Sfcb, sample_plugin: Path) -> None:
    """Nothing of the older registration survives: no class, no namespace that only it needed."""
    before = contents(any_server)
    places = (any_server.prefix, any_server.config)
    any_server.run(sys.executable, older_sfcb.__file__, *places, sample_plugin)
    bygone = older_sfcb.BYGONE.class_name("KVM")
    register_file = any_server.registration / "providerRegister"
    assert f"[{bygone}]" in register_file.read_text()
    assert "0.0.1" in libvirtcim(any_server, "status", status=1).stdout
    libvirtcim(any_server, "register", "--plugin", sample_plugin)
    assert bygone not in register_file.read_text()
    assert not [name for name in contents(any_server) if "bygone" in name]
    assert guests(any_server) == SAMPLE_GUESTS
    libvirtcim(any_server, "unregister")
    assert contents(any_server) == before


def test_libvirt_cim_is_in_the_way(any_server: Sfcb, sample_plugin: Path) -> None:
    other = any_server.staging / "regs/ComputerSystem.reg"
    other.write_text(PREDECESSOR)
    before = contents(any_server)
    done = libvirtcim(any_server, "register", "--plugin", sample_plugin, status=1)
    for expected in ("libvirt-cim", "KVM_ComputerSystem", str(other), "docs/install.md"):
        assert expected in done.stderr
    assert contents(any_server) == before


def test_classes_that_others_staged_are_in_the_way(server: Sfcb, sample_plugin: Path) -> None:
    namespace = server.staging / "mofs/root/virt"
    namespace.mkdir(parents=True)
    (namespace / "ComputerSystem.mof").write_text("class KVM_ComputerSystem : CIM_System {\n};\n")
    done = libvirtcim(server, "register", "--plugin", sample_plugin, status=1)
    advice = re.search(r"`(sfcbunstage .*)`", done.stderr)
    assert advice is not None
    server.run(*advice[1].split())
    libvirtcim(server, "register", "--plugin", sample_plugin)
    libvirtcim(server, "unregister")
    assert list(namespace.iterdir()) == []


def test_only_missing_superclasses_are_added(tmp_path: Path, sample_plugin: Path) -> None:
    """With a schema that lacks some, of which one derives from another, and a qualifier."""
    skip_where(sfcb.missing())
    gone = {"CIM_DisplayController", "CIM_PCVideoController", "CIM_VirtualSystemSettingData"}
    with Sfcb(tmp_path, schema=older_schema(tmp_path / "schema", gone)) as server:
        before = contents(server)
        said = libvirtcim(server, "register", "--plugin", sample_plugin).stdout
        assert "CIM_VirtualSystemSettingData" in said and "CIM_DisplayController" in said
        staged = schema.declared((server.staging / "mofs/root/virt/libvirtcim.mof").read_text())
        added = {name for name in staged.classes if name.startswith("CIM_")}
        whole = (sfcb_schema() / "CIM_Schema.mof").read_text(errors="replace")
        known = {name for name in added if f"/{name}.mof" in whole}
        assert known == gone - {"CIM_PCVideoController"}
        server.start()
        with pywbem.WBEMConnection(server.url, default_namespace="root/virt") as client:
            assert client.EnumerateInstances("CIM_DisplayController")
            parent = client.GetClass("KVM_VirtualSystemSettingData").superclass
            assert client.GetClass(parent).superclass == "CIM_VirtualSystemSettingData"
        server.stop()
        libvirtcim(server, "unregister")
        assert contents(server) == before


def sfcb_schema() -> Path:
    """The installation's DMTF schema."""
    prefix = sfcb.installation()
    assert prefix is not None
    return prefix / "share/sfcb/CIM"


def older_schema(directory: Path, without: set[str]) -> Path:
    """The installation's DMTF schema without some classes."""
    full = sfcb_schema()
    directory.mkdir()
    for part in full.iterdir():
        (directory / part.name).symlink_to(part)
    index = directory / "CIM_Schema.mof"
    index.unlink()
    lines = (full / "CIM_Schema.mof").read_text(errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if not any(f"/{name}.mof" in line for name in without)]
    assert len(lines) - len(kept) == len(without)
    index.write_text("".join(kept))
    return directory


def test_nothing_is_touched_where_sfcb_cannot_build(server: Sfcb, sample_plugin: Path) -> None:
    namespace = server.staging / "mofs/root/cimv2"
    namespace.mkdir(parents=True)
    (namespace / "broken.mof").write_text("class Broken : CIM_NoSuchClass {\n};\n")
    before = contents(server)
    done = libvirtcim(server, "register", "--plugin", sample_plugin, status=1)
    assert "sfcbrepos" in done.stderr and "not done: " in done.stderr
    assert contents(server) == before


def test_after_a_registration_that_failed(server: Sfcb, sample_plugin: Path) -> None:
    """Half a registration is taken back, or completed, like a whole one."""
    before = contents(server)
    backup = server.registration / "repository.previous"
    for finish in ("unregister", "register"):
        # it passes the trial on a copy, and then SFCB can't put the former repository aside
        shutil.rmtree(backup, ignore_errors=True)
        (server.registration / "providerRegister.previous").unlink(missing_ok=True)
        (server.registration / "providerRegister.previous" / "full").mkdir(parents=True)
        (server.registration / "providerRegister.previous" / "providerRegister").mkdir()
        done = libvirtcim(server, "register", "--plugin", sample_plugin, status=1)
        assert "could not rebuild" in done.stderr and "not done: " in done.stderr
        shutil.rmtree(server.registration / "providerRegister.previous")
        if finish == "unregister":
            libvirtcim(server, "unregister")
            assert contents(server) == before
    assert not json.loads(libvirtcim(server, "status", "--json", status=1).stdout)[0]["current"]
    libvirtcim(server, "register", "--plugin", sample_plugin)
    assert guests(server) == SAMPLE_GUESTS


def test_a_server_in_a_container_is_left_alone(server: Sfcb, sample_plugin: Path) -> None:
    """From outside of its process namespace it can't be started anew."""
    server.start()
    before, pid = contents(server), server.pid
    words = arguments(server, "register", "--plugin", sample_plugin)
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert "stop it, do this again, and start it" in done.stderr
    assert (contents(server), server.pid) == (before, pid)


def test_another_door(server: Sfcb, sample_plugin: Path) -> None:
    """The library of the one door gives way to that of the other."""
    bindings = server.directory / "libpy3CmpiProvider.so"
    bindings.write_bytes(b"not loaded here")
    before = contents(server)
    libvirtcim(server, "register", "--plugin", sample_plugin)
    libvirtcim(server, "register", "--via", "cmpi-bindings", "--plugin", bindings)
    links = {path.name: path.readlink() for path in server.library_directory.iterdir()}
    assert links == {bindings.name: bindings}
    served = (server.registration / "providerRegister").read_text()
    assert "location: py3CmpiProvider\n" in served and "location: libvirtcim\n" not in served
    (told,) = json.loads(libvirtcim(server, "status", "--json").stdout)
    assert (told["door"], told["current"]) == ("cmpi-bindings", True)
    libvirtcim(server, "unregister")
    assert contents(server) == before


def test_two_registrations_at_once(server: Sfcb, sample_plugin: Path) -> None:
    """One is made, the others say that it is going on, or find it done."""
    command = server.command(*arguments(server, "register", "--plugin", sample_plugin))
    commands = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for one in commands:
        said, failure = one.communicate(timeout=sfcb.TOOL_SECONDS)
        assert "is registered" in said or "another registration is going on" in failure
    assert 0 in {one.returncode for one in commands}
    assert guests(server) == SAMPLE_GUESTS


def test_static_instances_stay(server: Sfcb, sample_plugin: Path) -> None:
    """Subscriptions and the like, which clients made in the repository."""
    server.start()
    with pywbem.WBEMConnection(server.url, default_namespace="root/interop") as client:
        kept = pywbem.CIMInstance(
            "CIM_IndicationFilter",
            {
                "CreationClassName": "CIM_IndicationFilter",
                "SystemCreationClassName": "CIM_ComputerSystem",
                "SystemName": "here",
                "Name": "kept",
                "Query": "SELECT * FROM CIM_InstCreation",
                "QueryLanguage": "WQL",
                "SourceNamespace": "root/interop",
            },
        )
        made = client.CreateInstance(kept)
        for command in (("register", "--plugin", sample_plugin), ("unregister",)):
            libvirtcim(server, *command)
            assert client.GetInstance(made)["Query"] == kept["Query"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_without_the_right_to(server: Sfcb, sample_plugin: Path) -> None:
    for directory in (server.directory, *server.directory.parents):
        if directory.stat().st_mode & 0o001 == 0:
            directory.chmod(0o711)
    library = shutil.copy(sample_plugin, server.directory)
    words = arguments(server, "register", "--plugin", library)
    done = server.run("setpriv", "--reuid", "65534", "--clear-groups", *words, check=False)
    assert done.returncode == 1
    assert "Permission denied" in done.stderr and "as root" in done.stderr
    assert "Traceback" not in done.stderr


def test_reading_and_switching_through_clients(server: Sfcb, sample_plugin: Path) -> None:
    libvirtcim(server, "register", "--plugin", sample_plugin)
    server.start()
    with pywbem.WBEMConnection(server.url, default_namespace="root/virt") as client:
        paths = {p["Name"]: p for p in client.EnumerateInstanceNames("KVM_ComputerSystem")}
        assert client.GetInstance(paths["web1"])["EnabledState"] == 2
        disks = client.Associators(
            paths["web1"], AssocClass="KVM_SystemDevice", ResultClass="CIM_LogicalDisk"
        )
        assert disks and {disk.classname for disk in disks} == {"KVM_LogicalDisk"}
        answer, _ = client.InvokeMethod(
            "RequestStateChange", paths["build server"], RequestedState=pywbem.Uint16(2)
        )
        assert answer == 0
        assert client.GetInstance(paths["build server"])["EnabledState"] == 2
        missing = paths["web1"].copy()
        missing["Name"] = "nobody"
        with pytest.raises(pywbem.CIMError) as refused:
            client.GetInstance(missing)
        assert refused.value.status_code == pywbem.CIM_ERR_NOT_FOUND
    if shutil.which("wbemcli") is None:
        pytest.skip("wbemcli is not installed (Debian: sblim-wbemcli)")
    url = f"{server.url}/root/virt:KVM_ComputerSystem"
    done = subprocess.run(["wbemcli", "ein", url], capture_output=True, text=True, check=True)
    assert all(f'Name="{name}"' in done.stdout for name in SAMPLE_GUESTS)
