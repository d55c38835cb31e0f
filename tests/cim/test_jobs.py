# SPDX-License-Identifier: LGPL-2.1-or-later
"""The job engine: states, errors, cancelling, retention, limits, and what listeners are told."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from libvirtcim.cim.errors import CIMError, Failed, InvalidParameter, NotFound
from libvirtcim.cim.jobs import (
    Cancelled,
    Job,
    Jobs,
    JobSettings,
    JobState,
    Progress,
    Purpose,
    interval,
    seconds_of,
    timestamp,
)
from libvirtcim.cim.objects import InstancePath
from tests.hypervisor import wait_until

PURPOSE = Purpose("KVM_MigrationJob", "Migration", InstancePath("KVM_Service"))


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs()
    yield made
    assert made.close(10)


def wait_for(event: threading.Event) -> None:
    assert event.wait(10)


def ended(jobs: Jobs, job: Job) -> Job:
    found = jobs.wait(job.id, 10)
    assert found.has_ended
    return found


def test_a_job_that_works(jobs: Jobs) -> None:
    told: list[tuple[Job | None, Job | None]] = []
    jobs.listen(lambda before, after: told.append((before, after)))

    def work(progress: Progress) -> None:
        progress.report(percent=40, description="half of it")

    done = ended(jobs, jobs.start(PURPOSE, work))
    assert (done.state, done.status, done.percent, done.error) == (
        JobState.COMPLETED, "Completed", 100, None,
    )  # fmt: skip
    assert done.description == "half of it"
    assert [after.state for _before, after in told if after] == [2, 4, 4, 7]
    # each change starts where the one before ended
    assert [before for before, _ in told] == [None, *(after for _, after in told[:-1])]
    assert done.started is not None and done.ended is not None
    assert done.submitted <= done.started <= done.ended


def test_the_last_word_stays(jobs: Jobs) -> None:
    done = ended(jobs, jobs.start(PURPOSE, lambda progress: progress.report("Snapshot complete")))
    assert done.status == "Snapshot complete"


@pytest.mark.parametrize("error", [InvalidParameter("off"), Failed("no host")])
def test_a_job_that_fails(jobs: Jobs, error: CIMError) -> None:
    def work(progress: Progress) -> None:
        progress.report(percent=30)
        raise error

    done = ended(jobs, jobs.start(PURPOSE, work))
    assert (done.state, done.status, done.error, done.percent) == (10, error.message, error, 30)


def test_an_unexpected_error_is_only_in_the_log(
    jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    def work(progress: Progress) -> None:
        raise RuntimeError("secret")

    done = ended(jobs, jobs.start(PURPOSE, work))
    assert done.error is not None and "secret" not in done.status
    assert "internal error" in done.status and "secret" in caplog.text


def test_a_running_job_is_cancelled(jobs: Jobs) -> None:
    aborted = threading.Event()
    running = threading.Event()

    def work(progress: Progress) -> None:
        progress.on_cancel(aborted.set)
        running.set()
        assert progress.cancelled.wait(10)
        progress.check()

    job = jobs.start(PURPOSE, work)
    assert running.wait(10)
    jobs.cancel(job.id)
    assert ended(jobs, job).state is JobState.TERMINATED
    assert aborted.is_set()
    with pytest.raises(Failed, match="has ended already"):
        jobs.cancel(job.id)


def test_an_abort_that_comes_late_is_called(jobs: Jobs) -> None:
    aborted = threading.Event()
    going = threading.Event()

    def work(progress: Progress) -> None:
        going.set()
        assert progress.cancelled.wait(10)
        progress.on_cancel(aborted.set)
        raise Cancelled

    job = jobs.start(PURPOSE, work)
    assert going.wait(10)
    jobs.cancel(job.id)
    ended(jobs, job)
    assert aborted.is_set()


def test_jobs_wait_for_their_turn() -> None:
    jobs = Jobs(JobSettings(running=1))
    free = threading.Event()
    first = jobs.start(PURPOSE, lambda progress: wait_for(free))
    second = jobs.start(PURPOSE, lambda progress: None)
    third = jobs.start(PURPOSE, lambda progress: None)
    assert jobs.find(second.id).state is JobState.NEW
    jobs.cancel(third.id)
    assert jobs.find(third.id).state is JobState.TERMINATED
    free.set()
    assert ended(jobs, first).state is ended(jobs, second).state is JobState.COMPLETED
    assert [job.id for job in jobs.all(PURPOSE.kind)] == [first.id, second.id, third.id]
    assert jobs.close(10)


def test_ended_jobs_go_after_their_retention() -> None:
    jobs = Jobs(JobSettings(retention=0.05))
    gone: list[str] = []
    jobs.listen(lambda before, after: gone.append(before.id) if before and not after else None)
    kept = jobs.start(PURPOSE, lambda progress: None)
    jobs.keep(kept.id, delete_on_completion=False, retention=None)
    ended(jobs, kept)
    short = jobs.start(PURPOSE, lambda progress: None)
    wait_until(lambda: gone == [short.id], "the job has gone")
    assert jobs.find(kept.id).has_ended
    jobs.keep(kept.id, delete_on_completion=True, retention=0.0)
    wait_until(lambda: kept.id in gone, "the other one has gone")
    with pytest.raises(NotFound):
        jobs.find(kept.id)
    assert jobs.close(10)


def test_only_so_many_are_kept() -> None:
    jobs = Jobs(JobSettings(kept=2))
    made = [ended(jobs, jobs.start(PURPOSE, lambda progress: None)) for _ in range(4)]
    wait_until(lambda: len(jobs.all(PURPOSE.kind)) == 2, "two are left")
    assert [job.id for job in jobs.all(PURPOSE.kind)] == [job.id for job in made[2:]]
    assert jobs.close(10)


def test_deleting(jobs: Jobs) -> None:
    free = threading.Event()
    job = jobs.start(PURPOSE, lambda progress: wait_for(free))
    with pytest.raises(Failed, match="terminate it first"):
        jobs.delete(job.id)
    free.set()
    ended(jobs, job)
    jobs.delete(job.id)
    assert not jobs.all(PURPOSE.kind)


def test_closing_ends_what_runs_and_takes_nothing_more() -> None:
    jobs = Jobs()
    job = jobs.start(
        PURPOSE, lambda progress: progress.check() if progress.cancelled.wait(10) else None
    )
    assert jobs.close(10)
    assert jobs.find(job.id).state is JobState.TERMINATED
    with pytest.raises(Failed, match="ending"):
        jobs.start(PURPOSE, lambda progress: None)


def test_a_listener_that_fails_harms_nobody(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    def fail(before: Job | None, after: Job | None) -> None:
        raise ValueError

    jobs.listen(fail)
    assert ended(jobs, jobs.start(PURPOSE, lambda progress: None)).state is JobState.COMPLETED
    assert "could not be told" in caplog.text


def test_no_threads_are_left(jobs: Jobs) -> None:
    for _ in range(50):
        ended(jobs, jobs.start(PURPOSE, lambda progress: None))
    wait_until(
        lambda: not [t for t in threading.enumerate() if t.name.startswith("job-")], "threads end"
    )


@pytest.mark.parametrize("seconds", [0.0, 500.0, 59.999999, 86399.5, 123456789.25])
def test_intervals(seconds: float) -> None:
    assert seconds_of(interval(seconds)) == seconds


def test_intervals_as_written() -> None:
    assert interval(300) == "00000000000500.000000:000"
    assert seconds_of("00000000000500.******:000") == 300
    for text in ("", "500", "20240101000000.000000+000", "0000000000050x.000000:000"):
        assert seconds_of(text) is None
    assert timestamp(0) == "19700101000000.000000+000"
    assert timestamp(None) is None
