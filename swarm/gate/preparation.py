"""Prepares a goal: proves that its repository can be used and stores its plan."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from p2p.clock import now_utc
from p2p.local import local_node
from swarm.gate.test_choice import choose_test
from swarm.git.repository import Repository
from swarm.models import Task
from swarm.outline import parse_goal
from swarm.services.goals import store_plan
from swarm.services.planned_goals import note_prepared


def prepare_goal(goal: Task) -> None:
    """Clone the goal's repository, find where the work starts, and create the subtasks.

    A goal without an outline stays in planning, for a planner.

    Raises DomainError for a branch that does not exist, settings with a mistake or a remote that
    refuses a push, and ExternalError (retryable) for a remote that cannot be reached.
    """
    repository = Repository(goal.repository, local_node().home)
    # Two conversations with the remote that do not need each other.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="probe") as pool:
        probe = pool.submit(repository.can_push)
        branch, commit = repository.resolve_base(goal.base_branch)
        repository.ensure(commit)
        refusal = probe.result()
    if refusal is not None:
        raise refusal
    now = now_utc()
    choose_test(goal, repository, commit, now)
    store = store_plan if parse_goal(goal.description).items else note_prepared
    store(goal.id, base_branch=branch, base_commit=commit, now=now)
