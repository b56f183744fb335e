"""Accepts what is green: pushed with lease, then completed in one transaction with its payments.

The push is written down before it begins. A worker that dies after it leaves a row from which
the next one completes the same subtasks, without merging or testing anything again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError
from swarm.gate.blame import unless_moved
from swarm.gate.evidence import note_merge
from swarm.gate.fencing import require_same_office
from swarm.gate.models import BatchOutcome
from swarm.git.integration import Integration
from swarm.git.names import integration_branch
from swarm.git.repository import Repository
from swarm.models import MergeRun, Task
from swarm.replication.tasks import publish_task
from swarm.services.goals import get_task, settle_dependants
from swarm.services.transitions import move_task
from swarm.states import Actor, TaskStatus


def accept(
    goal: Task, integration: Integration, tasks: Sequence[Task], start: str, head: str, pushed: str
) -> None:
    """Push `head` over `pushed`, which the remote must still show, and complete `tasks`.

    DomainError `remote_moved` where it shows anything else ("" is no branch), Fenced or
    NotEmperor where the goal is another emperor's by now.
    """
    require_same_office(integration.fence)
    begun = note_merge(goal, tasks, start, head, BatchOutcome.PUSHING)
    integration.reset(head)
    integration.push(pushed)
    _complete_batch(begun)


def finish_pushed(goal: Task, repository: Repository) -> None:
    """Complete what a worker pushed that died before it could say so."""
    begun = MergeRun.objects.filter(goal=goal, outcome=BatchOutcome.PUSHING)
    for run in begun:
        if _arrived(run, repository):
            _complete_batch(run)
        else:
            MergeRun.objects.filter(id=run.id).update(outcome=BatchOutcome.UNPUSHED)


def _arrived(run: MergeRun, repository: Repository) -> bool:
    branch = integration_branch(run.goal_id)
    shown = repository.remote_head(branch)
    if shown is None or shown == run.head_commit:
        return shown is not None
    try:
        repository.fetch_commit(branch, shown)
        return repository.is_ancestor(run.head_commit, shown)
    except DomainError:
        return False  # the clone was made anew since: what was not pushed is lost, and made again


def _complete_batch(run: MergeRun) -> None:
    now = now_utc()
    with transaction.atomic():
        MergeRun.objects.filter(id=run.id).update(outcome=BatchOutcome.MERGED, at=now)
        Task.objects.filter(id=run.goal_id).update(
            integration_commit=run.head_commit, updated_at=now
        )
        # Before its subtasks: who takes over must not begin a dependant without their work.
        publish_task(get_task(run.goal_id), now)
        merging = Task.objects.filter(
            parent_id=run.goal_id, id__in=run.tasks, status=TaskStatus.MERGING
        )
        for task in merging.order_by("number"):
            _complete(task, run.head_commit, now)
        settle_dependants(run.goal_id, now=now)


def _complete(task: Task, head: str, now: datetime) -> None:
    with unless_moved(task):
        move_task(
            task.id,
            TaskStatus.COMPLETED,
            by=Actor.GATE,
            reason=f"{task.commit[:8]} is merged, tested and pushed as {head[:8]}",
            now=now,
            evidence={"commit": task.commit, "integrated_as": head},
            merged_commit=head,
            error="",
        )
