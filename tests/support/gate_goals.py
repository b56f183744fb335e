"""Goals whose subtasks are reported by the test itself, for tests of the merge gate."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from swarm.gate.gate import run_gate
from swarm.gate.preparation import prepare_goal
from swarm.git.names import integration_branch
from swarm.models import Task
from swarm.services import goals
from swarm.services.transitions import move_task
from swarm.states import Actor, TaskStatus
from tests.support.git_remote import GitRemote

NOW = datetime.now(UTC)
GREEN = "! grep -rq BUG ."
SHELL = "  ```sh\n  true\n  ```\n"


def a_goal(remote: GitRemote, titles: str = "One,Two", test_command: str = GREEN) -> Task:
    """Submit and prepare a goal with a subtask for each title."""
    items = "\n".join(f"- [ ] {title}\n{SHELL}" for title in titles.split(","))
    request = goals.GoalRequest(
        description=f"# Goal\n\n{items}", repository=str(remote.path), test_command=test_command
    )
    goal = goals.create_goal(request, now=NOW)
    prepare_goal(goal)
    goal.refresh_from_db()
    return goal


def widen(goal: Task, count: int) -> None:
    """Give a goal more subtasks, up to `count`, than an outline may have."""
    task = goal.subtasks.get(number=1)
    for number in range(goal.subtasks.count() + 1, count + 1):
        task.pk, task.number, task._state.adding = uuid.uuid4(), number, True
        task.save()


def report(goal: Task, number: int, remote: GitRemote, files: Mapping[str, str | None]) -> Task:
    """Push a branch for a subtask and report it, as its executor would."""
    task = goal.subtasks.get(number=number)
    commit = remote.push(next_branch(task), files, start=goal.base_commit)
    return report_commit(task, commit)


def next_branch(task: Task) -> str:
    """Return the branch of a subtask's next attempt."""
    return f"task/{task.id8}" + (f"-{task.attempt + 1}" if task.attempt else "")


def report_commit(task: Task, commit: str) -> Task:
    """Report a commit that is on the branch of the subtask's next attempt."""
    branch = next_branch(task)
    move_task(
        task.id,
        TaskStatus.CLAIMED,
        by=Actor.DISPATCHER,
        reason="r",
        now=NOW,
        attempt=task.attempt + 1,
    )
    return move_task(
        task.id,
        TaskStatus.PENDING_REVIEW,
        by=Actor.REPORT,
        reason="r",
        now=NOW,
        git_branch=branch,
        commit=commit,
    )


def after_gate(goal: Task) -> list[str]:
    """Run the gate and return the statuses of the goal's subtasks in plan order."""
    run_gate(goal)
    goal.refresh_from_db()
    return list(goal.subtasks.order_by("number").values_list("status", flat=True))


def pushed(goal: Task, remote: GitRemote) -> str | None:
    """Return what the remote has at the goal's integration branch."""
    return remote.refs().get(f"refs/heads/{integration_branch(goal.id)}")
