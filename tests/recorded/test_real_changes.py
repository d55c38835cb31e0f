# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recorded changes of guests that run or are paused, on a real libvirt: the same changes in force and
stored, or the same error, but for what has a reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import libvirt
import pytest

from libvirtcim import composition
from libvirtcim.providers.resource_allocation import target
from libvirtcim.virt.host import Hosts
from libvirtcim.virt.settings import HostSettings
from tests import hypervisor
from tests.recorded import methods, real
from tests.recorded.real import Real
from tests.recorded.test_replay import VARIABLE
from tests.virt.conftest import box, guest_image

__all__ = ["box", "guest_image"]

pytestmark = [
    pytest.mark.skipif(
        VARIABLE not in os.environ, reason=f"{VARIABLE} names no directory with recordings"
    ),
    pytest.mark.hypervisor,
    pytest.mark.xdist_group("hypervisor"),
]
BUG = "libvirt-cim's mistake: "
REASONS = {
    r".*: diff -[-+] *<shares>.*": BUG + "any change loses the weight",
    r"sys-.*: diff -[-+]<domain type='(qemu|kvm)'>": BUG + "what is not given gets its default",
    r".*@paused: live_diff \+.*": "guests that are paused are changed too",
    r"add-graphics-sdl.*: diff --.*audio.*|rem-graphics.*: diff -.*": BUG
    + "what isn't named gets lost, or becomes a default",
    r"add-good-then-bad.*: (live_)?diff -\+.*": "all or nothing",
    r"mod-.*-nothing.*: accepted, not .*": "what is given as it is shown isn't changed",
    r"mod-mem-.*: accepted, not .*maximum memory on an active domain": "the maximum changes with the next "
    "start",
    r"mod-mem-.*: diff \+[-+] *<(memory|currentMemory) .*": "what runs is stored too",
    r"mod-proc-weight-0.*: diff -\+.*|mod-proc-weight-0.*: diff \+-.*cputune>": "no weight instead of 0, "
    "with which QEMU doesn't start",
    r"mod-proc-limit.*: (live_)?diff \+\+.*": "the limit is kept in the guest's metadata, not in a file",
    r"mod-graphics-.*: diff [-+][-+] *<graphics .*": BUG
    + "the password is overwritten with asterisks, the port with the live one",
    r"rem-controller.*: accepted, not .*|rem-controller.*: (live_)?diff \+-.*controller.*": "controllers are "
    "unplugged where libvirt can",
}
"""Pattern of a row and its difference → why it is one."""


@pytest.fixture
def network(box: hypervisor.PrivateLibvirtd) -> Iterator[None]:
    """The network of the recorded host, and its interface."""
    with ExitStack() as undo:
        raw = libvirt.open(box.qemu_uri)
        undo.callback(raw.close)
        made = raw.networkDefineXML(
            "<network><name>default</name><bridge name='virbr0'/></network>"
        )
        undo.callback(made.undefine)
        made.create()
        undo.callback(made.destroy)
        box.run("ip", "link", "add", "nic0", "type", "veth", "peer", "name", "nic1")
        undo.callback(box.run, "ip", "link", "del", "nic0")
        yield


def connected(uris: dict[str, str], uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Real]:
    """A broker over hypervisors, and a connection to one of them, which has no guests afterwards."""
    monkeypatch.setattr(target, "kind_here", methods.kind_of_path)
    with ExitStack() as undo:
        raw = libvirt.open(uri)
        undo.callback(raw.close)
        hosts = Hosts(uris, settings=HostSettings(side_file_dir=None))
        undo.callback(hosts.close)
        found = Real(raw, composition.broker(hosts))
        undo.callback(found.clear)
        yield found


@pytest.fixture
def qemu(
    box: hypervisor.PrivateLibvirtd,
    guest_image: Path,
    network: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Real]:
    """A QEMU host with what the recorded one had; a Xen that doesn't answer."""
    for name in ("a.img", "b.img", "cd1.iso", "cd2.iso"):
        (box.directory / "lib/images" / name).write_bytes(guest_image.read_bytes())
    uris = {"KVM": box.qemu_uri, "Xen": "xen:///system"}
    yield from connected(uris, box.qemu_uri, monkeypatch)


@pytest.fixture
def lxc(
    box: hypervisor.PrivateLibvirtd, network: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Real]:
    """An LXC host with what the recorded one had."""
    root = hypervisor.build_container_root(box.directory / "lib/images")
    (root / "sbin").mkdir(exist_ok=True)
    init = root / "sbin/init"
    if not init.is_symlink():
        init.symlink_to("../bin/busybox")
    yield from connected({"LXC": box.lxc_uri}, box.lxc_uri, monkeypatch)


def compared(host: Real, rows: list[dict[str, Any]], base: str) -> list[tuple[str, str]]:
    """All differences of changes of a guest that is there or not, by row."""
    found: list[tuple[str, str]] = []
    for row in rows:
        host.start_from(base, methods.state_of(row))
        found += [(row["id"], f"{row['id']}: {one}") for one in real.differences(row, host, "g")]
    return found


def active_rows(family: str) -> list[dict[str, Any]]:
    """Recorded changes of guests that run or are paused."""
    every = methods.rows(Path(os.environ[VARIABLE]), family, methods.CHANGES)
    return [row for row in every if methods.state_of(row) in ("running", "paused")]


def test_recorded_changes_of_guests_that_run_and_the_reasons_of_all_differences(qemu: Real) -> None:
    rows = active_rows("kvm")
    assert len(rows) > 60
    base = methods.base_guest(Path(os.environ[VARIABLE]), "kvm")
    found = compared(qemu, rows, base.replace("<domain type='kvm'>", "<domain type='qemu'>"))
    methods.check_reasons(found, REASONS)


CONTAINER_REASONS = {
    r".*: (live_)?diff -[-+] *<shares>.*": BUG
    + "any change loses the weight, or makes it the default",
    r".*: diff -[-+] *</?(console|resource|partition|target type='lxc').*": BUG
    + "what it doesn't know gets lost, and a console is added",
    r"sys-nothing.*: diff -[-+] *<init>.*": BUG + "what is not given gets its default",
    r"mod-.*-nothing.*: accepted, not .*": "what is given as it is shown isn't changed",
    r"mod-mem-.*: accepted, not .*max memory on an active domain": "the maximum changes with the next start",
    r"mod-mem-.*: diff \+[-+] *<(memory|currentMemory) .*": "what runs is stored too",
    r"mod-proc-weight.*: accepted, not .*virDomainSetVcpus": BUG + "what isn't given is set",
    r"mod-proc-weight.*: diff \+[-+] *<shares>.*|mod-proc-weight.*: (live_)?diff \+\+.*": "what runs is "
    "stored too, and kept in the guest's metadata",
    r"mod-disk-address.*: 1 .*Unable to modify live devices.*": "what isn't named stays; libvirt can't",
}


def test_recorded_changes_of_containers_that_run_and_the_reasons_of_all_differences(
    lxc: Real,
) -> None:
    base = methods.base_guest(Path(os.environ[VARIABLE]), "lxc")
    found = compared(lxc, active_rows("lxc"), base.replace("lxcroot", "container"))
    methods.check_reasons(found, CONTAINER_REASONS)


ENDS = ("DestroySystem", "service")
END_REASONS = {
    r"destroy-managed-save: .*": "saved state is removed with the guest",
    r"xen-(service|modify): .*Unable to connect to hypervisor.*": "a hypervisor that isn't there is told "
    "alike by all methods",
}


def test_recorded_ends_of_guests_and_the_reasons_of_all_differences(qemu: Real) -> None:
    found: list[tuple[str, str]] = []
    for row in methods.rows(Path(os.environ[VARIABLE]), "kvm", ENDS):
        for name in row.get("domains", {"d1": None}):
            has_guest(qemu, name, row["id"])
        found += [(row["id"], f"{row['id']}: {one}") for one in end_differences(row, qemu)]
    methods.check_reasons(found, END_REASONS)


def test_recorded_ends_of_containers(lxc: Real) -> None:
    folder = Path(os.environ[VARIABLE])
    base = methods.base_guest(folder, "lxc").replace("lxcroot", "container")
    for row in methods.rows(folder, "lxc", ENDS):
        lxc.start_from(base, methods.state_of(row))
        assert list(end_differences(row, lxc)) == []


def has_guest(host: Real, name: str, call: str) -> None:
    """Has a guest as a call found it, and no other."""
    text = hypervisor.qemu_guest(name)
    if call == "destroy-transient":
        host.clear()
        host.raw.createXML(text)
        return
    host.start_from(text, call.removeprefix("destroy-"))
    if call == "destroy-managed-save":
        domain = host.raw.lookupByName(name)
        domain.create()
        domain.managedSave()


def end_differences(row: dict[str, Any], host: Real) -> Iterator[str]:
    yield from methods.answers_unlike(row.get("error"), methods.call(row, host.broker))
    left = {domain.name() for domain in host.raw.listAllDomains()}
    for name, then in row.get("domains", {}).items():
        if then.get("gone", False) != (name not in left):
            yield f"{name} is {'there' if name in left else 'gone'}"
