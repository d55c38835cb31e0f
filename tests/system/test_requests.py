# SPDX-License-Identifier: LGPL-2.1-or-later
"""What clients ask for is accepted by the drivers of QEMU and LXC, and read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import hypervisor
from tests.providers.request_rows import IMAGE, Row, rows_of
from tests.providers.requests import Requests, served
from tests.providers.wiring import KVM, LXC, NAME

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]


@pytest.fixture
def requests(
    request: pytest.FixtureRequest, box: hypervisor.PrivateLibvirtd, tmp_path: Path
) -> Iterator[Requests]:
    """A family's service over the real hypervisor; the guest is gone afterwards."""
    prefix: str = request.node.callspec.params["prefix"]
    uri = {KVM: box.qemu_uri, LXC: box.lxc_uri}[prefix]
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    with served(prefix, uri, {IMAGE: str(image)}) as made:
        yield made
        if NAME in [guest.name for guest in made.host.guests()]:
            made.destroy()


ROWS = [(prefix, row) for prefix in (KVM, LXC) for row in rows_of(prefix, real=True)]


@pytest.mark.parametrize(("prefix", "row"), ROWS, ids=str)
def test_it_is_accepted(requests: Requests, prefix: str, row: Row) -> None:
    requests.define_with(row)
    requests.check(row)
