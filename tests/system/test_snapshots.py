# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots of real guests through CIM: memory in a file, and libvirt's own, in a tree."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
import pywbem

from libvirtcim import composition
from libvirtcim.server.http import CIMServer
from libvirtcim.server.settings import ServerSettings
from libvirtcim.virt.host import Hosts
from libvirtcim.virt.settings import HostSettings
from tests import hypervisor

pytestmark = [pytest.mark.hypervisor, pytest.mark.xdist_group("hypervisor")]

NS = "root/virt"
FULL, DISKS, MEMORY, MEMORY_STOPPED = 2, 3, 32768, 32769
ODD = "s 1 ; $(id) .."


class Client:
    """A client of the snapshot service, and libvirt's own view of the guest."""

    def __init__(self, url: str, uri: str, folder: Path) -> None:
        self.cim = pywbem.WBEMConnection(url, default_namespace=NS, timeout=60)
        self.raw = libvirt.open(uri)
        self.folder = folder
        self.service = pywbem.CIMInstanceName(
            "KVM_VirtualSystemSnapshotService", {"Name": "SnapshotService"}, namespace=NS
        )

    def create(self, name: str, kind: int, **settings: str) -> pywbem.CIMInstanceName:
        """Makes a snapshot; its path."""
        value, out = self.cim.InvokeMethod(
            "CreateSnapshot",
            self.service,
            AffectedSystem=system(name),
            SnapshotSettings=pywbem.CIMInstance("KVM_VirtualSystemSettingData", settings),
            SnapshotType=pywbem.Uint16(kind),
        )
        assert value == 0
        assert self.cim.GetInstance(out["Job"])["Status"] == "Snapshot complete"
        return out["ResultingSnapshot"]

    def apply(self, path: pywbem.CIMInstanceName) -> None:
        value, _ = self.cim.InvokeMethod("ApplySnapshot", self.service, Snapshot=path)
        assert value == 0

    def destroy(self, path: pywbem.CIMInstanceName) -> None:
        value, _ = self.cim.InvokeMethod("DestroySnapshot", self.service, AffectedSnapshot=path)
        assert value == 0

    def state(self, name: str) -> int:
        """EnabledState of a guest."""
        return int(self.cim.GetInstance(system(name))["EnabledState"])

    def start(self, name: str) -> None:
        self.cim.InvokeMethod("RequestStateChange", system(name), RequestedState=pywbem.Uint16(2))


def system(name: str) -> pywbem.CIMInstanceName:
    keys = {"CreationClassName": "KVM_ComputerSystem", "Name": name}
    return pywbem.CIMInstanceName("KVM_ComputerSystem", keys, namespace=NS)


@pytest.fixture
def client(box: hypervisor.PrivateLibvirtd, tmp_path: Path) -> Iterator[Client]:
    saves = tmp_path / "saves"
    saves.mkdir()
    hosts = Hosts(
        {"KVM": box.qemu_uri}, settings=HostSettings(side_file_dir=None, snapshot_dir=str(saves))
    )
    server = CIMServer(composition.broker(hosts), ServerSettings(listen=(("127.0.0.1", 0),)))
    server.start()
    host, port = server.addresses[0]
    made = Client(f"http://{host}:{port}", box.qemu_uri, saves)
    try:
        yield made
    finally:
        made.raw.close()
        server.stop()
        hosts.close()


@pytest.fixture
def guest(client: Client, guest_image: Path, tmp_path: Path) -> Iterator[Any]:
    """A guest that runs from a qcow2 disk; its name is odd."""
    disk = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(guest_image), str(disk)], check=True)
    xml = hypervisor.qemu_guest(
        "NAME",
        devices=f"<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{disk}'/>"
        "<target dev='vda' bus='virtio'/></disk>",
    ).replace("NAME", ODD)
    domain = client.raw.defineXML(xml)
    domain.create()
    yield domain
    for snapshot in domain.listAllSnapshots():
        snapshot.delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)
    if domain.isActive():
        domain.destroy()
    domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)


def test_memory_of_a_guest_that_goes_on(client: Client, guest: Any) -> None:
    path = client.create(ODD, MEMORY)
    assert (path.classname, path["InstanceID"]) == ("KVM_VirtualSystemSettingData", f"KVM:{ODD}")
    assert [f.name for f in client.folder.iterdir()] == [f"{ODD}.save"]
    assert client.state(ODD) == 2
    guest.destroy()
    assert client.state(ODD) == 6
    with pytest.raises(pywbem.CIMError, match="Domain has a snapshot"):
        client.start(ODD)
    client.apply(path)
    assert client.state(ODD) == 2
    assert not list(client.folder.iterdir())


def test_memory_of_a_guest_that_stops(client: Client, guest: Any) -> None:
    path = client.create(ODD, MEMORY_STOPPED)
    assert client.state(ODD) == 6
    client.destroy(path)
    assert client.state(ODD) == 3
    with pytest.raises(pywbem.CIMError, match=r"Unable to remove snapshot: .*\.save"):
        client.destroy(path)
    client.start(ODD)
    assert client.state(ODD) == 2


@pytest.mark.parametrize(
    ("kind", "words"), [(MEMORY, "Save failed"), (MEMORY_STOPPED, "Save failed")]
)
def test_memory_of_a_guest_that_is_off(client: Client, guest: Any, kind: int, words: str) -> None:
    guest.destroy()
    with pytest.raises(pywbem.CIMError, match=words):
        client.create(ODD, kind)
    (job,) = client.cim.EnumerateInstances("KVM_SnapshotJob")
    assert (job["JobState"], job["ErrorCode"]) == (7, 1)
    assert client.state(ODD) == 3


def test_going_back_while_it_runs(client: Client, guest: Any) -> None:
    path = client.create(ODD, MEMORY)
    with pytest.raises(pywbem.CIMError, match="Restore failed"):
        client.apply(path)
    assert guest.isActive() and list(client.folder.iterdir())


def test_a_transient_guest_comes_back(client: Client, guest_image: Path) -> None:
    client.raw.createXML(hypervisor.qemu_guest("passing", guest_image))
    path = client.create("passing", MEMORY_STOPPED)
    with pytest.raises(libvirt.libvirtError):
        client.raw.lookupByName("passing")
    client.apply(path)
    domain = client.raw.lookupByName("passing")
    assert domain.isActive() and not domain.isPersistent()
    domain.destroy()


def test_names_lead_nowhere_else(client: Client, tmp_path: Path) -> None:
    kept = tmp_path / "kept.save"
    kept.write_text("precious")
    for identifier in ("KVM:../kept", f"KVM:{tmp_path}/kept"):
        path = pywbem.CIMInstanceName(
            "KVM_VirtualSystemSettingData", {"InstanceID": identifier}, namespace=NS
        )
        with pytest.raises(pywbem.CIMError, match="Unable to remove snapshot"):
            client.destroy(path)
    assert kept.read_text() == "precious"


def test_a_tree(client: Client, guest: Any) -> None:
    """clean ─ patched, and broken beside it after going back."""
    cim = client.cim
    clean = client.create(ODD, FULL, ElementName="clean", Description="as installed")
    assert clean.classname == "KVM_SnapshotSettingData"
    patched = client.create(ODD, FULL, ElementName="patched")
    guest.destroy()
    client.apply(clean)
    assert guest.isActive()
    broken = client.create(ODD, DISKS if not guest.isActive() else FULL, ElementName="broken")

    shown = {i["ElementName"]: i for i in cim.EnumerateInstances("KVM_SnapshotSettingData")}
    assert set(shown) == {"clean", "patched", "broken"}
    assert shown["clean"]["Description"] == "as installed"
    assert shown["clean"]["VirtualSystemIdentifier"] == ODD
    assert cim.GetInstance(clean) == shown["clean"]
    # nothing new among the settings of guests
    assert [i["InstanceID"] for i in cim.EnumerateInstances("KVM_VirtualSystemSettingData")].count(
        f"KVM:{ODD}"
    ) == 1

    def names(paths: list[Any]) -> set[str]:
        return {p["InstanceID"].rpartition("/")[2] for p in paths}

    of_guest = cim.AssociatorNames(system(ODD), "KVM_SnapshotOfVirtualSystem")
    assert names(of_guest) == {"clean", "patched", "broken"}
    assert names(cim.AssociatorNames(system(ODD), "KVM_MostCurrentSnapshotInBranch")) == {"broken"}
    below = {"AssocClass": "KVM_SnapshotDependency", "Role": "Antecedent"}
    above = {"AssocClass": "KVM_SnapshotDependency", "Role": "Dependent"}
    assert names(cim.AssociatorNames(clean, **below)) == {"patched", "broken"}
    assert names(cim.AssociatorNames(patched, **above)) == {"clean"}
    assert not cim.AssociatorNames(clean, **above)

    with pytest.raises(pywbem.CIMError, match="already exists"):
        client.create(ODD, FULL, ElementName="clean")
    client.destroy(clean)
    left = {s.getName(): s for s in guest.listAllSnapshots()}
    assert set(left) == {"patched", "broken"}
    for path in (patched, broken):
        client.destroy(path)
    with pytest.raises(pywbem.CIMError) as raised:
        client.destroy(broken)
    assert raised.value.status_code == 6
    assert not guest.listAllSnapshots()


def test_disks_of_a_guest_that_is_off(client: Client, guest: Any) -> None:
    guest.destroy()
    path = client.create(ODD, DISKS)
    assert path["InstanceID"].startswith(f"KVM:{ODD}/snapshot-20")
    guest.create()
    client.apply(path)
    assert not guest.isActive()
    client.destroy(path)


def test_a_managed_saved_guest(client: Client, guest: Any) -> None:
    guest.managedSave(0)
    assert client.state(ODD) == 6
    client.start(ODD)
    assert client.state(ODD) == 2 and not guest.hasManagedSaveImage()


@pytest.mark.parametrize("kind", [0, 1, 4, 40000])
def test_other_kinds(client: Client, guest: Any, kind: int) -> None:
    with pytest.raises(pywbem.CIMError) as raised:
        client.create(ODD, kind)
    assert raised.value.status_code == 7
    assert "32768,32769" in raised.value.status_description
