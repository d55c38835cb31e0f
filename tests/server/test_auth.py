# SPDX-License-Identifier: LGPL-2.1-or-later
"""Users, passwords, TLS and what may be exposed."""

from __future__ import annotations

import base64
import logging
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import pywbem
from passlib.hash import apr_md5_crypt, bcrypt, sha512_crypt

from libvirtcim.server.auth import ExposureError, check_exposure, is_loopback, parse_basic
from libvirtcim.server.http import CIMServer
from libvirtcim.server.settings import ServerSettings
from tests.hypervisor import wait_until
from tests.server.conftest import Serve
from tests.server.memory import VIRT, filled
from tests.server.wire import HEADERS, Client, Connection, cls, http, intrinsic

NAMES = intrinsic("EnumerateInstanceNames", {"ClassName": cls("TST_Thing")})


def basic(user: str, password: str, encoding: str = "utf-8") -> dict[str, str]:
    token = base64.b64encode(f"{user}:{password}".encode(encoding)).decode()
    return {**HEADERS, "Authorization": f"Basic {token}"}


@pytest.fixture(scope="module")
def htpasswd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("auth") / "users"
    path.write_text(
        "# users\n"
        f"bea:{bcrypt.using(rounds=4).hash('bees')}\n"
        f"sha:{sha512_crypt.using(rounds=1000).hash('s:h a')}\n"
        f"apr:{apr_md5_crypt.hash('april')}\n"
        f"joe:{apr_md5_crypt.hash('pässword')}\n"
        "plain:letmein\n"
        "broken\n"
    )
    return path


@pytest.fixture
def guarded(serve: Serve, htpasswd: Path) -> Client:
    return serve(authentication="htpasswd", htpasswd_file=htpasswd)[1]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (basic("bea", "bees"), 200),
        (basic("sha", "s:h a"), 200),
        (basic("apr", "april"), 200),
        (basic("joe", "pässword"), 200),
        (basic("joe", "pässword", "latin-1"), 200),
        ({**basic("bea", "bees"), "Host": "some.name.example"}, 200),
        (HEADERS, 401),
        (basic("bea", "wrong"), 401),
        (basic("bea", ""), 401),
        (basic("", ""), 401),
        (basic("nobody", "bees"), 401),
        (basic("plain", "letmein"), 401),
        (basic("bea", "bees\0"), 401),
        (basic("bea", "x" * 5000), 401),
        ({**HEADERS, "Authorization": "Basic"}, 401),
        ({**HEADERS, "Authorization": "Basic !!!"}, 401),
        ({**HEADERS, "Authorization": "Bearer YWJj"}, 401),
        ({**HEADERS, "Authorization": "Basic " + base64.b64encode(b"nocolon").decode()}, 401),
    ],
    ids=range(18),
)
def test_matrix(guarded: Client, headers: dict[str, str], status: int) -> None:
    answer = guarded.post(NAMES, headers)
    assert answer.status == status
    if status == 401:
        assert answer.headers["www-authenticate"] == 'Basic realm="cimom"'
        assert answer.headers["content-length"] == "0"


def test_nothing_is_read_before_authentication(guarded: Client) -> None:
    with Connection(guarded.endpoint) as connection:
        connection.send(http(b"", {**HEADERS, "Content-Length": "1000", "Expect": "100-continue"}))
        answer = connection.answer()
        assert answer is not None and answer.status == 401


def test_user_reaches_the_broker_and_owns_enumerations(serve: Serve, htpasswd: Path) -> None:
    _, client, broker = serve(authentication="htpasswd", htpasswd_file=htpasswd)
    bea, apr = basic("bea", "bees"), basic("apr", "april")
    opened = client.call("OpenEnumerateInstances", headers=bea, ClassName=cls("TST_Thing"))
    assert broker.contexts[-1].user == "bea"
    given: dict[str, Any] = {
        "EnumerationContext": opened.output("EnumerationContext"),
        "MaxObjectCount": "1",
    }
    assert client.call("PullInstancesWithPath", headers=apr, **given).error == 21
    close: dict[str, Any] = {"EnumerationContext": given["EnumerationContext"]}
    assert client.call("CloseEnumeration", headers=apr, **close).error == 21
    assert client.call("PullInstancesWithPath", headers=bea, **given).error == 0


def test_file_is_reread(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "users"

    def write(password: str) -> None:
        fresh = tmp_path / "new"
        fresh.write_text(f"u:{apr_md5_crypt.hash(password)}\n")
        fresh.replace(path)

    write("one")
    _, client, _ = serve(authentication="htpasswd", htpasswd_file=path)
    assert client.post(NAMES, basic("u", "one")).status == 200
    write("two")
    assert client.post(NAMES, basic("u", "one")).status == 401
    assert client.post(NAMES, basic("u", "two")).status == 200
    path.unlink()
    assert client.post(NAMES, basic("u", "two")).status == 401


def test_missing_file_stops_the_start(tmp_path: Path) -> None:
    server = CIMServer(
        filled(),
        ServerSettings(
            listen=(("127.0.0.1", 0),), authentication="htpasswd", htpasswd_file=tmp_path / "none"
        ),
    )
    with pytest.raises(FileNotFoundError):
        server.start()


class Slow:
    """A verifier that counts and can be held up."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def verify(self, user: str, password: str) -> bool:
        self.asked.append(user)
        assert self.gate.wait(10)
        return password == "right"

    def version(self) -> object:
        return None


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    made = Slow()
    monkeypatch.setattr("libvirtcim.server.http.make_verifier", lambda _settings: made)
    return made


def test_auth_cache_time(serve: Serve, slow: Slow) -> None:
    _, client, _ = serve(auth_cache_time=60.0)
    for _ in range(5):
        assert client.post(NAMES, basic("u", "right")).status == 200
    assert slow.asked == ["u"]
    assert client.post(NAMES, basic("u", "wrong")).status == 401
    _, client, _ = serve(auth_cache_time=0.0)
    slow.asked.clear()
    for _ in range(3):
        assert client.post(NAMES, basic("u", "right")).status == 200
    assert len(slow.asked) == 3


def test_auth_failure_delay(serve: Serve, slow: Slow) -> None:
    """Who guesses waits; who knows does not wait for those who guess."""
    _, client, _ = serve(auth_failure_delay=1.0)
    with ThreadPoolExecutor(8) as pool:
        started = time.monotonic()
        wrong = [pool.submit(client.post, NAMES, basic("u", f"wrong{n}")) for n in range(8)]
        assert client.post(NAMES, basic("u", "right")).status == 200
        assert time.monotonic() - started < 0.9
        assert {w.result().status for w in wrong} == {401}
        assert time.monotonic() - started >= 1.0


def test_auth_threads(serve: Serve, slow: Slow) -> None:
    """Password checks that hang hold up neither verified users nor more threads than allowed."""
    _, client, _ = serve(auth_threads=2)
    assert client.post(NAMES, basic("u", "right")).status == 200
    slow.asked.clear()
    slow.gate.clear()
    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(client.post, NAMES, basic(f"w{n}", "right")) for n in range(5)]
        assert client.post(NAMES, basic("u", "right")).status == 200
        assert len(slow.asked) <= 2
        slow.gate.set()
        assert {w.result().status for w in waiting} == {200}


class FakePAM:
    """Stands for the module `pam`."""

    calls: list[tuple[Any, ...]] = []

    def pam(self) -> FakePAM:
        return self

    def authenticate(self, user: str, password: str, service: str, **_more: Any) -> bool:
        self.calls.append((user, service))
        return password == "right"


def test_pam(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libvirtcim.server.auth.importlib.import_module", lambda _name: FakePAM())
    _, client, _ = serve(authentication="pam", pam_service="svc")
    assert client.post(NAMES, basic("root", "right")).status == 200
    assert client.post(NAMES, basic("root", "wrong")).status == 401
    assert client.post(NAMES, basic("daemon", "right")).status == 401, "not in the group libvirt"
    assert client.post(NAMES, basic("no-such-user", "right")).status == 401
    assert ("root", "svc") in FakePAM.calls
    _, client, _ = serve(authentication="pam", pam_groups=("daemon",))
    assert client.post(NAMES, basic("daemon", "right")).status == 200
    _, client, _ = serve(authentication="pam", pam_groups=())
    assert client.post(NAMES, basic("anybody", "right")).status == 200


def test_real_pam_refuses_strangers(serve: Serve) -> None:
    _, client, _ = serve(authentication="pam", pam_service="login")
    assert client.post(NAMES, basic("no-such-user", "x")).status == 401


def _of_access(record: logging.LogRecord) -> bool:
    return record.name == "libvirtcim.server.access"


def test_logs_hold_no_secret(guarded: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        guarded.post(NAMES, basic("bea", "bees"))
        guarded.post(NAMES, basic("bea\nuser=root http=200", "hunter2"))
        guarded.call(
            "EnumerateInstances", headers=basic("apr", "april"), ClassName=cls("TST_X y\n")
        )
        # an answer is on its way before its line is written
        wait_until(lambda: sum(map(_of_access, caplog.records)) == 3, "a line for each request")
    lines = [r.getMessage() for r in caplog.records]
    assert not any("bees" in line or "hunter2" in line or "april" in line for line in lines)
    assert not any("\n" in line for line in lines)
    access = [r.getMessage() for r in caplog.records if _of_access(r)]
    assert access[0].startswith(
        "client=127.0.0.1 user=bea http=200 operation=EnumerateInstanceNames namespace=root/virt "
        "class=TST_Thing status=0 objects=4 ms="
    )
    assert access[1].startswith("client=127.0.0.1 user=- http=401")
    assert "class='TST_X y\\n'" in access[2] or "class='TST_X y '" in access[2]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Basic dTpw", ("u", "p")),
        ("basic  dTpw ", ("u", "p")),
        ("Basic dTo=", ("u", "")),
        ("Basic dTphOmI=", ("u", "a:b")),
        ("Digest dTpw", None),
        ("Basic dTpw=x", None),
        ("Basic é", None),
        ("", None),
    ],
)
def test_parse_basic(header: str, expected: tuple[str, str] | None) -> None:
    assert parse_basic(header) == expected


# --- exposure --------------------------------------------------------------------------------

FILES: dict[str, Any] = {"tls_certificate": Path("c"), "htpasswd_file": Path("h")}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, None),
        ({"listen": (("localhost", 1), ("::1", 1), ("127.3.2.1", 1))}, None),
        ({"listen": (("0.0.0.0", 1),)}, "listen_tls"),
        ({"listen": (("", 1),)}, "listen_tls"),
        ({"listen": (("::", 1),)}, "listen_tls"),
        ({"listen": (("192.0.2.1", 1),), "authentication": "htpasswd"}, "listen_tls"),
        ({"listen": (("127.0.0.1", 1), ("192.0.2.1", 1))}, "192.0.2.1:1"),
        ({"listen_tls": (("0.0.0.0", 1),)}, "htpasswd or pam"),
        ({"listen_tls": (("0.0.0.0", 1),), "authentication": "htpasswd"}, None),
        ({"listen_tls": (("::", 1),), "authentication": "pam"}, None),
        ({"listen_tls": (("127.0.0.1", 1),)}, None),
        ({"listen": (("no.such.host.invalid", 1),)}, "no.such.host.invalid"),
    ],
    ids=range(12),
)
def test_exposure(settings: dict[str, Any], complaint: str | None) -> None:
    made = ServerSettings(**FILES, **settings)
    if complaint is None:
        check_exposure(made)
        return
    with pytest.raises(ExposureError, match=complaint):
        check_exposure(made)
    with pytest.raises(ExposureError):
        CIMServer(filled(), made)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("", False), ("0.0.0.0", False), ("::", False),
     ("::ffff:192.0.2.1", False), ("bad\0name", False)],
)  # fmt: skip
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


# --- TLS -------------------------------------------------------------------------------------


@pytest.fixture
def tls(serve: Serve, certificate: tuple[Path, Path], htpasswd: Path) -> CIMServer:
    return serve(
        listen=(),
        listen_tls=(("127.0.0.1", 0),),
        tls_certificate=certificate[0],
        tls_key=certificate[1],
        authentication="htpasswd",
        htpasswd_file=htpasswd,
        header_timeout=1.0,
    )[0]


def test_pywbem_over_tls(
    tls: CIMServer, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    assert tls.urls[0].startswith("https://127.0.0.1:")
    given = {"default_namespace": VIRT, "ca_certs": str(certificate[0])}
    with pywbem.WBEMConnection(tls.urls[0], ("bea", "bees"), **given) as cim:
        assert len(cim.EnumerateInstances("TST_Thing")) == 4
    with (
        pywbem.WBEMConnection(tls.urls[0], ("bea", "no"), **given) as cim,
        pytest.raises(pywbem.AuthError),
    ):
        cim.EnumerateInstances("TST_Thing")


def context(certificate: Path, version: ssl.TLSVersion) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(certificate)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.minimum_version = made.maximum_version = version
    return made


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_versions(
    tls: CIMServer, certificate: tuple[Path, Path], version: ssl.TLSVersion
) -> None:
    made = context(certificate[0], version)

    def wrap(plain: socket.socket) -> socket.socket:
        return made.wrap_socket(plain, server_hostname="localhost")

    with Connection(tls.addresses[0], wrap) as connection:
        connection.send(http(NAMES.encode(), basic("bea", "bees")))
        answer = connection.answer()
        assert answer is not None and answer.error == 0


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(tls: CIMServer, certificate: tuple[Path, Path]) -> None:
    made = context(certificate[0], ssl.TLSVersion.TLSv1_1)
    made.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(tls.addresses[0], 5) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        made.wrap_socket(plain, server_hostname="localhost")


def test_plain_http_on_the_tls_port(tls: CIMServer) -> None:
    with Connection(tls.addresses[0]) as connection:
        connection.send(http(NAMES.encode(), basic("bea", "bees")))
        assert connection.closed(5)


def test_tls_handshake_takes_its_time_only(tls: CIMServer) -> None:
    with Connection(tls.addresses[0]) as connection:
        assert connection.closed(5)


def test_plain_and_tls_together(serve: Serve, certificate: tuple[Path, Path]) -> None:
    server, client, _ = serve(
        listen_tls=(("127.0.0.1", 0),), tls_certificate=certificate[0], tls_key=certificate[1]
    )
    assert [url.partition(":")[0] for url in server.urls] == ["http", "https"]
    assert client.post(NAMES).error == 0


def test_wrong_certificate_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("nonsense")
    settings = ServerSettings(
        listen=(), listen_tls=(("127.0.0.1", 0),), tls_certificate=tmp_path / "c.pem"
    )
    with pytest.raises(ssl.SSLError):
        CIMServer(filled(), settings).start()


def test_stop_ends_tls_clients_that_do_not_answer(
    tls: CIMServer, certificate: tuple[Path, Path]
) -> None:
    made = context(certificate[0], ssl.TLSVersion.TLSv1_2)

    def wrap(plain: socket.socket) -> socket.socket:
        return made.wrap_socket(plain, server_hostname="localhost")

    with Connection(tls.addresses[0], wrap) as mute:
        mute.send(http(NAMES.encode(), basic("bea", "bees")))
        assert mute.answer() is not None
        tls.stop()
        assert tls.open_connections == 0


def test_stop_is_quick_after_tls_requests(tls: CIMServer, certificate: tuple[Path, Path]) -> None:
    """Answers count as sent when they are: a stop does not wait for connections that only idle."""
    made = context(certificate[0], ssl.TLSVersion.TLSv1_3)

    def wrap(plain: socket.socket) -> socket.socket:
        return made.wrap_socket(plain, server_hostname="localhost")

    with Connection(tls.addresses[0], wrap) as connection:
        for headers in (basic("bea", "bees"), basic("bea", "wrong"), HEADERS):
            connection.send(http(NAMES.encode(), headers))
            assert connection.answer() is not None
        started = time.monotonic()
        tls.stop()
        assert time.monotonic() - started < 3
