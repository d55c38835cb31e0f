# SPDX-License-Identifier: LGPL-2.1-or-later
"""Values of properties compared with what libvirt itself says, for every guest of every family.

The expected values are computed here from libvirt's XML with another parser and from libvirt's own
calls, not with the project's descriptors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt
import pytest
import pywbem

from libvirtcim.demo import sample_uri
from tests import hypervisor
from tests.system.conftest import XEN_HOST, Served, running

Element = ElementTree.Element
Values = dict[str, dict[str, Any]]
"""Key of an instance → its properties."""

RICH_DEVICES = """
<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>
<disk type='file' device='disk'><driver name='qemu' type='raw' cache='writeback'/>
  <source file='{image}'/><target dev='vdb' bus='virtio'/><readonly/></disk>
<interface type='user'><mac address='52:54:00:12:34:56'/><model type='virtio'/></interface>
<console type='pty'><target type='virtio' port='0'/></console>
<input type='tablet' bus='usb'/>
<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1' passwd='secret12'/>
<graphics type='spice' port='5955' autoport='no' listen='127.0.0.1'/>
<video><model type='cirrus'/></video>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
"""
ATTRIBUTES = {"cdrom": 1, "floppy": 2, "lun": 4}
ACTIONS = {None: 0, "destroy": 2, "restart": 3, "preserve": 123}
PROTOCOLS = {
    "ide": 37,
    "fdc": 7,
    "scsi": 13,
    "sata": 48,
    "pci": 5,
    "usb": 16,
    "virtio-serial": 32769,
}


def documents(domain: Any) -> tuple[Element, Element]:
    """The live and the stored definition."""
    secure = libvirt.VIR_DOMAIN_XML_SECURE
    return (
        ElementTree.fromstring(domain.XMLDesc(secure)),
        ElementTree.fromstring(domain.XMLDesc(secure | libvirt.VIR_DOMAIN_XML_INACTIVE)),
    )


def attribute(element: Element, path: str, name: str) -> str | None:
    found = element.find(path)
    return None if found is None else found.get(name)


def expected_systems(prefix: str, domain: Any) -> Values:
    state = domain.state()[0]
    enabled = {1: 2, 2: 2, 3: 9, 4: 4, 5: 3, 6: 3, 7: 9}[state]
    return {
        domain.name(): {
            "ElementName": domain.name(),
            "UUID": domain.UUIDString(),
            "EnabledState": enabled,
            "OtherIdentifyingInfo": [
                "Virtual System",
                f"{prefix} Virtual System",
                domain.UUIDString(),
            ],
        }
    }


def expected_settings(prefix: str, domain: Any) -> Values:
    _live, stored = documents(domain)
    boot = [e.get("dev") for e in stored.findall("os/boot")]
    values: dict[str, Any] = {
        "VirtualSystemIdentifier": domain.name(),
        "VirtualSystemType": prefix,
        "UUID": stored.findtext("uuid"),
        "AutomaticShutdownAction": ACTIONS[stored.findtext("on_poweroff")],
        "AutomaticRecoveryAction": ACTIONS[stored.findtext("on_crash")],
        "EnableACPI": stored.find("features/acpi") is not None,
        "EnableAPIC": stored.find("features/apic") is not None,
        "EnablePAE": stored.find("features/pae") is not None,
        "AutoStart": domain.autostart() if domain.isPersistent() else 0,
        "ClockOffset": {None: None, "utc": 0, "localtime": 1}[attribute(stored, "clock", "offset")],
    }
    if prefix in ("KVM", "Xen"):
        values["Emulator"] = stored.findtext("devices/emulator")
        values["BootDevices"] = boot or None
    if prefix == "KVM":
        values["Arch"] = attribute(stored, "os/type", "arch")
        values["Machine"] = attribute(stored, "os/type", "machine")
    if prefix == "Xen":
        values["IsFullVirt"] = stored.findtext("os/type") == "hvm"
        for name, path in (
            ("Bootloader", "bootloader"),
            ("BootloaderArgs", "bootloader_args"),
            ("Kernel", "os/kernel"),
            ("Ramdisk", "os/initrd"),
            ("CommandLine", "os/cmdline"),
        ):
            values[name] = stored.findtext(path)
    if prefix == "LXC":
        values["InitPath"] = stored.findtext("os/init")
    return {f"{prefix}:{domain.name()}": values}


def expected_disks(prefix: str, domain: Any) -> Values:
    live, _stored = documents(domain)
    found: Values = {}
    for disk in live.findall("devices/disk"):
        source = disk.find("source")
        address = disk.find("address")
        values: dict[str, Any] = {
            "Address": "" if source is None else source.get("file") or source.get("dev") or "",
            "VirtualDevice": attribute(disk, "target", "dev"),
            "BusType": attribute(disk, "target", "bus"),
            "EmulatedType": ATTRIBUTES.get(disk.get("device", "disk"), 0),
            "readonly": True if disk.find("readonly") is not None else None,
            "shareable": True if disk.find("shareable") is not None else None,
            "DriverName": attribute(disk, "driver", "name"),
            "DriverType": attribute(disk, "driver", "type"),
            "DriverCache": attribute(disk, "driver", "cache"),
        }
        if disk.get("type") == "network" and source is not None:
            values["Address"] = f"{source.get('protocol')}:{source.get('name')}"
        if prefix == "KVM":
            values["AddressProperties"] = None if address is None else list(address.keys())
            values["AddressValues"] = None if address is None else list(address.attrib.values())
        found[f"{domain.name()}/{attribute(disk, 'target', 'dev')}"] = values
    for directory in live.findall("devices/filesystem"):
        target = attribute(directory, "target", "dir")
        values = {"Address": attribute(directory, "source", "dir")}
        if prefix == "LXC":
            values["MountPoint"] = target
        found[f"{domain.name()}/{target}"] = values
    return found


def expected_interfaces(_prefix: str, domain: Any) -> Values:
    live, _stored = documents(domain)
    found: Values = {}
    for nic in live.findall("devices/interface"):
        mac = attribute(nic, "mac", "address")
        found[f"{domain.name()}/{mac}"] = {
            "Address": mac,
            "NetworkType": nic.get("type"),
            "ResourceSubType": attribute(nic, "model", "type"),
            "VirtualDevice": attribute(nic, "target", "dev"),
        }
    return found


def expected_memory(_prefix: str, domain: Any) -> Values:
    live, _stored = documents(domain)
    maximum = int(live.findtext("memory") or 0)
    current = int(live.findtext("currentMemory") or maximum)
    return {
        f"{domain.name()}/mem": {
            "VirtualQuantity": current,
            "Reservation": current,
            "Limit": maximum,
            "AllocationUnits": "KiloBytes",
        }
    }


def expected_processors(_prefix: str, domain: Any) -> Values:
    live, _stored = documents(domain)
    count = domain.info()[3] if domain.state()[0] in (1, 2) else int(live.findtext("vcpu") or 1)
    return {f"{domain.name()}/proc": {"VirtualQuantity": count, "ResourceType": 3}}


def expected_graphics(_prefix: str, domain: Any) -> Values:
    live, _stored = documents(domain)
    found: Values = {}
    for display in live.findall("devices/graphics"):
        kind = display.get("type", "")
        found[f"{domain.name()}/{kind}"] = {
            "ResourceSubType": kind,
            "Address": f"{display.get('listen')}:{display.get('port')}",
            "Password": "********" if display.get("passwd") else None,
            "KeyMap": display.get("keymap"),
        }
    for console in live.findall("devices/console[@type='pty']"):
        port = attribute(console, "target", "port")
        path = attribute(console, "source", "path") or ""
        found[f"{domain.name()}/console:{port}"] = {"Address": f"{path}:{port}"}
    return found


def expected_controllers(prefix: str, domain: Any) -> Values:
    if prefix != "KVM":
        return {}
    live, _stored = documents(domain)
    return {
        f"{domain.name()}/controller:{c.get('type')}:{c.get('index')}": {
            "ProtocolSupported": PROTOCOLS[c.get("type", "")],
            "ProtocolDescription": c.get("model"),
        }
        for c in live.findall("devices/controller")
    }


def expected_inputs(_prefix: str, domain: Any) -> Values:
    live, _stored = documents(domain)
    return {
        f"{domain.name()}/{i.get('type')}:{i.get('bus')}": {
            "ResourceSubType": i.get("type"),
            "BusType": i.get("bus"),
        }
        for i in live.findall("devices/input")
    }


ORACLES = {
    "ComputerSystem": ("Name", expected_systems),
    "VirtualSystemSettingData": ("InstanceID", expected_settings),
    "DiskResourceAllocationSettingData": ("InstanceID", expected_disks),
    "NetResourceAllocationSettingData": ("InstanceID", expected_interfaces),
    "MemResourceAllocationSettingData": ("InstanceID", expected_memory),
    "ProcResourceAllocationSettingData": ("InstanceID", expected_processors),
    "GraphicsResourceAllocationSettingData": ("InstanceID", expected_graphics),
    "InputResourceAllocationSettingData": ("InstanceID", expected_inputs),
    "Controller": ("DeviceID", expected_controllers),
}


def compare(client: pywbem.WBEMConnection, prefix: str, domains: list[Any]) -> None:
    """Every instance of every class with an oracle shows what libvirt says."""
    checked = 0
    for base, (key, oracle) in ORACLES.items():
        if base == "Controller" and prefix != "KVM":
            continue
        expected: Values = {}
        for domain in domains:
            expected.update(oracle(prefix, domain))
        shown = {i[key]: i for i in client.EnumerateInstances(f"{prefix}_{base}")}
        assert set(shown) == set(expected), base
        for identity, values in expected.items():
            found = {name: shown[identity][name] for name in values}
            assert found == values, f"{prefix}_{base} {identity}"
            checked += len(values)
    assert checked > 20


def test_sample_guests(sample: Served) -> None:
    connection = libvirt.open(sample_uri())
    compare(sample.client(), "KVM", connection.listAllDomains())
    connection.close()


def test_a_xen_shaped_host(sample: Served) -> None:
    connection = libvirt.open(f"test://{XEN_HOST}")
    compare(sample.client(), "Xen", connection.listAllDomains())
    connection.close()


@pytest.fixture
def hosts_guests(
    box: hypervisor.PrivateLibvirtd, guest_image: Path, container_root: Path
) -> Iterator[tuple[Any, Any]]:
    """QEMU guests with many devices, one running, one off; a running container and one that is off."""
    qemu, lxc = libvirt.open(box.qemu_uri), libvirt.open(box.lxc_uri)
    devices = RICH_DEVICES.format(image=guest_image)
    extra = "<vcpu current='1'>2</vcpu>"
    text = hypervisor.qemu_guest("rich", guest_image, devices=devices)
    running_guest = qemu.defineXML(text.replace("<vcpu>1</vcpu>", extra))
    off = qemu.defineXML(hypervisor.qemu_guest("off", devices=devices))
    off.setAutostart(1)
    running_guest.create()
    container = lxc.defineXML(hypervisor.lxc_guest("box", container_root))
    stopped = lxc.defineXML(hypervisor.lxc_guest("stopped", container_root))
    container.create()
    yield qemu, lxc
    for domain in (running_guest, off, container, stopped):
        if domain.isActive():
            domain.destroy()
        domain.undefine()
    qemu.close()
    lxc.close()


@pytest.mark.hypervisor
@pytest.mark.xdist_group("hypervisor")
def test_real_guests(real: Served, hosts_guests: tuple[Any, Any]) -> None:
    qemu, lxc = hosts_guests
    compare(real.client(), "KVM", qemu.listAllDomains())
    compare(real.client(), "LXC", lxc.listAllDomains())


@pytest.mark.hypervisor
@pytest.mark.xdist_group("hypervisor")
def test_a_family_served_by_another_driver(box: hypervisor.PrivateLibvirtd) -> None:
    keeper = libvirt.open(box.test_uri)
    for served in running({"KVM": box.test_uri}):
        compare(served.client(), "KVM", keeper.listAllDomains())
    keeper.close()
