# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts of stand-in guests for the tables of this directory, and what a table row is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import libvirt

from libvirtcim import composition
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.jobs import Job
from libvirtcim.cim.objects import Instance, InstancePath, RequestContext
from libvirtcim.cim.schema import Schema
from libvirtcim.providers.jobs import jobs_of
from libvirtcim.virt.families import FAMILIES
from libvirtcim.virt.host import Host, Hosts
from libvirtcim.virt.settings import HostSettings
from tests.standin import Domain, Pool, RecordedHost, StandInConnection, libvirt_error

CONTEXT = RequestContext()
NS = "root/virt"
XEN, KVM, LXC = "Xen", "KVM", "LXC"
FULL = (XEN, KVM)
ALL = (XEN, KVM, LXC)
HOST_NAME = "h1.example.org"
NAME = "g1"
UUID = "5e0f3a10-0c5b-4a54-9a05-00000000000a"

RUNNING, SHUTOFF = 1, 5
_TYPES = {XEN: "xen", KVM: "kvm", LXC: "lxc"}
_KINDS = {XEN: "Xen", KVM: "QEMU", LXC: "LXC"}
_URIS = {XEN: "xen:///system", KVM: "qemu:///system", LXC: "lxc:///system"}
_OS = {
    XEN: "<os><type arch='x86_64' machine='xenfv'>hvm</type></os>",
    KVM: "<os><type arch='x86_64' machine='pc'>hvm</type></os>",
    LXC: "<os><type arch='x86_64'>exe</type><init>/sbin/init</init></os>",
}
MEMORY = "<memory>2097152</memory><currentMemory>1048576</currentMemory><vcpu>2</vcpu>"

LACKS: Mapping[tuple[str, str], frozenset[str]] = {
    (prefix, base): frozenset(names.split())
    for prefix, base, names in (
        (XEN, "MemResourceAllocationSettingData", "dumpCore"),
        (LXC, "MemResourceAllocationSettingData", "dumpCore"),
        (
            XEN,
            "DiskResourceAllocationSettingData",
            "AccessMode rawio sgio AddressProperties AddressValues MountPoint",
        ),
        (KVM, "DiskResourceAllocationSettingData", "MountPoint"),
        (
            LXC,
            "DiskResourceAllocationSettingData",
            "VirtualDevice BusType EmulatedType readonly shareable DriverName DriverType DriverCache "
            "AccessMode rawio sgio AddressProperties AddressValues",
        ),
        (XEN, "NetResourceAllocationSettingData", "AddressProperties AddressValues"),
        (LXC, "NetResourceAllocationSettingData", "AddressProperties AddressValues"),
        (XEN, "VirtualSystemSettingData", "Arch Machine InitPath"),
        (
            KVM,
            "VirtualSystemSettingData",
            "IsFullVirt Bootloader BootloaderArgs Kernel Ramdisk CommandLine InitPath",
        ),
        (
            LXC,
            "VirtualSystemSettingData",
            "IsFullVirt Bootloader BootloaderArgs Kernel Ramdisk CommandLine BootDevices Emulator "
            "Arch Machine",
        ),
    )
}
"""Properties that a family's class does not have though another family's does."""


def metadata(**values: object) -> str:
    """The metadata element that holds libvirtcim's own data about a guest."""
    given = " ".join(f"{name}='{value}'" for name, value in values.items())
    space = "http://libvirtcim.org/xmlns/guest/1"
    return f"<metadata><l:guest xmlns:l='{space}' {given}/></metadata>"


def definition(
    prefix: str, name: str = NAME, *, head: str = "", devices: str = "", uuid: str = UUID
) -> str:
    """Domain XML of a family; `head` comes below domain and replaces the defaults it names."""
    parts = [
        default for tag, default in (("<memory", MEMORY), ("<os", _OS[prefix])) if tag not in head
    ]
    if "<vcpu" in head:
        parts = [part.partition("<vcpu>")[0] for part in parts]
    return (
        f"<domain type='{_TYPES[prefix]}'><name>{name}</name><uuid>{uuid}</uuid>"
        f"{''.join(parts)}{head}<devices>{devices}</devices></domain>"
    )


@dataclass
class Actor(Domain):
    """A domain that notes what is done to it; with `refusal` libvirt refuses every change."""

    calls: list[Any] = field(default_factory=list)
    refusal: str = ""

    def _note(self, what: Any) -> int:
        if self.refusal:
            raise libvirt_error(libvirt.VIR_ERR_OPERATION_FAILED, self.refusal)
        self.calls.append(what)
        return 0

    def create(self) -> int:
        return self._note("create")

    def resume(self) -> int:
        return self._note("resume")

    def suspend(self) -> int:
        return self._note("suspend")

    def destroy(self) -> int:
        return self._note("destroy")

    def shutdown(self) -> int:
        return self._note("shutdown")

    def reboot(self, flags: int) -> int:
        return self._note(("reboot", flags))

    def setSchedulerParameters(self, values: Mapping[str, int]) -> int:
        return self._note(dict(values))


class Unreadable(Domain):
    """A domain of which libvirt gives no definition."""

    def XMLDesc(self, flags: int = 0) -> str:
        raise libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, "cannot read the definition")


class NoScheduler(Domain):
    """A domain whose scheduler parameters can't be read."""

    def schedulerParameters(self) -> Mapping[str, int]:
        raise libvirt_error(libvirt.VIR_ERR_OPERATION_INVALID, "no cgroup CPU controller")


def guest(
    prefix: str,
    name: str = NAME,
    *,
    head: str = "",
    devices: str = "",
    live: str | None = None,
    state: int = SHUTOFF,
    number: int = -1,
    uuid: str = UUID,
    kind: type[Domain] = Domain,
    **more: Any,
) -> Any:
    """A guest that is off, or running where `live` (its devices then) or a `number` is given."""
    xml = definition(prefix, name, head=head, devices=devices, uuid=uuid)
    active = live is not None or number != -1
    running = definition(prefix, name, head=head, devices=live or devices, uuid=uuid)
    if live is not None:
        number, state = 1, RUNNING if state == SHUTOFF else state
    return kind(name, uuid, state, xml, running if active else None, number, **more)


def broker_of(
    hosts: Mapping[str, Sequence[Domain] | None],
    pools: Sequence[Pool] = (),
    side_file_dir: Path | None = None,
    jobs: Sequence[Job] = (),
    **more: Any,
) -> Broker:
    """A broker over stand-in hosts by prefix; None: a hypervisor that is not there.

    `jobs`: what its services have started. `more`: what else the recorded hosts have, see `RecordedHost`.
    """
    settings = HostSettings(
        side_file_dir=str(side_file_dir) if side_file_dir else None, host_name=HOST_NAME
    )
    made = Hosts({})
    for prefix, domains in hosts.items():
        recorded = None if domains is None else RecordedHost(_KINDS[prefix], domains, pools, **more)
        connection = StandInConnection(_URIS[prefix], recorded)
        made._hosts[prefix] = Host(connection, FAMILIES[prefix], settings)
    jobs_of(made)._jobs.update((job.id, job) for job in jobs)
    parts = composition.provided(made)
    return Broker(
        _schema(),
        [provider for part in parts for provider in part.providers],
        [association for part in parts for association in part.associations],
    )


@cache
def _schema() -> Schema:
    """One for all tests: it depends on declarations alone."""
    return composition.schema(composition.declarations())


def rows(broker: Broker, prefix: str, base: str, ns: str = NS) -> list[Instance]:
    """The instances of a class, each compared with what GetInstance says of it."""
    found = list(broker.enumerate_instances(CONTEXT, ns, f"{prefix}_{base}"))
    names = list(broker.enumerate_instance_names(CONTEXT, ns, f"{prefix}_{base}"))
    assert [row.path for row in found] == names
    for row, path in zip(found, names, strict=True):
        assert broker.get_instance(CONTEXT, path).values == row.values
    return found


@dataclass(frozen=True)
class Case:
    """A row of a table: a fragment of a definition, and what a class shows of it.

    `expected` has one mapping per instance, in order; "{P}" in a text stands for the prefix.
    Properties that a family lacks (`LACKS`) are left out of its comparison.
    """

    what: str
    expected: Sequence[Mapping[str, Any]]
    devices: str = ""
    head: str = ""
    families: tuple[str, ...] = ALL
    more: Mapping[str, Any] = field(default_factory=dict)

    def expect(self, prefix: str, base: str) -> list[dict[str, Any]]:
        """What the family's class shows."""
        lacks = LACKS.get((prefix, base), frozenset())
        return [
            {n: _named(v, prefix) for n, v in values.items() if n not in lacks}
            for values in self.expected
        ]


def _named(value: Any, prefix: str) -> Any:
    if isinstance(value, list):
        return [_named(v, prefix) for v in value]
    return value.replace("{P}", prefix) if isinstance(value, str) else value


Table = Mapping[str, Sequence[Case]]
"""Base name of a class → its cases."""


def of_families(table: Table) -> list[tuple[str, str, Case]]:
    """(prefix, base, case) for every family that a case concerns."""
    return [
        (prefix, base, case)
        for base, cases in table.items()
        for case in cases
        for prefix in case.families
    ]


def case_id(value: object) -> str | None:
    """Readable names of parameters for pytest."""
    return value.what if isinstance(value, Case) else None


def check(
    prefix: str, base: str, case: Case, pools: Iterable[Pool] = (), *, ns: str = NS, **more: Any
) -> None:
    """The family's class shows what the case expects, and nothing of what its class lacks.

    `more`: what else the host has, see `RecordedHost`.
    """
    domain = guest(prefix, head=case.head, devices=case.devices, **case.more)
    broker = broker_of({prefix: [domain]}, tuple(pools), **more)
    found = rows(broker, prefix, base, ns)
    expected = case.expect(prefix, base)
    shown = [
        {name: row[name] for name in values} for row, values in zip(found, expected, strict=True)
    ]
    assert shown == expected
    for row in found:
        declared = {prop.name for prop in row.cls.properties}
        assert set(row.values) <= declared
        assert not declared & LACKS.get((prefix, base), frozenset())


def exercised(table: Table) -> set[tuple[str, str]]:
    """(class, property) of every value other than NULL that the table expects."""
    return {
        (f"{prefix}_{base}", name)
        for prefix, base, case in of_families(table)
        for values in case.expect(prefix, base)
        for name, value in values.items()
        if value is not None
    }


def path(prefix: str, base: str, namespace: str = NS, **keys: Any) -> InstancePath:
    """A path as a client writes it."""
    return InstancePath(f"{prefix}_{base}", tuple(keys.items()), namespace)


def system_path(prefix: str, name: str = NAME) -> InstancePath:
    """Path of a guest."""
    return path(prefix, "ComputerSystem", CreationClassName=f"{prefix}_ComputerSystem", Name=name)


def host_path(prefix: str) -> InstancePath:
    """Path of the host."""
    return path(prefix, "HostSystem", CreationClassName=f"{prefix}_HostSystem", Name=HOST_NAME)


def device_path(prefix: str, base: str, devid: str, name: str = NAME) -> InstancePath:
    """Path of a device."""
    return path(
        prefix,
        base,
        SystemCreationClassName=f"{prefix}_ComputerSystem",
        SystemName=name,
        CreationClassName=f"{prefix}_{base}",
        DeviceID=f"{name}/{devid}",
    )


def setting_path(prefix: str, kind: str, devid: str, name: str = NAME) -> InstancePath:
    """Path of a resource allocation setting."""
    return path(prefix, f"{kind}ResourceAllocationSettingData", InstanceID=f"{name}/{devid}")


def vssd_path(prefix: str, name: str = NAME) -> InstancePath:
    """Path of a guest's settings."""
    return path(prefix, "VirtualSystemSettingData", InstanceID=f"{prefix}:{name}")
