# SPDX-License-Identifier: LGPL-2.1-or-later
"""Destinations, what may be copied and run before a migration, and migrations that fail at each step."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from libvirtcim.virt import migration_checks
from libvirtcim.virt.connection import Connection
from libvirtcim.virt.errors import Denied, Failed, GuestNotFound, Invalid, ObjectNotFound, VirtError
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.host import Host
from libvirtcim.virt.migration import MigrationType, Route, Transport, destination, migrate
from libvirtcim.virt.migration_checks import MAX_KEY
from libvirtcim.virt.settings import HostSettings, MigrationSettings
from tests.standin import libvirt_error

KVM, XEN, LXC = (FAMILIES[name] for name in ("KVM", "Xen", "LXC"))
SETTINGS = MigrationSettings(poll=0.01, shutdown_timeout=0.2)

# (family, host, transport, key) → (what clients are told, what is opened)
DESTINATIONS = [
    (KVM, "h", Transport.SSH, None, "qemu+ssh://h/system", "qemu+ssh://h/system?no_tty=1"),
    (
        KVM,
        "h",
        Transport.SSH,
        "/root/key",
        "qemu+ssh://h/system?keyfile=/root/key",
        "qemu+ssh://h/system?keyfile=/root/key&no_tty=1",
    ),
    (
        KVM,
        "h",
        Transport.TLS_UNVERIFIED,
        None,
        "qemu+tls://h/system/?no_verify=1",
        "qemu+tls://h/system?no_verify=1",
    ),
    (KVM, "h", Transport.TLS, None, "qemu+tls://h/system", "qemu+tls://h/system"),
    (KVM, "h:16509", Transport.TCP, None, "qemu+tcp://h:16509/system", "qemu+tcp://h:16509/system"),
    (KVM, "10.0.0.1", Transport.TCP, None, "qemu+tcp://10.0.0.1/system", "qemu+tcp://10.0.0.1/system"),
    (KVM, "fe80::1", Transport.TCP, None, "qemu+tcp://[fe80::1]/system", "qemu+tcp://[fe80::1]/system"),
    (KVM, "[::1]:99", Transport.TCP, None, "qemu+tcp://[::1]:99/system", "qemu+tcp://[::1]:99/system"),
    (KVM, "", Transport.UNIX, None, "qemu+unix:///system", "qemu+unix:///system"),
    (KVM, "a_b.example", Transport.TLS, None, "qemu+tls://a_b.example/system", "qemu+tls://a_b.example/system"),
    (XEN, "h", Transport.SSH, None, "xen+ssh://h", "xen+ssh://h/system?no_tty=1"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "name", "transport", "key", "shown", "uri"), DESTINATIONS)
def test_destinations(
    family: Any, name: str, transport: Transport, key: str | None, shown: str, uri: str
) -> None:
    found = destination(family, name, transport, key)
    assert (found.shown, found.uri) == (shown, uri)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "-oProxyCommand=x", "h/../x", "h?command=id", "h#x", "u@h", "h h", "h\n", "[::1", "::1]"),
        *("h:", "h:0", "h:99999", "h:x", "[::1]:x", "é", "a..", "[h]", "%68", "h&no_verify=1", "x" * 3 + "/"),
    ],
)  # fmt: skip
def test_what_is_no_host(name: str) -> None:
    with pytest.raises(Invalid):
        destination(KVM, name, Transport.SSH)


def test_containers_stay() -> None:
    with pytest.raises(Invalid, match="can't be moved"):
        destination(LXC, "h", Transport.SSH)


# --- keys -----------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "id"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o755)
    return folder / "key"


def test_a_key_is_copied_and_deleted(key: Path, place: Path) -> None:
    place.write_text("older")
    migration_checks.copy_key(key, place)
    assert place.read_bytes() == b"secret" and place.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in place.parent.iterdir()] == ["key"]
    migration_checks.delete_key(place)
    with pytest.raises(ObjectNotFound):
        migration_checks.delete_key(place)


def _open_to_all(key: Path) -> Path:
    key.chmod(0o644)
    return key


def _link(key: Path) -> Path:
    link = key.parent / "link"
    link.symlink_to(key)
    return link


def _large(key: Path) -> Path:
    key.write_bytes(bytes(MAX_KEY + 1))
    return key


def _pipe(key: Path) -> Path:
    os.mkfifo(key.parent / "pipe", 0o600)
    return key.parent / "pipe"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (_open_to_all, Denied),
        (_link, Failed),
        (_large, Denied),
        (_pipe, Denied),
        (lambda key: key.parent, Denied),
        (lambda key: key.parent / "none", Failed),
    ],
)
def test_what_is_no_key(
    key: Path, place: Path, source: Callable[[Path], Path], error: type[VirtError]
) -> None:
    with pytest.raises(error):
        migration_checks.copy_key(source(key), place)
    assert not list(place.parent.iterdir())


def test_a_directory_that_others_can_write_to(key: Path, place: Path) -> None:
    place.parent.chmod(0o777)
    with pytest.raises(Denied, match="can be written by others"):
        migration_checks.copy_key(key, place)
    place.write_text("x")
    with pytest.raises(Denied):
        migration_checks.delete_key(place)
    assert place.exists()


# --- migrations that fail -----------------------------------------------------------------------------


class Watching:
    """Takes reports; cancelled when told."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def report(self, status: str | None = None, *, percent: int | None = None) -> None:
        pass

    def on_cancel(self, abort: Callable[[], None] | None) -> None:
        pass

    def check(self) -> None:
        if self.cancelled.is_set():
            raise InterruptedError


NODE = "<node><cpu><nodes>1</nodes></cpu>{}</node>"
GUEST = (
    "<domain type='test'><name>{}</name><memory>65536</memory><vcpu>1</vcpu><os><type>hvm</type></os>"
    "<description>{}</description></domain>"
)


class Faulty(Connection):
    """Fails at the n-th of the calls that change something; `None`: at none."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.fails_at: int | None = None
        self.changes = 0

    def call(self, function: Any, *, idempotent: bool = True) -> Any:
        if not idempotent:
            self.changes += 1
            if self.changes == self.fails_at:
                raise Failed("injected")
        return super().call(function, idempotent=idempotent)


class Two:
    """Two hypervisors of libvirt's test driver; guest m1 is on the first."""

    def __init__(self, folder: Path) -> None:
        for name, content in (("a", GUEST.format("m1", "kept")), ("b", "")):
            (folder / f"{name}.xml").write_text(NODE.format(content))
        self.a, self.b = (Faulty(f"test://{folder}/{name}.xml") for name in ("a", "b"))
        self.host = Host(self.a, KVM, HostSettings(side_file_dir=None))

    def off(self) -> None:
        self.a.call(lambda raw: raw.lookupByName("m1").destroy())

    def migrate(self, kind: MigrationType, watching: Watching | None = None) -> None:
        route = Route("m1", kind, self.b.uri)
        migrate(self.host, self.b, route, watching or Watching(), SETTINGS)

    def places(self) -> dict[str, tuple[bool, str]]:
        """Host → whether m1 runs there, and its definition."""
        found = {}
        for name, connection in (("a", self.a), ("b", self.b)):
            for domain in connection.call(lambda raw: raw.listAllDomains()):
                text = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
                found[name] = bool(domain.isActive()), text
        return found

    def close(self) -> None:
        self.host.close()
        self.a.close()
        self.b.close()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    made = Two(tmp_path)
    yield made
    made.close()


def test_a_guest_that_is_off_is_moved(two: Two) -> None:
    two.off()
    before = two.places()["a"]
    two.migrate(MigrationType.OFFLINE)
    assert two.places() == {"b": before}
    assert not two.host.migrating and len(two.host.locks) == 0


def test_a_guest_that_restarts_is_moved(two: Two) -> None:
    before = two.places()["a"]
    two.migrate(MigrationType.RESTART)
    assert two.places() == {"b": before} and before[0]


@pytest.mark.parametrize("kind", [MigrationType.OFFLINE, MigrationType.RESTART])
def test_whatever_fails_the_guest_is_on_one_host(tmp_path: Path, kind: MigrationType) -> None:
    """Every call that changes something fails once, on this host and on the other."""
    failed = set()
    for place in ("a", "b"):
        for number in range(1, 20):
            folder = tmp_path / f"{place}{number}"
            folder.mkdir()
            two = Two(folder)
            if kind is MigrationType.OFFLINE:
                two.off()
            before = two.places()["a"]
            faulty = getattr(two, place)
            faulty.fails_at = number
            try:
                two.migrate(kind)
            except VirtError as error:
                failed.add((place, number))
                assert "injected" in error.libvirt_message
                assert two.places() == {"a": before}, (place, number)
            else:
                assert two.places() == {"b": before}, (place, number)
            finally:
                two.close()
            if faulty.changes < number:
                break
        else:
            pytest.fail("there are more calls than were tried")
    # it did fail on both
    assert {place for place, _number in failed} == {"a", "b"}


def test_a_guest_that_is_not_there(two: Two) -> None:
    route = Route("none", MigrationType.LIVE, two.b.uri)
    with pytest.raises(GuestNotFound):
        migrate(two.host, two.b, route, Watching(), SETTINGS)


def test_the_same_uuid_under_another_name(two: Two) -> None:
    two.off()
    text = two.places()["a"][1].replace(">m1<", ">other<")
    two.b.call(lambda raw: raw.defineXML(text))
    with pytest.raises(Failed, match="Remote already has domain `m1'"):
        two.migrate(MigrationType.OFFLINE)
    assert set(two.places()) == {"a", "b"}


def test_a_guest_that_was_told_to_stay(two: Two) -> None:
    watching = Watching()
    watching.cancelled.set()
    before = two.places()
    with pytest.raises(InterruptedError):
        two.migrate(MigrationType.RESTART, watching)
    assert two.places() == before


def test_a_driver_that_migrates_nothing_says_so(two: Two) -> None:
    before = two.places()
    with pytest.raises(Failed, match="the guest runs on this host and is not known on the other"):
        two.migrate(MigrationType.LIVE)
    assert two.places() == before


def test_errors_carry_libvirts_words(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two.off()

    def refuse(_self: Any, _text: str) -> Any:
        raise libvirt_error(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, "no such machine type")

    monkeypatch.setattr(libvirt.virConnect, "defineXML", refuse)
    with pytest.raises(Failed, match="no such machine type; the guest is off on this host"):
        two.migrate(MigrationType.OFFLINE)
