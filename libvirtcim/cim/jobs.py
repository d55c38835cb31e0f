# SPDX-License-Identifier: LGPL-2.1-or-later
"""Jobs: work that goes on when its request has been answered (DSP1103, CIM_ConcreteJob).

::

    start ──> NEW ──> RUNNING ──> COMPLETED
              │          ├──────> EXCEPTION     the work raised an error
              └──────────┴──────> TERMINATED    somebody ended it

A job is shown by immutable snapshots. Those who listen get the snapshot before and after each change,
in order. An ended job stays for its retention, then it goes, unless a client has it kept.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum
from typing import TypeAlias

from libvirtcim.cim import values
from libvirtcim.cim.errors import CIMError, Failed, NotFound
from libvirtcim.cim.objects import InstancePath

_log = logging.getLogger(__name__)


class JobState(IntEnum):
    """CIM_ConcreteJob.JobState, as far as it is used."""

    NEW = 2
    RUNNING = 4
    COMPLETED = 7
    TERMINATED = 8
    EXCEPTION = 10


@dataclass(frozen=True, slots=True)
class JobSettings:
    """Limits. `running`: jobs that run at once, others wait. `kept`: ended ones, then the oldest goes.

    `retention`: seconds that an ended job stays.
    """

    running: int = 8
    kept: int = 1000
    retention: float = 300.0


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a job is for: everything about it that never changes.

    `kind`: class of its instance. `service`: who does it. `subject`: UUID of what it is done to, as far as
    that is known. `owner`: the user who asked for it.
    """

    kind: str
    name: str
    service: InstancePath
    subject: str = ""
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job at one moment. Times are Unix times; `percent` is 0 to 100."""

    id: str
    purpose: Purpose
    submitted: float
    changed: float
    retention: float
    state: JobState = JobState.NEW
    status: str = "Queued"
    description: str | None = None
    percent: int = 0
    error: CIMError | None = None
    started: float | None = None
    ended: float | None = None
    delete_on_completion: bool = True

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.ended is not None


class Cancelled(Exception):
    """Somebody has ended the job; what the work raises when it has cleaned up."""


Work: TypeAlias = "Callable[[Progress], None]"
"""The work of a job; raises CIMError or Cancelled where it isn't done."""
Listener: TypeAlias = Callable[[Job | None, Job | None], None]
"""(before, after): None before it is there, and after it has gone."""


class Progress:
    """How the work of one job tells of itself, and learns that it shall end."""

    def __init__(self, jobs: Jobs, job: Job) -> None:
        self._jobs = jobs
        self._id = job.id
        self._lock = threading.Lock()
        self._abort: Callable[[], None] | None = None
        self.cancelled = threading.Event()

    def report(
        self,
        status: str | None = None,
        *,
        percent: int | None = None,
        description: str | None = None,
    ) -> None:
        """Says how far it is; what is None stays."""
        told = {"status": status, "percent": percent, "description": description}
        self._jobs.update(self._id, **{n: v for n, v in told.items() if v is not None})

    def on_cancel(self, abort: Callable[[], None] | None) -> None:
        """What ends the work early, from another thread; at once where it shall end already."""
        with self._lock:
            self._abort = abort
        if abort is not None and self.cancelled.is_set():
            abort()

    def check(self) -> None:
        """Raises Cancelled where the work shall end."""
        if self.cancelled.is_set():
            raise Cancelled

    def cancel(self) -> None:
        """Lets the work end."""
        self.cancelled.set()
        with self._lock:
            abort = self._abort
        if abort is not None:
            abort()


class Jobs:
    """All jobs of a process. Safe from any number of threads."""

    def __init__(self, settings: JobSettings | None = None) -> None:
        self.settings = settings or JobSettings()
        self._changed = threading.Condition(threading.RLock())
        self._jobs: dict[str, Job] = {}
        self._work: dict[str, tuple[Progress, Work]] = {}
        self._waiting: deque[str] = deque()
        self._running = 0
        self._listeners: list[Listener] = []
        self._sweeper: threading.Thread | None = None
        self._closed = False

    # --- for those who have work ---------------------------------------------------------------

    def start(self, purpose: Purpose, work: Work) -> Job:
        """Begins a job, or lets it wait for its turn; returns at once."""
        now = time.time()
        job = Job(values.unique_id(), purpose, now, now, self.settings.retention)
        with self._changed:
            if self._closed:
                raise Failed("The server is ending; no more jobs are taken")
            self._work[job.id] = Progress(self, job), work
            self._set(job)
            self._waiting.append(job.id)
            self._run_waiting()
        return job

    def update(self, job_id: str, **changes: object) -> None:
        """Replaces fields of a job that has not ended."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job.has_ended:
                return
            fresh = replace(job, **changes)  # type: ignore[arg-type]
            if fresh != job:
                self._set(fresh)

    def wait(self, job_id: str, timeout: float) -> Job:
        """The job when it has ended, or as it is after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.find(job_id).has_ended, timeout)
            return self.find(job_id)

    # --- for those who look ----------------------------------------------------------------------

    def all(self, kind: str) -> list[Job]:
        """The jobs of a class, in the order in which they were started."""
        with self._changed:
            return [job for job in self._jobs.values() if job.purpose.kind == kind]

    def find(self, job_id: str) -> Job:
        """The job of that identifier; raises NotFound."""
        with self._changed:
            job = self._jobs.get(job_id)
        if job is None:
            raise NotFound("No such instance (InstanceID)")
        return job

    def listen(self, listener: Listener) -> None:
        """Tells of every change from now on, in order; the listener must neither wait nor raise."""
        with self._changed:
            self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Tells it nothing more."""
        with self._changed:
            self._listeners.remove(listener)

    # --- for clients -----------------------------------------------------------------------------

    def cancel(self, job_id: str) -> None:
        """Lets a job end early; raises Failed where it has ended. It ends when its work has cleaned up."""
        with self._changed:
            job = self.find(job_id)
            if job.has_ended:
                raise Failed(f"Job {job_id} has ended already")
            if job_id in self._waiting:
                self._waiting.remove(job_id)
                self._end(job_id, JobState.TERMINATED, "Terminated", None)
                return
            progress, _work = self._work[job_id]
        progress.cancel()

    def keep(
        self, job_id: str, *, delete_on_completion: bool | None, retention: float | None
    ) -> None:
        """Changes how long a job stays after its end; None: as it was."""
        with self._changed:
            job = self.find(job_id)
            fresh = replace(
                job,
                delete_on_completion=job.delete_on_completion
                if delete_on_completion is None
                else delete_on_completion,
                retention=job.retention if retention is None else retention,
            )
            self._set(fresh)
            self._start_sweeper()

    def delete(self, job_id: str) -> None:
        """Removes a job that has ended; raises Failed for one that goes on."""
        with self._changed:
            if not self.find(job_id).has_ended:
                raise Failed(f"Job {job_id} has not ended; terminate it first")
            self._remove(job_id)

    def close(self, timeout: float) -> bool:
        """Takes no more jobs and ends those that run; whether all had ended in `timeout` seconds."""
        with self._changed:
            self._closed = True
            going = [job.id for job in self._jobs.values() if not job.has_ended]
        for job_id in going:
            try:
                self.cancel(job_id)
            except CIMError:
                continue  # it has ended meanwhile
        with self._changed:
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._running, timeout)

    # --- inside; the lock is held ------------------------------------------------------------------

    def _set(self, job: Job) -> None:
        before = self._jobs.get(job.id)
        if before is None or before.state is not job.state:
            job = replace(job, changed=time.time())
        self._jobs[job.id] = job
        self._tell(before, job)
        self._changed.notify_all()

    def _tell(self, before: Job | None, after: Job | None) -> None:
        for listener in self._listeners:
            try:
                listener(before, after)
            except Exception:
                _log.exception("a change of a job could not be told")

    def _run_waiting(self) -> None:
        while self._waiting and self._running < self.settings.running:
            job_id = self._waiting.popleft()
            self._running += 1
            threading.Thread(
                target=self._carry_out, args=(job_id,), name=f"job-{job_id[:8]}", daemon=True
            ).start()

    def _end(self, job_id: str, state: JobState, status: str, error: CIMError | None) -> None:
        percent = 100 if state is JobState.COMPLETED else self._jobs[job_id].percent
        self._work.pop(job_id, None)
        self._set(
            replace(
                self._jobs[job_id],
                state=state,
                status=status,
                percent=percent,
                error=error,
                ended=time.time(),
            )
        )
        ended = [job for job in self._jobs.values() if job.has_ended]
        for job in ended[: max(0, len(ended) - self.settings.kept)]:
            self._remove(job.id)
        self._start_sweeper()

    def _start_sweeper(self) -> None:
        if self._sweeper is None:
            self._sweeper = threading.Thread(target=self._sweep, name="jobs", daemon=True)
            self._sweeper.start()

    def _remove(self, job_id: str) -> None:
        self._tell(self._jobs.pop(job_id), None)
        self._changed.notify_all()

    # --- threads -----------------------------------------------------------------------------------

    def _carry_out(self, job_id: str) -> None:
        progress, work = self._work[job_id]
        with self._changed:
            now = time.time()
            self.update(job_id, state=JobState.RUNNING, status="Running", started=now)
        state, error = JobState.COMPLETED, None
        try:
            progress.check()
            work(progress)
        except Cancelled:
            state = JobState.TERMINATED
        except CIMError as raised:
            state, error = JobState.EXCEPTION, raised
        except Exception:
            reference = os.urandom(4).hex()
            _log.exception("internal error %s in job %s", reference, job_id)
            text = f"internal error, see the server's log (reference {reference})"
            state, error = JobState.EXCEPTION, Failed(text)
        with self._changed:
            self._running -= 1
            self._end(job_id, state, _final_status(state, error, self._jobs[job_id]), error)
            self._run_waiting()

    def _sweep(self) -> None:
        """Removes what has outlived its retention, as long as there is something to remove."""
        with self._changed:
            while not self._closed:
                going = [j for j in self._jobs.values() if j.has_ended and j.delete_on_completion]
                if not going:
                    break
                now = time.time()
                for job in going:
                    if _expiry(job) <= now:
                        self._remove(job.id)
                soonest = min((_expiry(j) for j in going if j.id in self._jobs), default=None)
                if soonest is not None:
                    self._changed.wait(max(0.0, soonest - now))
            self._sweeper = None


def _expiry(job: Job) -> float:
    return (job.ended or 0.0) + job.retention


def _final_status(state: JobState, error: CIMError | None, job: Job) -> str:
    if error is not None:
        return error.message
    if state is JobState.TERMINATED:
        return "Terminated"
    return "Completed" if job.status == "Running" else job.status


def timestamp(moment: float | None) -> str | None:
    """A Unix time as CIM datetime in UTC."""
    return None if moment is None else values.timestamp(datetime.fromtimestamp(moment, UTC))


def interval(seconds: float) -> str:
    """A duration as CIM datetime (DSP0004 5.2.4)."""
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days:08}{hour:02}{minute:02}{second:02}.{micros:06}:000"


def seconds_of(text: str) -> float | None:
    """The seconds of an interval as `interval` writes it; None: it is none. `*` counts as 0."""
    if len(text) != 25 or text[14] != "." or text[21:] != ":000":
        return None
    digits = text.replace("*", "0")
    if not (digits[:14] + digits[15:21]).isdigit():
        return None
    days, hours, minutes, seconds = (
        int(digits[a:b]) for a, b in ((0, 8), (8, 10), (10, 12), (12, 14))
    )
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds + int(digits[15:21]) / 1_000_000
