"""Contributions: pull requests in several states, with comments and a round after review."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from swarm.forge.models import FollowUp, PullRequest, ReviewComment
from swarm.models import Task
from swarm.states import TaskStatus
from tests.support.factories import make_subtask, make_task

FORGE = "https://forge.example"
FAILED_ERROR = "GitHub at forge.example answered 401 to the opening of a pull request"


def make_pull(goal: Task, *, now: datetime, **columns: Any) -> PullRequest:
    """Create a goal's pull request, open unless told otherwise."""
    defaults: dict[str, Any] = {
        "kind": "github",
        "project": "team/greetings",
        "state": "open",
        "title": goal.title,
        "head_branch": f"integrate/{goal.id8}",
        "head_commit": goal.integration_commit,
        "base_branch": "main",
        "head_pushed_at": now,
        "created_at": now,
        "updated_at": now,
    }
    return PullRequest.objects.create(goal=goal, **{**defaults, **columns})


def seed_pulls(goal: Task, at: datetime) -> None:
    """Create an open one with a round after review for `goal`, a failed one, and none."""
    pull = make_pull(
        goal,
        now=at,
        number=12,
        url=f"{FORGE}/team/greetings/pull/12",
        checks="green",
        opened_at=at,
        note="round 1 of review: 1 comment became work",
    )
    after_review = make_task("Review 1 of Greet", TaskStatus.COMPLETED, now=at)
    make_subtask(after_review, 1, "Review of salve.py:3", TaskStatus.COMPLETED, at, attempt=1)
    follow_up = FollowUp.objects.create(
        goal=after_review, pull_request=pull, round=1, created_at=at
    )
    ReviewComment.objects.create(
        pull_request=pull,
        forge_id="line-1",
        thread="line-1",
        author="grace",
        may_steer=True,
        path="salve.py",
        line=3,
        body="Is it `salve` or `salvete` here?",
        follow_up=follow_up,
        written_at=at,
        seen_at=at,
    )
    _seed_failed(at - timedelta(hours=2))
    bare = _contribution("Say goodbye as well", at - timedelta(days=2))
    make_subtask(bare, 2, "Say it in Latin", TaskStatus.FAILED, at)


def _seed_failed(at: datetime) -> None:
    goal = _contribution("Greet by name", at)
    make_pull(goal, now=at, state="failed", error=FAILED_ERROR, tries=3)


def _contribution(title: str, at: datetime) -> Task:
    goal = make_task(
        title,
        TaskStatus.COMPLETED,
        now=at,
        integration_commit="beef" * 10,
        result=f"integrate/c0ffee12 at {'beef' * 10}",
        completed_at=at,
        archived_at=None,
    )
    make_subtask(goal, 1, f"{title}, in English", TaskStatus.COMPLETED, at, attempt=1)
    return goal
