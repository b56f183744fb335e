"""Goals that were planned at a fixed time, their subtasks, and agents that are ready."""

from __future__ import annotations

from datetime import UTC, datetime

from swarm.models import Agent, Task
from swarm.services import goals
from swarm.services.agents import judge_agent, register_agent
from swarm.services.transitions import move_task
from swarm.states import Actor, AgentStatus, TaskStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)


BASE = "b" * 40


CHAIN = """# A chain

- [ ] First
  ```sh
  true
  ```
- [ ] Second (after: 1)
  ```sh
  true
  ```
- [ ] Third (after: 2)
  ```sh
  true
  ```
- [ ] Alone
  ```sh
  true
  ```
"""


def a_goal(description: str = CHAIN, *, priority: int = 0, now: datetime = NOW) -> Task:
    """Create and plan a goal."""
    request = goals.GoalRequest(
        description=description, repository="/srv/remote.git", priority=priority
    )
    goal = goals.create_goal(request, now=now)
    goals.store_plan(goal.id, base_branch="main", base_commit=BASE, now=now)
    return goal


def an_agent(name: str = "one", *capabilities: str, tool: str = "shell") -> Agent:
    """Register an agent that is ready."""
    agent = register_agent(name=name, tool=tool, capabilities=capabilities, now=NOW)
    judge_agent(agent.id, AgentStatus.READY, source="tmux", rule="seen", evidence="seen", now=NOW)
    return agent


def statuses(goal: Task) -> list[str]:
    """Return the statuses of a goal's subtasks in plan order."""
    return list(goal.subtasks.order_by("number").values_list("status", flat=True))


def complete(goal: Task, number: int) -> None:
    """Bring a pending subtask to `completed` as dispatch, report and gate would."""
    task = goal.subtasks.get(number=number)
    for target, by in (
        (TaskStatus.CLAIMED, Actor.DISPATCHER),
        (TaskStatus.PENDING_REVIEW, Actor.REPORT),
        (TaskStatus.MERGING, Actor.GATE),
        (TaskStatus.COMPLETED, Actor.GATE),
    ):
        move_task(task.id, target, by=by, reason="r", now=NOW)
    goals.settle_dependants(goal.id, now=NOW)


def fail(goal: Task, number: int) -> None:
    """Let the last attempt of a pending subtask fail."""
    task = goal.subtasks.get(number=number)
    Task.objects.filter(id=task.id).update(attempt=3)
    move_task(task.id, TaskStatus.CLAIMED, by=Actor.DISPATCHER, reason="r", now=NOW)
    task.refresh_from_db()
    goals.requeue_or_fail(
        task, by=Actor.REPORT, reason="it broke", feedback="", evidence={}, now=NOW
    )
