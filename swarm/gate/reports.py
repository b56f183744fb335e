"""Verifies reports: a commit counts when the remote itself shows it on its branch."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction

from p2p.clock import now_utc
from swarm import hooks
from swarm.gate.blame import rework, unless_moved
from swarm.gate.forecast import note_arrival
from swarm.gate.verifying import objection_to
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
        objection = objection_to(
            task, repository, branch=task.git_branch, commit=task.commit, shown=shown
        )
        if objection is not None:
            rework(task, objection.reason, objection.evidence)
            return False
        overlaps = note_arrival(task, repository)
        _note_verified(task)
        if settings.ENVIRONMENT.reviewer:
            return True
        shows = f"the remote shows {task.commit[:8]} on {task.git_branch}"
        _begin_merging(task, overlaps, shows)
    return False


def _note_verified(task: Task) -> None:
    """Tell those who pay for a verified commit, unless the task was moved meanwhile."""
    now = now_utc()
    with transaction.atomic():
        same = Task.objects.filter(
            id=task.id,
            commit=task.commit,
            generation=task.generation,
            status=TaskStatus.PENDING_REVIEW,
        )
        if same.update(updated_at=now):
            for listener in hooks.verified_listeners:
                listener(task, now)


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
