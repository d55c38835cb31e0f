# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two private libvirtds that reach each other, and are reached from here, over TCP: to move guests between.

The network interfaces on this side are ends of cables into the boxes: they go with the boxes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.hypervisor import PrivateLibvirtd

LISTENING = 'listen_tcp = 1\nauth_tcp = "none"\n'


@dataclass(frozen=True, slots=True)
class Pair:
    """The libvirtds, and the address of each."""

    a: PrivateLibvirtd
    b: PrivateLibvirtd
    address_a: str
    address_b: str


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _cable(one: PrivateLibvirtd | None, ends: tuple[str, str], other: PrivateLibvirtd) -> None:
    """A pair of interfaces: one in a box (None: here), one in another box."""
    place = () if one is None else ("netns", str(one.first_process))
    peer = ("peer", "name", ends[1], "netns", str(other.first_process))
    _ip("link", "add", ends[0], *place, "type", "veth", *peer)


def _connect(box: PrivateLibvirtd | None, interface: str, own: str, other: str) -> None:
    """Brings an end of a cable up; the other end has one address, to which there is a route."""
    for arguments in (
        ("addr", "add", f"{own}/32", "peer", f"{other}/32", "dev", interface),
        ("link", "set", interface, "up"),
    ):
        if box is None:
            _ip(*arguments)
        else:
            box.run("ip", *arguments)


@contextmanager
def pair(directory: Path) -> Iterator[Pair]:
    """Both, with cables between each two of them and this machine; one pair at a time in a process."""
    number = os.getpid() % 65536
    network = f"10.{90 + number % 100}.{number // 256}"
    here, a_address, b_address = (f"{network}.{last}" for last in (1, 2, 3))
    with ExitStack() as stack:
        boxes = []
        for name, address in (("a", a_address), ("b", b_address)):
            (directory / name).mkdir()
            boxes.append(
                stack.enter_context(
                    PrivateLibvirtd(
                        directory / name,
                        libvirtd_conf=LISTENING,
                        qemu_conf=f'migration_host = "{address}"\n',
                        listen=True,
                    )
                )
            )
        a, b = boxes
        tag = f"{number:x}"
        _cable(None, (f"lva{tag}", "here"), a)
        _cable(None, (f"lvb{tag}", "here"), b)
        _cable(a, ("there", "there"), b)
        _connect(None, f"lva{tag}", here, a_address)
        _connect(a, "here", a_address, here)
        _connect(None, f"lvb{tag}", here, b_address)
        _connect(b, "here", b_address, here)
        _connect(a, "there", a_address, b_address)
        _connect(b, "there", b_address, a_address)
        yield Pair(a, b, a_address, b_address)
