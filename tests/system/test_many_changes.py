# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many clients that change the same and different guests at once: as if one came after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import pywbem

from tests import hypervisor
from tests.management import Manager
from tests.system.conftest import running

CLIENTS = 32
DEADLINE = 120
"""Seconds after which clients that still wait are taken to wait for each other."""
SHARED = ("one", "two")
FAILED, NOT_FOUND = 1, 6


@pytest.fixture(params=["test_uri", "qemu_uri"])
def managers(
    request: pytest.FixtureRequest, box: hypervisor.PrivateLibvirtd
) -> Iterator[Callable[[], Manager]]:
    """Makes clients of an embedded server; guests that they have made are gone afterwards."""
    uri = getattr(box, request.param)
    made: list[Manager] = []
    with contextmanager(running)({"KVM": uri}) as served:

        def manager() -> Manager:
            made.append(Manager(served.client(), "KVM", uri))
            return made[-1]

        looking = manager()
        before = guests(looking)
        yield manager
        for path in guests(looking):
            if path not in before:
                looking.destroy(path)
        for one in made:
            one.raw.close()


def guests(manager: Manager) -> list[pywbem.CIMInstanceName]:
    found: list[pywbem.CIMInstanceName] = manager.client.EnumerateInstanceNames(
        "KVM_ComputerSystem"
    )
    return found


pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]


def nic(client: int, number: int) -> str:
    return f"00:16:3e:{client:02x}:00:{number:02x}"


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """What each client's work returns; all begin at the same moment."""
    start = Barrier(CLIENTS)

    def run(number: int) -> Any:
        start.wait(DEADLINE)
        return work(number)

    with ThreadPoolExecutor(CLIENTS) as threads:
        return list(threads.map(run, range(CLIENTS), timeout=DEADLINE))


def outcome(call: Callable[[], Any]) -> int:
    """The status of a call; 0: it was carried out."""
    try:
        call()
    except pywbem.CIMError as error:
        return int(error.status_code)
    return 0


def define(manager: Manager, name: str) -> pywbem.CIMInstanceName:
    found: pywbem.CIMInstanceName = manager.define(
        name,
        manager.setting("Mem", VirtualQuantity=pywbem.Uint64(16), AllocationUnits="MegaBytes"),
        manager.setting("Proc", VirtualQuantity=pywbem.Uint64(1)),
    )
    return found


def test_the_same_and_different_guests(managers: Callable[[], Manager]) -> None:
    """What each client adds is there, what it removes isn't, and no request is mixed with another's.

    Half of the clients name the two shared guests in one order, half in the other.
    """
    looking = managers()
    for name in SHARED:
        define(looking, name)
        looking.add(name, looking.setting("Net", NetworkType="user", Address=given(name)))
    clients = [managers() for _ in range(CLIENTS)]

    def work(number: int) -> None:
        manager = clients[number]
        own = f"own-{number}"
        define(manager, own)
        manager.remove(*manager.add(own, manager.setting("Net", NetworkType="user")))
        added = [manager.setting("Net", NetworkType="user", Address=nic(number, i)) for i in (1, 2)]
        manager.remove(manager.add(SHARED[number % 2], *added)[0])
        both = SHARED if number % 4 < 2 else SHARED[::-1]
        manager.modify(*(changed(manager, name, number) for name in both))
        manager.call(
            "ModifySystemSettings",
            SystemSettings=manager.setting(
                "VirtualSystem",
                VirtualSystemIdentifier=SHARED[0],
                AutomaticShutdownAction=pywbem.Uint16(2 + number % 2),
                AutomaticRecoveryAction=pywbem.Uint16(2 + number % 2),
            ),
        )

    at_once(work)
    found = {name: looking.xml(name, stored=True) for name in SHARED}
    for turn, name in enumerate(SHARED):
        macs = set(found[name].xpath("//interface/mac/@address"))
        assert macs == {given(name), *(nic(n, 2) for n in range(turn, CLIENTS, 2))}
    # of the requests that changed both guests one came last, as a whole
    numbers = {
        value
        for name in SHARED
        for value in found[name].xpath(f"//interface[mac/@address='{given(name)}']//inbound/@*")
    }
    assert len(numbers) == 1 and int(numbers.pop()) in range(1, CLIENTS + 1)
    one = found[SHARED[0]]
    assert one.findtext("on_poweroff") == one.findtext("on_crash")
    for number in range(CLIENTS):
        assert looking.xml(f"own-{number}", stored=True).xpath("count(//interface)") == 0


def given(name: str) -> str:
    return f"00:16:3e:ff:00:{SHARED.index(name):02x}"


def changed(manager: Manager, name: str, number: int) -> Any:
    """The interface that a shared guest has from the beginning, with a client's own bandwidth."""
    value = pywbem.Uint64(number + 1)
    return manager.setting(
        "Net", InstanceID=f"{name}/{given(name)}", Reservation=value, Limit=value
    )


def test_of_all_that_want_the_same_one_gets_it(
    managers: Callable[[], Manager], tmp_path: Path
) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    clients = [managers() for _ in range(CLIENTS)]
    looking = managers()
    made = at_once(lambda n: outcome(lambda: define(clients[n], SHARED[0])))
    assert sorted(made) == [0, *[FAILED] * (CLIENTS - 1)]

    def add(number: int) -> int:
        disk = clients[number].setting(
            "Disk", VirtualDevice="vda", BusType="virtio", Address=str(image)
        )
        return outcome(lambda: clients[number].add(SHARED[0], disk))

    assert sorted(at_once(add)) == [0, *[FAILED] * (CLIENTS - 1)]
    assert looking.xml(SHARED[0], stored=True).xpath("count(//disk)") == 1
    (path,) = [path for path in guests(looking) if path["Name"] == SHARED[0]]
    gone = at_once(lambda n: outcome(lambda: clients[n].destroy(path)))
    assert sorted(gone) == [0, *[NOT_FOUND] * (CLIENTS - 1)]
    assert path not in guests(looking)
