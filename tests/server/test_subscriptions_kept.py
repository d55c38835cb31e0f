# SPDX-License-Identifier: LGPL-2.1-or-later
"""Subscriptions outlive the server: its restart, its sudden end, and trouble with the file."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pywbem

from libvirtcim.cim.declare import INTEROP
from libvirtcim.demo import sample_uri
from libvirtcim.server.indications.status import StatusFile
from libvirtcim.server.indications.store import Store, StoreError
from libvirtcim.server.settings import ServerSettings
from tests.cimom.ports import free_port
from tests.server.subscribing import FROM_TICKS, RawListener, make, running, subscribe
from tests.server.wire import until
from tests.ticking import PATH_CODE

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:9/"
CLASSES = ("CIM_IndicationFilter", "CIM_ListenerDestination", "CIM_IndicationSubscription")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "subscriptions.sqlite"


def everything(cim: pywbem.WBEMConnection) -> list[pywbem.CIMInstance]:
    return [instance for name in CLASSES for instance in cim.EnumerateInstances(name)]


def test_nothing_is_written_before_there_is_something(file: Path) -> None:
    with running(subscriptions=str(file)) as served, served.client() as cim:
        assert everything(cim) == []
        assert not file.parent.exists()
        subscribe(cim, NOWHERE)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert {path.stat().st_mode & 0o077 for path in file.parent.iterdir()} == {0}


def test_a_new_server_has_them_again(file: Path) -> None:
    listener = RawListener()
    with running(subscriptions=str(file)) as served, served.client() as cim:
        first = subscribe(cim, listener.url, SubscriptionInfo="é<&>")
        second = subscribe(cim, NOWHERE, f"{FROM_TICKS} WHERE Number = 3", "two")
        third = subscribe(cim, NOWHERE, name="three")
        resting = {"SubscriptionState": pywbem.Uint16(4)}
        cim.ModifyInstance(pywbem.CIMInstance(second.classname, resting, path=second))
        for path in (third, third["Filter"]):
            cim.DeleteInstance(path)
        before = everything(cim)
    assert len(before) == 7
    with running(subscriptions=str(file)) as served, served.client() as cim, listener.listening():
        assert [i.path for i in everything(cim)] == [i.path for i in before]
        assert [i.properties for i in everything(cim)] == [i.properties for i in before]
        served.source.tick()
        listener.wait(1)
        assert [row["name"] for row in served.status()] == ["one"]
        cim.DeleteInstance(first)
        assert served.source.publish is None
    with running(subscriptions=str(file)) as served, served.client() as cim:
        assert len(everything(cim)) == 6


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_same_server_started_again(file: Path, in_memory: bool) -> None:
    served = make(subscriptions="" if in_memory else str(file))
    contexts = []
    for _ in range(3):
        listener = RawListener()
        with served.server, served.client() as cim, listener.listening():
            if not contexts:
                subscribe(cim, listener.url)
                port = listener.port
            listener.port = port
        with served.server, RawListener(port=port).listening() as listening:
            served.source.tick(2)
            listening.wait(2)
            assert listening.sequence == [0, 1]
            contexts.append(listening.requests[0][1].partition("SequenceContext")[2][:80])
        assert served.source.publish is None
    assert len(set(contexts)) == 3, "what was lost in between can be told"


SCRIPT = """
import sys
from tests.cimom.ports import free_port
from tests.server.subscribing import make
served = make(subscriptions=sys.argv[1])
served.server.start()
print(served.url, flush=True)
for line in sys.stdin:
    served.source.tick(int(line))
served.server.stop()
"""


@contextlib.contextmanager
def process(file: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own: ticks as often as it is told on its input; and its URL."""
    made = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(file)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert made.stdout is not None
        yield made, made.stdout.readline().strip()
    finally:
        made.kill()
        made.communicate()


def test_a_killed_server_has_lost_nothing(file: Path) -> None:
    listener = RawListener()
    with listener.listening():
        for count in range(1, 4):
            with process(file) as (server, url):
                with pywbem.WBEMConnection(url, default_namespace=INTEROP) as cim:
                    assert len(everything(cim)) == 3 * (count - 1)
                    subscribe(cim, listener.url, name=str(count))
                assert server.stdin is not None
                print(1, file=server.stdin, flush=True)
                listener.wait(sum(range(count + 1)))
                server.send_signal(signal.SIGKILL)
                assert server.wait(30) == -signal.SIGKILL


COMMAND = "import sys; from libvirtcim import cli; sys.exit(cli.main(sys.argv[1:]))"


@contextlib.contextmanager
def serving(port: int, settings: tuple[str, ...]) -> Iterator[int]:
    """`libvirtcim serve` with ticks, until SIGTERM: its process."""
    server = subprocess.Popen(
        [sys.executable, "-c", f"{PATH_CODE}\n{COMMAND}", "serve", *settings],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until(lambda: _listens(port), "the server")
        yield server.pid
        server.send_signal(signal.SIGTERM)
        errors = server.communicate(timeout=30)[1]
    finally:
        server.kill()
        server.communicate()
    assert server.returncode == 0 and "Traceback" not in errors, errors


def test_the_command(tmp_path: Path, file: Path) -> None:
    """`serve` has them again after SIGTERM, and `doctor` knows how deliveries stand."""
    config, port, listener = tmp_path / "libvirtcim.toml", free_port(), RawListener()
    config.write_text(f'[server]\nlisten = ["127.0.0.1:{port}"]\nsubscriptions = "{file}"\n')
    settings = ("--config", str(config), "--connection", f"KVM={sample_uri()}")
    url = f"http://127.0.0.1:{port}"
    with listener.listening():
        with (
            serving(port, settings),
            pywbem.WBEMConnection(url, default_namespace=INTEROP) as cim,
        ):
            subscribe(cim, listener.url)
            listener.wait(20)
        before = len(listener.requests)
        with serving(port, settings) as pid:
            listener.wait(before + 20)
            until(lambda: (StatusFile(file).read() or {}).get("pid") == pid, "status")
            told = subprocess.run(
                [sys.executable, "-c", COMMAND, "doctor", *settings],
                cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
            assert f"indications, from server {pid}:\nok  'one'" in told.stdout
    assert listener.sequence[0] == 0 and listener.sequence.count(0) == 2


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def test_killed_while_changing(file: Path) -> None:
    """Whatever is there after a kill at any moment is whole."""
    with (
        process(file) as (server, url),
        pywbem.WBEMConnection(url, default_namespace=INTEROP) as cim,
        pytest.raises(pywbem.Error),
    ):
        for number in range(10_000):
            subscribe(cim, NOWHERE, name=str(number))
            if number == 20:
                server.send_signal(signal.SIGKILL)
    elements, subscriptions = Store(file).load()
    assert len(subscriptions) >= 20
    keys = {element.key for element in elements}
    assert all(set(subscription.ends) <= keys for subscription in subscriptions)


# --- trouble ---------------------------------------------------------------------------------


def _garbage(file: Path) -> None:
    file.write_bytes(b"no database at all, but long enough to look like something " * 50)


def _change(statement: str) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        with contextlib.closing(sqlite3.connect(file)) as db, db:
            db.execute(statement)

    return change


def _torn(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)


def _directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_garbage, "it is damaged"),
        (_torn, "it is damaged"),
        (_change("UPDATE element SET properties = '{'"), "it is damaged"),
        (_change("UPDATE element SET properties = '[]'"), "it is damaged"),
        (_change("UPDATE element SET properties = '{\"Name\": 1}'"), "it is damaged"),
        (
            _change("UPDATE element SET properties = replace(properties, '\"one\"', '1')"),
            "it is damaged",
        ),
        (_change("UPDATE subscription SET filter = '[]'"), "it is damaged"),
        (_change("DELETE FROM element WHERE class = 'CIM_IndicationFilter'"), "it is damaged"),
        (_change("UPDATE subscription SET properties = '{}'"), "it is damaged"),
        (
            _change(
                "UPDATE subscription SET properties ="
                " replace(properties, 'SubscriptionState\": 2', 'SubscriptionState\": null')"
            ),
            "it is damaged",
        ),
        (_change("DROP TABLE subscription"), "no such table"),
        (_change("PRAGMA user_version = 77"), "format 77 is of another version"),
        (_directory, "Is a directory"),
    ],
)
def test_a_file_that_can_not_be_read(
    file: Path, damage: Callable[[Path], None], reason: str
) -> None:
    with running(subscriptions=str(file)) as served, served.client() as cim:
        subscribe(cim, NOWHERE)
    damage(file)
    with pytest.raises(StoreError) as raised, running(subscriptions=str(file)):
        pass
    assert str(file) in str(raised.value) and reason in str(raised.value)


def test_one_server_for_one_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libvirtcim.server.indications.store._BUSY_TIMEOUT", 0.1)
    with (
        running(subscriptions=str(file)) as late,
        late.client() as to_late,
        running(subscriptions=str(file)) as served,
        served.client() as cim,
    ):
        subscribe(cim, NOWHERE)
        with pytest.raises(StoreError, match="another server uses it"):
            make(subscriptions=str(file)).server.start()
        # begun before there was a file: it has none of its own, and says so
        with pytest.raises(pywbem.CIMError, match="another server uses it"):
            subscribe(to_late, NOWHERE)
        assert everything(to_late) == []
    with running(subscriptions=str(file)) as served, served.client() as cim:
        assert len(everything(cim)) == 3


def test_what_can_not_be_stored_has_not_happened(tmp_path: Path) -> None:
    file = tmp_path / "state" / "subscriptions.sqlite"
    file.parent.write_text("no directory")
    with running(subscriptions=str(file)) as served, served.client() as cim:
        with pytest.raises(pywbem.CIMError, match=f"{file}: .*xists") as raised:
            subscribe(cim, NOWHERE)
        assert raised.value.status_code == 1
        assert everything(cim) == []
        file.parent.unlink()
        made = subscribe(cim, NOWHERE)
        spare = subscribe(cim, NOWHERE, name="spare")
        cim.DeleteInstance(spare)
        before = everything(cim)
        store = served.subscriptions._registry._store
        store.close()
        file.chmod(0o600)
        file.unlink()
        file.mkdir()  # every further change fails
        for change in (
            lambda: cim.DeleteInstance(made),
            lambda: cim.ModifyInstance(
                pywbem.CIMInstance(
                    made.classname, {"SubscriptionState": pywbem.Uint16(4)}, path=made
                )
            ),
            lambda: subscribe(cim, NOWHERE, name="two"),
            lambda: cim.CreateInstance(
                pywbem.CIMInstance(
                    made.classname, {"Filter": spare["Filter"], "Handler": spare["Handler"]}
                )
            ),
        ):
            with pytest.raises(pywbem.CIMError, match=r"subscriptions\.sqlite"):
                change()
        assert everything(cim) == before
        assert served.source.publish is not None


def test_an_end_that_can_not_be_stored(file: Path, log: pytest.LogCaptureFixture) -> None:
    with running(subscriptions=str(file)) as served, served.client() as cim:
        made = subscribe(cim, NOWHERE, SubscriptionDuration=pywbem.Uint64(1))
        served.subscriptions._registry._store.close()
        file.unlink()
        file.mkdir()
        until(lambda: log.text.count("Is a directory") > 2, "attempts")
        assert cim.GetInstance(made)["SubscriptionTimeRemaining"] == 0
        file.rmdir()


def test_trouble_in_looking_after_them_passes(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    with running() as served, served.client() as cim:
        subscribe(cim, NOWHERE, SubscriptionDuration=pywbem.Uint64(1))
        with monkeypatch.context() as patched:
            patched.setattr(served.subscriptions._registry, "tidy", lambda: 1 // 0)
            until(lambda: "can't be looked after" in log.text, "trouble")
        until(lambda: cim.EnumerateInstances("CIM_IndicationSubscription") == [], "its end")


def test_what_nobody_sends_any_more_is_kept(file: Path, log: pytest.LogCaptureFixture) -> None:
    with running(subscriptions=str(file)) as served, served.client() as cim:
        made = subscribe(cim, NOWHERE)
    served = make(subscriptions=str(file))
    served.subscriptions._registry._indications._sources.clear()
    with served.server, served.client() as cim:
        assert cim.GetInstance(made)["SubscriptionState"] == 3
        assert (
            "filter 'one' for destination 'one' does not work: No indications of class" in log.text
        )
        cim.DeleteInstance(made)
        assert len(everything(cim)) == 2


def test_what_is_watched_may_hang(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server starts nevertheless; what was subscribed to works when it can."""
    monkeypatch.setattr("libvirtcim.server.indications.subscriptions._BEGIN_TIME", 0.1)
    listener, gate = RawListener(), threading.Event()
    with running(subscriptions=str(file)) as served, served.client() as cim:
        subscribe(cim, listener.url)
    served = make(subscriptions=str(file))
    begin = served.source.start
    monkeypatch.setattr(served.source, "start", lambda publish: (gate.wait(30), begin(publish)))
    with served.server, served.client() as cim, listener.listening():
        assert cim.EnumerateClassNames() and served.source.publish is None
        gate.set()
        until(lambda: served.source.publish is not None, "the subscription works")
        served.source.tick()
        listener.wait(1)


def test_a_destination_that_is_not_allowed_any_more(
    file: Path, log: pytest.LogCaptureFixture
) -> None:
    with running(subscriptions=str(file)) as served, served.client() as cim:
        made = subscribe(cim, NOWHERE)
    with running(subscriptions=str(file), indication_destinations=("192.0.2.1",)) as served:
        assert "127.0.0.1 is not allowed" in log.text
        with served.client() as cim:
            assert cim.GetInstance(made)["SubscriptionState"] == 3


# --- where it is, and what else is told ------------------------------------------------------


def test_where_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "subscriptions.sqlite"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert ServerSettings().subscriptions_file == Path("/var/lib/libvirtcim") / name
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert ServerSettings().subscriptions_file == tmp_path / "libvirtcim" / name
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert ServerSettings().subscriptions_file == Path("/home/me/.local/state/libvirtcim") / name
    assert ServerSettings(subscriptions="/x/y").subscriptions_file == Path("/x/y")
    assert ServerSettings(subscriptions="").subscriptions_file is None


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "a b", "", "host:80", "http://host"])
def test_destinations_are_checked(entry: str) -> None:
    with pytest.raises(ValueError, match="indication_destinations"):
        ServerSettings(indication_destinations=(entry,))


def test_authorities_that_can_not_be_read(tmp_path: Path) -> None:
    for path, text in (
        (tmp_path / "absent", "No such file"),
        (ROOT / "README.md", "no certificates"),
    ):
        with pytest.raises(OSError, match=f"indication_ca_file .*{path.name}: {text}"):
            make(indication_ca_file=path).server.start()


def test_the_status_file(file: Path) -> None:
    status = StatusFile(file)
    assert status.read() is None
    with running(subscriptions=str(file)) as served, served.client() as cim:
        subscribe(cim, NOWHERE)
        served.source.tick(3)

        def known() -> list[dict[str, Any]]:
            return (status.read() or {"destinations": []})["destinations"]

        until(lambda: any(row["failing"] and row["queued"] == 3 for row in known()), "the status")
        (row,) = known()
        assert (row["name"], row["url"], row["delivered"]) == ("one", NOWHERE, 0)
        assert row["last_error"]
        assert (status.read() or {})["pid"] == os.getpid()
    path = file.with_name("subscriptions.sqlite.status")
    for content in ("{", "[]", json.dumps({"pid": 1, "destinations": []})):
        path.write_text(content)
        assert status.read() is None


def test_a_status_that_can_not_be_written(file: Path, log: pytest.LogCaptureFixture) -> None:
    StatusFile(file).write([{"name": "x"}])
    assert "subscriptions.sqlite.status can't be written" in log.text
    StatusFile(None).write([{"name": "x"}])
    assert StatusFile(None).read() is None
