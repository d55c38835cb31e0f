# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two libvirtds of which the second is reached over TLS and ssh too, with certificates and keys of its own.

Both boxes get an `/etc` of their own, a copy: libvirt looks for root's certificates below `/etc/pki`, ssh for
root's keys in the home that `/etc/passwd` names. What is to use them runs in the first box's mount namespace.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.hypervisor import PrivateLibvirtd, wait_until
from tests.pair import Pair

TOOLS = ("openssl", "ssh", "ssh-keygen", "dropbear", "dropbearkey")
NAME = "there.libvirtcim.test"
"""Of the second host: what its certificate is for, unlike its address."""
_AUTHORITY, _HOST_KEY = "cacert.pem", "host"
_EMPTY_CONFIG = "[req]\ndistinguished_name = dn\n[dn]\n"


def why_not() -> str | None:
    """What is missing, or None."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


@dataclass(frozen=True, slots=True)
class Secured:
    """The libvirtds; how to run commands that know the certificates and keys; a key for ssh besides."""

    hosts: Pair
    inside: tuple[str, ...]
    key: Path
    """Private; the second host knows it, but ssh has to be told of it."""


@contextmanager
def secured(hosts: Pair, directory: Path) -> Iterator[Secured]:
    """TLS and ssh to the second of the hosts during the block; `directory`: for keys and certificates."""
    _certify(directory)
    for box in (hosts.a, hosts.b):
        etc = _own_etc(box)
        _trust(etc / "pki", directory)
        _give_home(etc / "passwd", box.directory / "home")
        with (etc / "hosts").open("a") as names:
            names.write(f"{hosts.address_b} {NAME}\n")
    other = _introduce(hosts, directory)
    _listen_with_tls(hosts.b)
    with _ssh_server(hosts, directory):
        # with the box's processes too, as its /proc shows only these; nsenter waits for one that ends with it
        entered = ("nsenter", "-t", str(hosts.a.first_process), "-m", "-p")
        yield Secured(hosts, (*entered, "setpriv", "--pdeathsig", "TERM"), other)


def _own_etc(box: PrivateLibvirtd) -> Path:
    """The box's `/etc` from now on, as it was."""
    etc = box.directory / "all-of-etc"
    box.run("cp", "-a", "/etc", str(etc))
    box.run("mount", "--bind", str(etc), "/etc")
    box.run("mount", "--bind", str(box.directory / "etc"), "/etc/libvirt")
    return etc


def _give_home(passwd: Path, home: Path) -> None:
    text, count = re.subn(r"(?m)^(root:[^:]*:0:0:[^:]*:)[^:]*:", rf"\1{home}:", passwd.read_text())
    assert count == 1
    passwd.write_text(text)
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)


# --- TLS -------------------------------------------------------------------------------------------


def _certify(directory: Path) -> None:
    """An authority, and certificates of its: one for the second host's name, one for clients."""
    (directory / "openssl.cnf").write_text(_EMPTY_CONFIG)
    _certificate(directory, _AUTHORITY, "authority", "basicConstraints=critical,CA:TRUE")
    signed = ("-CA", _AUTHORITY, "-CAkey", f"{_AUTHORITY}.key")
    leaf = "basicConstraints=critical,CA:FALSE"
    _certificate(directory, "servercert.pem", NAME, leaf, f"subjectAltName=DNS:{NAME}", more=signed)
    _certificate(directory, "clientcert.pem", "client", leaf, more=signed)


def _certificate(
    directory: Path, file: str, name: str, *extensions: str, more: tuple[str, ...] = ()
) -> None:
    """A certificate, and its key beside it."""
    added = [word for extension in extensions for word in ("-addext", extension)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-config", "openssl.cnf", "-subj", f"/CN={name}", "-days", "2",
         "-keyout", f"{file}.key", "-out", file, *added, *more],
        cwd=directory, check=True, capture_output=True,
    )  # fmt: skip


def _trust(pki: Path, directory: Path) -> None:
    """Puts the certificates where libvirt looks for them."""
    for name in ("CA", "libvirt/private"):
        (pki / name).mkdir(parents=True)
    shutil.copy(directory / _AUTHORITY, pki / "CA")
    for whose in ("server", "client"):
        shutil.copy(directory / f"{whose}cert.pem", pki / "libvirt")
        shutil.copy(directory / f"{whose}cert.pem.key", pki / f"libvirt/private/{whose}key.pem")


def _listen_with_tls(box: PrivateLibvirtd) -> None:
    conf = box.directory / "etc/libvirtd.conf"
    conf.write_text(conf.read_text().replace("listen_tls = 0", "listen_tls = 1"))
    box.kill_libvirtd()
    box.start_libvirtd()


# --- ssh -------------------------------------------------------------------------------------------


def _introduce(hosts: Pair, directory: Path) -> Path:
    """Root of the first host may log in on the second; returns another key that may."""
    account, other = (_ssh_key(directory, name) for name in ("account", "other"))
    here, there = (box.directory / "home/.ssh" for box in (hosts.a, hosts.b))
    shutil.copy(account, here / "id_ed25519")
    (here / "known_hosts").write_text(f"{NAME} {_host_key(directory / _HOST_KEY)}\n")
    authorized = there / "authorized_keys"
    authorized.write_text("".join(key.with_suffix(".pub").read_text() for key in (account, other)))
    authorized.chmod(0o600)
    return other


def _ssh_key(directory: Path, name: str) -> Path:
    """A private key; the public one is beside it."""
    key = directory / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return key


def _host_key(file: Path) -> str:
    """Makes the key of an ssh server; the public part in words."""
    made = subprocess.run(
        ["dropbearkey", "-t", "ed25519", "-f", str(file)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return next(line for line in made.stdout.splitlines() if line.startswith("ssh-"))


@contextmanager
def _ssh_server(hosts: Pair, directory: Path) -> Iterator[None]:
    """An ssh server in the second box, for those whose keys it knows."""
    pid = directory / "dropbear.pid"
    listening = ("-p", f"{hosts.address_b}:22", "-P", str(pid))
    with (directory / "dropbear.log").open("wb") as log:
        server = subprocess.Popen(
            hosts.b.command("dropbear", "-F", "-E", "-s", "-r", str(directory / _HOST_KEY), *listening),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_until(lambda: pid.exists() or server.poll() is not None, "the ssh server")
        assert server.poll() is None, (directory / "dropbear.log").read_text()
        yield
    finally:
        server.terminate()
        server.wait(10)
