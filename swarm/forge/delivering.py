"""Sends the proved commit of a follow-up goal to the branch of the pull request it follows."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from p2p.clock import now_utc
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.errors import Fenced
from swarm.forge import services
from swarm.forge.failures import ForgeError
from swarm.forge.models import FollowUp, PullRequest
from swarm.gate.fencing import hold_fence
from swarm.git.names import integration_branch
from swarm.git.pushing import fast_forward
from swarm.git.repository import Repository
from swarm.models import Task
from swarm.states import TaskStatus


def deliver(follow_up: FollowUp) -> None:
    """Fast-forward the pull request's branch; never force: what others pushed there stays."""
    goal, pull = follow_up.goal, follow_up.pull_request
    if follow_up.ended_at is not None or goal.status != TaskStatus.COMPLETED:
        return
    repository = Repository(goal.repository, local_node().home)
    repository.ensure(goal.merged_commit)
    fence = hold_fence(pull.goal, repository)
    try:
        repository.fetch_commit(integration_branch(goal.id), goal.merged_commit)
        if fence is None:
            fast_forward(repository, pull.head_branch, goal.merged_commit)
        else:
            fence.push(goal.merged_commit, None)
    except Fenced:
        raise
    except DomainError as refused:
        raise ForgeError(
            f"the work of review round {follow_up.round} stays on "
            f"{integration_branch(goal.id)}: {refused}",
            retryable=False,
        ) from refused
    _keep(follow_up, goal, pull, now_utc())


def end_undelivered(follow_up: FollowUp, reason: str, *, now: datetime) -> None:
    """Close a round whose work could not be sent on, and say where it is."""
    FollowUp.objects.filter(id=follow_up.id, ended_at__isnull=True).update(ended_at=now)
    services.set_note(services.get_pull(follow_up.pull_request_id), reason, now=now)


def _keep(follow_up: FollowUp, goal: Task, pull: PullRequest, now: datetime) -> None:
    with transaction.atomic():
        FollowUp.objects.filter(id=follow_up.id).update(
            delivered_commit=goal.merged_commit, ended_at=now
        )
        PullRequest.objects.filter(id=pull.id).update(
            head_commit=goal.merged_commit,
            head_pushed_at=now,
            quiet_looks=0,
            note="",
            updated_at=now,
        )
        Task.objects.filter(id=goal.id).update(result=pull.url, updated_at=now)
        # The body names the new subtasks; looking goes on from there.
        services.enqueue(pull, services.OPEN_PULL, now=now)
        services.tell(services.get_pull(pull.id), now)
