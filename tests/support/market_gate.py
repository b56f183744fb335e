"""The gate of a market's buyer: what it does by what the remote shows."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from marketplace.models import Execution
from marketplace.services.results import report_of
from p2p.protocol.errors import DomainError
from swarm import hooks
from swarm.models import Task
from swarm.services import goals
from swarm.services.transitions import move_task
from swarm.states import Actor, TaskStatus
from tests.support.market_remote import Remote


def judge(remote: Remote, task: Task, how: str, now: datetime) -> None:
    """Go as far as `how` with a reported subtask: `look`, `begin`, `merge`, or find it `red`.

    What the remote does not show is always red.
    """
    if not _verify(remote, task, now):
        how = "red"
    if how in ("begin", "merge"):
        _merge(task, now, to_the_end=how == "merge")
    elif how == "red":
        goals.requeue_or_fail(
            task, by=Actor.GATE, reason="red", feedback="red", evidence={}, now=now
        )


def objection_to(remote: Remote, execution: Execution) -> str:
    """Return what speaks against a report whose task has ended; DomainError without a remote."""
    report = report_of(execution)
    if not remote.writable:
        raise DomainError("git_failed", "the remote does not answer")
    if not remote.shows(report.git_branch, report.commit):
        return "the remote shows something else"
    remote.proven.add((execution.task_id, report.commit))
    return ""


def _verify(remote: Remote, task: Task, now: datetime) -> bool:
    """Tell whether the remote shows what was reported, and then whoever wants to know it."""
    if not remote.shows(task.git_branch, task.commit) or hooks.objection_to(task, task.commit):
        return False
    remote.proven.add((task.id, task.commit))
    if task.status == TaskStatus.PENDING_REVIEW:
        with transaction.atomic():
            for listener in hooks.verified_listeners:
                listener(task, now)
    return True


def _merge(task: Task, now: datetime, *, to_the_end: bool) -> None:
    if task.status == TaskStatus.PENDING_REVIEW:
        move_task(task.id, TaskStatus.MERGING, by=Actor.GATE, reason="on the remote", now=now)
    if not to_the_end:
        return
    move_task(task.id, TaskStatus.COMPLETED, by=Actor.GATE, reason="merged", now=now)
    assert task.parent is not None
    goals.settle_dependants(task.parent.id, now=now)
    if not task.parent.subtasks.exclude(status=TaskStatus.COMPLETED).exists():
        for target in (TaskStatus.MERGING, TaskStatus.COMPLETED):
            move_task(task.parent.id, target, by=Actor.GATE, reason="all merged", now=now)
