"""Verifies reports: a commit counts when the remote itself shows it on its branch."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError
from swarm.gate.blame import rework, unless_moved
from swarm.gate.forecast import note_arrival
from swarm.git.repository import Repository
from swarm.models import Task
from swarm.review.models import ReviewState
from swarm.review.services import reviews_of, send_back
from swarm.services.overlaps import Overlap, overlaps_of, warning
from swarm.services.transitions import move_task
from swarm.states import Actor, TaskStatus


def verify_reports(goal: Task, repository: Repository) -> list[Task]:
    """Move each reported subtask to `merging`, or send it back with what the remote shows.

    Returns those that were verified and are to be reviewed first, where a reviewer is configured.
    """
    reported = in_status(goal, TaskStatus.PENDING_REVIEW)
    if settings.ENVIRONMENT.reviewer:
        reported = _without_reviewed(reported)
    shown = repository.remote_heads([task.git_branch for task in reported]) if reported else {}
    return [task for task in reported if _to_review(task, repository, shown.get(task.git_branch))]


def in_status(goal: Task, status: TaskStatus) -> list[Task]:
    """Return a goal's subtasks in a status, in plan order.

    That is a dependency order here: dependants start after their prerequisites were merged.
    """
    return list(Task.objects.filter(parent_id=goal.id, status=status).order_by("number"))


def _without_reviewed(reported: list[Task]) -> list[Task]:
    """Go on with commits whose review is decided; returns the tasks whose commit has none.

    They were verified when it was opened: what is on the branch since then is not looked at.
    """
    reviews = reviews_of(reported)
    for task in reported:
        review = reviews.get(task.id)
        with unless_moved(task):
            if review is not None and review.state == ReviewState.ACCEPTED:
                _begin_merging(task, overlaps_of(task), f"{task.commit[:8]} is accepted")
            elif review is not None and review.state == ReviewState.REJECTED:
                send_back(review, now=now_utc())
    return [task for task in reported if task.id not in reviews]


def _to_review(task: Task, repository: Repository, shown: str | None) -> bool:
    """Verify one report; True where it stands and a review has to follow."""
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
            overlaps = note_arrival(task, repository)
            if settings.ENVIRONMENT.reviewer:
                return True
            shows = f"the remote shows {task.commit[:8]} on {task.git_branch}"
            _begin_merging(task, overlaps, shows)
    return False


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


def _begin_merging(task: Task, overlaps: list[Overlap], reason: str) -> None:
    now = now_utc()
    with transaction.atomic():
        # What was verified and reviewed is this commit, not one that was reported meanwhile.
        same = Task.objects.filter(id=task.id, commit=task.commit, generation=task.generation)
        if not same.update(updated_at=now):
            return
        move_task(
            task.id,
            TaskStatus.MERGING,
            by=Actor.GATE,
            reason=f"{reason}{warning(overlaps)}",
            now=now,
            evidence={
                "branch": task.git_branch,
                "commit": task.commit,
                "overlaps": [each.as_evidence() for each in overlaps],
            },
        )
