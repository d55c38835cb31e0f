# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client that moves guests between two real hosts through CIM, and looks for them on both."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import libvirt
import pywbem

from tests.hypervisor import READY, qemu_guest, serial_output, wait_until
from tests.pair import Pair

OFFLINE, LIVE, RESUME, RESTART = 1, 2, 3, 4
TCP = 5
STARTED = 4096
MOVED = {LIVE: "live", RESUME: "resumed", RESTART: "restarted", OFFLINE: "off"}
"""Guests that are moved in all ways."""
AS_IT_IS = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_PERSIST_DEST
    | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    | libvirt.VIR_MIGRATE_UNSAFE
)
"""Flags with which libvirt leaves a guest as it is, on the other host."""
COMPLETED, TERMINATED = 7, 8


class Mover:
    """A client of the migration service of one of the hosts; guests are looked at on both.

    `as_text`: sends settings as MOF in strings, else as embedded instances.
    """

    def __init__(
        self, client: pywbem.WBEMConnection, hosts: Pair, *, as_text: bool = False
    ) -> None:
        self.client = client
        self.hosts = hosts
        self.as_text = as_text
        self.a = libvirt.open(hosts.a.qemu_uri)
        self.b = libvirt.open(hosts.b.qemu_uri)
        self.service = pywbem.CIMInstanceName(
            "KVM_VirtualSystemMigrationService", {"Name": "MigrationService"}, namespace="root/virt"
        )

    def close(self, *others: str) -> None:
        """Removes all guests, but for the `others`, from both hosts."""
        for raw in (self.a, self.b):
            for domain in raw.listAllDomains():
                if domain.name() in others:
                    continue
                persistent = domain.isPersistent()
                if domain.isActive():
                    domain.destroy()
                if persistent:
                    domain.undefineFlags(
                        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
                        | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                    )
            raw.close()

    def call(
        self,
        method: str,
        name: str,
        host: str,
        *,
        own_key: bool = False,
        **settings: int | list[str],
    ) -> Any:
        """Calls a method of the service for a guest; return value and output parameters.

        `own_key`: ssh uses the key that was copied for migrations.
        """
        chosen = {"TransportType": pywbem.Uint16(TCP)} | {
            key: pywbem.Uint16(value) if isinstance(value, int) else value
            for key, value in settings.items()
        }
        made = pywbem.CIMInstance("KVM_VirtualSystemMigrationSettingData", chosen)
        return self.client.InvokeMethod(
            method,
            self.service,
            ComputerSystem=guest_path(name),
            DestinationHost=host,
            MigrationSettingData=made.tomof() if self.as_text else made,
            **({"MigrationWithoutRootKey": True} if own_key else {}),
        )

    def start(
        self, name: str, kind: int, *, to: str | None = None, own_key: bool = False, **settings: int
    ) -> pywbem.CIMInstanceName:
        """Starts the migration of a guest to the other host, by its address or as `to`; its job's path."""
        value, outputs = self.call(
            "MigrateVirtualSystemToHost",
            name,
            to or self.hosts.address_b,
            own_key=own_key,
            MigrationType=kind,
            **settings,
        )
        assert value == STARTED
        return outputs["Job"]

    def ended(self, job: pywbem.CIMInstanceName, deadline: float = 60.0) -> pywbem.CIMInstance:
        """The job when it has ended."""

        def found() -> pywbem.CIMInstance | None:
            instance = self.client.GetInstance(job)
            return instance if instance["JobState"] in (COMPLETED, TERMINATED) else None

        return wait_until(found, "the job ends", deadline)

    def move(self, name: str, kind: int, **how: Any) -> pywbem.CIMInstance:
        """Moves a guest to the other host, as `start` does; its job at the end."""
        return self.ended(self.start(name, kind, **how))

    def move_in_all_ways(self, image: Path) -> dict[int, pywbem.CIMInstance]:
        """Moves new guests to the other host, one in each way, all at once; kind → job at the end.

        `image`: what they boot from, such that they shut down when asked to.
        """
        domains = {kind: self.a.defineXML(qemu_guest(name, image)) for kind, name in MOVED.items()}
        del domains[OFFLINE]
        with ThreadPoolExecutor() as threads:
            list(threads.map(libvirt.virDomain.create, domains.values()))
        restarted = MOVED[RESTART]
        wait_until(lambda: READY in serial_output(image, restarted), "boot", 30)
        paths = {kind: self.start(name, kind) for kind, name in MOVED.items()}
        jobs = {kind: self.ended(path) for kind, path in paths.items()}
        for kind, name in MOVED.items():
            assert self.places(name) == {"b": "is off" if kind == OFFLINE else "runs"}
        return jobs

    def places(self, name: str) -> dict[str, str]:
        """Host → "runs" or "is off", of each that has the guest."""
        found = {}
        for place, raw in (("a", self.a), ("b", self.b)):
            for domain in raw.listAllDomains():
                if domain.name() == name:
                    found[place] = "runs" if domain.isActive() else "is off"
        return found


def move_directly(domain: Any, to: Any, address: str) -> Any:
    """Moves a guest that runs to the host of another connection, by libvirt alone; the guest there."""
    return domain.migrate3(to, {"migrate_uri": f"tcp://{address}:49152"}, AS_IT_IS)


def guest_path(name: str) -> pywbem.CIMInstanceName:
    """The path of a guest."""
    keys = {"CreationClassName": "KVM_ComputerSystem", "Name": name}
    return pywbem.CIMInstanceName("KVM_ComputerSystem", keys, namespace="root/virt")
