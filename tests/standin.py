# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stand-in for a libvirt connection that answers from recorded XML and figures.

Only for answers that no hypervisor here can be made to give again: states, listing orders and
runtime values of a host that once was. Everything else is tested against real libvirt.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import libvirt
import pytest
from lxml import etree

from libvirtcim.virt import errors, snapshots
from libvirtcim.virt.connection import Connection

T = TypeVar("T")


def libvirt_error(code: int, message: str) -> libvirt.libvirtError:
    """The exception that libvirt-python raises for `code`."""
    error = libvirt.libvirtError(message)
    error.err = (code, libvirt.VIR_FROM_QEMU, message, libvirt.VIR_ERR_ERROR, "", "", "", -1, -1)
    return error


@dataclass
class Domain:
    """A recorded domain."""

    domain_name: str
    uuid: str
    state_number: int
    inactive_xml: str
    live_xml: str | None = None
    number: int = -1
    persistent: bool = True
    autostart_flag: bool = False
    managed_save: bool = False
    vcpus_online: int | None = None
    vcpus: int = 1
    memory_kib: int = 0
    scheduler: Mapping[str, int] = field(default_factory=dict)
    metadata_written: list[str] = field(default_factory=list)
    snapshots: Sequence[Any] = ()

    def name(self) -> str:
        return self.domain_name

    def UUIDString(self) -> str:
        return self.uuid

    def ID(self) -> int:
        return self.number

    def isActive(self) -> int:
        return int(self.live_xml is not None)

    def isPersistent(self) -> int:
        return int(self.persistent)

    def autostart(self) -> int:
        return int(self.autostart_flag)

    def setAutostart(self, on: int) -> int:
        self.autostart_flag = bool(on)
        return 0

    def listAllSnapshots(self, _flags: int = 0) -> list[Any]:
        return list(self.snapshots)

    def hasManagedSaveImage(self, _flags: int = 0) -> int:
        return int(self.managed_save)

    def state(self, _flags: int = 0) -> list[int]:
        return [self.state_number, 0]

    def info(self) -> list[int]:
        return [self.state_number, self.memory_kib, self.memory_kib, self.vcpus, 0]

    def XMLDesc(self, flags: int = 0) -> str:
        if flags & libvirt.VIR_DOMAIN_XML_INACTIVE or self.live_xml is None:
            return self.inactive_xml
        return self.live_xml

    def schedulerParameters(self) -> Mapping[str, int]:
        return self.scheduler

    def schedulerParametersFlags(self, _flags: int = 0) -> Mapping[str, int]:
        return self.scheduler

    def vcpusFlags(self, _flags: int = 0) -> int:
        if self.vcpus_online is None:
            raise libvirt_error(libvirt.VIR_ERR_NO_SUPPORT, "this function is not supported")
        return self.vcpus_online

    def setMetadata(self, _kind: int, text: str, *_args: Any) -> int:
        self.metadata_written.append(text)
        return 0

    def stats(self) -> dict[str, int]:
        found = {"state.state": self.state_number, "state.reason": 0}
        if self.vcpus_online is not None:
            found["vcpu.current"] = self.vcpus_online
        found["balloon.current"] = self.memory_kib
        return found


@dataclass(frozen=True)
class Snapshot:
    """A recorded snapshot of a domain."""

    name: str
    xml: str
    current: bool = False

    def getName(self) -> str:
        return self.name

    def isCurrent(self) -> int:
        return int(self.current)

    def getXMLDesc(self, _flags: int = 0) -> str:
        return self.xml


@dataclass(frozen=True)
class Volume:
    """A recorded storage volume of a file-based pool."""

    volume_path: str
    figures: Sequence[int]
    format: str = "raw"

    def key(self) -> str:
        return self.volume_path

    def path(self) -> str:
        return self.volume_path

    def name(self) -> str:
        return self.volume_path.rpartition("/")[2]

    def info(self) -> Sequence[int]:
        return self.figures

    def XMLDesc(self, _flags: int = 0) -> str:
        return (
            f"<volume><name>{self.name()}</name><target><path>{self.volume_path}</path>"
            f"<format type='{self.format}'/></target></volume>"
        )


@dataclass(frozen=True)
class Managed:
    """A recorded network, storage pool or network filter."""

    managed_name: str
    xml: str
    active: bool = True
    autostart_flag: bool = False

    def name(self) -> str:
        return self.managed_name

    def UUIDString(self) -> str:
        found = etree.fromstring(self.xml).findtext("uuid")
        return found or str(uuid.uuid5(uuid.NAMESPACE_OID, self.managed_name))

    def isActive(self) -> int:
        return int(self.active)

    def autostart(self) -> int:
        return int(self.autostart_flag)

    def XMLDesc(self, _flags: int = 0) -> str:
        return self.xml


@dataclass(frozen=True)
class Pool(Managed):
    """A recorded storage pool."""

    volumes: Sequence[Volume] = ()

    def listAllVolumes(self, _flags: int = 0) -> list[Volume]:
        return list(self.volumes)

    def storageVolLookupByName(self, name: str) -> Volume:
        return next(volume for volume in self.volumes if volume.name() == name)


M = TypeVar("M", bound=Managed)


def _listed(found: Iterable[M], flags: int, active: int, autostart: int) -> list[M]:
    """What passes libvirt's list filters."""
    return [
        m
        for m in found
        if (m.active or not flags & active) and (m.autostart_flag or not flags & autostart)
    ]


def _named(found: Iterable[M], name: str, code: int, text: str) -> M:
    for managed in found:
        if managed.name() == name:
            return managed
    raise libvirt_error(code, f"{text} '{name}'")


@dataclass
class RecordedHost:
    """What `virConnect` offers, as far as the host layer uses it."""

    kind: str
    domains: Sequence[Domain]
    pools: Sequence[Pool] = ()
    bulk_stats: bool = True
    networks: Sequence[Managed] = ()
    filters: Sequence[Managed] = ()
    max_vcpus: int | None = None
    memory_mib: int = 8192
    cpus: int = 4
    version: int = 9000000
    capabilities: str = "<capabilities/>"

    def getType(self) -> str:
        return self.kind

    def getURI(self) -> str:
        return f"{self.kind.lower()}:///system"

    def getVersion(self) -> int:
        return self.version

    def getMaxVcpus(self, _kind: str | None) -> int:
        if self.max_vcpus is None:
            raise libvirt_error(libvirt.VIR_ERR_NO_SUPPORT, "this function is not supported")
        return self.max_vcpus

    def getInfo(self) -> list[Any]:
        return ["x86_64", self.memory_mib, self.cpus, 2000, 1, 1, self.cpus, 1]

    def getCapabilities(self) -> str:
        return self.capabilities

    def getLibVersion(self) -> int:
        return 9000000

    def isAlive(self) -> int:
        return 1

    def listAllDomains(self, flags: int = 0) -> list[Domain]:
        tests: dict[int, Callable[[Domain], bool]] = {
            libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART: lambda d: d.autostart_flag,
            libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT: lambda d: d.persistent,
            libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT: lambda d: not d.persistent,
            libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE: lambda d: d.managed_save,
            libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE: lambda d: d.live_xml is not None,
            libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE: lambda d: d.live_xml is None,
            libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT: lambda d: bool(d.snapshots),
        }
        asked = [test for flag, test in tests.items() if flags & flag]
        return [d for d in self.domains if all(test(d) for test in asked)]

    def getAllDomainStats(self, _stats: int = 0, _flags: int = 0) -> list[tuple[Domain, Any]]:
        if not self.bulk_stats:
            raise libvirt_error(libvirt.VIR_ERR_NO_SUPPORT, "this function is not supported")
        return [(d, d.stats()) for d in self.domains]

    def lookupByName(self, name: str) -> Domain:
        for domain in self.domains:
            if domain.domain_name == name:
                return domain
        raise libvirt_error(
            libvirt.VIR_ERR_NO_DOMAIN,
            f"Domain not found: {'No' if self.kind == 'LXC' else 'no'} domain with matching name '{name}'",
        )

    def lookupByUUIDString(self, uuid: str) -> Domain:
        for domain in self.domains:
            if domain.uuid == uuid:
                return domain
        raise libvirt_error(libvirt.VIR_ERR_NO_DOMAIN, f"no domain with matching uuid '{uuid}'")

    def storagePoolLookupByName(self, name: str) -> Pool:
        return _named(
            self.pools,
            name,
            libvirt.VIR_ERR_NO_STORAGE_POOL,
            "Storage pool not found: no storage pool with matching name",
        )

    def storageVolLookupByPath(self, path: str) -> Volume:
        for pool in self.pools:
            for volume in pool.volumes:
                if volume.path() == path:
                    return volume
        raise libvirt_error(
            libvirt.VIR_ERR_NO_STORAGE_VOL,
            f"Storage volume not found: no storage vol with matching path '{path}'",
        )

    def listAllStoragePools(self, flags: int = 0) -> list[Pool]:
        return _listed(
            self.pools,
            flags,
            libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE,
            libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_AUTOSTART,
        )

    def networkLookupByName(self, name: str) -> Managed:
        return _named(
            self.networks,
            name,
            libvirt.VIR_ERR_NO_NETWORK,
            "Network not found: no network with matching name",
        )

    def listAllNetworks(self, flags: int = 0) -> list[Managed]:
        return _listed(
            self.networks,
            flags,
            libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE,
            libvirt.VIR_CONNECT_LIST_NETWORKS_AUTOSTART,
        )

    def nwfilterLookupByName(self, name: str) -> Managed:
        return _named(
            self.filters,
            name,
            libvirt.VIR_ERR_NO_NWFILTER,
            "Network filter not found: no nwfilter with matching name",
        )

    def listAllNWFilters(self, _flags: int = 0) -> list[Managed]:
        return list(self.filters)


class StandInConnection(Connection):
    """A connection whose calls go to a recorded host; None: a hypervisor that is not there."""

    def __init__(self, uri: str, host: RecordedHost | None) -> None:
        super().__init__(uri)
        self._recorded = host

    def call(self, function: Callable[[Any], T], *, idempotent: bool = True) -> T:
        if self._recorded is None:
            raise errors.Unreachable(f"no connection to {self.uri}")
        try:
            return function(self._recorded)
        except libvirt.libvirtError as error:
            raise errors.from_libvirt(error) from error

    def _for_changes(self) -> Connection:
        return self

    @property
    def ever_connected(self) -> bool:
        return self._recorded is not None


def keep_memory_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has memory snapshots of guests looked for in a folder."""
    monkeypatch.setattr(
        snapshots, "memory_file", lambda _host, guest: f"{folder}/{guest.replace('/', '_')}.save"
    )
