"""Goals that a language model plans, and answers that it might give."""

from __future__ import annotations

from typing import Any

from p2p.clock import now_utc
from swarm.jobs import run_job
from swarm.models import Job, Task
from swarm.services import goals
from swarm.states import JobStatus
from tests.support.git_remote import GitRemote

GOAL = "Make the telescope see further.\n\nMind the mount."


def a_goal(remote: GitRemote, *, description: str = GOAL, **fields: Any) -> Task:
    """Submit a goal without an outline; nothing has run yet."""
    request = goals.GoalRequest(
        description=description, repository=str(remote.path), test_command="true", **fields
    )
    return goals.create_goal(request, now=now_utc())


def run_jobs(kind: str) -> int:
    """Run the waiting jobs of a kind, as a worker would; returns how many."""
    Job.objects.filter(kind=kind, status=JobStatus.QUEUED).update(due_at=now_utc())
    waiting = list(Job.objects.filter(kind=kind, status=JobStatus.QUEUED))
    for job in waiting:
        run_job(job.id)
    return len(waiting)


def prepared(remote: GitRemote, **fields: Any) -> Task:
    """Submit a goal and prepare it, so that its plan is wanted."""
    goal = a_goal(remote, **fields)
    assert run_jobs("prepare_goal") == 1
    return fresh(goal)


def fresh(goal: Task) -> Task:
    """Return a goal as it is now."""
    return Task.objects.get(id=goal.id)


def subtask(name: str, *after: str, **fields: Any) -> dict[str, Any]:
    """A subtask as a model answers it."""
    return {
        "id": name,
        "title": f"Do {name}",
        "instructions": f"Change {name}.py.",
        "acceptance_criteria": [f"{name} is done"],
        "capabilities": [],
        "complexity": "medium",
        "depends_on": list(after),
        **fields,
    }


def plan(*subtasks: dict[str, Any]) -> dict[str, Any]:
    """A whole answer with a plan."""
    return {"subtasks": list(subtasks)}
