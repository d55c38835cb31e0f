# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hypervisor families as data: one row per class prefix, and nothing else knows their differences.

A libvirt driver that is not in the table becomes manageable with one more row; which libvirt URI
serves a family is configuration, `Family.uri` is only the default.
"""

from __future__ import annotations

from dataclasses import dataclass

NET = "net"
DISK = "disk"
MEM = "mem"
PROC = "proc"
GRAPHICS = "graphics"
INPUT = "input"
CONSOLE = "console"
CONTROLLER = "controller"
VIDEO = "video"
CHANNEL = "channel"
TPM = "tpm"
RNG = "rng"
WATCHDOG = "watchdog"
HOSTDEV = "hostdev"

_COMMON_KINDS = (NET, DISK, MEM, PROC, GRAPHICS, INPUT, CONSOLE)
_KINDS_OF_MACHINES = (CONTROLLER, VIDEO, CHANNEL, TPM, RNG, WATCHDOG, HOSTDEV)

# The order in which a guest's devices are walked.
DEVICE_KINDS = (*_COMMON_KINDS, *_KINDS_OF_MACHINES)


@dataclass(frozen=True, slots=True)
class Family:
    """What sets one hypervisor family apart from the others.

    `connection_types` is what `virConnectGetType` says on such a connection; `side_file_type`
    begins the names of old per-guest side files; `domain_types` lists `<domain type=...>` values,
    the preferred one for new guests first.
    """

    prefix: str
    title: str
    uri: str
    schemes: frozenset[str]
    connection_types: frozenset[str]
    side_file_type: str
    domain_types: tuple[str, ...]
    device_kinds: frozenset[str] = frozenset(_COMMON_KINDS)
    unmakeable_kinds: frozenset[str] = frozenset()
    """Kinds of devices that new guests can't be given."""
    nostate_is_running: bool = False
    remote_path: str | None = None
    """What follows the host in the URI of another host, as clients are told; None: guests can't move."""
    model: str | None = None
    """Prefix of the family whose classes this one's are like; None: it has its own."""
    # Defaults for new guests.
    os_type: str = "hvm"
    mac_prefix: str = "00:16:3e"
    default_weight: int | None = None
    default_loader: str | None = None
    default_init: str | None = None
    # Name of the scheduler parameters that the stored weight and limit become when a guest starts;
    # None where libvirt keeps them in the guest's own definition.
    weight_parameter: str | None = None
    limit_parameter: str | None = None

    @property
    def shape(self) -> str:
        """Prefix of the family that has the same classes and properties."""
        return self.model or self.prefix


FAMILIES: dict[str, Family] = {
    family.prefix: family
    for family in (
        Family(
            prefix="Xen",
            title="Xen",
            uri="xen:///system",
            schemes=frozenset({"xen"}),
            connection_types=frozenset({"Xen"}),
            side_file_type="Xen",
            domain_types=("xen",),
            nostate_is_running=True,
            remote_path="",
            os_type="linux",
            default_weight=1024,
            default_loader="/usr/lib/xen/boot/hvmloader",
            weight_parameter="weight",
            limit_parameter="cap",
        ),
        Family(
            prefix="KVM",
            title="QEMU/KVM",
            uri="qemu:///system",
            schemes=frozenset({"qemu"}),
            connection_types=frozenset({"QEMU"}),
            side_file_type="QEMU",
            domain_types=("kvm", "qemu"),
            device_kinds=frozenset(DEVICE_KINDS),
            remote_path="/system",
            mac_prefix="00:1A:4A",
        ),
        Family(
            prefix="LXC",
            title="Linux containers",
            uri="lxc:///system",
            schemes=frozenset({"lxc"}),
            connection_types=frozenset({"LXC"}),
            side_file_type="LXC",
            domain_types=("lxc",),
            unmakeable_kinds=frozenset({GRAPHICS, CONSOLE}),
            os_type="exe",
            default_weight=1024,
            default_init="/bin/false",
            weight_parameter="cpu_shares",
        ),
    )
}


def _like_kvm(prefix: str, title: str, uri: str, connection_type: str, domain_type: str) -> Family:
    """A family of guests with hardware of their own, shown as KVM's are."""
    return Family(
        prefix=prefix,
        title=title,
        uri=uri,
        schemes=frozenset({uri.partition(":")[0]}),
        connection_types=frozenset({connection_type}),
        side_file_type=connection_type,
        domain_types=(domain_type,),
        device_kinds=frozenset(DEVICE_KINDS),
        model="KVM",
    )


MORE_FAMILIES: dict[str, Family] = {
    family.prefix: family
    for family in (
        _like_kvm("CH", "Cloud Hypervisor", "ch:///system", "CH", "hyperv"),
        _like_kvm("Bhyve", "bhyve", "bhyve:///system", "BHYVE", "bhyve"),
        _like_kvm("VZ", "Virtuozzo", "vz:///system", "vz", "vz"),
        _like_kvm("VBox", "VirtualBox", "vbox:///session", "VBOX", "vbox"),
        _like_kvm("ESX", "VMware ESX", "esx://localhost/", "ESX", "vmware"),
        _like_kvm("HyperV", "Hyper-V", "hyperv://localhost/", "Hyper-V", "hyperv"),
        _like_kvm("Test", "libvirt's test hypervisor", "test:///default", "TEST", "test"),
    )
}
"""Families that are served where a connection for them is configured."""

KNOWN: dict[str, Family] = {**FAMILIES, **MORE_FAMILIES}


def by_prefix(text: str) -> Family | None:
    """The family whose prefix is `text` in any case, or None."""
    wanted = text.lower()
    for family in KNOWN.values():
        if family.prefix.lower() == wanted:
            return family
    return None
