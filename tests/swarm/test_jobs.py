"""Jobs are rows: claimed once, one per lane, retried with back-off, recovered after a death."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from p2p.protocol.errors import DomainError, ExternalError
from swarm import jobs as runner
from swarm import retention
from swarm.models import Job
from swarm.services import jobs
from swarm.states import JobStatus

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime.now(UTC)


class Probe:
    """A kind of job that does what the test says and notes what happened."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.failed: list[str] = []
        self.error: Exception | None = None

    def run(self, job: Job) -> None:
        self.ran.append(job.key)
        if self.error is not None:
            raise self.error

    def on_failed(self, job: Job, now: datetime) -> None:
        self.failed.append(job.error)


@pytest.fixture
def probe() -> Iterator[Probe]:
    made = Probe()
    jobs.register_kind("probe", jobs.JobKind(made.run, made.on_failed))
    jobs.nudge_with(lambda _: None)
    yield made
    jobs.nudge_with(runner.nudge_worker)


def enqueue(key: str, lane: str = "lane") -> Job:
    return jobs.enqueue("probe", key=key, lane=lane, now=NOW)


def test_a_job_waits_once_per_key(probe: Probe) -> None:
    assert enqueue("a").id == enqueue("a").id
    assert Job.objects.count() == 1


def test_one_job_of_a_lane_runs_and_the_next_follows(probe: Probe) -> None:
    first, second = enqueue("a"), enqueue("b")
    assert jobs.claim(first.id, now=NOW) is not None

    assert jobs.claim(second.id, now=NOW) is None
    assert jobs.claim(first.id, now=NOW) is None

    jobs.finish(Job.objects.get(id=first.id), now=NOW)
    runner.run_job(second.id)
    assert probe.ran == ["b"]


def test_the_worker_goes_on_with_what_waits_for_the_lane(probe: Probe) -> None:
    first = enqueue("a")
    enqueue("b")
    enqueue("other", lane="elsewhere")

    runner.run_job(first.id)

    assert probe.ran == ["a", "b"]
    assert Job.objects.filter(status=JobStatus.DONE).count() == 2


def test_a_retryable_failure_waits_longer_each_time_and_then_fails(probe: Probe) -> None:
    probe.error = ExternalError("remote is away", retryable=True)
    job = enqueue("a")
    Job.objects.update(attempts_max=3)

    delays = []
    for _ in range(3):
        Job.objects.update(due_at=NOW)
        runner.run_job(job.id)
        job.refresh_from_db()
        delays.append(round((job.due_at - datetime.now(UTC)).total_seconds()))

    assert delays[:2] == [1, 2]
    assert (job.status, job.attempts, probe.failed) == (
        JobStatus.FAILED,
        3,
        ["remote is away"],
    )


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (DomainError("bad", "never"), 1),
        (ExternalError("refused", retryable=False), 1),
        (RuntimeError("a bug"), 10),
    ],
)
def test_what_cannot_get_better_is_not_tried_again(
    probe: Probe, error: Exception, tries: int
) -> None:
    probe.error = error
    job = enqueue("a")
    for _ in range(tries):
        Job.objects.update(due_at=NOW)
        runner.run_job(job.id)

    job.refresh_from_db()
    assert job.status == JobStatus.FAILED
    assert len(probe.failed) == 1


def test_a_job_of_a_dead_worker_is_queued_again_after_its_lease(probe: Probe) -> None:
    job = enqueue("a")
    jobs.claim(job.id, now=NOW)
    assert jobs.recover_lapsed(NOW + timedelta(seconds=29)) == 0

    assert jobs.recover_lapsed(NOW + timedelta(seconds=31)) == 1

    assert jobs.claim(job.id, now=NOW + timedelta(seconds=31)) is not None


def test_a_recovered_job_gives_way_to_a_newer_row(probe: Probe) -> None:
    job = enqueue("a")
    jobs.claim(job.id, now=NOW)
    newer = enqueue("a")
    assert newer.id != job.id

    jobs.recover_all(NOW)

    job.refresh_from_db()
    assert job.status == JobStatus.DONE
    assert Job.objects.get(status=JobStatus.QUEUED).id == newer.id


def test_due_jobs_are_nudged_again_but_not_all_the_time(probe: Probe) -> None:
    job = enqueue("a")

    assert jobs.due_unnudged(NOW) == [job.id]
    assert jobs.due_unnudged(NOW + timedelta(seconds=1)) == []
    assert jobs.due_unnudged(NOW + timedelta(seconds=6)) == [job.id]


def test_of_racing_workers_one_gets_the_job(probe: Probe) -> None:
    job = enqueue("a")
    won: list[Job] = []

    def claim() -> None:
        taken = jobs.claim(job.id, now=NOW)
        if taken is not None:
            won.append(taken)
        connection.close()

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1


def test_a_failure_that_cannot_be_told_leaves_the_job_to_be_tried_again(
    probe: Probe,
) -> None:
    probe.error = DomainError("bad", "no use")
    job = enqueue("a")

    def dies(_: Job, __: datetime) -> None:
        raise RuntimeError("killed")

    jobs.register_kind("probe", jobs.JobKind(probe.run, dies))
    with pytest.raises(RuntimeError):
        runner.run_job(job.id)
    job.refresh_from_db()
    assert (job.status, job.ended_at) == (JobStatus.RUNNING, None)

    jobs.register_kind("probe", jobs.JobKind(probe.run, probe.on_failed))
    jobs.recover_all(NOW)
    runner.run_job(job.id)

    assert probe.failed == ["no use"]


def test_done_jobs_are_forgotten_after_a_day_and_failed_ones_after_a_month(probe: Probe) -> None:
    done = enqueue("a")
    runner.run_job(done.id)
    probe.error = DomainError("bad", "no use")
    failed = enqueue("b")
    runner.run_job(failed.id)
    waiting = enqueue("c")

    for days, left in ((0.9, {done, failed, waiting}), (2, {failed, waiting}), (32, {waiting})):
        retention.forget_old(NOW + timedelta(days=days))
        assert set(Job.objects.all()) == left


def test_a_worker_that_slept_through_its_lease_closes_nothing(probe: Probe) -> None:
    job = enqueue("a")
    asleep = jobs.claim(job.id, now=NOW)
    assert asleep is not None
    later = NOW + timedelta(seconds=31)
    jobs.recover_lapsed(later)
    assert jobs.claim(job.id, now=later) is not None

    jobs.finish(asleep, now=later)
    assert not jobs.renew(asleep, now=later)

    job.refresh_from_db()
    assert (job.status, job.claims) == (JobStatus.RUNNING, 2)


def test_a_job_that_kills_its_workers_is_not_tried_for_ever(probe: Probe) -> None:
    job = enqueue("a")
    for _ in range(jobs.DEATHS_MAX):
        assert jobs.claim(job.id, now=NOW) is not None
        jobs.recover_all(NOW)

    job.refresh_from_db()
    assert job.status == JobStatus.FAILED
    assert probe.failed == ["20 workers died while they ran it"]


def test_a_failure_that_says_how_long_to_wait_is_tried_again_then(probe: Probe) -> None:
    job = enqueue("a")
    probe.error = ExternalError("too many requests", retryable=True, retry_after_s=120.0)

    runner.run_job(job.id)

    job.refresh_from_db()
    wait_s = (job.due_at - NOW).total_seconds()
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 1)
    assert wait_s >= 120.0


def test_a_job_for_later_waits_until_it_is_brought_forward(probe: Probe) -> None:
    later = NOW + timedelta(hours=1)
    job = jobs.enqueue("probe", key="a", lane="lane", now=NOW, due_at=later)
    assert jobs.claim(job.id, now=NOW) is None

    jobs.bring_forward(job, now=NOW)

    assert jobs.claim(job.id, now=NOW) is not None
