# SPDX-License-Identifier: LGPL-2.1-or-later
"""Recorded calls of the migration and snapshot services: the same answers and jobs, but for what has a
reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import libvirt
import pytest
from lxml import etree

from libvirtcim.cim.broker import Broker
from libvirtcim.cim.errors import CIMError
from libvirtcim.cim.objects import RequestContext
from libvirtcim.virt import migration
from libvirtcim.virt.errors import Unreachable
from tests.hypervisor import wait_until
from tests.recorded import methods
from tests.recorded.methods import check_reasons
from tests.recorded.recording import load_host
from tests.recorded.test_replay import VARIABLE
from tests.standin import (
    Domain,
    RecordedHost,
    StandInConnection,
    keep_memory_in,
    libvirt_error,
)

pytestmark = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"{VARIABLE} names no directory with recordings"
)

CONTEXT = RequestContext()
RUNNING, SHUTOFF = 1, 5
HIDDEN = frozenset({"class", "InstanceID", "StartTime", "Description"})
"""What differs from run to run."""

REASONS = {
    r"refused: 1 (Save|Restore) failed: .*": "a snapshot that fails is an error of the call, not only of "
    "a job that nobody may look at",
    r"job class: KVM_SnapshotJob, not CIM_ConcreteJob": "a class of its own",
    r"accepted, not Only memory\(32768,32769\) snapshots are supported": "the hypervisor's own snapshots",
    r"1 Invalid REF in AffectedSystem: .*, not Only memory.*": "a guest of another family is refused",
}
"""Pattern of a difference → why it is one, of snapshots."""
MIGRATION_REASONS = {
    r".*, not .*SIGSEGV signal": "no crash",
}
OF_ANOTHER_TYPE = "create-type-uint32"
"""The recording says in its name alone that a number was sent in another type."""


class Saveable(Domain):
    """A domain that is off once its memory is in a file."""

    host: RecordedHost

    def save(self, path: str) -> None:
        if not self.isActive():
            raise libvirt_error(libvirt.VIR_ERR_OPERATION_INVALID, "domain is not running")
        Path(path).write_text(self.domain_name)
        self.switch(on=False)

    def snapshotCreateXML(self, _text: str, _flags: int = 0) -> None:
        pass

    def switch(self, *, on: bool) -> None:
        """Off or on."""
        self.live_xml = self.inactive_xml if on else None
        self.state_number = RUNNING if on else SHUTOFF
        self.number = 1 if on else -1


class Restoring(RecordedHost):
    """Restores its domains."""

    def restore(self, path: str) -> None:
        if not Path(path).exists():
            raise libvirt_error(libvirt.VIR_ERR_OPERATION_FAILED, f"{path}: no such file")
        domain = self.lookupByName(Path(path).read_text())
        if domain.isActive():
            raise libvirt_error(libvirt.VIR_ERR_OPERATION_INVALID, "domain is already active")
        assert isinstance(domain, Saveable)
        domain.switch(on=True)


def recorded_host(folder: Path, *names: str) -> Restoring:
    """The recorded host with guests that run."""
    host, _facts = load_host(folder / "inputs", "kvm")
    host.__class__ = Restoring
    xml = methods.base_guest(folder, "kvm")
    uuid = etree.fromstring(xml).findtext("uuid") or ""
    host.domains = [Saveable(name, uuid, SHUTOFF, xml) for name in names]
    assert isinstance(host, Restoring)
    return host


def outcome(row: dict[str, Any], broker: Broker) -> list[str]:
    """In which respects a call is answered differently."""
    arguments = {name: methods._given(value) for name, value in row["args"].items()}
    expected = row.get("error")
    try:
        value, out = broker.invoke_method(
            CONTEXT, methods.path_of(row["path"]), row["op"], arguments
        )
    except CIMError as error:
        if expected is None:
            return [f"refused: {error.status} {error.message}"]
        label = expected["description"].partition(":")[0]
        same = error.status == expected["status"]
        if same and (error.message.startswith(label) or error.status in (4, 13)):
            return []
        return [f"{error.status} {error.message}, not {expected['description']}"]
    if expected is not None:
        return [f"accepted, not {expected['description']}"]
    found = [] if value == row["return"] else [f"returns {value}, not {row['return']}"]
    for name, given in row.get("out", {}).items():
        if name == "Job":
            found += _job_differences(row.get("job_later"), broker, out["Job"])
        elif isinstance(given, dict):
            wanted = methods.path_of(given["ref"])
            if out[name] != wanted:
                found.append(f"{name}: {out[name]}, not {wanted}")
        elif out[name] != given:
            found.append(f"{name}: {out[name]}, not {given}")
    return found


def _job_differences(recorded: dict[str, Any] | None, broker: Broker, path: Any) -> list[str]:
    if recorded is None:
        return []
    job = wait_until(lambda: _ended(broker, path), "the job ends")
    found = [
        f"job {name}: {job[name]}, not {value}"
        for name, value in recorded.items()
        if name not in HIDDEN and job[name] != value
    ]
    if job.cls.name != recorded["class"]:
        found.append(f"job class: {job.cls.name}, not {recorded['class']}")
    return found


def _ended(broker: Broker, path: Any) -> Any:
    job = broker.get_instance(CONTEXT, path)
    return job if job["JobState"] == 7 else None


def test_recorded_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host is never reached; by way of the local socket it is the same host."""
    folder = Path(os.environ[VARIABLE])
    host = recorded_host(folder, "m1")

    @contextmanager
    def connected(target: migration.Destination, _settings: Any) -> Iterator[StandInConnection]:
        if "+unix:///" not in target.uri:
            raise Unreachable("Connection refused")
        yield StandInConnection(target.uri, host)

    monkeypatch.setattr(migration, "connected", connected)
    brokers = {prefix: methods._broker(host, prefix) for prefix in ("KVM", "LXC", "Xen")}
    found = []
    for row in methods.rows(folder, "kvm", ("VirtualSystemMigrationService",)):
        (domain,) = host.domains
        assert isinstance(domain, Saveable)
        domain.switch(on=row.get("states", {}).get("m1") == "running")
        broker = brokers[row["path"].partition("_")[0]]
        found += [(row["id"], difference) for difference in outcome(row, broker)]
    check_reasons(found, MIGRATION_REASONS)


def test_recorded_snapshots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = Path(os.environ[VARIABLE])
    host = recorded_host(folder, "s1")
    broker = methods._broker(host, "KVM")
    keep_memory_in(tmp_path, monkeypatch)
    found = []
    for row in methods.rows(folder, "kvm", ("VirtualSystemSnapshotService",)):
        if row["id"] == OF_ANOTHER_TYPE:
            continue
        (domain,) = host.domains
        assert isinstance(domain, Saveable)
        note = row.get("note", "")
        if note.startswith("guest"):
            domain.switch(on=note == "guest running")
        elif "error" in row and "libvirt_state" in row:
            domain.switch(on=row["libvirt_state"] == "running")
        found += [(row["id"], difference) for difference in outcome(row, broker)]
        if "libvirt_state" in row and not row["id"].startswith(
            ("create-2", "create-3", "create-lxc")
        ):
            assert domain.isActive() == (row["libvirt_state"] == "running"), row["id"]
            assert (tmp_path / "s1.save").exists() == row["save_file"], row["id"]
    check_reasons(found, REASONS)
