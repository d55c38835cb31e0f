# SPDX-License-Identifier: LGPL-2.1-or-later
"""A family whose indications are subscribed to, and what its subscriber got."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from libvirtcim import composition
from libvirtcim.cim.broker import Broker
from libvirtcim.cim.indications import Indication
from libvirtcim.cim.objects import Given, Instance, InstancePath, RequestContext
from libvirtcim.virt.host import Host, Hosts
from libvirtcim.virt.settings import ConnectionSettings, EventSettings, HostSettings
from tests.hypervisor import wait_until
from tests.virt.watching import ONLY_EVENTS, defined, test_guest

NS = "root/virt"
CONTEXT = RequestContext()
SYSTEM, RESOURCE = "ComputerSystem", "ResourceAllocationSettingData"
POOL = "ResourcePool"
CHANGES = ("Created", "Modified", "Deleted")


@dataclass
class World:
    """A family of one hypervisor, and what its subscriber got.

    `marker`: the definition of a guest of that name.
    """

    prefix: str
    broker: Broker
    host: Host
    marker: Callable[[str], str] = test_guest
    got: list[Instance] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def receive(self, indication: Indication) -> None:
        assert indication.namespace == NS
        with self._lock:
            self.got.append(indication.instance)

    def subscribe(self, *subjects: str) -> None:
        """To everything of these kinds; `settle` relies on guests being told of last."""
        for subject in sorted(subjects, key=lambda subject: subject == SYSTEM):
            for change in CHANGES:
                name = f"{self.prefix}_{subject}{change}Indication"
                self.broker.indications.subscribe(NS, name, self.receive)

    def of(self, subject: str, change: str = "") -> list[Instance]:
        """The indications whose classes are so named."""
        with self._lock:
            return [i for i in self.got if f"_{subject}{change}" in i.cls.name]

    def settle(self, raw: Any) -> None:
        """Returns when everything that has happened until now was told; the means are not kept."""
        with defined(raw, self.marker("marker")) as marker:
            identity = marker.UUIDString()
        wait_until(lambda: self._ended(identity), "the end of the marker")
        with self._lock:
            self.got[:] = [i for i in self.got if not _is_of("marker", i["SourceInstance"])]

    def settle_pools(self, raw: Any) -> None:
        """The same for what happened to storage pools and networks."""
        definitions = (
            (raw.storagePoolDefineXML, directory_pool("marker", "/nowhere")),
            (raw.networkDefineXML, isolated_network("marker", "10.66.66.1")),
        )
        for define, text in definitions:
            define(text).undefine()
        wait_until(self._pool_markers_ended, "the end of the markers")
        with self._lock:
            self.got[:] = [i for i in self.got if not _is_pool_marker(i)]

    def _pool_markers_ended(self) -> bool:
        return sum(map(_is_pool_marker, self.of(POOL, "Deleted"))) == 2

    def pool_path(self, pool_id: str) -> InstancePath:
        """Of a pool."""
        cls = f"{self.prefix}_{pool_id.partition('/')[0]}"
        return InstancePath(cls, (("InstanceID", pool_id),), NS)

    def _ended(self, uuid: str) -> bool:
        deleted = self.of(SYSTEM, "Deleted")
        return any(i["IndicationIdentifier"] == uuid for i in deleted)

    def read(self, path: InstancePath) -> Instance:
        """What GetInstance gives."""
        return self.broker.get_instance(CONTEXT, path)

    def path(self, name: str) -> InstancePath:
        """Of a guest."""
        cls = f"{self.prefix}_ComputerSystem"
        return InstancePath(cls, (("CreationClassName", cls), ("Name", name)), NS)

    def resources(self, name: str) -> dict[str, Instance]:
        """What enumeration gives of a guest's resources, by InstanceID."""
        cls = f"{self.prefix}_{RESOURCE}"
        rows = self.broker.enumerate_instances(CONTEXT, NS, cls)
        return {r["InstanceID"]: r for r in rows if r["InstanceID"].startswith(f"{name}/")}

    def call(self, path: InstancePath, method: str, **arguments: Any) -> dict[str, Any]:
        """Calls a method."""
        given = {name: Given(value) for name, value in arguments.items()}
        return self.broker.invoke_method(CONTEXT, path, method, given)[1]


def _is_of(name: str, instance: Instance) -> bool:
    return name in (instance["Name"], str(instance["InstanceID"]).partition("/")[0])


def _is_pool_marker(indication: Instance) -> bool:
    return str(indication["SourceInstance"]["InstanceID"]).endswith("Pool/marker")


def directory_pool(name: str, path: str, *, uuid: str = "") -> str:
    """A storage pool that is a directory."""
    identity = f"<uuid>{uuid}</uuid>" if uuid else ""
    return (
        f"<pool type='dir'><name>{name}</name>{identity}<target><path>{path}</path></target></pool>"
    )


def isolated_network(name: str, address: str, *, uuid: str = "", extra: str = "") -> str:
    """A network that leads nowhere; `extra` goes below network."""
    identity = f"<uuid>{uuid}</uuid>" if uuid else ""
    return (
        f"<network><name>{name}</name>{identity}"
        f"{extra}<ip address='{address}' netmask='255.255.255.0'/></network>"
    )


@contextlib.contextmanager
def served(
    prefix: str,
    uri: str,
    events: EventSettings = ONLY_EVENTS,
    connection: ConnectionSettings | None = None,
) -> Iterator[World]:
    """The family, to be subscribed to, until the end; `connection` None: as ever."""
    settings = HostSettings(side_file_dir=None, events=events)
    hosts = Hosts({prefix: uri}, connection_settings=connection, settings=settings)
    broker = composition.broker(hosts)
    try:
        yield World(prefix, broker, hosts.host(prefix))
    finally:
        broker.indications.close()
        hosts.close()
