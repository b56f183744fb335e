"""Reads of pull requests and contributions, as plain data for API, events and pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, QuerySet

from swarm.forge.addresses import place_of
from swarm.forge.models import FollowUp, PullRequest
from swarm.forge.states import PullState
from swarm.git.command import redact
from swarm.git.names import integration_branch
from swarm.models import Task
from swarm.states import TaskStatus

BARE = "bare"
BARE_NOTE = "no forge is spoken to for this remote: the integration branch is the result"


@dataclass(frozen=True)
class Contribution:
    """A goal whose work is pushed: its pull request, or the branch alone on a bare remote.

    `done` of `total` subtasks are merged.
    """

    goal: Task
    pull: PullRequest | None
    repository: str
    branch: str
    done: int
    total: int
    at: datetime

    @property
    def percent(self) -> int:
        """How much is merged, from 0 to 100."""
        return 100 * self.done // self.total if self.total else 0


def list_contributions(limit: int) -> tuple[list[Contribution], int]:
    """Return the newest contributions, and how many older ones are left out."""
    pushed = (
        Task.objects.filter(parent__isnull=True, archived_at__isnull=True)
        .filter(follow_up__isnull=True)
        .exclude(integration_commit="")
        .select_related("pull_request")
        .annotate(
            total=Count("subtasks"),
            done=Count("subtasks", filter=Q(subtasks__status=TaskStatus.COMPLETED)),
        )
    )
    rows = pushed.order_by("-updated_at", "-id")
    return [_contribution(goal) for goal in rows[:limit]], max(0, pushed.count() - limit)


def failed_pulls() -> QuerySet[PullRequest]:
    """Return pull requests that were given up and wait for a person, oldest first."""
    held = PullRequest.objects.filter(goal__released_at__isnull=True)
    rows = held.filter(state=PullState.FAILED, goal__archived_at__isnull=True)
    return rows.select_related("goal").order_by("updated_at")


def describe_pull(pull: PullRequest) -> dict[str, Any]:
    """Return a pull request as JSON-ready data: ids as hex, times as RFC 3339."""
    return {
        "id": pull.id.hex,
        "goal_id": pull.goal_id.hex,
        "kind": pull.kind,
        "project": pull.project,
        "state": pull.state,
        "number": pull.number,
        "url": pull.url,
        "title": pull.title,
        "head_branch": pull.head_branch,
        "head_commit": pull.head_commit,
        "forge_commit": pull.forge_commit,
        "base_branch": pull.base_branch,
        "checks": pull.checks,
        "auto_merge": pull.auto_merge,
        "error": pull.error,
        "note": pull.note,
        "tries": pull.tries,
        "next_try_at": _time(pull.next_try_at),
        "looked_at": _time(pull.looked_at),
        "opened_at": _time(pull.opened_at),
        "ended_at": _time(pull.ended_at),
        "created_at": _time(pull.created_at),
        "updated_at": _time(pull.updated_at),
    }


def describe_pull_whole(pull: PullRequest) -> dict[str, Any]:
    """Return a pull request with its comments and the goals that follow from them."""
    follow_ups = pull.follow_ups.select_related("goal").order_by("round")
    return {
        **describe_pull(pull),
        "follow_ups": [_describe_follow_up(each) for each in follow_ups],
        "comments": [
            {
                "author": each.author,
                "may_steer": each.may_steer,
                "path": each.path,
                "line": each.line,
                "body": each.body,
                "round": each.follow_up.round if each.follow_up else None,
                "written_at": _time(each.written_at),
            }
            for each in pull.comments.select_related("follow_up")
        ],
    }


def describe_contribution(task: Task) -> dict[str, Any] | None:
    """Return where a goal's work goes when it is done; None for a subtask."""
    if task.parent_id is not None:
        return None
    follow_up = FollowUp.objects.filter(goal=task).select_related("pull_request").first()
    pull = follow_up.pull_request if follow_up else PullRequest.objects.filter(goal=task).first()
    place = place_of(task.repository)
    return {
        "forge": pull.kind if pull else (place.kind if place else BARE),
        "branch": integration_branch(task.id),
        "note": "" if pull or task.status != TaskStatus.COMPLETED else BARE_NOTE,
        "follows": follow_up.pull_request.goal_id.hex if follow_up else None,
        "round": follow_up.round if follow_up else None,
        "pull_request": describe_pull(pull) if pull else None,
    }


def _contribution(goal: Any) -> Contribution:
    pull = getattr(goal, "pull_request", None)
    return Contribution(
        goal=goal,
        pull=pull,
        repository=redact(goal.repository),
        branch=integration_branch(goal.id),
        done=goal.done,
        total=goal.total,
        at=(pull.opened_at if pull else None) or goal.completed_at or goal.updated_at,
    )


def _describe_follow_up(follow_up: FollowUp) -> dict[str, Any]:
    return {
        "goal_id": follow_up.goal_id.hex,
        "round": follow_up.round,
        "status": follow_up.goal.status,
        "delivered_commit": follow_up.delivered_commit,
        "ended_at": _time(follow_up.ended_at),
    }


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
