# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command as a user meets it: help, tables, JSON, exit status, a server that ends cleanly."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
import pywbem

from libvirtcim import cli, generate
from libvirtcim.demo import sample_uri
from libvirtcim.register import sfcb_layout
from libvirtcim.server.indications.status import StatusFile
from libvirtcim.virt.events import EventCounters

ROOT = Path(__file__).parent.parent
SAMPLE = ("--connection", f"KVM={sample_uri()}")
ABSENT = ("--connection", "LXC=lxc+unix:///system?socket=/nonexistent")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, output and error output of the command."""
    try:
        status = cli.main(arguments)
    except SystemExit as end:
        status = int(end.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


COMMANDS = ("serve", "ls", "show", "doctor", "register", "unregister", "status", "generate", "demo")


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=str)
def test_help_teaches(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    status, out, _err = run(capsys, *command, "--help")
    assert status == 0
    assert "usage: libvirtcim" in out
    if not command:
        for name in (*COMMANDS, "examples:"):
            assert name in out


def test_every_server_setting_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    _status, out, _err = run(capsys, "serve", "--help")
    for flag in ("--listen", "--max-xml-depth", "--pull-max-timeout", "--readonly", "--side-files"):
        assert flag in out


def test_ls_as_table_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "ls", *SAMPLE)
    assert (status, err) == (0, "")
    assert re.search(r"^KVM +build server +off +8 +4096 ", out, re.MULTILINE)
    status, out, _err = run(capsys, "ls", "--json", *SAMPLE)
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows["web1"] == {
        "family": "KVM",
        "name": "web1",
        "state": "running",
        "processors": 2,
        "memory_kib": 1048576,
        "uuid": "7d2f3a10-0c5b-4a54-9a05-000000000001",
    }


@pytest.mark.parametrize(
    ("option", "line", "row"),
    [
        (
            "--pools",
            r"KVM +DiskPool/default +running +1024 +102400 +Megabytes +dir +/default-pool",
            {"pool": "DiskPool/default", "capacity": 102400, "units": "Megabytes"},
        ),
        (
            "--networks",
            r"KVM +default +running +virbr0 +nat +192.168.122.1 +255.255.255.0",
            {"name": "default", "bridge": "virbr0"},
        ),
        (
            "--profiles",
            r"KVM +Virtual System Profile +1.0.0a +CIM:DSP1057-VirtualSystem-1.0.0a",
            {"id": "CIM:DSP1057-VirtualSystem-1.0.0a", "version": "1.0.0a"},
        ),
    ],
)
def test_ls_of_what_is_no_guest(
    capsys: pytest.CaptureFixture[str], option: str, line: str, row: dict[str, object]
) -> None:
    status, out, err = run(capsys, "ls", option, *SAMPLE)
    assert (status, err) == (0, "")
    assert re.search(f"^{line}$", out, re.MULTILINE)
    _status, out, _err = run(capsys, "ls", option, "--json", *SAMPLE)
    assert any(row.items() <= found.items() for found in json.loads(out))


def test_ls_of_nothing_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _err = run(capsys, "ls", "--filters", *SAMPLE)
    assert status == 0
    assert "No filters" in out and "libvirtcim doctor" in out
    assert run(capsys, "ls", "--filters", "--json", *SAMPLE)[1].strip() == "[]"


def test_show_is_a_tree_of_devices_settings_and_pools(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "show", "web1", *SAMPLE)
    assert (status, err) == (0, "")
    first, *lines = out.splitlines()
    assert first.startswith("KVM_ComputerSystem web1 [running]")
    disk = next(i for i, line in enumerate(lines) if "── KVM_LogicalDisk web1/vda" in line)
    assert "│   ├── KVM_DiskResourceAllocationSettingData web1/vda" in lines[disk + 1]
    assert "│   └── KVM_DiskPool DiskPool/default" in lines[disk + 2]


def test_show_of_an_unknown_guest(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "show", "nope", *SAMPLE)
    assert (status, out) == (1, "")
    assert "No guest 'nope'" in err and "libvirtcim ls" in err


def test_ls_without_guests_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _err = run(capsys, "ls", *ABSENT)
    assert status == 0
    assert "libvirtcim doctor" in out


def test_doctor_tells_what_answers_and_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _err = run(capsys, "doctor", *SAMPLE, *ABSENT)
    assert status == 0
    assert "driver TEST serves the family KVM" in out
    assert "Failed to connect socket" in out
    status, out, _err = run(capsys, "doctor", "--json", *ABSENT)
    assert status == 1
    report = json.loads(out)
    assert report["namespaces"]["root/virt"] > 100
    (lxc,) = report["hypervisors"]
    assert (lxc["family"], lxc["answers"], lxc["guests"]) == ("LXC", False, None)


def test_doctor_tells_who_takes_indications(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file, config = tmp_path / "subscriptions", tmp_path / "libvirtcim.toml"
    config.write_text(f'[server]\nsubscriptions = "{file}"\n')
    told = ("doctor", "--config", str(config), *SAMPLE)
    nothing = {"file": str(file), "server": None, "destinations": [], "sources": []}
    assert "indications" not in run(capsys, *told)[1]
    assert json.loads(run(capsys, *told, "--json")[1])["subscriptions"] == nothing
    counters = dict.fromkeys(cli.DELIVERY_COUNTERS, 7)
    taking = {"name": "ops", "url": "http://ops:1", **counters, "failing": False,
              "last_error": None, "last_error_time": None}  # fmt: skip
    failing = {**taking, "name": "dead", "failing": True, "last_error": "no answer within 10 s",
               "last_error_time": "2026-01-01T00:00:00+00:00"}  # fmt: skip
    watched = {
        "family": "KVM",
        "watched": "guests",
        **asdict(EventCounters(events=12, most_waiting=3)),
    }
    StatusFile(file).write([taking, failing], [watched])
    out = run(capsys, *told)[1]
    assert f"indications, from server {os.getpid()}:\nok  'ops' http://ops:1\n" in out
    assert "7 queued, 7 delivered" in out
    assert "--  'dead'" in out and "2026-01-01T00:00:00+00:00: no answer within 10 s" in out
    assert (
        "guests of KVM: 12 events, 0 changes, 0 overflows, 0 comparisons, 0 waiting, 3 most waiting"
        in out
    )
    path = tmp_path / "subscriptions.status"
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                           capture_output=True, text=True, check=True)  # fmt: skip
    path.write_text(json.dumps({**json.loads(path.read_text()), "pid": int(ended.stdout)}))
    assert json.loads(run(capsys, *told, "--json")[1])["subscriptions"] == nothing


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("serve", "--indication-destinations", "http://x", *SAMPLE), "is no host, address or"),
        (("serve", "--connection", "nonsense"), "write FAMILY=URI"),
        (("serve", "--connection", "Nonesuch=esx://x"), "unknown family"),
        (("serve", "--config", "/nonexistent.toml"), "/nonexistent.toml"),
        (("serve", "--listen", "0.0.0.0:0", *SAMPLE), "TLS"),
        (("serve", "--max-body-bytes", "x"), "whole number"),
        (("ls", "--log-level", "loud"), "log_level"),
        (("nonsense",), "invalid choice"),
        (("register", "openwbem"), "invalid choice"),
        (("register", "sfcb", "--via", "ssh"), "invalid choice"),
        ((), "required"),
    ],
    ids=str,
)
def test_wrong_calls_end_with_2_and_say_why(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    status, _out, err = run(capsys, *arguments)
    assert status == 2
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["serve", "demo"])
@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        (
            None,
            ("--authentication", "htpasswd", "--htpasswd-file"),
            "htpasswd_file .*: No such file",
        ),
        (b"\xff", ("--authentication", "htpasswd", "--htpasswd-file"), "is not UTF-8 text"),
        (None, ("--listen-tls", "127.0.0.1:0", "--tls-certificate"), "tls_certificate .*: No such"),
        (b"junk", ("--listen-tls", "127.0.0.1:0", "--tls-certificate"), "in PEM form"),
        (b"junk" * 999, ("--subscriptions",), "subscriptions file .*/file: it is damaged"),
        (None, ("--subscriptions", "", "--indication-ca-file"), "indication_ca_file .*: No such"),
    ],
    ids=str,
)
def test_a_server_that_cannot_start_says_why(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: str,
    content: bytes | None,
    flags: tuple[str, ...],
    message: str,
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    status, _out, err = run(capsys, command, "--listen", "127.0.0.1:0", *flags, str(file), *SAMPLE)
    assert status == 1
    assert re.search(message, err)
    assert "Traceback" not in err


def test_a_port_in_use_is_named_with_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        status, _out, err = run(capsys, "serve", "--listen", address, *SAMPLE)
    assert status == 1
    assert f"cannot listen on {address}: another program listens there; choose another" in err


def test_generated_files_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _err = run(capsys, "generate", "--check", "--root", str(ROOT))
    assert status == 0, out


def test_generate_for_another_family(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "generate", "--family", "Bhyve", "--root", str(tmp_path))[0] == 0
    mof = "".join(file.read_text() for file in tmp_path.rglob("*.mof"))
    registrations = "".join(file.read_text() for file in tmp_path.rglob("*.registration"))
    assert "class Bhyve_ComputerSystem" in mof and "class KVM_ComputerSystem" in mof
    assert "Bhyve_ComputerSystem root/virt" in registrations


def test_generate_notices_changed_missing_and_stray_files(tmp_path: Path) -> None:
    generate.write(tmp_path, ROOT / "mof/base")
    (tmp_path / "mof/Memory.mof").write_text("changed")
    (tmp_path / "mof/Processor.mof").unlink()
    (tmp_path / "mof/Stray.mof").write_text("")
    wrong = set(generate.differences(tmp_path))
    assert {"mof/Memory.mof", "mof/Processor.mof", "mof/Stray.mof"} <= wrong


@contextmanager
def started(*arguments: str, before: str = "") -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, ended at the latest after a minute."""
    code = f"{before}from libvirtcim.cli import main; raise SystemExit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()


def until_it_listens(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The output so far, and the URL."""
    assert process.stdout
    output = ""
    for line in process.stdout:
        output += line
        if found := re.search(r"listening on (http://\S+)", line):
            return output, found[1]
    raise AssertionError(output)


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ends it as Ctrl-C does."""
    process.send_signal(signal.SIGINT)
    rest, _err = process.communicate()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("register",), 1, "no CIM server on this machine"),
        (("register", "sfcb"), 1, "SFCB is not installed"),
        (("register", "pegasus"), 1, "OpenPegasus"),
        (("register", "--plugin", "/nonexistent.so"), 1, "`make plugin`"),
        (("register", "--via", "cmpi-bindings", "--plugin", "/nonexistent.so"), 1, "cmpi-bindings"),
        (("unregister",), 0, "nothing to do"),
        (("unregister", "sfcb"), 1, "SFCB is not installed"),
        (("status",), 1, "--prefix DIR"),
        (("status", "--prefix", "/opt"), 1, "name it (sfcb or pegasus)"),
    ],
    ids=str,
)
def test_without_a_cim_server(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    status: int,
    message: str,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sfcb_layout, "SYSTEM_PATH", ())
    library = tmp_path / "liblibvirtcim.so"
    library.touch()
    if arguments[0] == "register" and "--plugin" not in arguments:
        arguments = (*arguments, "--plugin", str(library))
    got, _out, err = run(capsys, *arguments)
    assert got == status
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", [("--version",), ("register", "--help"), ("status", "--help")])
def test_registering_needs_nothing_of_the_http_server(command: tuple[str, ...]) -> None:
    """The packages of a plugin's installation are enough."""
    absent = ("aiohttp", "tabulate", "pywbem", "bcrypt")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent})); from libvirtcim.cli import main"
    )
    done = subprocess.run([sys.executable, "-c", f"{code}; main({command})"], check=False)
    assert done.returncode == 0


def test_a_command_whose_packages_are_missing_names_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tabulate", None)
    status, _out, err = run(capsys, "ls", *SAMPLE)
    assert (status, err) == (1, "libvirtcim: this needs tabulate: pip install tabulate\n")


WITHOUT_PYWBEM = "import sys; sys.modules['pywbem'] = None; "


@pytest.mark.parametrize(
    ("command", "before"), [("serve", ""), ("demo", ""), ("demo", WITHOUT_PYWBEM)], ids=str
)
def test_a_server_serves_until_it_is_interrupted(command: str, before: str) -> None:
    with started(command, "--listen", "127.0.0.1:0", *SAMPLE, before=before) as process:
        output, url = until_it_listens(process)
        with pywbem.WBEMConnection(url, default_namespace="root/virt") as client:
            assert len(client.EnumerateInstanceNames("KVM_ComputerSystem")) == 3
        interrupt(process)
    assert "Traceback" not in output
    if command == "demo":
        shown = "pip install pywbem" if before else "KVM_ComputerSystem  web1"
        assert shown in output


def test_generating_without_pywbem_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pywbem", None)
    status, _out, err = run(capsys, "generate", "--check", "--root", str(ROOT))
    assert (status, err) == (1, "libvirtcim: this needs pywbem: pip install pywbem\n")


def test_a_hypervisor_that_hangs_holds_up_neither_start_nor_end(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "socket"))
        silent.listen()
        hanging = f"KVM=qemu+unix:///system?socket={tmp_path}/socket"
        connections = ("--connection", hanging, "--connection", f"LXC={sample_uri()}")
        limits = ("--shutdown-timeout", "0.5")
        with started("serve", "--listen", "127.0.0.1:0", *connections, *limits) as process:
            output, url = until_it_listens(process)
            assert "did not answer in time" not in output
            with pywbem.WBEMConnection(url, default_namespace="root/virt") as client:
                assert len(client.EnumerateInstanceNames("LXC_ComputerSystem")) == 3
            port = int(url.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as waiting:
                waiting.sendall(HANGING)
                interrupt(process)


_BODY = (
    b'<CIM CIMVERSION="2.0" DTDVERSION="2.0"><MESSAGE ID="1" PROTOCOLVERSION="1.0"><SIMPLEREQ>'
    b'<IMETHODCALL NAME="EnumerateInstanceNames"><LOCALNAMESPACEPATH><NAMESPACE NAME="root"/>'
    b'<NAMESPACE NAME="virt"/></LOCALNAMESPACEPATH><IPARAMVALUE NAME="ClassName">'
    b'<CLASSNAME NAME="KVM_ComputerSystem"/></IPARAMVALUE></IMETHODCALL></SIMPLEREQ></MESSAGE></CIM>'
)
HANGING = (
    b"POST /cimom HTTP/1.1\r\nHost: localhost\r\nCIMOperation: MethodCall\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)
"""A request that asks the hypervisor."""
