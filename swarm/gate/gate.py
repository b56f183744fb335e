"""The merge gate: proves reported commits by merging, testing and pushing them.

Runs as a job, one at a time per repository. Every step may be repeated: a worker that dies at
any point loses nothing, and what it had pushed is found again on the remote.
"""

from __future__ import annotations

from p2p.local import local_node
from swarm.gate.accepting import finish_pushed
from swarm.gate.attributing import complete_pushed
from swarm.gate.batches import Batch
from swarm.gate.deciding import decide_goal
from swarm.gate.fencing import hold_fence
from swarm.gate.opening import open_last_good
from swarm.gate.refusing import without_untestable
from swarm.gate.reports import in_status, verify_reports
from swarm.git.fence import Fence
from swarm.git.places import drop_places
from swarm.git.repository import Repository
from swarm.models import Task
from swarm.review.opening import open_reviews
from swarm.services.goals import get_task
from swarm.states import TaskStatus


def run_gate(goal: Task) -> None:
    """Verify reports, have them reviewed where a reviewer is configured, merge what is ready.

    The goal is decided when nothing is left to merge. Fenced or NotEmperor where the goal is
    another emperor's by now: then nothing was changed.
    """
    repository = Repository(goal.repository, local_node().home)
    repository.ensure()
    fence = hold_fence(goal, repository)
    finish_pushed(goal, repository)
    complete_pushed(get_task(goal.id), repository, fence)
    if to_review := verify_reports(goal, repository):
        open_reviews(get_task(goal.id), repository, to_review, fence)
    if in_status(goal, TaskStatus.MERGING):
        _merge_ready(get_task(goal.id), repository, fence)
    decide_goal(get_task(goal.id), repository)


def _merge_ready(goal: Task, repository: Repository, fence: Fence | None) -> None:
    """Judge what waits in `merging`, batch after batch, each on top of what the last one left."""
    integration = open_last_good(goal, repository, fence)
    start, pushed = integration.head, integration.pushed or ""
    try:
        while ready := _testable(goal, repository):
            head = Batch(goal, integration, start).judge(ready, pushed)
            if head is not None:
                start = pushed = head
    finally:
        drop_places(integration)


def _testable(goal: Task, repository: Repository) -> list[Task]:
    return without_untestable(goal, repository, in_status(goal, TaskStatus.MERGING))
