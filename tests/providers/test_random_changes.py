# SPDX-License-Identifier: LGPL-2.1-or-later
"""Random changes of random devices: what is asked for is there, and nothing else has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from libvirtcim.providers.common import GuestItem
from libvirtcim.providers.device import DeviceItem
from libvirtcim.providers.resource_allocation.base import Setting
from libvirtcim.providers.resource_allocation.kinds import SETTINGS
from libvirtcim.providers.resource_allocation.target import Target
from libvirtcim.virt import devids
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.host import Host
from tests.standin import RecordedHost, StandInConnection

HOST = Host(StandInConnection("qemu:///system", RecordedHost("QEMU", [])), FAMILIES["KVM"])
HEAD = """<domain type='qemu' xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>g</name><!-- a note -->
  <memory  unit='KiB' >65536</memory>
  <vcpu placement="static">2</vcpu>
  <devices>
    <emulator>/usr/bin/qemu</emulator>
    """
TAIL = """
    <sound model='ich9'><codec type='duplex'/></sound>
  </devices>
  <q:commandline><q:arg value='-foo'/></q:commandline>
</domain>"""
DEVICES: Mapping[str, tuple[str, str, str]] = {
    "disk": (
        "<disk type='file' device='disk'>",
        "<source file='/img/a' index='1'/><target dev='vda' bus='ide'/>",
        "</disk>",
    ),
    "net": (
        "<interface type='bridge'>",
        "<mac address='00:16:3e:00:00:01'/><source bridge='br0'/>",
        "</interface>",
    ),
    "graphics": (
        "<graphics type='vnc' port='5901' listen='0.0.0.0' passwd='p'>",
        "",
        "</graphics>",
    ),
    "controller": ("<controller type='scsi' index='2'>", "<driver iothread='3'/>", "</controller>"),
    "input": ("<input type='mouse' bus='usb'>", "", "</input>"),
    "video": ("<video>", "<model type='vga' ram='65536'><resolution x='800'/></model>", "</video>"),
    "channel": (
        "<channel type='unix'>",
        "<source mode='bind' path='/c'><reconnect enabled='no'/></source><target type='virtio'/>",
        "</channel>",
    ),
    "tpm": ("<tpm>", "<backend type='emulator'><encryption secret='s'/></backend>", "</tpm>"),
    "rng": ("<rng model='virtio'>", "<backend model='random'>/dev/random</backend>", "</rng>"),
    "watchdog": ("<watchdog model='ib700'>", "", "</watchdog>"),
    "hostdev": (
        "<hostdev mode='subsystem' type='usb'>",
        "<source startupPolicy='optional'><vendor id='0x046d'/><product id='0xc077'/></source>",
        "</hostdev>",
    ),
}
"""Kind → beginning, children that are known, end."""
UNKNOWN = (
    "<alias name='ua-x'/>",
    "<iotune><read_bytes_sec>5</read_bytes_sec></iotune>",
    "<!-- keep -->",
    "<x:y xmlns:x='urn:x' z='1'>text &amp; more</x:y>",
    "\n      <mtu size='1400'/>",
)
words = st.sampled_from(["virtio", "e1000", "scsi", "a-b.c", "ä &<\"'"])
numbers = st.integers(1, 2**31)
VALUES: Mapping[str, Mapping[str, st.SearchStrategy[Any]]] = {
    "disk": {
        "BusType": words, "readonly": st.booleans(), "shareable": st.booleans(), "rawio": words,
        "sgio": words, "DriverName": words, "DriverType": words, "DriverCache": words,
    },
    "net": {
        "ResourceSubType": words, "FilterRef": words, "VirtualDevice": words, "NetworkName": words,
        "Reservation": numbers, "Limit": numbers,
    },
    "graphics": {
        "KeyMap": words, "Address": st.sampled_from(["127.0.0.1:-1", "::1:5999", "host:5900"]),
    },
    "controller": {
        "Model": words, "Ports": words, "Vectors": words, "Queues": words, "Index": numbers,
    },
    "input": {"ResourceSubType": words, "BusType": words},
    "video": {"Model": words, "Heads": numbers, "VideoMemory": numbers},
    "channel": {"TargetType": words, "TargetName": words},
    "tpm": {"Model": words, "Version": words, "Address": words},
    "rng": {"Model": words, "RateBytes": numbers, "RatePeriod": numbers, "Address": words},
    "watchdog": {"Model": words, "Action": words},
    "hostdev": {
        "Managed": st.just(True), "Address": st.sampled_from(["046d:c078", "3/7"]),
    },
}  # fmt: skip


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, list[str], dict[str, Any]]:
    """Kind of a device, what of it nobody knows, and what is asked for."""
    kind = draw(st.sampled_from(sorted(DEVICES)))
    unknown = draw(st.lists(st.sampled_from(UNKNOWN), unique=True))
    chosen = draw(st.lists(st.sampled_from(sorted(VALUES[kind])), min_size=1, unique=True))
    return kind, unknown, {name: draw(VALUES[kind][name]) for name in chosen}


@given(changes())
def test_only_what_is_asked_for_changes(change: tuple[str, list[str], dict[str, Any]]) -> None:
    kind, unknown, values = change
    begin, known, end = DEVICES[kind]
    domain = Domain.parse(HEAD + begin + known + "".join(unknown) + end + TAIL)
    setting = SETTINGS[kind]
    ((_devid, device),) = devids.devices(domain, kind)
    setting.apply(device, values, Target(HOST, domain))
    text = domain.to_xml()
    assert text.startswith(HEAD) and text.endswith(TAIL)
    for kept in unknown:
        assert kept.strip() in text
    assert shown(setting, Domain.parse(text), values) == {
        name: value or None if value is False else value for name, value in values.items()
    }


def shown(setting: Setting, domain: Domain, names: Mapping[str, Any]) -> dict[str, Any]:
    """What the setting says of the only device of its kind."""
    ((devid, device),) = devids.devices(domain, setting.kind)
    item = DeviceItem(cast("GuestItem", None), setting.kind, devid, device)  # no column asks for it
    columns = setting.all_columns()
    return {name: columns[name](item) for name in names}


@given(st.integers(1, 64), st.integers(1, 2**20), st.booleans())
def test_memory_and_processors(vcpus: int, kib: int, running: bool) -> None:
    """They are asked for in the definition itself; the rest of it stays."""
    domain = Domain.parse(HEAD + TAIL)
    target = Target(HOST, domain, running=running)
    SETTINGS["proc"].apply(domain, {"VirtualQuantity": vcpus}, target)
    SETTINGS["mem"].apply(domain, {"VirtualQuantity": kib, "AllocationUnits": "KiloBytes"}, target)
    assert domain.current_kib == kib and domain.memory_kib == max(kib, 65536)
    assert (domain.vcpu_current or domain.vcpus) == vcpus
    assert domain.to_xml().endswith(TAIL)
