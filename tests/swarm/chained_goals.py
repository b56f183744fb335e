"""Goals whose subtasks wait for each other in one chain, without their jobs."""

from __future__ import annotations

from swarm.models import Job, Task
from swarm.services import goals
from swarm.states import (
    TaskStatus,
)
from tests.swarm.planned_goals import BASE, NOW

DEPTH = 8


def chain(depth: int = DEPTH) -> str:
    """Return the outline of a goal whose subtasks each wait for the one before."""
    items = [
        f"- [ ] Step {n}{f' (after: {n - 1})' if n > 1 else ''}\n  ```sh\n  true\n  ```\n"
        for n in range(1, depth + 1)
    ]
    return "# A chain\n\n" + "\n".join(items)


def a_goal(description: str = "") -> Task:
    """Create and plan a goal, by default a chain, and forget its jobs."""
    request = goals.GoalRequest(
        description=description or chain(), repository="/srv/remote.git", test_command=""
    )
    goal = goals.create_goal(request, now=NOW)
    goals.store_plan(goal.id, base_branch="main", base_commit=BASE, now=NOW)
    Job.objects.all().delete()
    goal.refresh_from_db()
    return goal


def a_subtask(status: TaskStatus, **columns: object) -> Task:
    """Create a goal with one subtask in this status."""
    goal = a_goal(chain(1))
    Task.objects.filter(parent=goal).update(status=status, **columns)
    return goal.subtasks.get()
