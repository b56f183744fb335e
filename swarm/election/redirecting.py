"""Runs of this node's agents get a new assigner: who is emperor now hears of them anew."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from p2p.local import local_node
from p2p.models import OutboxKind, OutboxMessage
from p2p.protocol.errors import DomainError, ExternalError
from p2p.registration import number_of, registry
from swarm.budgets.limits import limit_of
from swarm.messages import (
    TaskClaim,
    TaskComplete,
    TaskFail,
    TaskProgress,
    TaskQuestion,
    TaskResume,
)
from swarm.models import Attempt, Task, TaskCopy
from swarm.replication.heartbeats import beat
from swarm.services import asking, reports
from swarm.services.attempts import cancel
from swarm.states import ATTEMPT_TERMINAL, TASK_TERMINAL, TASK_WITH_AGENT, AttemptStatus

log = logging.getLogger(__name__)

REDIRECTED = "redirected"
# Runs that ended this lately are told of again even where their task is known to have ended:
# the new emperor may know less than we do.
ENDED_LATELY = timedelta(minutes=10)
_REPORTS = (TaskClaim, TaskProgress, TaskComplete, TaskFail, TaskQuestion, TaskResume)
_REPORTED = (AttemptStatus.SUCCEEDED, AttemptStatus.FAILED)


def redirect_runs(to_node_id: str, now: datetime) -> int:
    """Give the swarm's runs on this node to the emperor `to_node_id`; returns how many.

    Reports to the one before are closed and made again: that a run goes on, what it asks, how it
    ended. Runs under a tribute keep their assigner, who pays; the planning of goals ends.
    """
    with transaction.atomic():
        _end_planning(to_node_id, now)
        runs = [*_open_runs(to_node_id), *_ended_runs(to_node_id, now)]
        if to_node_id == local_node().node_id:
            held = set(
                Task.objects.filter(id__in=[run.task_id for run in runs]).values_list(
                    "id", flat=True
                )
            )
            runs = [run for run in runs if run.task_id in held]  # the others wait for adoption
        _close_reports(runs, to_node_id, now)
        moved = [run for run in runs if _give(run, to_node_id, now)]
        for run in moved:
            _tell(run, now)
        if moved and to_node_id != local_node().node_id:
            beat(now)  # a sign of life of all that go on, before their leases run out
    return len(moved)


def tell_again(copies: Sequence[TaskCopy], now: datetime) -> None:
    """Report again what ended here, where the emperor still waits for it: the report was lost.

    Its record says that an agent of this node has the task, in a generation that has ended.
    """
    own = local_node().node_id
    waiting = [
        copy
        for copy in copies
        if copy.status in TASK_WITH_AGENT and copy.body.get("assigned_node") == own
    ]
    for copy in waiting:
        run = Attempt.objects.select_related("agent").filter(
            task_id=copy.id,
            assigner_node_id=copy.emperor_node_id,
            generation=copy.body.get("generation", 0),
            tribute_id=None,
            status__in=_REPORTED,
        )
        ended = run.first()
        if ended is not None and not _is_told(ended):
            _tell(ended, now)


def _end_planning(to_node_id: str, now: datetime) -> None:
    plannings = Attempt.objects.filter(planning=True).exclude(assigner_node_id=to_node_id)
    for run in plannings.exclude(status__in=ATTEMPT_TERMINAL):
        cancel(run.id, reason="its goal is planned by another emperor now", now=now)


def _open_runs(to_node_id: str) -> list[Attempt]:
    return list(
        _of_the_swarm(to_node_id).exclude(status__in=ATTEMPT_TERMINAL).order_by("created_at")
    )


def _ended_runs(to_node_id: str, now: datetime) -> list[Attempt]:
    """Return the last ended run of each task that the new emperor may still wait for.

    None where a later one is at work here.
    """
    open_copies = TaskCopy.objects.exclude(status__in=TASK_TERMINAL)
    open_tasks = Task.objects.exclude(status__in=TASK_TERMINAL)
    wanted = (
        Q(task_id__in=open_copies.values("id"))
        | Q(task_id__in=open_tasks.values("id"))
        | Q(ended_at__gt=now - ENDED_LATELY)
    )
    ended = _of_the_swarm(to_node_id).filter(wanted, status__in=_REPORTED)
    last = {run.task_id: run for run in ended.order_by("generation")}
    for run in _open_runs(to_node_id):
        last.pop(run.task_id, None)
    known = _known_generations(list(last))
    return [run for run in last.values() if run.generation >= known.get(run.task_id, 0)]


def _of_the_swarm(to_node_id: str) -> QuerySet[Attempt]:
    rows = Attempt.objects.select_related("agent").filter(tribute_id=None, planning=False)
    return rows.exclude(assigner_node_id=to_node_id)


def _known_generations(task_ids: list[UUID]) -> dict[UUID, int]:
    copies = TaskCopy.objects.filter(id__in=task_ids).values_list("id", "body")
    held = Task.objects.filter(id__in=task_ids).values_list("id", "generation")
    return {**{key: body.get("generation", 0) for key, body in copies}, **dict(held)}


def _close_reports(runs: Sequence[Attempt], to_node_id: str, now: datetime) -> None:
    given = {(run.assigner_node_id, run.task_id.hex, run.generation) for run in runs}
    if not given:
        return
    for row in _waiting_reports().exclude(to_node_id=to_node_id):
        command = registry.decode(bytes(row.frame))
        assert isinstance(command, _REPORTS)
        if (row.to_node_id, command.task_id, command.generation) in given:
            OutboxMessage.objects.filter(id=row.id).update(
                done_at=now,
                due_at=None,
                outcome=REDIRECTED,
                detail=f"{to_node_id[:8]} is emperor now",
            )


def _waiting_reports() -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(
        kind=OutboxKind.COMMAND,
        number__in=[number_of(each) for each in _REPORTS],
        done_at__isnull=True,
    )


def _give(run: Attempt, to_node_id: str, now: datetime) -> bool:
    """Make a node the assigner of a run; False where it has one of this generation already."""
    # What was a sign of life to this node itself is one that its heartbeats carry from now on.
    began = run.status in (AttemptStatus.WORKING, AttemptStatus.PUSHING)
    alive_at = run.progress_at or (now if began else None)
    limits = _limits_left(run)
    try:
        with transaction.atomic():
            Attempt.objects.filter(id=run.id).update(
                assigner_node_id=to_node_id, progress_at=alive_at, **limits
            )
    except IntegrityError:
        log.warning("run %s of generation %d is there twice", run.branch, run.generation)
        if run.status not in ATTEMPT_TERMINAL:
            cancel(run.id, reason="the new emperor has given the task out itself", now=now)
        return False
    run.assigner_node_id, run.progress_at = to_node_id, alive_at
    return True


def _limits_left(run: Attempt) -> dict[str, int | None]:
    """Return the limits that go with a run of our own task: it is held against them here only."""
    if not reports.is_ours(run):
        return {}
    rows = Task.with_released.select_related("parent").filter(id=run.task_id)
    task = rows.first()
    if task is None:
        return {}
    used = {
        "token_limit": task.tokens_used - run.tokens_used,
        "cost_limit_micros": task.cost_used_micros - run.cost_used_micros,
    }
    return {
        name: None if (limit := limit_of(task, name)) is None else max(0, limit - spent)
        for name, spent in used.items()
    }


def _tell(run: Attempt, now: datetime) -> None:
    """Report a run anew; one whose report is refused here at once ends."""
    try:
        with transaction.atomic():
            _report(run, now)
    except (DomainError, ExternalError) as refusal:
        log.info("run %s is not wanted by the new emperor: %s", run.branch, refusal)
        if run.status not in ATTEMPT_TERMINAL:
            cancel(run.id, reason=f"not wanted any more: {refusal}", now=now)


def _report(run: Attempt, now: datetime) -> None:
    if run.agent is None and not reports.is_ours(run):
        return  # reports name their agent, and it was removed since
    if run.agent is not None:
        reports.report_claim(run, now=now)
    if run.status == AttemptStatus.SUCCEEDED:
        reports.report_completion(run, now=now)
    elif run.status == AttemptStatus.FAILED:
        saved = run.worktree_removed_at is not None  # only then: its work is on the remote
        code = run.stop_code or "failed"
        reports.report_failure(run, code=code, error=run.error, pushed=saved, now=now)
    else:
        _report_open(run, now)


def _report_open(run: Attempt, now: datetime) -> None:
    if reports.is_ours(run) and run.progress_at is not None:
        reports.report_progress(run, run.progress, now=now)
    if run.asked_at is not None and run.answered_at is None:
        asking.report_question(run, now)
    elif run.answer_seen_at is not None:
        asking.report_resumption(run, now)


def _is_told(run: Attempt) -> bool:
    """Tell whether a report of how a run ended is on its way to its assigner."""
    ends = [number_of(TaskComplete), number_of(TaskFail)]
    for row in _waiting_reports().filter(to_node_id=run.assigner_node_id, number__in=ends):
        command = registry.decode(bytes(row.frame))
        assert isinstance(command, TaskComplete | TaskFail)
        if (command.task_id, command.generation) == (run.task_id.hex, run.generation):
            return True
    return False
