"""Fails what strangers made where nothing can hold its tests: it costs their subtasks alone."""

from __future__ import annotations

from django.db import transaction

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError
from swarm.gate.blame import unless_moved
from swarm.gate.sandbox import holds_strangers_work
from swarm.git.repository import Repository
from swarm.models import Task
from swarm.sandbox import NoSandbox, can_test_strangers
from swarm.services.goals import settle_dependants
from swarm.services.transitions import move_task
from swarm.states import Actor, TaskStatus


def without_untestable(goal: Task, repository: Repository, ready: list[Task]) -> list[Task]:
    """Return the subtasks that can be tested here; the others are failed.

    Another attempt would stand on the same work, so that none is made.
    """
    refusal = can_test_strangers() if ready and _is_tested(goal) else None
    if refusal is None:
        return ready
    strange = [task for task in ready if _is_strange(goal, repository, task)]
    for task in strange:
        _fail(task, refusal)
    return [task for task in ready if task not in strange]


def _is_tested(goal: Task) -> bool:
    return bool(goal.test_command) or goal.subtasks.exclude(test_command="").exists()


def _is_strange(goal: Task, repository: Repository, task: Task) -> bool:
    try:
        repository.fetch_commit(task.git_branch, task.commit)
    except DomainError:
        return False  # which costs its own subtask when it is to be merged
    return holds_strangers_work(goal, task.commit)


def _fail(task: Task, refusal: NoSandbox) -> None:
    now = now_utc()
    with unless_moved(task), transaction.atomic():
        move_task(
            task.id,
            TaskStatus.FAILED,
            by=Actor.GATE,
            reason=str(refusal),
            now=now,
            evidence={"commit": task.commit, "code": refusal.code},
            error=str(refusal),
        )
        if task.parent_id:
            settle_dependants(task.parent_id, now=now)
