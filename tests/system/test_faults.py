# SPDX-License-Identifier: LGPL-2.1-or-later
"""What goes wrong around a running server: a libvirtd that dies, guests that come and go."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import libvirt
import pytest
import pywbem

from tests import hypervisor
from tests.system.conftest import Served

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]


def test_libvirtd_dies_and_comes_back_under_load(
    real: Served, box: hypervisor.PrivateLibvirtd
) -> None:
    connection = libvirt.open(box.qemu_uri)
    connection.defineXML(hypervisor.qemu_guest("steady"))
    connection.close()
    assert "steady" in {g["Name"] for g in real.client().EnumerateInstances("KVM_ComputerSystem")}
    stop = threading.Event()
    outcomes: Counter[str] = Counter()
    problems: list[str] = []

    def ask() -> None:
        client = real.client()
        while not stop.is_set():
            try:
                names = {g["Name"] for g in client.EnumerateInstances("KVM_ComputerSystem")}
                outcomes["answered" if "steady" in names else "empty"] += 1
            except pywbem.CIMError as error:
                outcomes[f"error {error.status_code}"] += 1
                if "Traceback" in error.status_description:
                    problems.append(error.status_description)
            except pywbem.Error as error:
                problems.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        hypervisor.wait_until(lambda: outcomes["answered"] > 5, "answers before", 30)
        box.kill_libvirtd()
        hypervisor.wait_until(lambda: outcomes["error 1"] > 5, "typed errors meanwhile", 30)
        box.start_libvirtd()
        answered = outcomes["answered"]
        hypervisor.wait_until(lambda: outcomes["answered"] > answered + 5, "recovery", 60)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert not problems
    # "empty" would be an outage that looks like a host without guests
    assert set(outcomes) == {"answered", "error 1"}


def test_guests_that_come_and_go_never_disturb_an_enumeration(
    real: Served, box: hypervisor.PrivateLibvirtd
) -> None:
    stop = threading.Event()

    def churn() -> None:
        connection = libvirt.open(box.qemu_uri)
        while not stop.is_set():
            connection.defineXML(hypervisor.qemu_guest("fleeting")).undefine()
        connection.close()

    connection = libvirt.open(box.qemu_uri)
    kept = {f"kept{n}" for n in range(20)}
    for name in kept:
        connection.defineXML(hypervisor.qemu_guest(name))
    worker = threading.Thread(target=churn)
    worker.start()
    try:
        client = real.client()
        for classname in (
            "KVM_ComputerSystem",
            "KVM_VirtualSystemSettingData",
            "KVM_Memory",
            "KVM_DiskResourceAllocationSettingData",
        ):
            for _ in range(15):
                client.EnumerateInstances(classname)
        names = {g["Name"] for g in client.EnumerateInstances("KVM_ComputerSystem")}
        assert kept <= names
    finally:
        stop.set()
        worker.join(30)
        for name in kept:
            connection.lookupByName(name).undefine()
        connection.close()


def test_any_guest_name_that_libvirt_takes_can_be_read_back(
    real: Served, box: hypervisor.PrivateLibvirtd
) -> None:
    names = [
        "plain",
        "two words",
        "trailing-ü",
        "日本語",
        "a&b<c>\"d'e%f:g#h;i,j=k@l~m\\n|o$p?q*r!s()[]{}^`",
        ".dots..",
        "-dash",
    ]
    connection = libvirt.open(box.qemu_uri)
    client = real.client()
    for name in names:
        text = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        domain = connection.defineXML(
            hypervisor.qemu_guest(text, devices="<input type='tablet' bus='usb'/>")
        )
        try:
            assert domain.name() == name
            path = next(
                p for p in client.EnumerateInstanceNames("KVM_ComputerSystem") if p["Name"] == name
            )
            assert client.GetInstance(path)["ElementName"] == name
            for association in ("KVM_SystemDevice", "KVM_SettingsDefineState"):
                for found in client.Associators(path, AssocClass=association):
                    assert client.GetInstance(found.path) == client.GetInstance(found.path)
                    back = client.AssociatorNames(found.path, AssocClass=association)
                    assert any(p.get("Name") == name for p in back)
            (setting,) = client.AssociatorNames(path, AssocClass="KVM_SettingsDefineState")
            assert setting["InstanceID"] == f"KVM:{name}"
        finally:
            domain.undefine()
    connection.close()


def test_readonly_shows_everything_and_changes_nothing(
    box: hypervisor.PrivateLibvirtd, tmp_path: Path
) -> None:
    from libvirtcim import composition
    from libvirtcim.cim.errors import CIMError
    from libvirtcim.cim.objects import Given, RequestContext
    from libvirtcim.virt.host import Hosts

    connection = libvirt.open(box.qemu_uri)
    domain = connection.defineXML(hypervisor.qemu_guest("looked-at"))
    hosts = Hosts({"KVM": box.readonly_qemu_uri}, readonly=True)
    try:
        broker = composition.broker(hosts)
        context = RequestContext()
        for base in ("ComputerSystem", "Memory", "MemResourceAllocationSettingData"):
            rows = list(broker.enumerate_instances(context, "root/virt", f"KVM_{base}"))
            assert any("looked-at" in str(row.path) for row in rows)
        path = next(
            p
            for p in broker.enumerate_instance_names(context, "root/virt", "KVM_ComputerSystem")
            if p.text("Name") == "looked-at"
        )
        with pytest.raises(CIMError, match=r"read.only"):
            broker.invoke_method(context, path, "RequestStateChange", {"RequestedState": Given(2)})
        assert not domain.isActive()
    finally:
        hosts.close()
        domain.undefine()
        connection.close()
