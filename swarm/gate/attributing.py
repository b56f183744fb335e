"""Completes subtasks that an emperor before had merged, tested and pushed without a word of it.

The fence proves the push, and the merges name their subtasks. Doing such a subtask once more would
put a second result of it on top of the first.
"""

from __future__ import annotations

import logging
from collections import Counter
from datetime import datetime

from django.db import transaction

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError
from swarm.gate.blame import unless_moved
from swarm.gate.evidence import note_merge
from swarm.gate.models import BatchOutcome
from swarm.git.fence import Fence, Pushed
from swarm.git.merged import GateMerge, gate_merges
from swarm.git.names import ID_DIGITS
from swarm.git.repository import Repository
from swarm.models import Task
from swarm.replication.tasks import publish_task
from swarm.services.goals import get_task, settle_dependants
from swarm.services.transitions import move_task
from swarm.states import TASK_TERMINAL, Actor, TaskStatus

log = logging.getLogger(__name__)


def complete_pushed(goal: Task, repository: Repository, fence: Fence | None) -> None:
    """Complete each open subtask whose merge an emperor pushed, as the held fence proves.

    What others pushed on top is not taken in here. A subtask that was merged twice stays open, as
    everything does where the remote shows no more what the fence names.
    """
    pushed = fence.pushed_at(fence.seen) if fence is not None else None
    if fence is None or pushed is None or goal.status != TaskStatus.IN_PROGRESS:
        return
    known = goal.integration_commit or goal.base_commit
    head = _head_after(repository, fence, pushed, (goal.base_commit, known))
    if head is None:
        return
    # From the base, not from what is known: a subtask may be adopted later than its goal.
    merges = _merges_of_open(goal, gate_merges(repository, goal.base_commit, pushed.head))
    if merges or head != known:
        _take_in(goal, merges, known, head, pushed)


def _head_after(
    repository: Repository, fence: Fence, pushed: Pushed, known: tuple[str, str]
) -> str | None:
    """Return the later one of what is known (base and head) and what the fence names.

    None where the branch shows no more what the fence names, or that lost what is known.
    """
    base, head = known
    try:
        repository.fetch_commit(fence.branch, fence.seen.head)
        shown = repository.is_ancestor(pushed.head, fence.seen.head)
        if not shown or not repository.is_ancestor(base, pushed.head):
            return None
        if repository.is_ancestor(head, pushed.head):
            return pushed.head
        return head if repository.is_ancestor(pushed.head, head) else None
    except DomainError as gone:
        log.info("what %s names cannot be looked at: %s", fence.ref, gone)
        return None


def _merges_of_open(goal: Task, merges: list[GateMerge]) -> list[tuple[Task, GateMerge]]:
    """Return the open subtasks that were merged exactly once, each with its merge, in that order.

    Of two subtasks with the same first digits nobody can say whose the branch is.
    """
    tasks = Task.objects.filter(parent_id=goal.id)
    same = Counter(task.id8 for task in tasks)
    times = Counter(_id8(merge) for merge in merges)
    found = {
        task.id8: task
        for task in tasks
        if task.status not in TASK_TERMINAL and same[task.id8] == times[task.id8] == 1
    }
    return [(found[_id8(merge)], merge) for merge in merges if _id8(merge) in found]


def _id8(merge: GateMerge) -> str:
    return merge.branch.removeprefix("task/")[:ID_DIGITS]


def _take_in(
    goal: Task,
    merges: list[tuple[Task, GateMerge]],
    known: str,
    head: str,
    pushed: Pushed,
) -> None:
    now = now_utc()
    tasks = [task for task, _ in merges]
    outcome = BatchOutcome.MERGED if tasks else BatchOutcome.ADOPTED
    with transaction.atomic():
        note_merge(goal, tasks, known, head, outcome, {"pushed_by": pushed.by})
        Task.objects.filter(id=goal.id).update(integration_commit=head, updated_at=now)
        # Before its subtasks: who takes over must not begin a dependant without their work.
        publish_task(get_task(goal.id), now)
        for task, merge in merges:
            _complete(task, merge, pushed, now)
        settle_dependants(goal.id, now=now)


def _complete(task: Task, merge: GateMerge, pushed: Pushed, now: datetime) -> None:
    with unless_moved(task):
        move_task(
            task.id,
            TaskStatus.COMPLETED,
            by=Actor.GATE,
            reason=f"{pushed.by[:8]}, emperor before, had merged {merge.merged[:8]}, "
            f"tested it and pushed it in {pushed.head[:8]}",
            now=now,
            evidence={
                "commit": merge.merged,
                "merge": merge.commit,
                "integrated_as": pushed.head,
                "pushed_by": pushed.by,
            },
            commit=merge.merged,
            git_branch=merge.branch,
            merged_commit=pushed.head,
            lease_expires_at=None,
            waiting_reason="",
            progress="",
            error="",
        )
