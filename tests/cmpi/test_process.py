# SPDX-License-Identifier: LGPL-2.1-or-later
"""The plugin in a process that isn't its own: start, threads, growth, signals, unloading, missing parts."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from libvirtcim import composition, demo
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.declare import PG_INTEROP
from libvirtcim.cim.objects import InstancePath, RequestContext
from libvirtcim.cmpi import build, loader
from libvirtcim.virt.host import Hosts
from tests.cmpi.conftest import Plugin, Start
from tests.cmpi.driver import Answer, Host, outcome, request

pytestmark = pytest.mark.xdist_group("cmpi")

GUESTS = InstancePath("KVM_ComputerSystem", (), "root/virt")
CONTEXT = RequestContext()
NEVER_UNLOAD = 51
MAX_START_SECONDS = 10.0
"""Generous: about 0.4 s on a quiet machine."""


def fine(answer: Answer) -> Answer:
    assert (answer.rc, answer.violations) == (0, [])
    return answer


def status(host: Host, field: str) -> str:
    text = Path(f"/proc/{host.process.pid}/status").read_text()
    found = re.search(rf"^{field}:\s*(\S+)", text, re.MULTILINE)
    assert found is not None
    return found.group(1)


def descriptors(host: Host) -> int:
    return len(list(Path(f"/proc/{host.process.pid}/fd").iterdir()))


def signals(host: Host, field: str) -> set[int]:
    """Those that are ignored or caught, but for the C library's own."""
    mask = int(status(host, field), 16)
    return {number for number in range(1, signal.SIGRTMIN - 2) if mask & 1 << number - 1}


def test_exported_symbols(sample_plugin: Path) -> None:
    """Others' libraries share the server's name space: nothing but the factories may be seen."""
    if shutil.which("nm") is None:
        pytest.skip("nm is not installed")
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", str(sample_plugin)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = {line.split()[-1] for line in listed.splitlines()}
    kinds = ("Instance", "Association", "Method", "Indication")
    assert names == {f"_Generic_Create_{kind}MI" for kind in kinds}


def test_the_library_has_the_name_that_is_registered() -> None:
    registered = (build.SOURCES.parent.parent / "registration" / "libvirtcim.reg").read_text()
    locations = set(re.findall(r"location: (\S+)", registered))
    assert {f"lib{location}.so" for location in locations} == {build.OUTPUT.name}


def test_start(start: Start, record_property: Callable[[str, object], None]) -> None:
    host = start()
    first = fine(host.call("factory", kind=0))
    second = fine(host.call("factory", kind=1))
    asked = fine(host.call("enumerateInstanceNames", GUESTS))
    print(
        f"\nstart: first factory {first.micros / 1000:.0f} ms, second {second.micros / 1000:.2f} ms, "
        f"first request {asked.micros / 1000:.1f} ms, VmRSS {status(host, 'VmRSS')} kB"
    )
    record_property("first_factory_ms", first.micros / 1000)
    assert first.micros < MAX_START_SECONDS * 1e6


def test_no_http_server_is_loaded() -> None:
    """It would double the time to the first answer, and the memory."""
    code = "import libvirtcim.cmpi.loader, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "libvirtcim.composition" in loaded
    assert not {"aiohttp", "asyncio", "pywbem"} & set(loaded)


def test_the_first_requests_come_at_once(start: Start) -> None:
    """Sixteen threads meet a plugin that is not started yet."""
    host = start()
    ops = ("enumerateInstanceNames", "enumerateInstances")
    answers = host.together([request(ops[i % 2], GUESTS) for i in range(16)])
    for answer in answers:
        assert len(fine(answer).results) == 3


def test_many_threads(host: Host, broker: Broker) -> None:
    paths = list(broker.enumerate_instance_names(CONTEXT, "root/virt", GUESTS.classname))
    disks = InstancePath("KVM_LogicalDisk", (), "root/virt")
    requests = [
        request(op, path, repeat=20)
        for path in paths
        for op in ("getInstance", "associatorNames", "references", "associators")
    ]
    requests += [request("enumerateInstances", cls, repeat=20) for cls in (GUESTS, disks) * 4]
    requests += [
        request("getInstance", InstancePath(GUESTS.classname, (), "root/virt"), repeat=20),
        request("invokeMethod", paths[0], method="Bogus", args=[], repeat=20),
    ]
    assert len(requests) >= 16
    single = [host.together([r])[0] for r in requests]
    for alone, together in zip(single, host.together(requests), strict=True):
        assert together.violations == [] and together.different == 0
        assert (together.rc, together.results) == (alone.rc, alone.results)


def test_nothing_grows(start: Start, broker: Broker) -> None:
    """10,000 operations: memory and descriptors stay as they are."""
    host = start()
    path = next(broker.enumerate_instance_names(CONTEXT, "root/virt", GUESTS.classname))

    def run(times: int) -> None:
        requests = [
            request("enumerateInstanceNames", GUESTS, repeat=times),
            request("getInstance", path, repeat=times // 4),
            request("enumerateInstances", GUESTS, properties=["Name"], repeat=times // 4),
            request("associatorNames", path, assocClass="KVM_SystemDevice", repeat=times // 4),
            request("enumerateInstances", GUESTS.at("root/nowhere"), repeat=times),
            request("invokeMethod", path, method="Bogus", args=[], repeat=times),
            request(
                "getInstance",
                InstancePath("KVM_ComputerSystem", (), "root/virt"),
                repeat=times // 4,
            ),
        ]
        for answer in host.together(requests):
            assert answer.violations == []

    run(500)
    memory, files = int(status(host, "VmRSS")), descriptors(host)
    began = time.monotonic()
    run(2500)
    grown = int(status(host, "VmRSS")) - memory
    print(
        f"\n10,000 operations in {time.monotonic() - began:.1f} s, VmRSS {memory} kB {grown:+} kB"
    )
    assert grown < 4096
    assert descriptors(host) <= files


def test_class_paths_may_name_keys_without_values(host: Host) -> None:
    """OpenPegasus sends them with what is asked of a class."""
    keys: Any = (("CreationClassName", None), ("Name", None))
    path = InstancePath(GUESTS.classname, keys, GUESTS.namespace)
    sent = {"class": path.classname, "properties": [["Name", "string", "x"]]}
    for op, more in (
        ("createInstance", {"instance": sent}),
        ("invokeMethod", {"method": "Bogus", "args": []}),
    ):
        expected = host.call(op, GUESTS, **more)
        assert host.call(op, path, **more) == replace(expected, micros=ANY)
    assert len(fine(host.call("enumerateInstances", path)).results) == 3


def test_signals_stay_the_servers(start: Start) -> None:
    """Nothing changes but that SIGPIPE, which the host leaves at its default, is ignored."""
    host = start()
    ignored, caught = signals(host, "SigIgn"), signals(host, "SigCgt")
    assert signal.SIGPIPE not in ignored
    fine(host.call("enumerateInstances", GUESTS))
    assert signals(host, "SigIgn") == ignored | {signal.SIGPIPE}
    assert signals(host, "SigCgt") == caught


def test_cleanup_and_again(start: Start) -> None:
    """Cleanup closes the connections; the next factory opens them anew; unloading harms nothing."""
    host = start()
    for _ in range(3):
        assert len(fine(host.call("enumerateInstances", GUESTS)).results) == 3
        fine(host.call("associatorNames", GUESTS.at("root/virt"), assocClass="Linux_Foreign"))
        host.cleanup()
        host.unload()
    fine(host.call("enumerateInstances", GUESTS))
    assert host.end()[0] == 0


def test_unloading_to_save_memory_is_refused(start: Start) -> None:
    """It would cost the connections and caches; only what is meant to end the plugin does."""
    host = start()
    for kind in range(4):
        fine(host.call("factory", kind=kind))
    assert host.cleanup(refusable=True) == [NEVER_UNLOAD] * 4
    fine(host.call("enumerateInstances", GUESTS))
    assert host.cleanup() == [0] * 4


def test_without_its_modules(
    plugin: Plugin, environment: Callable[[str, bool], str], start: Start
) -> None:
    host = start(plugin("/etc/libvirtcim.toml", environment("", False)))
    for _ in range(2):
        answer = host.call("enumerateInstances", GUESTS)
        assert (answer.rc, answer.results, answer.violations) == (1, [], [])
        assert answer.message == "ModuleNotFoundError: No module named 'libvirtcim'"
    assert host.end()[0] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "ConfigError: {}: [Errno 2] No such file or directory"),
        ("bogus = 1\n", "ConfigError: {}: unknown setting bogus"),
        ('[connections]\nKVM = ""\n', "ConfigError: connection KVM: a libvirt URI must be given"),
    ],
)
def test_wrong_configuration_and_its_repair(
    plugin: Plugin, start: Start, tmp_path: Path, content: str | None, message: str
) -> None:
    """The client reads what is wrong; once it is repaired, the next request is served."""
    config = tmp_path / "libvirtcim.toml"
    if content is not None:
        config.write_text(content)
    host = start(plugin(str(config)))
    answer = host.call("enumerateInstances", GUESTS)
    assert answer.rc == 1 and not answer.violations
    assert answer.message is not None and answer.message.startswith(message.format(config))
    config.write_text(f'[connections]\nKVM = "{demo.sample_uri()}"\n')
    assert len(fine(host.call("enumerateInstances", GUESTS)).results) == 3


def test_a_hypervisor_that_is_not_there(plugin: Plugin, start: Start, tmp_path: Path) -> None:
    config = tmp_path / "libvirtcim.toml"
    config.write_text('[connections]\nKVM = "test:///nonexistent.xml"\n')
    host = start(plugin(str(config)))
    hosts = Hosts({"KVM": "test:///nonexistent.xml"})
    broker = composition.broker(hosts)
    try:
        path = InstancePath(GUESTS.classname, (("CreationClassName", GUESTS.classname), ("Name", "x")),
                            "root/virt")  # fmt: skip
        for op, call in (
            ("enumerateInstances",
             lambda: broker.enumerate_instances(CONTEXT, "root/virt", GUESTS.classname)),
            ("getInstance", lambda: [broker.get_instance(CONTEXT, path)]),
        ):  # fmt: skip
            answer = host.call(op, path)
            rc, message, found = outcome(call)
            assert (answer.rc, answer.message, answer.results) == (rc, message, found)
            assert not answer.violations
        assert rc != 0
    finally:
        hosts.close()


def test_building_again_does_nothing(tmp_path: Path, plugin: Plugin) -> None:
    output = tmp_path / "liblibvirtcim.so"
    objects = Path(__file__).parent.parent.parent / "build" / "cmpi"
    assert build.build(output, objects=objects)
    assert not build.build(output, objects=objects)
    assert build.build(output, objects=objects, config="/other")
    assert not build.build(output, objects=objects, config="/other")


def test_closing_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A libvirt connection that hangs while it closes doesn't hold up the server."""
    forever = threading.Event()

    class Hanging:
        close = staticmethod(forever.wait)

    monkeypatch.setattr(loader, "CLOSE_SECONDS", 0.05)
    monkeypatch.setattr(loader, "_service", Hanging)
    loader.close()
    assert loader._service is None
    forever.set()


@pytest.mark.parametrize(
    ("text", "sent"),
    [("a\x00b\x1f", "a?b?"), ("\ud800", "?"), ("é\t\n", "é\t\n"), ("x" * 9999, "x" * 2000)],
)
def test_messages_can_be_sent(text: str, sent: str) -> None:
    assert loader.sendable(text).decode() == sent


@pytest.mark.slow
def test_valgrind(start: Start, sample_plugin: Path) -> None:
    """Nothing is read or written outside of what is allocated."""
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    host = start(
        sample_plugin,
        ("valgrind", "-q", "--error-exitcode=9", "--errors-for-leak-kinds=none"),
    )  # fmt: skip
    found = fine(host.call("enumerateInstanceNames", GUESTS)).results[0]["keys"]
    path = InstancePath(GUESTS.classname, tuple((n, v) for n, _type, v in found), "root/virt")
    for op in ("enumerateInstances", "getInstance"):
        fine(host.call(op, path, properties=["Name", "OperationalStatus"]))
        fine(host.call(op, path))
    for op in ("associators", "associatorNames", "references", "referenceNames"):
        fine(host.call(op, path))
    args = [["RequestedState", "uint16", 9], ["TimeoutPeriod", "datetime", None]]
    host.call("invokeMethod", path, method="RequestStateChange", args=args)
    sent = {"class": path.classname, "properties": [["Name", "string", "x"]]}
    for op in ("createInstance", "modifyInstance", "deleteInstance"):
        assert host.call(op, path, instance=sent).rc == 7
    assert host.call("getInstance", InstancePath(GUESTS.classname, (), "root/virt")).rc != 0
    host.together([request("enumerateInstances", GUESTS) for _ in range(8)])
    host.cleanup()
    code, log = host.end()
    assert code == 0, log


def test_another_interop_namespace(plugin: Plugin, start: Start, tmp_path: Path) -> None:
    """Profiles are served under the name that the server has for their namespace."""
    config = tmp_path / "libvirtcim.toml"
    config.write_text(
        f'interop_namespace = "{PG_INTEROP}"\n[connections]\nKVM = "{demo.sample_uri()}"\n'
    )
    host = start(plugin(str(config)))
    profiles = InstancePath("KVM_RegisteredProfile", (), PG_INTEROP)
    found = fine(host.call("enumerateInstanceNames", profiles)).results
    assert found and {path["ns"] for path in found} == {PG_INTEROP}
    conforming = InstancePath("KVM_ElementConformsToProfile", (), "root/virt")
    ends = [
        {name: value for name, _type, value in path["keys"]}["ConformantStandard"]
        for path in fine(host.call("enumerateInstanceNames", conforming)).results
    ]
    assert ends and {end["ns"] for end in ends} == {PG_INTEROP}
