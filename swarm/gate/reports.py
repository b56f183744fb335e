"""Verifies reports: a commit counts when the remote itself shows it on its branch."""

from __future__ import annotations

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError
from swarm.gate.blame import rework, unless_moved
from swarm.gate.forecast import note_arrival
from swarm.git.repository import Repository
from swarm.models import Task
from swarm.services.overlaps import Overlap, warning
from swarm.services.transitions import move_task
from swarm.states import Actor, TaskStatus


def verify_reports(goal: Task, repository: Repository) -> None:
    """Move each reported subtask to `merging`, or send it back with what the remote shows."""
    reported = in_status(goal, TaskStatus.PENDING_REVIEW)
    shown = repository.remote_heads([task.git_branch for task in reported]) if reported else {}
    for task in reported:
        _verify(task, repository, shown.get(task.git_branch))


def in_status(goal: Task, status: TaskStatus) -> list[Task]:
    """Return a goal's subtasks in a status, in plan order.

    That is a dependency order here: dependants start after their prerequisites were merged.
    """
    return list(Task.objects.filter(parent_id=goal.id, status=status).order_by("number"))


def _verify(task: Task, repository: Repository, shown: str | None) -> None:
    with unless_moved(task):
        if shown != task.commit:
            rework(
                task,
                f"reported {task.commit[:8]} on {task.git_branch}, "
                f"the remote shows {shown[:8] if shown else 'no such branch'}",
                {"reported": task.commit, "remote": shown},
            )
        elif _adds_nothing(task, repository):
            rework(
                task,
                f"reported {task.commit[:8]} adds nothing to its base {task.base_commit[:8]}",
                {"reported": task.commit, "base": task.base_commit},
            )
        else:
            _begin_merging(task, note_arrival(task, repository))


def _adds_nothing(task: Task, repository: Repository) -> bool:
    """Tell whether a reported commit is only what its run began with: no result to pay for."""
    try:
        repository.fetch_commit(task.git_branch, task.commit)
        if not task.base_commit:
            return False
        contained = repository.is_ancestor(task.commit, task.base_commit)
        return contained or repository.same_files(task.commit, task.base_commit)
    except DomainError:
        return False  # the branch moved on since it was asked; merging says what is wrong


def _begin_merging(task: Task, overlaps: list[Overlap]) -> None:
    move_task(
        task.id,
        TaskStatus.MERGING,
        by=Actor.GATE,
        reason=f"the remote shows {task.commit[:8]} on {task.git_branch}{warning(overlaps)}",
        now=now_utc(),
        evidence={
            "branch": task.git_branch,
            "commit": task.commit,
            "overlaps": [each.as_evidence() for each in overlaps],
        },
    )
