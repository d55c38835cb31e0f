# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real guests switched through CIM: QEMU guests and containers that really start and stop.

Every transition of RequestStateChange is asked for in every state that a guest can be brought into;
what happened is read from libvirt itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
import pywbem

from tests import hypervisor
from tests.system.conftest import Served

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]

RUNNING, PAUSED, SHUTOFF = (
    libvirt.VIR_DOMAIN_RUNNING,
    libvirt.VIR_DOMAIN_PAUSED,
    libvirt.VIR_DOMAIN_SHUTOFF,
)


class Guest:
    """One guest, seen by a CIM client and by libvirt."""

    def __init__(self, served: Served, prefix: str, domain: Any, output: Callable[[], str]) -> None:
        self.client = served.client()
        self.domain = domain
        self.output = output
        self.path = pywbem.CIMInstanceName(
            f"{prefix}_ComputerSystem",
            {"CreationClassName": f"{prefix}_ComputerSystem", "Name": domain.name()},
            namespace="root/virt",
        )

    def request(self, state: int) -> int:
        """Asks for a state; the CIM status, 0 where the call went well."""
        try:
            value, _out = self.client.InvokeMethod(
                "RequestStateChange", self.path, RequestedState=pywbem.Uint16(state)
            )
        except pywbem.CIMError as error:
            return int(error.status_code)
        assert value == 0
        return 0

    @property
    def state(self) -> int:
        """libvirt's own state of the guest."""
        return int(self.domain.state()[0])

    def process_number(self) -> int:
        """libvirt's id of the running guest, new with each start."""
        return int(self.domain.connect().lookupByName(self.domain.name()).ID())

    def wait_for(self, state: int) -> None:
        hypervisor.wait_until(lambda: self.state == state, f"state {state}", 30)

    def shown(self, name: str) -> Any:
        """A property as CIM shows it."""
        return self.client.GetInstance(self.path)[name]

    def bring_to(self, state: int) -> None:
        """Puts the guest into a state by libvirt's means."""
        if state == SHUTOFF and self.state != SHUTOFF:
            self.domain.destroy()
        if state != SHUTOFF and self.state == SHUTOFF:
            self.domain.create()
        if state == RUNNING and self.state == PAUSED:
            self.domain.resume()
        if state == PAUSED and self.state == RUNNING:
            self.domain.suspend()
        assert self.state == state


@pytest.fixture
def qemu(real: Served, box: hypervisor.PrivateLibvirtd, guest_image: Path) -> Iterator[Guest]:
    connection = libvirt.open(box.qemu_uri)
    domain = connection.defineXML(hypervisor.qemu_guest("switched", guest_image))
    yield Guest(real, "KVM", domain, lambda: hypervisor.serial_output(guest_image, "switched"))
    if domain.isActive():
        domain.destroy()
    domain.undefine()
    connection.close()


@pytest.fixture
def container(
    real: Served, box: hypervisor.PrivateLibvirtd, container_root: Path
) -> Iterator[Guest]:
    connection = libvirt.open(box.lxc_uri)
    domain = connection.defineXML(hypervisor.lxc_guest("contained", container_root))
    yield Guest(real, "LXC", domain, lambda: "")
    if domain.isActive():
        domain.destroy()
    domain.undefine()
    connection.close()


def test_a_qemu_guest_really_lives(qemu: Guest) -> None:
    def boots() -> int:
        return qemu.output().count(hypervisor.READY)

    def booted(times: int) -> None:
        hypervisor.wait_until(lambda: boots() >= times, f"boot {times}", 30)

    before = boots()
    assert qemu.request(2) == 0
    qemu.wait_for(RUNNING)
    booted(before + 1)
    assert (qemu.shown("EnabledState"), qemu.shown("RequestedState")) == (2, 2)
    assert qemu.request(9) == 0
    assert (qemu.state, qemu.shown("EnabledState")) == (PAUSED, 9)
    assert qemu.request(2) == 0
    assert (qemu.state, qemu.shown("OperatingStatus")) == (RUNNING, 32768)
    # the output file begins anew with each QEMU process, not with a reboot inside one
    boots_now = boots()
    assert qemu.request(10) == 0
    booted(boots_now + 1)
    first = qemu.process_number()
    assert qemu.request(11) == 0
    qemu.wait_for(RUNNING)
    assert qemu.process_number() != first
    booted(1)
    assert qemu.request(4) == 0
    qemu.wait_for(SHUTOFF)
    assert (qemu.shown("EnabledState"), qemu.shown("RequestedState")) == (3, 4)
    assert qemu.request(2) == 0
    assert qemu.request(3) == 0
    assert (qemu.state, qemu.shown("EnabledState")) == (SHUTOFF, 3)


FAILED, NOT_SUPPORTED = 1, 7

MATRIX = [
    (state, requested, status, after)
    for state, answers in (
        (SHUTOFF, {2: (0, RUNNING), 3: FAILED, 4: FAILED, 9: FAILED, 10: FAILED, 11: FAILED}),
        (RUNNING, {2: FAILED, 3: (0, SHUTOFF), 9: (0, PAUSED), 11: (0, RUNNING)}),
        (PAUSED, {2: (0, RUNNING), 3: (0, SHUTOFF), 4: FAILED, 9: FAILED, 11: (0, RUNNING)}),
    )
    for requested, answer in (
        *answers.items(),
        *((n, NOT_SUPPORTED) for n in (0, 1, 5, 6, 7, 8, 12)),
    )
    for status, after in ([answer] if isinstance(answer, tuple) else [(answer, state)])
]


@pytest.mark.parametrize("kind", ["qemu", "container"])
def test_every_transition_from_every_state(kind: str, request: pytest.FixtureRequest) -> None:
    guest: Guest = request.getfixturevalue(kind)
    for state, requested, status, after in MATRIX:
        guest.bring_to(state)
        remembered = guest.shown("RequestedState")
        answer = guest.request(requested)
        assert (answer, guest.state) == (status, after), f"{requested} from {state}"
        stored = requested if status == 0 else remembered
        assert guest.shown("RequestedState") == stored, f"{requested} from {state}"


def test_a_container_takes_a_shutdown_request(container: Guest) -> None:
    # libvirt asks through /dev/initctl, which a container without an init system does not read
    container.bring_to(RUNNING)
    # libvirt calls it running a moment before there is a process to ask
    hypervisor.wait_until(lambda: container.request(4) == 0, "the request to be taken", 30)
    assert container.shown("RequestedState") == 4


def test_reset_keeps_a_transient_guest_transient(
    real: Served, box: hypervisor.PrivateLibvirtd, guest_image: Path
) -> None:
    connection = libvirt.open(box.qemu_uri)
    domain = connection.createXML(hypervisor.qemu_guest("passing", guest_image))
    guest = Guest(real, "KVM", domain, lambda: "")
    assert guest.request(11) == 0
    again = connection.lookupByName("passing")
    assert (again.isActive(), again.isPersistent()) == (1, 0)
    assert guest.request(3) == 0
    with pytest.raises(libvirt.libvirtError):
        connection.lookupByName("passing")
    connection.close()


@pytest.mark.parametrize(
    ("path_change", "arguments", "status", "text"),
    [
        ({"Name": "nosuch"}, {"RequestedState": pywbem.Uint16(2)}, 4, "guest 'nosuch'"),
        ({"Name": ""}, {"RequestedState": pywbem.Uint16(2)}, 1, "Name key not specified"),
        ({}, {}, 4, "RequestedState"),
        ({}, {"RequestedState": "2"}, 13, "RequestedState is"),
        ({}, {"RequestedState": pywbem.Uint32(2)}, 13, "RequestedState is"),
        ({}, {"RequestedState": True}, 13, "RequestedState is"),
        ({}, {"RequestedState": [pywbem.Uint16(2)]}, 13, "RequestedState"),
    ],
    ids=str,
)
def test_calls_that_cannot_be_right(
    qemu: Guest, path_change: dict[str, str], arguments: dict[str, Any], status: int, text: str
) -> None:
    path = qemu.path.copy()
    path.update(path_change)
    with pytest.raises(pywbem.CIMError, match=text) as caught:
        qemu.client.InvokeMethod("RequestStateChange", path, **arguments)
    assert caught.value.status_code == status
    assert qemu.state == SHUTOFF


@pytest.mark.parametrize("method", ["SetPowerState", "NoSuchMethod", "requeststatechange"])
def test_other_methods_are_unknown(qemu: Guest, method: str) -> None:
    with pytest.raises(pywbem.CIMError, match="Unknown Method") as caught:
        qemu.client.InvokeMethod(method, qemu.path)
    assert caught.value.status_code == FAILED
