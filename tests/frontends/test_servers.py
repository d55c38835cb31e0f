# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real guests, many clients, much work and outages, through every CIM server that is there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
import pytest
import pywbem

from tests import hypervisor
from tests.cimom.listener import Listener, subscribed
from tests.cimom.pegasus import Pegasus
from tests.cimom.sfcb import Sfcb
from tests.cmpi.conftest import environment, plugin
from tests.frontends.cimoms import Hosting
from tests.frontends.conftest import HOSTINGS
from tests.hypervisor import PrivateLibvirtd, wait_until
from tests.management import Manager
from tests.migration import MOVED, OFFLINE, Mover
from tests.network_filters import Filters
from tests.pair import Pair
from tests.subscribing import isolated_network
from tests.virt.watching import defined

__all__ = ["environment", "plugin"]

CLASS, NAMESPACE = "KVM_ComputerSystem", "root/virt"
GUEST = "switched"
OPERATIONS = int(os.environ.get("LIBVIRTCIM_OPERATIONS", "1000"))
"""Operations during which nothing may grow; the environment variable asks for more."""
WARM_UP = 300
MAX_GROWTH_KB = 4096
SERVERS_OWN_THREADS = 16
"""OpenPegasus keeps a pool of threads, of agents too, which grows when requests come close together."""
CLIENTS = 64
DEADLINE = 60.0


@dataclass(frozen=True, slots=True)
class Served:
    """A server over a private libvirtd that has one QEMU guest, and another that guests can move to."""

    hosting: Hosting
    server: Pegasus | Sfcb
    hosts: Pair
    image: Path
    """What guests boot from that listen to their power button."""

    @property
    def box(self) -> PrivateLibvirtd:
        """The libvirtd that is served."""
        return self.hosts.a

    @property
    def as_text(self) -> bool:
        """SFCB finds no EmbeddedInstance qualifier at methods that a class inherits."""
        return self.hosting.cimom == "sfcb"

    def client(self) -> pywbem.WBEMConnection:
        """A client of its own connection."""
        return pywbem.WBEMConnection(self.server.url, default_namespace=NAMESPACE, timeout=60)

    def delete(self, client: pywbem.WBEMConnection, path: pywbem.CIMInstanceName) -> None:
        """Deletes an instance: SFCB answers with an empty result, which pywbem doesn't expect."""
        strict = self.hosting.cimom != "sfcb"
        with nullcontext() if strict else suppress(pywbem.CIMXMLParseError):
            client.DeleteInstance(path)

    @property
    def path(self) -> pywbem.CIMInstanceName:
        """The guest for CIM clients."""
        keys = {"CreationClassName": CLASS, "Name": GUEST}
        return pywbem.CIMInstanceName(CLASS, keys, namespace=NAMESPACE)

    def state(self) -> int:
        """libvirt's own state of the guest."""
        with closing(libvirt.open(self.box.qemu_uri)) as connection:
            return int(connection.lookupByName(GUEST).state()[0])

    def usage(self) -> tuple[int, int, int]:
        """Memory in kB, descriptors and threads of the process that serves."""
        process = Path("/proc") / str(self.hosting.provider(self.server))
        status = dict(re.findall(r"^(\w+):\s*(\d+)", (process / "status").read_text(), re.M))
        files = len(list((process / "fd").iterdir()))
        return int(status["VmRSS"]), files, int(status["Threads"])


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What guests boot from."""
    return hypervisor.build_guest_image(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def hosts(hosts: Pair, image: Path) -> Iterator[Pair]:
    """The libvirtds, the first with one guest."""
    with closing(libvirt.open(hosts.a.qemu_uri)) as connection:
        connection.defineXML(hypervisor.qemu_guest(GUEST, image))
    yield hosts
    with closing(libvirt.open(hosts.a.qemu_uri)) as connection:
        domain = connection.lookupByName(GUEST)
        if domain.isActive():
            domain.destroy()
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.xdist_group(hosting.group))
        for name, hosting in HOSTINGS.items()
    ],
)
def served(
    request: pytest.FixtureRequest,
    hosts: Pair,
    image: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    """Each server in turn."""
    config = tmp_path_factory.mktemp("config") / "libvirtcim.toml"
    saves = config.parent / "saves"
    saves.mkdir()
    config.write_text(
        f'snapshot_directory = "{saves}"\n[connections]\nKVM = "{hosts.a.qemu_uri}"\n'
    )
    hosting = HOSTINGS[request.param]
    with hosting.running(request, config) as server:
        yield Served(hosting, server, hosts, image)


pytestmark = [pytest.mark.cimom, pytest.mark.hypervisor]


def request_state(client: pywbem.WBEMConnection, path: pywbem.CIMInstanceName, state: int) -> int:
    value, _outputs = client.InvokeMethod(
        "RequestStateChange", path, RequestedState=pywbem.Uint16(state)
    )
    return int(value)


MADE = "made"


def test_a_guest_is_made_changed_and_destroyed(served: Served) -> None:
    """With embedded instances and with such as text; references and arrays both ways."""
    manager = Manager(served.client(), "KVM", served.box.qemu_uri, as_text=served.as_text)
    memory = manager.setting("Mem", VirtualQuantity=pywbem.Uint64(32), AllocationUnits="MegaBytes")
    processor = manager.setting("Proc", VirtualQuantity=pywbem.Uint64(1))
    path = manager.define(MADE, memory, processor)
    try:
        assert (path["Name"], path.classname) == (MADE, CLASS)
        (nic,) = manager.add(
            MADE, manager.setting("Net", NetworkType="user", Address="00:16:3e:00:aa:bb")
        )
        shown = manager.client.GetInstance(nic)
        assert (shown["Address"], shown["NetworkType"]) == ("00:16:3e:00:aa:bb", "user")
        text = (
            "instance of KVM_MemResourceAllocationSettingData { "
            f'InstanceID = "{MADE}/mem"; VirtualQuantity = 24; AllocationUnits = "MegaBytes"; }};'
        )
        manager.call("ModifyResourceSettings", ResourceSettings=[text])
        assert manager.xml(MADE, stored=True).findtext("currentMemory") == str(24 * 1024)
        manager.remove(nic)
        assert manager.xml(MADE).find("devices/interface") is None
        with pytest.raises(pywbem.CIMError) as raised:
            manager.define(MADE, memory, processor)
        assert "Failed to define domain: " in raised.value.status_description
    finally:
        manager.destroy(path)
    assert MADE not in [domain.name() for domain in manager.raw.listAllDomains()]
    manager.raw.close()


def test_guests_move_to_another_host(served: Served) -> None:
    """By jobs that can be followed, in all ways; what fails says why, and the guest stays."""
    mover = Mover(served.client(), served.hosts, as_text=served.as_text)
    try:
        for job in mover.move_in_all_ways(served.image).values():
            assert job.path.classname == "KVM_MigrationJob"
            ending = (job["Status"], job["ErrorCode"], job["PercentComplete"])
            assert ending == ("Completed", 0, 100)
            served.delete(mover.client, job.path)
        name = MOVED[OFFLINE]
        mover.a.defineXML(hypervisor.qemu_guest(name))
        failed = mover.move(name, OFFLINE)
        assert failed["Status"] == f"Remote already has domain `{name}'"
        assert mover.places(name) == {"a": "is off", "b": "is off"}
        _value, out = mover.client.InvokeMethod("GetError", failed.path)
        assert out["Error"]["Message"] == failed["Status"]
        left = mover.client.EnumerateInstanceNames("KVM_MigrationJob")
        assert [p["InstanceID"] for p in left] == [failed["InstanceID"]]
    finally:
        mover.close(GUEST)


def test_memory_is_kept_and_restored(served: Served) -> None:
    client = served.client()
    service = pywbem.CIMInstanceName(
        "KVM_VirtualSystemSnapshotService", {"Name": "SnapshotService"}, namespace=NAMESPACE
    )
    settings = pywbem.CIMInstance("KVM_VirtualSystemSettingData", {"ElementName": "x"})
    request_state(client, served.path, 2)
    value, out = client.InvokeMethod(
        "CreateSnapshot",
        service,
        AffectedSystem=served.path,
        SnapshotSettings=settings.tomof() if served.as_text else settings,
        SnapshotType=pywbem.Uint16(32769),
    )
    assert value == 0 and client.GetInstance(out["Job"])["Status"] == "Snapshot complete"
    assert client.GetInstance(served.path)["EnabledState"] == 6
    assert client.InvokeMethod("ApplySnapshot", service, Snapshot=out["ResultingSnapshot"])[0] == 0
    assert served.state() == libvirt.VIR_DOMAIN_RUNNING
    assert request_state(client, served.path, 3) == 0
    wait_until(lambda: served.state() == libvirt.VIR_DOMAIN_SHUTOFF, "off", DEADLINE)


WATCHED = "watched"
INDICATIONS = [
    f"KVM_{subject}{change}Indication"
    for subject in ("ComputerSystem", "ResourceAllocationSettingData")
    for change in ("Created", "Modified", "Deleted")
]
OFF, ON, PAUSED = 3, 2, 9


def test_what_others_do_to_guests_is_told(served: Served) -> None:
    """Each change once, in order, with the guest before and after."""
    listener = Listener()
    with (
        closing(libvirt.open(served.box.qemu_uri)) as raw,
        subscribed(served.client(), listener, INDICATIONS),
        defined(raw, hypervisor.qemu_guest(WATCHED)) as domain,
    ):
        # what is told of each is awaited: CIM servers deliver several at once in any order
        for act, known in (
            (lambda: None, 1),
            (domain.create, 2),
            (domain.suspend, 3),
            (domain.resume, 4),
            (domain.destroy, 5),
            (domain.undefine, 6),
        ):
            act()
            listener.until(lambda came, known=known: len(_of_systems(came)) == known)
        listener.until(lambda came: _ids(came, "Created") == _ids(came, "Deleted"))
    told = _of_systems(listener.received)
    assert [_states(one) for one in told] == [
        (None, OFF), (OFF, ON), (ON, PAUSED), (PAUSED, ON), (ON, OFF), (OFF, None),
    ]  # fmt: skip
    assert {one["IndicationIdentifier"] for one in told} == {domain.UUIDString()}
    assert {f"{WATCHED}/mem", f"{WATCHED}/proc"} <= set(_ids(listener.received, "Created"))


POOL = "watched-pool"
POOL_INDICATIONS = [
    f"KVM_ResourcePool{change}Indication" for change in ("Created", "Modified", "Deleted")
]
STOPPED, RUNS = [10], [2]


def test_what_others_do_to_networks_is_told(served: Served) -> None:
    """Each change once, in order, with the pool before and after."""
    listener = Listener()
    with (
        closing(libvirt.open(served.box.qemu_uri)) as raw,
        subscribed(served.client(), listener, POOL_INDICATIONS),
    ):
        network = raw.networkDefineXML(isolated_network(POOL, "10.77.8.1"))
        uuid = network.UUIDString()
        acts = (lambda: None, network.create, network.destroy, network.undefine)
        for known, act in enumerate(acts, 1):
            act()
            listener.until(lambda came, known=known: len(came) == known)
    told = [
        (one.classname, one["SourceInstance"]["OperationalStatus"]) for one in listener.received
    ]
    created, modified, deleted = POOL_INDICATIONS
    assert told == [(created, STOPPED), (modified, RUNS), (modified, STOPPED), (deleted, STOPPED)]
    assert listener.received[1]["PreviousInstance"]["OperationalStatus"] == STOPPED
    for one in listener.received:
        assert one["IndicationIdentifier"] == uuid
        assert one["SourceInstance"].classname == "KVM_NetworkPool"
        assert one["SourceInstance"]["InstanceID"] == f"NetworkPool/{POOL}"


def _of_systems(came: list[pywbem.CIMInstance]) -> list[pywbem.CIMInstance]:
    return [one for one in came if one.classname.startswith("KVM_ComputerSystem")]


def _ids(came: list[pywbem.CIMInstance], change: str) -> list[str]:
    """InstanceIDs of the resources that were created, modified or deleted."""
    name = f"KVM_ResourceAllocationSettingData{change}Indication"
    return sorted(one["SourceInstance"]["InstanceID"] for one in came if one.classname == name)


def _states(one: pywbem.CIMInstance) -> tuple[int | None, int | None]:
    """EnabledState before and after."""
    shown = one["SourceInstance"]["EnabledState"]
    if one.classname.endswith("CreatedIndication"):
        return None, shown
    if one.classname.endswith("DeletedIndication"):
        return OFF, None
    return one["PreviousInstance"]["EnabledState"], shown


def test_filters_are_made_and_deleted(served: Served) -> None:
    """Instances and associations, with arrays and references in them."""
    manager = Manager(served.client(), "KVM", served.box.qemu_uri)
    filters = Filters(manager.client, manager.raw)
    mac = "00:16:3e:00:aa:cc"
    nic = f"<interface type='bridge'><mac address='{mac}'/><source bridge='none'/></interface>"
    guest = manager.raw.defineXML(hypervisor.qemu_guest(MADE, devices=nic))
    try:
        path = filters.make("made-web", Priority=pywbem.Sint16(-3))
        address = [pywbem.Uint8(octet) for octet in (10, 0, 0, 1)]
        rule = filters.create(
            "IPHeadersFilter", Name="made-web:0", Action=pywbem.Uint16(1), Direction=pywbem.Uint16(1),
            HdrProtocolID=pywbem.Uint8(6), HdrSrcAddress=address,
        )  # fmt: skip
        assert "<tcp srcipaddr='10.0.0.1'/>" in filters.xml("made-web")
        nested = filters.nest("made-web", "no-mac-spoofing")
        applied = filters.apply("made-web", f"{MADE}/{mac}")
        assert filters.of_interface(MADE) == ["made-web"]
        refused = "Failed to append filter reference"
        with pytest.raises(pywbem.CIMError, match=refused):
            filters.nest("made-web", "no-mac-spoofing")
        for made in (applied, nested, rule, path):
            served.delete(manager.client, made)
        assert filters.of_interface(MADE) == [""]
        assert "made-web" not in filters.names()
    finally:
        guest.undefine()
        if "made-web" in filters.names():
            manager.raw.nwfilterLookupByName("made-web").undefine()
        manager.raw.close()


def test_many_clients_at_once(served: Served) -> None:
    operations = mixed(served)

    def ask(number: int) -> list[Any]:
        client = served.client()
        return [operations[(number + i) % len(operations)](client) for i in range(len(operations))]

    alone = ask(0)
    with ThreadPoolExecutor(CLIENTS) as threads:
        for number, found in enumerate(threads.map(ask, range(CLIENTS))):
            turned = [alone[(number + i) % len(alone)] for i in range(len(alone))]
            assert found == turned


def mixed(served: Served) -> list[Callable[[pywbem.WBEMConnection], Any]]:
    """Operations of several kinds, some of which fail, each with the same answer every time."""
    path = served.path
    no_guest = pywbem.CIMInstanceName(
        CLASS, {**path.keybindings, "Name": "none"}, namespace=NAMESPACE
    )

    def refused(call: Callable[[], Any]) -> tuple[int, str]:
        with pytest.raises(pywbem.CIMError) as raised:
            call()
        return raised.value.status_code, raised.value.status_description

    return [
        lambda c: c.EnumerateInstanceNames(CLASS),
        lambda c: c.EnumerateInstances(CLASS, PropertyList=["Name", "EnabledState"]),
        lambda c: c.GetInstance(path)["Name"],
        lambda c: sorted(map(str, c.AssociatorNames(path, AssocClass="KVM_SystemDevice"))),
        lambda c: len(c.References(path)),
        lambda c: refused(lambda: c.GetInstance(no_guest)),
        lambda c: refused(lambda: request_state(c, path, 99)),
    ]


def test_nothing_grows(served: Served) -> None:
    """Memory, descriptors and threads of the process that serves."""
    operations, client = mixed(served), served.client()

    def work(times: int) -> None:
        for number in range(times):
            operations[number % len(operations)](client)

    work(WARM_UP)
    memory, files, threads = served.usage()
    work(OPERATIONS)
    grown = served.usage()[0] - memory
    print(
        f"\n{OPERATIONS} operations: VmRSS {memory} kB {grown:+} kB, {files} files, {threads} threads"
    )
    assert grown < MAX_GROWTH_KB
    # the last request may not have ended in the server when its answer is here
    wait_until(lambda: served.usage()[1] <= files, f"{files} files", DEADLINE)
    allowed = threads + (SERVERS_OWN_THREADS if isinstance(served.server, Pegasus) else 0)
    wait_until(lambda: served.usage()[2] <= allowed, f"{allowed} threads", DEADLINE)


def test_a_real_guest_is_switched(served: Served) -> None:
    client = served.client()
    for state, meant in (
        (2, libvirt.VIR_DOMAIN_RUNNING),
        (9, libvirt.VIR_DOMAIN_PAUSED),
        (2, libvirt.VIR_DOMAIN_RUNNING),
    ):
        assert request_state(client, served.path, state) == 0
        wait_until(lambda m=meant: served.state() == m, f"state {meant}", DEADLINE)
        assert client.GetInstance(served.path)["EnabledState"] == state
    with pytest.raises(pywbem.CIMError, match="State not supported"):
        request_state(client, served.path, 99)
    # a clean shutdown: the guest listens to its power button
    request_state(client, served.path, 3)
    wait_until(lambda: served.state() == libvirt.VIR_DOMAIN_SHUTOFF, "off", DEADLINE)
    assert client.GetInstance(served.path)["EnabledState"] == 3


def test_libvirtd_is_killed(served: Served) -> None:
    """A typed error while it is away, and answers again afterwards."""
    client = served.client()

    def found() -> list[str] | int:
        try:
            return [row["Name"] for row in client.EnumerateInstances(CLASS)]
        except pywbem.CIMError as error:
            assert "Traceback" not in error.status_description
            return int(error.status_code)

    assert found() == [GUEST]
    served.box.kill_libvirtd()
    try:
        wait_until(lambda: found() == 1, "the outage is told", DEADLINE)
    finally:
        served.box.start_libvirtd()
    wait_until(lambda: found() == [GUEST], "answers again", DEADLINE)
