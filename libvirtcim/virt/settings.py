# SPDX-License-Identifier: LGPL-2.1-or-later
"""The named limits and choices of a host, with their defaults; times in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CHECK_DIRECTORY = Path("/usr/libexec/libvirt-cim/extchecks")
SIDE_FILE_DIRECTORY = "/etc/libvirt/cim"
SNAPSHOT_DIRECTORY = "/var/lib/libvirt"
LLDPTOOL_OPTIONS = "-t -g ncb -V evbcfg"
VSI_ANNOUNCEMENTS = (
    "{supported forwarding mode: (0x40) reflective relay, "
    "supported capabilities: (0x7) RTE ECP VDP}"
)


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """How a connection is opened, watched and opened again. `keepalive_interval` 0: it is not watched."""

    keepalive_interval: int = 5
    keepalive_count: int = 3
    backoff_first: float = 0.25
    backoff_max: float = 30.0
    backoff_factor: float = 2.0
    open_timeout: float = 15.0


@dataclass(frozen=True, slots=True)
class EventSettings:
    """Limits of watching one kind of objects of a hypervisor.

    `most_waiting`: events that are kept until they are worked off; beyond, all objects are compared.
    `compare`: seconds between comparisons of all objects; 0: never.
    `settle`: seconds in which the event of a change arrives after a reading has shown it.
    `patience`: seconds that a change by this process is waited for before its object is looked at.
    """

    most_waiting: int = 50_000
    compare: float = 60.0
    settle: float = 2.0
    patience: float = 10.0


@dataclass(frozen=True, slots=True)
class VsiSettings:
    """How lldptool is asked, and what it says where 802.1Qbg is supported.

    `options`: after `-i <interface>`, quoted as for a shell. `announcements`: beginnings of lines that must
    all be in the answer, `{first, second ...}`. `timeout`: for the answer about one interface.
    """

    options: str = LLDPTOOL_OPTIONS
    announcements: str = VSI_ANNOUNCEMENTS
    timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class MigrationSettings:
    """How guests may move.

    `check_directory`: programs that are asked before, `check_timeout`: each may take so long.
    `shutdown_timeout`: in which a guest must shut down that is started elsewhere.
    `poll`: between two looks at how far it is. `ssh_key`: where a key of clients may be put, or None.
    """

    connect_timeout: float = 30.0
    shutdown_timeout: float = 120.0
    poll: float = 0.5
    check_directory: Path = CHECK_DIRECTORY
    check_timeout: float = 10.0
    ssh_key: Path | None = None


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """Limits of work that goes on after its request: how many at once, how many ended ones are known.

    `retention`: seconds that ended work is known. `wait`: seconds in which a snapshot's request is
    answered with its result. `failure_is_completion`: what has failed is shown as completed with an error.
    """

    running: int = 8
    kept: int = 1000
    retention: float = 300.0
    wait: float = 30.0
    failure_is_completion: bool = True


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Named settings of a host.

    `in_flight`: calls at once on the connection; libvirtd takes 5 of one client by default.
    `guest_deadline`: seconds to wait for libvirt's answer about one guest.
    `lock_timeout`: seconds that one change of a guest waits for another.
    `unplug_timeout`: seconds in which a guest must release a device.
    `host_name`: replaces the host's own name. `side_file_dir`: where old side files are, or None.
    `vsi`: how switches are asked. `disable_kvm`: new guests are emulated although there is KVM.
    `snapshot_dir`: where the hypervisor keeps memory snapshots. `events`: how changes are watched.
    """

    in_flight: int = 5
    guest_deadline: float = 5.0
    lock_timeout: float = 60.0
    unplug_timeout: float = 20.0
    host_name: str | None = None
    side_file_dir: str | None = SIDE_FILE_DIRECTORY
    vsi: VsiSettings = VsiSettings()
    disable_kvm: bool = False
    migration: MigrationSettings = MigrationSettings()
    snapshot_dir: str = SNAPSHOT_DIRECTORY
    work: WorkSettings = WorkSettings()
    events: EventSettings = EventSettings()
