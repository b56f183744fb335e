"""Job rows: enqueued with the change that needs them, claimed by one worker, retried on failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet

from swarm.models import Job
from swarm.states import JobStatus

LEASE_S = 30.0
NUDGE_AGAIN_S = 5.0
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 30.0
ATTEMPTS_MAX = 10
PUT_OFF_S = 2.0
DEATHS_MAX = 20  # a restart of the node counts as one; a job that kills its worker has to end


@dataclass(frozen=True)
class JobKind:
    """How a kind of job is run, and who is told when it failed for good.

    What is done `in_office` is left alone where this node moves no tasks now.
    """

    run: Callable[[Job], None]
    on_failed: Callable[[Job, datetime], None]
    in_office: bool = False


_kinds: dict[str, JobKind] = {}
_nudge: Callable[[int], None] | None = None


def register_kind(name: str, kind: JobKind) -> None:
    """Register a kind of job by name."""
    _kinds[name] = kind


def kind_of(job: Job) -> JobKind:
    """Return how a job is run; KeyError for an unknown kind is a bug."""
    return _kinds[job.kind]


def nudge_with(nudge: Callable[[int], None]) -> None:
    """Set how a worker is told of a job id."""
    global _nudge
    _nudge = nudge


def enqueue(
    kind: str,
    *,
    key: str,
    lane: str,
    now: datetime,
    payload: dict[str, Any] | None = None,
    due_at: datetime | None = None,
    attempts_max: int = ATTEMPTS_MAX,
) -> Job:
    """Queue a job unless one of the same kind and key already waits; returns the waiting row.

    It is due at once, or at `due_at`, and is tried `attempts_max` times while that may help.
    """
    with transaction.atomic():
        job, _ = Job.objects.get_or_create(
            kind=kind,
            key=key,
            status=JobStatus.QUEUED,
            defaults={
                "lane": lane,
                "payload": payload or {},
                "due_at": due_at or now,
                "created_at": now,
                "attempts_max": attempts_max,
            },
        )
        if job.due_at <= now:
            transaction.on_commit(lambda: nudge(job.id))
    return job


def bring_forward(job: Job, *, now: datetime) -> None:
    """Make a waiting job due now, whatever it waited for."""
    if Job.objects.filter(id=job.id, status=JobStatus.QUEUED).update(due_at=now, nudged_at=None):
        transaction.on_commit(lambda: nudge(job.id))


def nudge(job_id: int) -> None:
    """Tell the worker of a job; losing the nudge costs NUDGE_AGAIN_S."""
    if _nudge is not None:
        _nudge(job_id)


def claim(job_id: int, *, now: datetime) -> Job | None:
    """Take a due job for this worker; None when it is taken, not due, or its lane is busy."""
    try:
        with transaction.atomic():
            taken = Job.objects.filter(id=job_id, status=JobStatus.QUEUED, due_at__lte=now).update(
                status=JobStatus.RUNNING,
                claims=F("claims") + 1,
                lease_expires_at=now + timedelta(seconds=LEASE_S),
            )
    except IntegrityError:
        return None  # another job of the lane runs: the partial unique index says so
    return Job.objects.get(id=job_id) if taken else None


def renew(job: Job, *, now: datetime) -> bool:
    """Prolong the lease of a running job; False when it was taken away."""
    return bool(_held(job).update(lease_expires_at=now + timedelta(seconds=LEASE_S)))


def finish(job: Job, *, now: datetime, note: str = "") -> None:
    """Close a job that ran to its end, or that `note` says why nobody needs any more."""
    _close(job, JobStatus.DONE, note, now)


def put_off(job: Job, *, reason: str, now: datetime) -> None:
    """Queue a job again that could not begin yet: neither a failure nor a death of its worker."""
    _requeue(job, now + timedelta(seconds=PUT_OFF_S), job.attempts, reason, now)
    Job.objects.filter(id=job.id, status=JobStatus.QUEUED).update(claims=F("claims") - 1)


def fail_or_retry(
    job: Job, *, error: str, retryable: bool, now: datetime, retry_after_s: float | None = None
) -> bool:
    """Queue a failed job again with back-off, or fail it for good; True when it is for good.

    `retry_after_s` is how long to wait where whoever refused says so.
    """
    attempts = job.attempts + 1
    if not retryable or attempts >= job.attempts_max:
        _held(job).update(attempts=attempts)
        _close(job, JobStatus.FAILED, error, now)
        return True
    delay_s = max(retry_after_s or 0.0, min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** (attempts - 1)))
    _requeue(job, now + timedelta(seconds=delay_s), attempts, error, now)
    return False


def close_of_office(*, reason: str, now: datetime) -> int:
    """Close the waiting jobs that only an emperor does; returns how many."""
    kinds = [name for name, kind in _kinds.items() if kind.in_office]
    waiting = Job.objects.filter(status=JobStatus.QUEUED, kind__in=kinds)
    return waiting.update(status=JobStatus.DONE, error=reason, ended_at=now)


def recover_lapsed(now: datetime) -> int:
    """Queue again what a dead worker left running; returns how many."""
    lapsed = Job.objects.filter(status=JobStatus.RUNNING, lease_expires_at__lte=now)
    return _recover(list(lapsed), now)


def recover_all(now: datetime) -> int:
    """Queue again everything that runs: for the start of a node, whose old worker is gone."""
    return _recover(list(Job.objects.filter(status=JobStatus.RUNNING)), now)


def due_unnudged(now: datetime) -> list[int]:
    """Return ids of due jobs whose last nudge is too old, and mark them nudged."""
    edge = now - timedelta(seconds=NUDGE_AGAIN_S)
    due = Job.objects.filter(status=JobStatus.QUEUED, due_at__lte=now)
    waiting = due.exclude(nudged_at__gt=edge)
    busy = Job.objects.filter(status=JobStatus.RUNNING).values("lane")
    ids = list(waiting.exclude(lane__in=busy).values_list("id", flat=True)[:50])
    Job.objects.filter(id__in=ids).update(nudged_at=now)
    return ids


def next_in_lane(lane: str, *, now: datetime) -> int | None:
    """Return the oldest due job that waits for a lane."""
    return (
        Job.objects.filter(lane=lane, status=JobStatus.QUEUED, due_at__lte=now)
        .order_by("id")
        .values_list("id", flat=True)
        .first()
    )


def _recover(jobs: list[Job], now: datetime) -> int:
    for job in jobs:
        deaths = job.claims - job.attempts
        if deaths >= DEATHS_MAX:
            _fail_deadly(job, deaths, now)
        else:
            _requeue(job, now, job.attempts, job.error, now)
    return len(jobs)


def _fail_deadly(job: Job, deaths: int, now: datetime) -> None:
    with transaction.atomic():
        _close(job, JobStatus.FAILED, f"{deaths} workers died while they ran it", now)
        kind_of(job).on_failed(Job.objects.get(id=job.id), now)


def _requeue(job: Job, due_at: datetime, attempts: int, error: str, now: datetime) -> None:
    try:
        with transaction.atomic():
            _held(job).update(
                status=JobStatus.QUEUED,
                due_at=due_at,
                attempts=attempts,
                error=error[:4000],
                lease_expires_at=None,
                nudged_at=None,
            )
    except IntegrityError:
        # A newer row of the same kind and key already waits and will do the same work.
        Job.objects.filter(kind=job.kind, key=job.key, status=JobStatus.QUEUED).update(
            attempts=attempts, due_at=due_at, error=error[:4000]
        )
        _close(job, JobStatus.DONE, f"carried on by a newer row; {error}"[:4000], now)


def _close(job: Job, status: JobStatus, error: str, now: datetime) -> None:
    _held(job).update(status=status, error=error[:4000], ended_at=now, lease_expires_at=None)


def _held(job: Job) -> QuerySet[Job]:
    # A worker that slept through its lease must not close what another has taken since.
    return Job.objects.filter(id=job.id, status=JobStatus.RUNNING, claims=job.claims)
