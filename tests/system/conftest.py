# SPDX-License-Identifier: LGPL-2.1-or-later
"""A whole libvirtcim: the embedded server over real hypervisors, and over the sample host."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pywbem

from libvirtcim import serve
from libvirtcim.config import Config, General
from libvirtcim.demo import sample_uri
from libvirtcim.server.http import CIMServer
from libvirtcim.server.settings import ServerSettings
from libvirtcim.virt.host import Hosts
from libvirtcim.virt.settings import EventSettings, HostSettings
from tests import hypervisor
from tests.virt.conftest import box, guest_image

__all__ = ["box", "guest_image"]

XEN_HOST = Path(__file__).parent.parent / "data" / "xen-host.xml"


@dataclass(frozen=True)
class Served:
    """A running server and what it serves."""

    url: str
    hosts: Hosts
    server: CIMServer

    def client(self) -> pywbem.WBEMConnection:
        """A connection whose default namespace is root/virt."""
        return pywbem.WBEMConnection(self.url, default_namespace="root/virt", timeout=60)


def running(
    connections: dict[str, str], events: EventSettings | None = None, **settings: Any
) -> Iterator[Served]:
    """Serves the connections on a free port until the test is over; `settings` of the server."""
    chosen = ServerSettings(listen=(("127.0.0.1", 0),), **{"subscriptions": "", **settings})
    config = Config(General(), connections, (), chosen)
    hosts = Hosts(
        connections,
        settings=HostSettings(side_file_dir=None, events=events or EventSettings()),
    )
    server = serve.make_server(config, hosts)
    server.start()
    try:
        host, port = server.addresses[0]
        yield Served(f"http://{host}:{port}", hosts, server)
    finally:
        server.stop()
        hosts.close()


@pytest.fixture(scope="session")
def sample() -> Iterator[Served]:
    """The sample guests of libvirt's test hypervisor, as KVM; a Xen-shaped host; no LXC."""
    yield from running({"KVM": sample_uri(), "Xen": f"test://{XEN_HOST}"})


@pytest.fixture(scope="session")
def real(box: hypervisor.PrivateLibvirtd) -> Iterator[Served]:
    """QEMU as KVM and LXC of a private libvirtd."""
    yield from running({"KVM": box.qemu_uri, "LXC": box.lxc_uri})


@pytest.fixture(scope="session")
def container_root() -> Iterator[Path]:
    """Root directory for containers."""
    with tempfile.TemporaryDirectory(prefix="lxcroot-") as folder:
        yield hypervisor.build_container_root(Path(folder))


@pytest.fixture
def device(box: hypervisor.PrivateLibvirtd, tmp_path: Path) -> Iterator[str]:
    """A block device of 32 MiB."""
    image = tmp_path / "disk"
    image.touch()
    os.truncate(image, 32 << 20)
    try:
        found = box.run("losetup", "-f", "-P", "--show", str(image)).stdout.strip()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device: {error.stderr}")
    yield found
    box.run("losetup", "-d", found)
