# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications of real storage pools and networks, from the embedded server to a listener: each change once.

Another process changes them, `virsh`, or the service for pools.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pywbem

from libvirtcim.virt.settings import EventSettings
from tests.hypervisor import PrivateLibvirtd, wait_until
from tests.pools import Pools
from tests.subscribing import POOL, directory_pool, isolated_network, served
from tests.system.conftest import Served, running
from tests.system.telling import MARKER_POOLS, POOLS, Told, told, words
from tests.virt.watching import other_client

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]

ONLY_EVENTS = EventSettings(compare=0)
DISK, NET = "DiskPool/watched", "NetworkPool/watched"
NAME = "watched"
MIB = 1 << 20
FILL = f"head -c {8 * MIB} /dev/zero > "


class Administrator:
    """Somebody with virsh on the hypervisor's machine."""

    def __init__(self, box: PrivateLibvirtd, folder: Path) -> None:
        self._box = box
        self._folder = folder
        self.target = folder / "pool"

    def virsh(self, *arguments: str) -> None:
        """Calls it; a definition among the arguments is given in a file."""
        given = [self._in_file(one) if one.startswith("<") else one for one in arguments]
        self._box.run("virsh", "-q", "-c", "qemu:///system", *given)

    def _in_file(self, definition: str) -> str:
        file = self._folder / "given.xml"
        file.write_text(definition)
        return str(file)

    def shell(self, command: str) -> None:
        """Does something else."""
        self._box.run("sh", "-c", command)


@pytest.fixture
def admin(box: PrivateLibvirtd, tmp_path: Path) -> Iterator[Administrator]:
    """Whose pool lies in a file system of 64 MiB that nobody else writes to."""
    made = Administrator(box, tmp_path)
    made.target.mkdir()
    made.shell(f"mount -t tmpfs -o size=64m tmpfs {made.target}")
    with other_client(box.qemu_uri) as raw:
        others = {handle.UUIDString() for handle in _pools_and_networks(raw)}
    yield made
    with other_client(box.qemu_uri) as raw:
        for handle in _pools_and_networks(raw):
            if handle.UUIDString() in others:
                continue
            stored = handle.isPersistent()
            if handle.isActive():
                handle.destroy()
            if stored:
                handle.undefine()
    made.shell(f"umount {made.target}")


def _pools_and_networks(raw: Any) -> list[Any]:
    return [*raw.listAllStoragePools(), *raw.listAllNetworks()]


@contextmanager
def listening(
    box: PrivateLibvirtd, settings: EventSettings = ONLY_EVENTS
) -> Iterator[tuple[Served, Any, Told]]:
    """The embedded server, another connection to libvirt, and what a listener is told of pools."""
    with ExitStack() as stack:
        served = stack.enter_context(contextmanager(running)({"KVM": box.qemu_uri}, settings))
        raw = stack.enter_context(other_client(box.qemu_uri))
        on = stack.enter_context(told(served.client(), raw, POOLS, marker=MARKER_POOLS))
        yield served, raw, on


UUIDS = [f"5e0f3a10-0c5b-4a54-9a05-0000000001{number:02}" for number in range(3)]
OWN = "<bridge name='virbr77'/><mac address='52:54:00:77:05:01'/>"
"""What libvirt would choose anew at each definition."""


def test_what_virsh_does(box: PrivateLibvirtd, admin: Administrator) -> None:
    net = isolated_network(NAME, "10.77.5.1", uuid=UUIDS[0], extra=OWN)
    with_name = isolated_network(
        NAME, "10.77.5.1", uuid=UUIDS[0], extra=f"{OWN}<domain name='a.example'/>"
    )
    pool = directory_pool(NAME, str(admin.target), uuid=UUIDS[0])
    elsewhere = directory_pool(NAME, "/elsewhere", uuid=UUIDS[0])
    steps: list[tuple[tuple[str, ...], list[str]]] = [
        (("pool-define", pool), [f"Created {DISK} 10"]),
        (("pool-build", NAME), []),
        (("pool-start", NAME), [f"Modified {DISK} 10->2"]),
        (("pool-refresh", NAME), []),
        (("pool-define", elsewhere), [f"Modified {DISK} 2->2"]),
        (("pool-define", pool), [f"Modified {DISK} 2->2"]),
        (("pool-define", pool), []),
        (("pool-destroy", NAME), [f"Modified {DISK} 2->10"]),
        (("pool-undefine", NAME), [f"Deleted {DISK} 10"]),
        (("pool-create", pool), [f"Created {DISK} 2"]),
        (("pool-destroy", NAME), [f"Deleted {DISK} 2"]),
        (("net-define", net), [f"Created {NET} 10"]),
        (("net-start", NAME), [f"Modified {NET} 10->2"]),
        (("net-define", with_name), [f"Modified {NET} 2->2"]),
        (("net-destroy", NAME), [f"Modified {NET} 2->10"]),
        (("net-define", with_name), []),
        (("net-undefine", NAME), [f"Deleted {NET} 10"]),
        (("net-create", net), [f"Created {NET} 2"]),
        (("net-define", net), [f"Modified {NET} 2->2"]),
        (("net-undefine", NAME), [f"Modified {NET} 2->2"]),
        (("net-destroy", NAME), [f"Deleted {NET} 2"]),
    ]
    with listening(box) as (served, _raw, on):
        for arguments, expected in steps:
            admin.virsh(*arguments)
            assert on.words() == expected, arguments
        host = served.hosts.host("KVM")
        assert [w.counters.comparisons for w in host.watchers] == [0, 1, 1]
        assert host.watchers.guests.counters.events == 0


def test_what_a_refresh_finds(box: PrivateLibvirtd, admin: Administrator) -> None:
    """Sizes before and after are those that reads show."""
    with listening(box) as (served, raw, on):
        admin.virsh("pool-create", directory_pool(NAME, str(admin.target)))
        on.settle()
        client = served.client()
        path = pywbem.CIMInstanceName("KVM_DiskPool", {"InstanceID": DISK})
        before = client.GetInstance(path)
        admin.shell(f"{FILL}{admin.target}/image")
        admin.virsh("pool-refresh", NAME)
        (one,) = on.settle()
        assert words(one) == f"Modified {DISK} 2->2"
        assert dict(one["PreviousInstance"]) == dict(before)
        assert dict(one["SourceInstance"]) == dict(client.GetInstance(path))
        sizes = [one[i]["Reserved"] for i in ("PreviousInstance", "SourceInstance")]
        assert (before["Capacity"], sizes) == (64, [0, 8])
        assert one["IndicationIdentifier"] == raw.storagePoolLookupByName(NAME).UUIDString()


def test_what_libvirt_sends_no_event_of(box: PrivateLibvirtd, admin: Administrator) -> None:
    """Found by comparison, told once."""
    steps = {
        ("pool-autostart", NAME): DISK,
        ("vol-create-as", NAME, "image", "8M"): DISK,
        ("net-autostart", NAME): NET,
        ("net-update", NAME, "add", "dns-host", DNS_HOST, "--config"): NET,
        ("net-update", NAME, "add", "ip-dhcp-range", DHCP_RANGE, "--live"): NET,
    }
    admin.virsh("pool-define", directory_pool(NAME, str(admin.target)))
    admin.virsh("pool-start", NAME)
    admin.virsh("net-define", isolated_network(NAME, "10.77.5.1"))
    admin.virsh("net-start", NAME)
    with listening(box, EventSettings(compare=0.1, settle=0.1)) as (served, _raw, on):
        for arguments, pool_id in steps.items():
            admin.virsh(*arguments)
            on.wait(1)
            assert on.words() == [f"Modified {pool_id} 2->2"], arguments
        _compared_again(served)
        assert on.words() == []


DNS_HOST = "<host ip='10.77.5.9'><hostname>nine</hostname></host>"
DHCP_RANGE = "<range start='10.77.5.30' end='10.77.5.40'/>"


def _compared_again(served: Served) -> None:
    for watcher in served.hosts.host("KVM").watchers[1:]:
        compared = watcher.counters.comparisons
        wait_until(lambda w=watcher, c=compared: w.counters.comparisons > c + 2, "comparisons", 30)


def test_what_the_service_does(box: PrivateLibvirtd, admin: Administrator) -> None:
    """A request is one change, with what it asked for."""
    starts = {"Autostart": pywbem.Uint16(1)}
    with listening(box) as (served, raw, on):
        pools = Pools(served.client(), raw)
        made = pools.create(
            "DiskPool", NAME, Type=pywbem.Uint16(1), Path=str(admin.target), **starts
        )
        (one,) = on.settle()
        assert words(one) == f"Created {DISK} 2"
        assert dict(one["SourceInstance"]) == dict(served.client().GetInstance(made))
        assert one["SourceInstance"]["Autostart"] == 1
        pools.call("RefreshResourcesInPool", Pool=made)
        assert on.words() == []
        admin.shell(f"{FILL}{admin.target}/image")
        pools.call("RefreshResourcesInPool", Pool=made)
        assert on.words() == [f"Modified {DISK} 2->2"]
        pools.call("DeleteResourcePool", Pool=made)
        assert on.words() == [f"Deleted {DISK} 2"]
        network = pools.create("NetPool", NAME, Address="10.77.5.1", **starts)
        assert on.words() == [f"Created {NET} 2"]
        pools.call("DeleteResourcePool", Pool=network)
        assert on.words() == [f"Deleted {NET} 2"]
        with pytest.raises(pywbem.CIMError):
            pools.create("DiskPool", NAME, Type=pywbem.Uint16(1), Path="/nonexistent/folder")
        assert on.words() == []


FATES = {
    "stays": (),
    "edited": ("Modified {} 10->10",),
    "removed": ("Deleted {} 10",),
    "stopped": ("Modified {} 2->10",),
    "replaced": ("Deleted {} 10", "Created {} 10"),
    "new": ("Created {} 10",),
}
"""What becomes of a storage pool and a network of that name while libvirtd is down, and what is told."""
RUNNING = ("stays", "stopped")


def test_changes_while_libvirtd_is_down(box: PrivateLibvirtd, admin: Administrator) -> None:
    """Each is told of once when it is back, what has gone before what has its name now."""
    with other_client(box.qemu_uri) as raw:
        for number, name in enumerate(FATES):
            if name != "new":
                _make(raw, admin, name, f"10.77.{number}.1")
    with listening(box, EventSettings(compare=0.3, settle=0.3)) as (served, _raw, on):
        box.kill_libvirtd()
        connection = served.hosts.host("KVM").connection
        wait_until(lambda: connection.status().libvirt_version is None, "a loss")
        for stored in ("storage", "qemu/networks"):
            _befall(box.directory / "etc" / stored)
        for state in ("storage", "network"):
            (box.directory / "run" / state / "stopped.xml").unlink()
        admin.shell(f"rmdir {admin.target}/stopped")  # else libvirtd finds that its pool runs
        box.start_libvirtd()
        assert connection.wait_open(20)
        _compared_again(served)
        with other_client(box.qemu_uri) as raw:
            found = on.words_by(raw)
    for kind in ("DiskPool", "NetworkPool"):
        for name, told_of in FATES.items():
            pool_id = f"{kind}/{name}"
            expected = [one.format(pool_id) for one in told_of]
            assert [one for one in found if one.split()[1] == pool_id] == expected
    assert len(found) == 2 * sum(map(len, FATES.values()))


def _make(raw: Any, admin: Administrator, name: str, address: str) -> None:
    """A storage pool and a network of that name."""
    folder = admin.target / name
    pool = raw.storagePoolDefineXML(directory_pool(name, str(folder)))
    network = raw.networkDefineXML(isolated_network(name, address))
    if name in RUNNING:
        admin.shell(f"mkdir {folder}")
        pool.create()
        network.create()


def _befall(stored: Path) -> None:
    """Changes libvirtd's files of the definitions of one kind."""
    edited, replaced = stored / "edited.xml", stored / "replaced.xml"
    text = edited.read_text()
    edited.write_text(text.replace("/edited<", "/other<").replace(".1.1'", ".1.9'"))
    (stored / "removed.xml").unlink()
    text = replaced.read_text()
    uuid = text.partition("<uuid>")[2].partition("</uuid>")[0]
    replaced.write_text(text.replace(uuid, UUIDS[1]))
    new = text.replace(uuid, UUIDS[2]).replace("replaced", "new")
    (stored / "new.xml").write_text(new.replace("virbr", "virbrn"))


def test_pools_of_containers(box: PrivateLibvirtd, admin: Administrator) -> None:
    """Are told of in the classes of their family."""
    with served("LXC", box.lxc_uri) as world, other_client(box.lxc_uri) as raw:
        world.subscribe(POOL)
        admin.virsh("net-create", isolated_network(NAME, "10.77.5.1"))
        admin.virsh("pool-create", directory_pool(NAME, str(admin.target)))
        world.settle_pools(raw)
        made = {i["SourceInstance"].cls.name for i in world.of(POOL, "Created")}
        assert made == {"LXC_NetworkPool", "LXC_DiskPool"}
        assert len(world.got) == 2
