# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is shown of jobs and of snapshots, and what clients may do to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from libvirtcim.cim.broker import Broker
from libvirtcim.cim.errors import CIMError, Failed, InvalidParameter, NotFound, NotSupported
from libvirtcim.cim.jobs import Job, JobState
from libvirtcim.cim.objects import Given, GivenInstance, InstancePath
from libvirtcim.providers.jobs import MIGRATION_JOB, columns
from tests.providers.full_host import SNAPSHOTS, jobs
from tests.providers.wiring import (
    ALL,
    CONTEXT,
    NAME,
    NS,
    Case,
    Table,
    broker_of,
    case_id,
    check,
    guest,
    of_families,
    path,
)

TIMES = {
    "TimeSubmitted": "20231114221320.000000+000",
    "StartTime": "20231114221330.000000+000",
    "TimeOfLastStateChange": "20231114221332.000000+000",
    "ElapsedTime": "00000000000002.500000:000",
    "TimeBeforeRemoval": "00000000000500.000000:000",
    "LocalOrUtcTime": 2,
}


def _job(base: str, number: int, **values: Any) -> dict[str, Any]:
    name = base.removesuffix("Job")
    return {
        **TIMES,
        "InstanceID": f"{base}-{number}",
        "Name": name,
        "ElementName": name,
        "Description": f"{base} of {NAME}",
        "Owner": "admin",
        "DeleteOnCompletion": True,
        "JobState": 7,
        **values,
    }


DONE = {
    "Status": "Snapshot complete",
    "JobStatus": "Snapshot complete",
    "OperationalStatus": [17, 2],
    "HealthState": 5,
    "PercentComplete": 100,
    "ErrorCode": 0,
    "ErrorDescription": None,
}
FAILED = {
    "Status": "no such host",
    "JobStatus": "no such host",
    "OperationalStatus": [17, 6],
    "HealthState": 20,
    "PercentComplete": 40,
    "ErrorCode": 1,
    "ErrorDescription": "no such host",
}

JOBS: Table = {
    "SnapshotJob": [
        Case(
            "one that has done its work, and one that has failed",
            [_job("SnapshotJob", 1, **DONE), _job("SnapshotJob", 2, **FAILED)],
        )
    ],
    "MigrationJob": [
        Case(
            "one that has failed",
            [_job("MigrationJob", 1, **FAILED)],
            families=MIGRATION_JOB.prefixes,
        )
    ],
}

SNAPSHOT: Table = {
    "SnapshotSettingData": [
        Case(
            "one with a child",
            [
                {
                    "InstanceID": f"KVM:{NAME}/{name}",
                    "ElementName": name,
                    "VirtualSystemIdentifier": NAME,
                    "VirtualSystemType": "KVM",
                    "Caption": "Snapshot",
                    "Description": description,
                    "CreationTime": created,
                }
                for name, description, created in (
                    ("clean", "as installed", "20231114221320.000000+000"),
                    ("patched", None, "20231114221420.000000+000"),
                )
            ],
            families=("KVM",),
            more={"snapshots": SNAPSHOTS},
        )
    ]
}
TABLES = (JOBS, SNAPSHOT)


@pytest.mark.parametrize(("prefix", "base", "case"), of_families(JOBS), ids=case_id)
def test_jobs(prefix: str, base: str, case: Case) -> None:
    check(prefix, base, case, jobs=jobs(prefix))


@pytest.mark.parametrize(("prefix", "base", "case"), of_families(SNAPSHOT), ids=case_id)
def test_snapshots(prefix: str, base: str, case: Case) -> None:
    check(prefix, base, case)


# (state, percent, error?) → (JobState, OperationalStatus)
STATES = [
    (JobState.NEW, (2, [2])),
    (JobState.RUNNING, (4, [2])),
    (JobState.COMPLETED, (7, [17, 2])),
    (JobState.TERMINATED, (8, [10])),
    (JobState.EXCEPTION, (10, [17, 6])),
]


@pytest.mark.parametrize(("state", "shown"), STATES)
def test_states(state: JobState, shown: tuple[int, list[int]]) -> None:
    job = jobs("KVM")[0]
    started = None if state is JobState.NEW else job.started
    ended = None if state in (JobState.NEW, JobState.RUNNING) else job.ended
    row = columns(failure_is_completion=False)
    made = replace(job, state=state, started=started, ended=ended)
    assert (row["JobState"](made), row["OperationalStatus"](made)) == shown
    assert (row["ElapsedTime"](made) is None) == (state is JobState.NEW)


# --- what clients may do ----------------------------------------------------------------------------


def one(base: str = "MigrationJob", **keys: Any) -> InstancePath:
    return path("KVM", base, **(keys or {"InstanceID": f"{base}-1"}))


def with_jobs(*more: Job) -> Broker:
    return broker_of({"KVM": [guest("KVM")]}, jobs=[*jobs("KVM"), *more])


def call(
    broker: Broker, at: InstancePath, method: str, **arguments: Any
) -> tuple[Any, Mapping[str, Any]]:
    return broker.invoke_method(
        CONTEXT, at, method, {name: Given(value) for name, value in arguments.items()}
    )


def test_errors_of_a_job() -> None:
    broker = with_jobs()
    value, out = call(broker, one(), "GetError")
    assert value == 0
    assert (out["Error"].cls.name, out["Error"]["Message"], out["Error"]["CIMStatusCode"]) == (
        "CIM_Error", "no such host", 1,
    )  # fmt: skip
    assert [e["Message"] for e in call(broker, one(), "GetErrors")[1]["Errors"]] == ["no such host"]
    assert call(broker, one("SnapshotJob"), "GetError") == (0, {})
    assert call(broker, one("SnapshotJob"), "GetErrors") == (0, {})


@pytest.mark.parametrize("method", ["GetError", "GetErrors", "KillJob"])
def test_a_job_that_is_not_there(method: str) -> None:
    with pytest.raises(NotFound):
        call(with_jobs(), one(InstanceID="none"), method)


def test_terminating() -> None:
    broker = with_jobs()
    assert (
        call(broker, one(), "RequestStateChange", RequestedState=Given(2, "uint16").value)[0] == 1
    )
    for method, arguments in (("RequestStateChange", {"RequestedState": 4}), ("KillJob", {})):
        with pytest.raises(Failed, match="has ended already"):
            call(broker, one(), method, **arguments)
    with pytest.raises(CIMError, match="RequestedState"):
        call(broker, one(), "RequestStateChange")


def modify(broker: Broker, **values: Any) -> None:
    given = GivenInstance("KVM_MigrationJob", {n: Given(v) for n, v in values.items()})
    broker.modify_instance(CONTEXT, one(), given)


def test_keeping_a_job() -> None:
    broker = with_jobs()
    modify(broker, DeleteOnCompletion=False, TimeBeforeRemoval="00000001000000.000000:000")
    shown = broker.get_instance(CONTEXT, one())
    assert shown["DeleteOnCompletion"] is False
    assert shown["TimeBeforeRemoval"] == "00000001000000.000000:000"
    with pytest.raises(NotSupported, match="DeleteOnCompletion and TimeBeforeRemoval"):
        modify(broker, Name="x")
    with pytest.raises(InvalidParameter, match="no interval"):
        modify(broker, TimeBeforeRemoval="20231114221320.000000+000")
    # a property as it was read changes nothing
    modify(broker, Name=shown["Name"], DeleteOnCompletion=False)
    broker.delete_instance(CONTEXT, one())
    assert not list(broker.enumerate_instance_names(CONTEXT, NS, "KVM_MigrationJob"))


def test_snapshots_that_are_not_there() -> None:
    broker = broker_of({"KVM": [guest("KVM", snapshots=SNAPSHOTS)]})
    for identifier in ("x", "KVM:x", f"KVM:{NAME}/none", f"KVM:none/{SNAPSHOTS[0].name}"):
        with pytest.raises(NotFound, match=r"No such instance \(InstanceID\)"):
            broker.get_instance(CONTEXT, path("KVM", "SnapshotSettingData", InstanceID=identifier))


@pytest.mark.parametrize("prefix", ALL)
def test_services_without_hypervisor(prefix: str) -> None:
    service = path(prefix, "VirtualSystemSnapshotService", Name="SnapshotService")
    settings = path(prefix, "VirtualSystemSettingData", InstanceID=f"{prefix}:x")
    with pytest.raises(Failed, match="Unable to connect to hypervisor"):
        call(broker_of({prefix: None}), service, "DestroySnapshot", AffectedSnapshot=settings)
