# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests moved over TLS and over ssh: certificates and keys are checked as administrators would expect."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import pywbem

from bench.served import Server
from tests import hypervisor, secured
from tests.migration import LIVE, OFFLINE, Mover
from tests.needs import skip_where
from tests.pair import Pair
from tests.secured import NAME, Secured

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("migration")]

SSH, TLS_UNVERIFIED, TLS = 2, 3, 4
GUEST = "m1"


@pytest.fixture(scope="module")
def place(hosts: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    skip_where(secured.why_not())
    with secured.secured(hosts, tmp_path_factory.mktemp("secured")) as made:
        yield made


@pytest.fixture(scope="module")
def server(place: Secured) -> Iterator[Server]:
    """A server over the first host that knows the keys and certificates."""
    key = place.hosts.a.directory / "home/special-key"
    with Server(
        place.hosts.a.qemu_uri, "--migrate-ssh-temp-key", str(key), wrapper=place.inside
    ) as made:
        yield made


@pytest.fixture
def mover(server: Server, hosts: Pair) -> Iterator[Mover]:
    made = Mover(pywbem.WBEMConnection(server.url, default_namespace="root/virt"), hosts)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("transport", "to"), [(SSH, NAME), (TLS, NAME), (TLS_UNVERIFIED, None)],
    ids=["ssh", "TLS", "TLS, unverified"],
)  # fmt: skip
def test_there(mover: Mover, transport: int, to: str | None) -> None:
    """A guest that runs, which libvirtd itself moves by the same way; and one that is off."""
    to = to or mover.hosts.address_b
    for kind, then in ((LIVE, "runs"), (OFFLINE, "is off")):
        domain = mover.a.defineXML(hypervisor.qemu_guest(f"{GUEST}-{kind}"))
        if kind == LIVE:
            domain.create()
        job = mover.move(domain.name(), kind, to=to, TransportType=transport)
        assert (job["Status"], job["ErrorCode"]) == ("Completed", 0)
        assert mover.places(domain.name()) == {"b": then}


@pytest.mark.parametrize(
    ("transport", "scheme", "words"),
    [(TLS, "tls", "certificate"), (SSH, "ssh", "Host key verification failed")],
    ids=["TLS", "ssh"],
)
def test_a_host_that_is_another(mover: Mover, transport: int, scheme: str, words: str) -> None:
    """The certificate is not for its address, nor is its key known for that: nothing is sent there."""
    mover.a.defineXML(hypervisor.qemu_guest(GUEST))
    address = mover.hosts.address_b
    with pytest.raises(pywbem.CIMError) as raised:
        mover.start(GUEST, OFFLINE, to=address, TransportType=transport)
    told = raised.value.status_description
    assert f"Failed to connect to remote host (qemu+{scheme}://{address}/system)" in told
    assert words in told
    assert mover.places(GUEST) == {"a": "is off"}


def test_ssh_with_a_key_of_its_own(mover: Mover, place: Secured) -> None:
    """MigrateSSHKeyCopy puts it where it is used; the account's own key is not needed."""
    mover.a.defineXML(hypervisor.qemu_guest(GUEST)).create()
    own = place.hosts.a.directory / "home/.ssh/id_ed25519"
    aside = own.rename(own.with_name("aside"))
    try:
        with pytest.raises(pywbem.CIMError, match="Permission denied"):
            mover.start(GUEST, LIVE, to=NAME, TransportType=SSH)
        call = mover.client.InvokeMethod
        assert call("MigrateSSHKeyCopy", mover.service, SSH_Key_Src=str(place.key))[0] == 0
        job = mover.move(GUEST, LIVE, to=NAME, own_key=True, TransportType=SSH)
        assert (job["Status"], job["ErrorCode"]) == ("Completed", 0)
        assert mover.places(GUEST) == {"b": "runs"}
        assert call("MigrateSSHKeyDelete", mover.service)[0] == 0
        with pytest.raises(pywbem.CIMError, match="Failed to connect to remote host"):
            mover.start(GUEST, LIVE, to=NAME, own_key=True, TransportType=SSH)
    finally:
        aside.rename(own)
