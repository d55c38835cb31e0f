# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recorded changes of network filters, made again on a real libvirt: the same result, but for what has a
reason."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import libvirt
import pytest

from libvirtcim import composition
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.errors import CIMError
from libvirtcim.cim.objects import Given, GivenInstance, InstancePath, RequestContext
from libvirtcim.virt.host import Hosts
from libvirtcim.virt.settings import HostSettings
from tests import hypervisor
from tests.recorded import methods
from tests.recorded.test_replay import VARIABLE
from tests.virt.conftest import box

__all__ = ["box"]

pytestmark = [
    pytest.mark.skipif(
        VARIABLE not in os.environ, reason=f"{VARIABLE} names no directory with recordings"
    ),
    pytest.mark.hypervisor,
    pytest.mark.xdist_group("hypervisor"),
]

CONTEXT = RequestContext()
GUEST = "af"
NICS = (
    "<interface type='network'><mac address='00:16:3e:11:22:78'/><source network='default'/>"
    "<model type='rtl8139'/></interface>"
    "<interface type='user'><mac address='00:16:3e:11:22:77'/><model type='rtl8139'/></interface>"
)
REASONS = {
    r"applied-.*: -[-+].*": "libvirt-cim's mistake: any change loses what it doesn't know",
    r"applied-create-running: \+live .*|applied-delete-running: \+live .*": "guests that run are changed too",
    r"nested-create: [-+] .*": "libvirt-cim's mistake: rules, priority and parameters of the parent are lost",
    r"filter-create-properties: [-+].*": "Priority is honoured",
    r"filter-create-amp: refused: 1 .*can't keep a filter named.*": "a filter that nobody could read is "
    "refused",
    r"nested-delete-not-nested: refused: .*it is not included": "the same answer whatever else the parent "
    "includes",
    r"applied-create-user-nic: refused: .*type user": "what libvirt would drop is refused",
    r"applied-unknown-(filter|nic): .*object does not exist.*": "the end that is missing is named",
    r"applied-(unknown-domain|malformed): .*object does not exist.*": "no crash",
    r"applied-create2: \+- *<filterref filter='par'/>": "what wasn't cleared before is replaced",
    r"applied-delete-(other-filter|none): refused: 6 .*does not guard.*": "nothing but what is named is "
    "cleared",
}
"""Pattern of a row and its difference → why it is one."""


class World:
    """A QEMU host with the guest of the recording, and a broker over it."""

    def __init__(self, raw: Any, broker: Broker) -> None:
        self.raw = raw
        self.broker = broker

    def filter_xml(self, name: str) -> str | None:
        """The definition of a filter without its UUID; None where there is none."""
        try:
            text: str = self.raw.nwfilterLookupByName(name).XMLDesc(0)
        except libvirt.libvirtError:
            return None
        return normal(text)

    def put(self, text: str) -> None:
        """Has a filter be as it was before a call."""
        name = re.search(r"name='([^']*)'", text)
        assert name is not None
        self.remove(name[1])
        self.raw.nwfilterDefineXML(text)

    def remove(self, name: str) -> None:
        """Has no filter of a name be there."""
        with suppress(libvirt.libvirtError):
            self.raw.nwfilterLookupByName(name).undefine()

    def guest(self, flags: int) -> list[str]:
        """The definition of the guest by lines."""
        text: str = self.raw.lookupByName(GUEST).XMLDesc(flags)
        return text.splitlines()


def normal(text: str | None) -> str | None:
    """A filter's definition without its UUID."""
    return None if text is None else re.sub(r" *<uuid>.*</uuid>\n", "", text)


@pytest.fixture
def world(box: hypervisor.PrivateLibvirtd) -> Iterator[World]:
    with ExitStack() as undo:
        raw = libvirt.open(box.qemu_uri)
        undo.callback(raw.close)
        hosts = Hosts({"KVM": box.qemu_uri}, settings=HostSettings(side_file_dir=None))
        undo.callback(hosts.close)
        network = raw.networkDefineXML(
            "<network><name>default</name><bridge name='afbr0'/></network>"
        )
        undo.callback(network.undefine)
        network.create()
        undo.callback(network.destroy)
        domain = raw.defineXML(hypervisor.qemu_guest(GUEST, devices=NICS))
        undo.callback(domain.undefine)
        undo.callback(lambda: domain.isActive() and domain.destroy())
        before = {found.name() for found in raw.listAllNWFilters()}
        yield World(raw, composition.broker(hosts))
        for found in raw.listAllNWFilters():
            if found.name() not in before:
                found.undefine()


def replayed(row: dict[str, Any]) -> bool:
    """Whether a recorded call is made again: others read, which recorded reads are there for."""
    return row["op"] in ("CreateInstance", "DeleteInstance") and "request" in row


def ask(row: dict[str, Any], broker: Broker) -> None:
    request = dict(row["request"])
    kind = "NestedFilterList" if row["id"].startswith("nested") else "FilterList"
    classname = request.pop("class", f"KVM_{kind}")
    values = {
        name: methods.path_of(value) if str(value).startswith("KVM_") else value
        for name, value in request.items()
    }
    if row["op"] == "CreateInstance":
        given = {name: Given(value) for name, value in values.items()}
        broker.create_instance(CONTEXT, "root/virt", GivenInstance(classname, given))
    else:
        broker.delete_instance(CONTEXT, InstancePath(classname, tuple(values.items()), "root/virt"))


def prepare(row: dict[str, Any], world: World) -> None:
    """What the call found there."""
    for value in row["request"].values():
        name = methods.path_of(value).text("Name") if str(value).startswith("KVM_Filter") else ""
        if name and name != "nosuch" and world.filter_xml(name) is None:
            world.raw.nwfilterDefineXML(f"<filter name='{name}'/>")
    if row.get("before"):
        world.put(row["before"])
    domain = world.raw.lookupByName(GUEST)
    running = row.get("domains", {}).get(GUEST, {}).get("state") == "running"
    if running != bool(domain.isActive()):
        (domain.create if running else domain.destroy)()


def differences(row: dict[str, Any], world: World) -> Iterator[str]:
    prepare(row, world)
    flags = (libvirt.VIR_DOMAIN_XML_INACTIVE, 0)
    before = [world.guest(flag) for flag in flags]
    expected, failed = row.get("error"), None
    try:
        ask(row, world.broker)
    except CIMError as error:
        failed = error
    yield from methods.answers_unlike(expected, failed)
    if "after" in row and failed is None:
        name = row["request"].get("Name") or methods.path_of(row["request"]["Antecedent"]).text(
            "Name"
        )
        yield from changed(normal(row["after"]), world.filter_xml(name))
    if "domains" in row and failed is None:
        stored, live = map(changed, before, map(world.guest, flags))
        recorded = row["domains"][GUEST].get("diff", "").splitlines()
        wanted = [line for line in recorded if line.startswith(("+", "-"))]
        yield from (f"-{line}" for line in wanted if line not in stored)
        yield from (f"+{line}" for line in stored if line not in wanted)
        if row["domains"][GUEST]["state"] == "running":
            yield from (f"+live {line}" for line in live)


def changed(before: Any, after: Any) -> list[str]:
    """The lines that went and came."""
    old, new = (
        text.splitlines() if isinstance(text, str) else text or [] for text in (before, after)
    )
    lines = difflib.ndiff(old, new)
    return [line[0] + line[2:] for line in lines if line.startswith(("+", "-"))]


def test_recorded_changes_of_filters_and_the_reasons_of_all_differences(world: World) -> None:
    rows = methods.rows(Path(os.environ[VARIABLE]), "kvm", ("filters",))
    par = next(row["note"] for row in rows if row["id"] == "filter-get-par").partition(": ")[2]
    found = []
    for row in filter(replayed, rows):
        if row["id"] == "nested-create":
            world.put(par)
        found += [(row["id"], f"{row['id']}: {one}") for one in differences(row, world)]
    methods.check_reasons(found, REASONS)
