"""Goes on with pull requests that another emperor began; their rows were never replicated.

What is known of them is what tasks say: a goal that is completed wants one, and a goal made of
review comments says whose branch it is for. The forge itself is asked by branch for the rest.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from django.db import transaction

from p2p.local import local_node
from swarm.forge import services
from swarm.forge.models import FollowUp, PullRequest
from swarm.forge.states import PullState
from swarm.git.names import integration_branch
from swarm.models import Job, Task
from swarm.services import jobs
from swarm.services.goals import lane_of
from swarm.states import TASK_TERMINAL, JobStatus, TaskStatus

TAKEN_UP_FOR = timedelta(days=7)  # what ended longer ago is the past of its old emperor

_ROUND_BEGINS = "What reviewers of "
_ROUND = re.compile(rf"{_ROUND_BEGINS}\S* asked for in round (\d{{1,3}})\.")
_KIND = {PullState.WAITING: services.OPEN_PULL, PullState.OPEN: services.LOOK_AT_PULL}


def resume_pulls(now: datetime) -> int:
    """Queue what is still to be done for pull requests of completed goals; returns how many.

    Goals of other nodes that have none here yet get one, which is looked for before it is opened.
    """
    goals = Task.objects.filter(parent__isnull=True, archived_at__isnull=True)
    others = goals.exclude(created_by=local_node().node_id)
    wanting = others.filter(
        status=TaskStatus.COMPLETED,
        completed_at__gt=now - TAKEN_UP_FOR,
        pull_request__isnull=True,
        follow_up__isnull=True,
    )
    firsts = [goal for goal in wanting if not _round_of(goal)]
    resumed = sum(services.want_pull(goal, now=now) is not None for goal in firsts)
    held = PullRequest.objects.filter(goal__released_at__isnull=True, state__in=_KIND)
    resumed += sum(_resume(pull, now) for pull in held)
    rounds = others.filter(follow_up__isnull=True, description__startswith=_ROUND_BEGINS)
    for goal in sorted(filter(_round_of, rounds), key=_round_of):
        _restore_round(goal, now)
    return resumed


def _resume(pull: PullRequest, now: datetime) -> bool:
    kind = _KIND[PullState(pull.state)]
    open_jobs = Job.objects.filter(
        kind=kind, key=pull.id.hex, status__in=[JobStatus.QUEUED, JobStatus.RUNNING]
    )
    if open_jobs.exists():
        return False
    services.enqueue(pull, kind, now=now)
    return True


def _restore_round(goal: Task, now: datetime) -> None:
    """Write the row of a goal made of comments anew, and send on what it has proved."""
    pull = PullRequest.objects.filter(head_branch=goal.base_branch).select_related("goal").first()
    if pull is None or integration_branch(pull.goal_id) != goal.base_branch:
        return
    number, is_done = _round_of(goal), goal.status == TaskStatus.COMPLETED
    has_ended = goal.status in TASK_TERMINAL
    with transaction.atomic():
        # A later round began where the one before had been delivered.
        pull.follow_ups.filter(ended_at__isnull=True, round__lt=number).update(ended_at=now)
        FollowUp.objects.get_or_create(
            pull_request=pull,
            round=number,
            defaults={
                "goal": goal,
                "created_at": goal.created_at,
                "ended_at": now if has_ended and not is_done else None,
            },
        )
        if is_done:
            jobs.enqueue(services.DELIVER, key=goal.id.hex, lane=lane_of(goal), now=now)


def _round_of(goal: Task) -> int:
    """Return the round of review that a goal is the work of, 0 where it is of none."""
    found = _ROUND.match(goal.description)
    return int(found[1]) if found else 0
