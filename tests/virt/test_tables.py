# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tables and rules that need no hypervisor: families, errors, units, device ids, names."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libvirtcim.virt import capabilities, devids, errors, families, hostname, lifecycle
from libvirtcim.virt.devices.disk import Disk
from libvirtcim.virt.devices.filesystem import Filesystem
from libvirtcim.virt.devices.graphics import Graphics
from libvirtcim.virt.devices.interface import Interface
from libvirtcim.virt.domain import Domain
from libvirtcim.virt.errors import Busy
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.fanout import FanOut, Late
from libvirtcim.virt.guestdata import GuestData, SideFiles
from libvirtcim.virt.locks import Locks
from libvirtcim.virt.units import UNITS, parse_int, to_kib


def test_family_by_prefix() -> None:
    assert families.by_prefix("xEN") is FAMILIES["Xen"]
    assert families.by_prefix("esx") is families.MORE_FAMILIES["ESX"]
    assert families.by_prefix("KVM_") is None
    assert [p for p, f in FAMILIES.items() if families.CONTROLLER in f.device_kinds] == ["KVM"]


@pytest.mark.parametrize(
    ("code", "category"),
    [
        (libvirt.VIR_ERR_NO_DOMAIN, errors.GuestNotFound),
        (libvirt.VIR_ERR_NO_STORAGE_VOL, errors.ObjectNotFound),
        (libvirt.VIR_ERR_NO_SUPPORT, errors.Unsupported),
        (libvirt.VIR_ERR_OPERATION_DENIED, errors.Denied),
        (libvirt.VIR_ERR_OPERATION_TIMEOUT, errors.Busy),
        (libvirt.VIR_ERR_OPERATION_INVALID, errors.Invalid),
        (libvirt.VIR_ERR_XML_ERROR, errors.Invalid),
        (libvirt.VIR_ERR_DOM_EXIST, errors.Exists),
        (libvirt.VIR_ERR_NO_CONNECT, errors.Unreachable),
        (libvirt.VIR_ERR_INTERNAL_ERROR, errors.Failed),
        (987654, errors.Failed),
    ],
)
def test_error_category(code: int, category: type[errors.VirtError]) -> None:
    exc = libvirt.libvirtError("fallback")
    exc.err = (code, 0, "libvirt says", 2, None, None, None, -1, -1)
    error = errors.from_libvirt(exc)
    assert type(error) is category
    assert (error.libvirt_message, error.code, str(error)) == ("libvirt says", code, "libvirt says")


def test_error_without_details() -> None:
    libvirt.virResetLastError()  # or the exception tells what failed last in this thread
    exc = libvirt.libvirtError("only text")
    assert errors.from_libvirt(exc).libvirt_message == "only text"


def test_every_category_is_used_and_documented() -> None:
    assert errors.__doc__
    wanted: list[type[errors.VirtError]] = [errors.GuestNotFound]
    wanted += errors.VirtError.__subclasses__()
    for category in set(wanted) - {errors.Failed}:
        assert category in errors.CATEGORY_OF_CODE.values(), category
        assert category.__name__ in errors.__doc__


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        (" 8 ", 8),
        ("0x10", 16),
        ("010", 8),
        ("-1", -1),
        ("+3", 3),
        ("08", None),
        ("", None),
        ("4 cpus", None),
        ("4.5", None),
        ("٤", None),
    ],
)
def test_integers_are_read_as_strtol_does(text: str, value: int | None) -> None:
    assert parse_int(text) == value


def test_further_families_are_like_one_of_the_usual() -> None:
    assert not FAMILIES.keys() & families.MORE_FAMILIES.keys()
    assert {f.shape for f in families.MORE_FAMILIES.values()} <= FAMILIES.keys()
    assert all(f.shape == prefix for prefix, f in FAMILIES.items())


@given(st.integers(0, 2**63), st.sampled_from(sorted(UNITS)))
def test_scaled_sizes_round_up_to_kib(number: int, unit: str) -> None:
    kib = to_kib(str(number), unit.upper())
    assert kib is not None
    assert (kib - 1) * 1024 < number * UNITS[unit] <= kib * 1024


@pytest.mark.parametrize(
    ("xml", "maximum", "current"),
    [
        ("<memory>512</memory><currentMemory>256</currentMemory>", 512, 256),
        ("<memory unit='GiB'>1</memory>", 1048576, 1048576),
        ("<currentMemory unit='MB'>1</currentMemory>", 977, 977),
        ("<memory unit='furlong'>1</memory>", 0, 0),
        ("", 0, 0),
    ],
)
def test_memory_of_a_domain(xml: str, maximum: int, current: int) -> None:
    view = Domain.view(f"<domain>{xml}</domain>")
    assert (view.memory_kib, view.current_kib) == (maximum, current)


@pytest.mark.parametrize(
    ("xml", "count"),
    [("<vcpu current='1'>4</vcpu>", 4), ("", 1), ("<vcpu>x</vcpu>", 1), ("<vcpu>0x8</vcpu>", 8)],
)
def test_vcpus_of_a_domain(xml: str, count: int) -> None:
    assert Domain.view(f"<domain>{xml}</domain>").vcpus == count


@pytest.mark.parametrize(
    ("xml", "text"),
    [
        ("<disk type='file'><source file='/a.img'/></disk>", "/a.img"),
        ("<disk type='block'><source dev='/dev/sda' file='x'/></disk>", "/dev/sda"),
        ("<disk type='dir'><source dir='/d'/></disk>", "/d"),
        ("<disk type='network'><source protocol='rbd' name='p/i'/></disk>", "rbd:p/i"),
        ("<disk type='network'><source protocol='nbd'/></disk>", "nbd"),
        ("<disk type='volume'><source pool='p' volume='v'/></disk>", "p/v"),
        ("<disk type='vhostuser'><source type='unix' path='/s'/></disk>", "/s"),
        ("<disk type='vhostvdpa'><source dev='/dev/vhost-vdpa-0'/></disk>", "/dev/vhost-vdpa-0"),
        (
            "<disk type='nvme'><source type='pci' namespace='2'><address domain='0x0000' "
            "bus='0x01' slot='0x02' function='0x0'/></source></disk>",
            "nvme:0000:01:02.0/2",
        ),
        ("<disk type='file' device='cdrom'/>", ""),
        ("<disk/>", ""),
    ],
)
def test_disk_source(xml: str, text: str) -> None:
    assert Disk.view(xml).source_text == text


@pytest.mark.parametrize(
    ("xml", "text"),
    [
        ("<filesystem type='mount'><source dir='/d'/></filesystem>", "/d"),
        ("<filesystem type='file'><source file='/f'/></filesystem>", "/f"),
        ("<filesystem type='template'><source name='t'/></filesystem>", "t"),
        ("<filesystem type='ram'><source usage='10' units='MiB'/></filesystem>", "10MiB"),
        ("<filesystem type='volume'><source pool='p' volume='v'/></filesystem>", "p/v"),
        ("<filesystem/>", ""),
    ],
)
def test_filesystem_source(xml: str, text: str) -> None:
    assert Filesystem.view(xml).source_text == text


@pytest.mark.parametrize(
    ("kind", "attributes", "source"),
    [
        ("network", "network='n' bridge='virbr0'", "n"),
        ("bridge", "bridge='br0'", "br0"),
        ("bridge", "network='n' bridge='br0'", "br0"),
        ("direct", "dev='eth0' mode='vepa'", "eth0"),
        ("direct", "network='n' dev='eth0'", "eth0"),
        ("direct", "network='n'", "n"),
        ("vhostuser", "path='/s'", "/s"),
        ("user", "", None),
    ],
)
def test_interface_source_goes_by_its_type(kind: str, attributes: str, source: str | None) -> None:
    nic = Interface.view(f"<interface type='{kind}'><source {attributes}/></interface>")
    assert nic.source == source


def test_graphics_listen_address() -> None:
    assert Graphics.view("<graphics listen='::1'/>").listen == "::1"
    child = "<graphics><listen type='address' address='0.0.0.0'/></graphics>"
    assert Graphics.view(child).listen == "0.0.0.0"


DEVICES = """<domain><memory>2048</memory><currentMemory>1024</currentMemory><vcpu>2</vcpu>
<devices>
<console type='pty'><target type='serial' port='0'/></console>
<filesystem type='mount'><target dir='/'/></filesystem>
<graphics type='vnc' port='5900'/><graphics type='vnc'/><graphics type='vnc'/>
<graphics type='sdl'/><graphics type='sdl' display=':0'/><graphics type='spice'/>
<graphics type='rdp'/><graphics type='dbus'/><graphics/>
<console type='tcp'><target port='1'/></console><console type='pty'/>
<disk type='file'><target dev='vda'/></disk><disk type='file'><target dev='vda'/></disk>
<disk type='block'/>
<input type='tablet' bus='usb'/><input type='tablet' bus='usb'/><input type='keyboard'/>
<controller type='usb' index='0'/><controller type='usb' index='1'/><controller type='ide'/>
<controller type='usb' index='0'/>
<interface type='user'><mac address='52:54:00:00:00:01'/></interface><interface type='user'/>
<video/><video/><channel><target type='virtio' name='org.agent.0'/></channel>
<channel><target type='guestfwd' port='1'/></channel><channel/><tpm/>
<rng><backend model='random'>/dev/urandom</backend></rng><rng><backend model='builtin'/></rng>
<watchdog/>
<hostdev type='pci'><source><address domain='0' bus='0x6' slot='0x12' function='5'/></source></hostdev>
<hostdev type='usb'><source><vendor id='0x046d'/><product id='0xc077'/><address bus='1' device='4'/>
</source></hostdev>
<hostdev type='usb'><source><address bus='1' device='4'/></source></hostdev><hostdev type='usb'/>
<hostdev type='mdev'><source><address uuid='u'/></source></hostdev>
</devices></domain>"""


GRAPHICS_IDS = (
    *("console:0", "vnc", "vnc:1", "vnc:2", "sdl", "sdl::0", "spice", "rdp", "dbus"),
    *("graphics", "console:0:1"),
)


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        ("net", ["52:54:00:00:00:01", "net"]),
        ("disk", ["/", "vda", "vda:1", "disk"]),
        ("mem", ["mem"]),
        ("proc", ["proc"]),
        (
            "graphics",
            [
                "console:0",
                "vnc",
                "vnc:1",
                "vnc:2",
                "sdl",
                "sdl::0",
                "spice",
                "rdp",
                "dbus",
                "graphics",
                "console:0:1",
            ],
        ),
        ("input", ["tablet:usb", "tablet:usb:1", "keyboard"]),
        ("console", ["charconsole:0", "charconsole:1", "charconsole:0:1"]),
        (
            "controller",
            ["controller:usb:0", "controller:usb:1", "controller:ide", "controller:usb:0:1"],
        ),
        ("video", ["video", "video:1"]),
        ("channel", ["channel:org.agent.0", "channel:guestfwd", "channel"]),
        ("tpm", ["tpm"]),
        ("rng", ["rng:/dev/urandom", "rng"]),
        ("watchdog", ["watchdog"]),
        (
            "hostdev",
            [
                *("hostdev:pci:0000:06:12.5", "hostdev:usb:046d:c077", "hostdev:usb:1/4"),
                *("hostdev:usb", "hostdev:mdev"),
            ],
        ),
    ],
)
def test_device_ids(kind: str, ids: list[str]) -> None:
    view = Domain.view(DEVICES)
    entries = devids.devices(view, kind)
    assert [entry.devid for entry in entries] == ids
    assert "(null)" not in "".join(ids)
    for entry in entries:
        assert devids.find(view, kind, entry.devid) == entry.device
    assert devids.find(view, kind, "no such id") is None
    # The same from an editable domain.
    assert [entry.devid for entry in devids.devices(Domain.parse(DEVICES), kind)] == ids


def test_all_devices_come_kind_by_kind() -> None:
    view = Domain.view(DEVICES)
    kinds = [kind for kind, _entry in devids.all_devices(view)]
    assert list(dict.fromkeys(kinds)) == list(families.DEVICE_KINDS)
    without = devids.all_devices(view, FAMILIES["LXC"].device_kinds)
    assert "controller" not in {kind for kind, _entry in without}


def test_memory_and_processor_devices() -> None:
    view = Domain.view(DEVICES)
    assert devids.find(view, "mem", "mem") == devids.MemoryDevice(1024, 2048, None)
    assert devids.find(view, "proc", "proc") == devids.ProcessorDevice(2, None, None)


@pytest.mark.parametrize(
    ("short", "canonical", "aliases", "full"),
    [
        ("host.example.org", "", [], "host.example.org"),
        ("host", "host", ["host.example.org"], "host.example.org"),
        ("host", "host.canonical", ["h", "localhost.localdomain"], "host.canonical"),
        ("host", "localhost", [], "host"),
        ("host", "", [], "host"),
        ("localhost", "localhost", ["localhost.localdomain"], "unknown"),
        ("", "", [], "unknown"),
    ],
)
def test_host_name(short: str, canonical: str, aliases: list[str], full: str) -> None:
    assert hostname.full_name(short, lambda _name: (canonical, aliases)) == full


def test_host_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def resolve(name: str) -> tuple[str, list[str], list[str]]:
        asked.append(name)
        raise OSError

    monkeypatch.setattr(socket, "gethostname", lambda: "short")
    monkeypatch.setattr(socket, "gethostbyname_ex", resolve)
    name = hostname.HostName()
    assert [name.get(), name.get()] == ["short", "short"]
    assert asked == ["short"]
    assert hostname.HostName("set.example.org").get() == "set.example.org"


CAPABILITIES = """<capabilities><host><uuid>AB</uuid><cpu><arch>x86_64</arch></cpu></host>
<guest><os_type>hvm</os_type><arch name='i686'><wordsize>32</wordsize><emulator>/e32</emulator>
<machine maxCpus='255'>pc</machine><domain type='qemu'/></arch></guest>
<guest><os_type>hvm</os_type><arch name='x86_64'><wordsize>64</wordsize><emulator>/e64</emulator>
<loader>/l</loader><machine canonical='pc-i440fx-7.2' maxCpus='255'>pc</machine>
<machine>q35</machine><domain type='qemu'/><domain type='kvm'><emulator>/ekvm</emulator>
<machine>microvm</machine></domain></arch></guest></capabilities>"""


def test_capabilities() -> None:
    parsed = capabilities.parse(CAPABILITIES)
    assert (parsed.host_uuid, parsed.host_arch, parsed.supports_kvm) == ("ab", "x86_64", True)
    assert parsed.default_arch("hvm") == "x86_64"
    assert parsed.default_arch("xen") is None
    assert parsed.default_machine("hvm", "x86_64", "QEMU") == "pc-i440fx-7.2"
    assert parsed.default_machine("hvm", "x86_64", "kvm") == "microvm"
    assert parsed.default_machine("hvm", "i686", "kvm") is None
    kvm = parsed.domain("HVM", "x86_64", "kvm")
    assert kvm is not None
    assert (kvm.emulator, kvm.loader) == ("/ekvm", "/l")
    assert [machine.name for machine in kvm.machines] == ["microvm", "pc", "q35"]
    first = parsed.find(os_type="hvm")
    assert first is not None
    assert (first.arch, first.wordsize, first.machines[0].max_cpus) == ("i686", 32, 255)


@pytest.mark.parametrize(
    ("prefix", "weight", "limit", "values"),
    [
        ("Xen", 512, 50, {"weight": 512, "cap": 50}),
        ("Xen", 512, 0, {"weight": 512}),
        ("Xen", None, 50, {"cap": 50}),
        ("LXC", 512, 50, {"cpu_shares": 512}),
        ("KVM", 512, 50, {}),
    ],
)
def test_scheduler_values(
    prefix: str, weight: int | None, limit: int | None, values: dict[str, int]
) -> None:
    data = GuestData(weight=weight, limit=limit)
    assert lifecycle.scheduler_values(FAMILIES[prefix], data) == values


SIDE_FILE = (
    "<?xml version='1.0'?><dominfo><uuid>u1</uuid><weight>512</weight><limit>x</limit>"
    "<reqstate>2</reqstate><migrating>TRUE</migrating></dominfo>"
)


@pytest.mark.parametrize(
    ("content", "data"),
    [
        (SIDE_FILE, GuestData(weight=512, reqstate=2, migrating=True)),
        ("<dominfo><uuid>u1</uuid></dominfo>", GuestData()),
        ("<dominfo><uuid>other</uuid><weight>1</weight></dominfo>", None),
        ("<wrong><uuid>u1</uuid></wrong>", None),
        ("garbage", None),
        ("<!DOCTYPE x><dominfo><uuid>u1</uuid></dominfo>", None),
        ("<dominfo><uuid>u1</uuid>" + " " * 70000 + "</dominfo>", None),
    ],
)
def test_side_file(tmp_path: Path, content: str, data: GuestData | None) -> None:
    path = tmp_path / 'QEMU_odd &<>"ü'
    path.write_text(content)
    before = path.stat()
    assert SideFiles(str(tmp_path), "QEMU").read('odd &<>"ü', "u1") == data
    after = path.stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "x\0y", "fifo", "link", "é"])
def test_side_file_names_do_not_escape(tmp_path: Path, name: str) -> None:
    directory = tmp_path / "QEMU_a"
    directory.mkdir()
    (tmp_path / "x").write_text(SIDE_FILE)
    (directory / "QEMU_link").symlink_to(tmp_path / "x")
    fifo = directory / "QEMU_fifo"
    os.mkfifo(fifo)
    assert SideFiles(str(directory), "QEMU").read(name, "u1") is None


def test_locks_take_turns() -> None:
    locks = Locks("guest")
    inside = threading.Event()
    leave = threading.Event()

    def hold() -> None:
        with locks.hold("a", 5):
            inside.set()
            leave.wait(5)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(5)
    with pytest.raises(Busy), locks.hold("a", 0.01):
        pass
    with locks.hold("b", 0.01), locks.hold("b", 0.01):
        assert len(locks) == 2
    leave.set()
    with locks.hold("a", 5):
        pass
    thread.join()
    assert len(locks) == 0


def test_fan_out_keeps_order_and_errors() -> None:
    pool = FanOut(3, "test")
    results = pool.map(lambda n: 10 // n, [1, 0, 2, 5], 5.0)
    assert [results[0], results[2], results[3]] == [10, 5, 2]
    assert isinstance(results[1], ZeroDivisionError)
    assert pool.map(str, [], 5.0) == []
    pool.close()


def test_fan_out_gives_up_on_calls_that_hang() -> None:
    pool = FanOut(2, "test")
    release = threading.Event()

    def work(number: int) -> int:
        if number in (1, 2):
            release.wait(10)
        return number

    results = pool.map(work, list(range(8)), 0.05)
    assert [r for r in results if not isinstance(r, Late)] == [0, 3, 4, 5, 6, 7]
    assert isinstance(results[1], Late)
    # The pool works on with as many threads as before.
    assert pool.map(lambda n: n, [1, 2, 3], 5.0) == [1, 2, 3]
    release.set()
    assert pool.map(lambda n: n, [1, 2, 3], 5.0) == [1, 2, 3]
    pool.close()
