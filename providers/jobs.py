# SPDX-License-Identifier: LGPL-2.1-or-later
"""Jobs of services as instances: what they do, how far they are, whom they affect.

::

    <service> --OwningJobElement-- MigrationJob, SnapshotJob --AffectedJobElement-- ComputerSystem

Indications tell of migration jobs that are made, change, and go.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from weakref import WeakKeyDictionary

from libvirtcim.cim.associations import Association, Handler, Target
from libvirtcim.cim.declare import ClassDecl
from libvirtcim.cim.errors import InvalidParameter, NotSupported
from libvirtcim.cim.indications import Publish
from libvirtcim.cim.jobs import Job, Jobs, JobSettings, JobState, interval, seconds_of, timestamp
from libvirtcim.cim.objects import Embedded, InstancePath, Value
from libvirtcim.cim.provider import Columns, MethodHandler, ProviderRequest
from libvirtcim.providers.common import (
    ALL,
    FamilyProvider,
    GuestItem,
    HostItem,
    HostReading,
    Provided,
    association,
    end,
    registered,
)
from libvirtcim.providers.guest_associations import SYSTEM
from libvirtcim.virt.errors import VirtError
from libvirtcim.virt.host import Hosts, Needs

CLOSE_SECONDS = 5.0
"""How long jobs that are ended by the end of the server may take to clean up."""
OK, ERROR, STOPPED, COMPLETED = 2, 6, 10, 17
"""OperationalStatus (CIM_ManagedSystemElement)."""
HEALTHY, MAJOR_FAILURE = 5, 20
UTC = 2
TERMINATE, KILL = 4, 5
"""RequestedState of CIM_ConcreteJob.RequestStateChange."""
DONE, UNSUPPORTED_STATE = 0, 1
OTHER_ERROR, SEVERITY_MAJOR = 1, 5

MIGRATION_JOB = ClassDecl(
    "MigrationJob",
    "CIM_ConcreteJob",
    "The migration of a guest.",
    ("Xen", "KVM"),
    registration=registered("Virt_MigrationJob", "instance", "method"),
)
SNAPSHOT_JOB = ClassDecl(
    "SnapshotJob",
    "CIM_ConcreteJob",
    "A snapshot of a guest that is made or gone back to.",
    ALL,
    registration=registered("Virt_SnapshotJob", "instance", "method"),
)
JOBS = (MIGRATION_JOB, SNAPSHOT_JOB)
SERVICE_OF = {
    MIGRATION_JOB.base: "VirtualSystemMigrationService",
    SNAPSHOT_JOB.base: "VirtualSystemSnapshotService",
}
"""Class of jobs → class of the service that starts them."""
JOB_BASES = tuple(decl.base for decl in JOBS)

_ENGINES: WeakKeyDictionary[Hosts, Jobs] = WeakKeyDictionary()


def jobs_of(hosts: Hosts) -> Jobs:
    """The jobs of the services of these hosts; they end when the hosts are closed."""
    if hosts not in _ENGINES:
        work = hosts.settings.work
        engine = Jobs(JobSettings(work.running, work.kept, work.retention))
        _ENGINES[hosts] = engine
        hosts.at_close(lambda: engine.close(CLOSE_SECONDS))
    return _ENGINES[hosts]


def job_path(job: Job) -> InstancePath:
    """Path of a job's instance, in the namespace of its service."""
    return InstancePath(job.purpose.kind, (("InstanceID", job.id),), job.purpose.service.namespace)


# --- what is shown of a job -----------------------------------------------------------------------------


def _failed(job: Job) -> bool:
    return job.state is JobState.EXCEPTION


def _operational_status(job: Job) -> list[int]:
    if not job.has_ended:
        return [OK]
    if _failed(job):
        return [COMPLETED, ERROR]
    return [COMPLETED, OK] if job.state is JobState.COMPLETED else [STOPPED]


def _elapsed(job: Job) -> str | None:
    if job.started is None:
        return None
    return interval((job.ended or time.time()) - job.started)


def columns(*, failure_is_completion: bool) -> Columns:
    """The properties of a job; see `WorkSettings`."""
    failed = JobState.COMPLETED if failure_is_completion else JobState.EXCEPTION
    return {
        "InstanceID": lambda j: j.id,
        "Name": lambda j: j.purpose.name,
        "ElementName": lambda j: j.purpose.name,
        "Description": lambda j: j.description,
        "Status": lambda j: j.status,
        "JobStatus": lambda j: j.status,
        "JobState": lambda j: int(failed if _failed(j) else j.state),
        "OperationalStatus": _operational_status,
        "HealthState": lambda j: MAJOR_FAILURE if _failed(j) else HEALTHY,
        "PercentComplete": lambda j: j.percent,
        "TimeSubmitted": lambda j: timestamp(j.submitted),
        "StartTime": lambda j: timestamp(j.submitted if j.started is None else j.started),
        "ElapsedTime": _elapsed,
        "TimeOfLastStateChange": lambda j: timestamp(j.changed),
        "LocalOrUtcTime": lambda j: UTC,
        "Owner": lambda j: j.purpose.owner,
        "DeleteOnCompletion": lambda j: j.delete_on_completion,
        "TimeBeforeRemoval": lambda j: interval(j.retention),
        "ErrorCode": lambda j: j.error.status if j.error else 0,
        "ErrorDescription": lambda j: j.error.message if j.error else None,
    }


def _error(job: Job) -> Embedded | None:
    """CIM_Error of a job that has failed."""
    if job.error is None:
        return None
    return Embedded(
        "CIM_Error",
        {
            "Message": job.error.message,
            "CIMStatusCode": job.error.status,
            "ErrorType": OTHER_ERROR,
            "OtherErrorType": job.purpose.name,
            "PerceivedSeverity": SEVERITY_MAJOR,
            "OwningEntity": "libvirtcim",
        },
    )


# --- instances --------------------------------------------------------------------------------------------


class JobProvider(FamilyProvider[Job]):
    """Serves one class of jobs."""

    def __init__(self, decl: ClassDecl, hosts: Hosts, jobs: Jobs) -> None:
        work = hosts.settings.work
        super().__init__(decl, hosts, columns(failure_is_completion=work.failure_is_completion))
        self._jobs = jobs

    def items(self, request: ProviderRequest) -> Iterable[Job]:
        """The jobs of the class, oldest first."""
        return self._jobs.all(request.cls.name)

    def find(self, request: ProviderRequest, path: InstancePath) -> Job:
        """The job called `InstanceID`."""
        return self._jobs.find(path.text("InstanceID"))

    def modify(
        self, request: ProviderRequest, path: InstancePath, values: Mapping[str, Value]
    ) -> None:
        """Says whether, and how long after its end, the job stays; nothing else can be changed."""
        job = self.find(request, path)
        shown = {"DeleteOnCompletion", "TimeBeforeRemoval"}
        others = [n for n, v in values.items() if n not in shown and v != self.columns[n](job)]
        if others:
            raise NotSupported(f"Of a job only {' and '.join(sorted(shown))} can be modified")
        text = values.get("TimeBeforeRemoval")
        retention = None if text is None else seconds_of(text)
        if text is not None and retention is None:
            raise InvalidParameter(f"TimeBeforeRemoval: {text} is no interval")
        self._jobs.keep(
            job.id, delete_on_completion=values.get("DeleteOnCompletion"), retention=retention
        )

    def delete(self, request: ProviderRequest, path: InstancePath) -> None:
        """Removes a job that has ended."""
        self._jobs.delete(self.find(request, path).id)

    @property
    def methods(self) -> Mapping[str, MethodHandler]:
        """Errors, and the end of a job that runs."""
        return {
            "GetError": MethodHandler(self._get_error),
            "GetErrors": MethodHandler(self._get_errors),
            "RequestStateChange": MethodHandler(
                self._request_state_change, frozenset({"RequestedState"})
            ),
            "KillJob": MethodHandler(self._kill),
        }

    def _get_error(
        self, request: ProviderRequest, path: InstancePath, _arguments: Mapping[str, Value]
    ) -> tuple[Value, dict[str, Value]]:
        return DONE, {"Error": _error(self.find(request, path))}

    def _get_errors(
        self, request: ProviderRequest, path: InstancePath, _arguments: Mapping[str, Value]
    ) -> tuple[Value, dict[str, Value]]:
        error = _error(self.find(request, path))
        return DONE, {"Errors": None if error is None else [error]}

    def _request_state_change(
        self, request: ProviderRequest, path: InstancePath, arguments: Mapping[str, Value]
    ) -> tuple[Value, dict[str, Value]]:
        job = self.find(request, path)
        if arguments["RequestedState"] not in (TERMINATE, KILL):
            return UNSUPPORTED_STATE, {}
        self._jobs.cancel(job.id)
        return DONE, {}

    def _kill(
        self, request: ProviderRequest, path: InstancePath, arguments: Mapping[str, Value]
    ) -> tuple[Value, dict[str, Value]]:
        job = self.find(request, path)
        self._jobs.cancel(job.id)
        if arguments.get("DeleteOnKill"):
            self._jobs.keep(job.id, delete_on_completion=True, retention=0.0)
        return DONE, {}


# --- associations ------------------------------------------------------------------------------------------


def _owning(jobs: Jobs, hosts: Hosts) -> Association:
    def service_of(
        request: ProviderRequest, base: str, _job: Job, _wanted: frozenset[str]
    ) -> Iterable[Target]:
        reading = HostReading.of(request, hosts.host(request.prefix))
        yield Target(SERVICE_OF[base], HostItem(request.prefix, reading))

    def jobs_of_service(
        request: ProviderRequest, base: str, _item: HostItem, wanted: frozenset[str]
    ) -> Iterable[Target]:
        for job_base in wanted:
            for job in jobs.all(f"{request.prefix}_{job_base}"):
                yield Target(job_base, job)

    decl = association(
        "OwningJobElement",
        "A service and a job that it has started.",
        properties=(end("OwnedElement", "CIM_ConcreteJob", "The job."),),
    )
    ends = [((job,), (service,)) for job, service in SERVICE_OF.items()]
    return Association(
        decl,
        (
            *(
                Handler(job, "OwnedElement", service, "OwningElement", service_of, enumerated=True)
                for job, service in ends
            ),
            *(
                Handler(service, "OwningElement", job, "OwnedElement", jobs_of_service)
                for job, service in ends
            ),
        ),
    )


def _affected(jobs: Jobs, hosts: Hosts) -> Association:
    def guest_of(
        request: ProviderRequest, _base: str, job: Job, _wanted: frozenset[str]
    ) -> Iterable[Target]:
        host = hosts.host(request.prefix)
        try:
            guest = host.guest_by_uuid(job.purpose.subject, Needs.LIVE)
        except VirtError:
            return  # it is elsewhere, or gone
        yield Target(SYSTEM, GuestItem(request.prefix, HostReading.of(request, host), guest))

    def jobs_of_guest(
        request: ProviderRequest, _base: str, item: GuestItem, wanted: frozenset[str]
    ) -> Iterable[Target]:
        for job_base in JOB_BASES:
            for job in jobs.all(f"{request.prefix}_{job_base}") if job_base in wanted else ():
                if job.purpose.subject == item.guest.uuid:
                    yield Target(job_base, job)

    decl = association("AffectedJobElement", "A guest and a job that affects it.")
    return Association(
        decl,
        (
            Handler(
                JOB_BASES, "AffectingElement", (SYSTEM,), "AffectedElement", guest_of,
                enumerated=True,
            ),
            Handler((SYSTEM,), "AffectedElement", JOB_BASES, "AffectingElement", jobs_of_guest),
        ),
    )  # fmt: skip


# --- indications ----------------------------------------------------------------------------------


class MigrationJobSource:
    """Tells of migration jobs that are made, change and go."""

    def __init__(self, jobs: Jobs, hosts: Hosts) -> None:
        self._jobs = jobs
        self._hosts = hosts
        work = hosts.settings.work
        self._columns = columns(failure_is_completion=work.failure_is_completion)
        self._publish: Publish | None = None

    @property
    def classes(self) -> Collection[str]:
        """The three classes of every family that has migration jobs."""
        return [
            f"{prefix}_ComputerSystemMigrationJob{change}Indication"
            for prefix in MIGRATION_JOB.prefixes
            for change in ("Created", "Modified", "Deleted")
        ]

    def start(self, publish: Publish) -> None:
        """Tells from now on."""
        self._publish = publish
        self._jobs.listen(self._changed)

    def stop(self) -> None:
        """Tells nothing more."""
        self._jobs.unlisten(self._changed)

    def _changed(self, before: Job | None, after: Job | None) -> None:
        shown = after or before
        prefix, _, base = shown.purpose.kind.partition("_") if shown else ("", "", "")
        if shown is None or base != MIGRATION_JOB.base or self._publish is None:
            return
        change = "Created" if before is None else "Deleted" if after is None else "Modified"
        values: dict[str, Value] = {
            "SourceInstance": self._instance(shown),
            "SourceInstanceModelPath": str(job_path(shown)),
            "SourceInstanceHost": self._hosts.host(prefix).name(),
            "IndicationIdentifier": shown.purpose.subject or shown.id,
        }
        if before is not None and after is not None:
            values["PreviousInstance"] = self._instance(before)
        self._publish(f"{prefix}_ComputerSystemMigrationJob{change}Indication", values)

    def _instance(self, job: Job) -> Embedded:
        values = {name: value(job) for name, value in self._columns.items()}
        return Embedded(job.purpose.kind, values)


def provide(hosts: Hosts) -> Provided:
    """The module's classes and what serves them."""
    jobs = jobs_of(hosts)
    associations = (_owning(jobs, hosts), _affected(jobs, hosts))
    return Provided(
        (*JOBS, *(a.decl for a in associations)),
        tuple(JobProvider(decl, hosts, jobs) for decl in JOBS),
        associations,
        (MigrationJobSource(jobs, hosts),),
    )
