"""Reads of the swarm: tasks, agents and evidence as plain data for API, events and pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet

from p2p.local import local_node
from p2p.protocol.limits import FLOODED_AGE_MAX_MS
from swarm.agents import capacity
from swarm.budgets.money import usd_of
from swarm.models import Agent, Attempt, Job, MemberPulse, Task, TaskCopy
from swarm.states import (
    ATTEMPT_TERMINAL,
    TASK_TERMINAL,
    TASK_WITH_AGENT,
    AgentStatus,
    JobStatus,
    TaskStatus,
)
from swarm.worktrees import room

MEMBER_SILENT_AFTER = timedelta(milliseconds=FLOODED_AGE_MAX_MS)  # three heartbeats missed
AGENT_UNSEEN_AFTER = timedelta(seconds=60)  # twelve looks of the agent loop missed
PHASES = ("planning", "working", "reviewing", "merging", "done")

_PHASE_OF: dict[str, str] = {
    TaskStatus.PLANNING: "planning",
    TaskStatus.PENDING_REVIEW: "reviewing",
    TaskStatus.MERGING: "merging",
    TaskStatus.COMPLETED: "done",
    TaskStatus.FAILED: "done",
    TaskStatus.CANCELLED: "done",
}


def describe_tasks(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Return tasks as `describe_task` does, with one query for the phases of all goals at work."""
    goals = [task.id for task in tasks if _phase_needs_subtasks(task)]
    statuses: dict[UUID | None, set[str]] = {}
    if goals:
        below = Task.objects.filter(parent_id__in=goals).order_by()
        for goal_id, status in below.values_list("parent_id", "status").distinct():
            statuses.setdefault(goal_id, set()).add(status)
    return [describe_task(task, _phase_among(task, statuses.get(task.id, set()))) for task in tasks]


def describe_task(task: Task, phase: str | None = None) -> dict[str, Any]:
    """Return a task as JSON-ready data: ids as hex, times as RFC 3339.

    `phase` spares a query where it is known already.
    """
    return {
        "id": task.id.hex,
        "parent_id": task.parent_id.hex if task.parent_id else None,
        "number": task.number,
        "title": task.title,
        "status": task.status,
        "phase": phase or phase_of(task),
        "priority": task.priority,
        "required_capabilities": task.required_capabilities,
        "acceptance_criteria": task.acceptance_criteria,
        "complexity": task.complexity,
        "time_limit_s": task.time_limit_s,
        "repository": task.repository,
        "base_branch": task.base_branch,
        "base_commit": task.base_commit,
        "base_red": task.base_red,
        "integration_commit": task.integration_commit,
        "test_command": task.test_command,
        "test_source": task.test_source,
        "test_settings": task.test_settings,
        "created_by": task.created_by,
        "emperor_node_id": local_node().node_id,
        "term": task.term,
        "assigned_node": task.assigned_node,
        "assigned_agent": task.assigned_agent,
        "assigned_agent_id": task.assigned_agent_id.hex if task.assigned_agent_id else None,
        "tribute_id": task.tribute_id.hex if task.tribute_id else None,
        "attempt": task.attempt,
        "attempts_max": task.attempts_max,
        "generation": task.generation,
        "git_branch": task.git_branch,
        "commit": task.commit,
        "merged_commit": task.merged_commit,
        "progress": task.progress,
        "question": describe_question(task),
        "budget": describe_budget(task),
        "result": task.result,
        "error": task.error,
        "waiting_reason": task.waiting_reason if task.status == TaskStatus.PENDING else "",
        "lease_expires_at": _time(task.lease_expires_at),
        "created_at": _time(task.created_at),
        "updated_at": _time(task.updated_at),
        "claimed_at": _time(task.claimed_at),
        "completed_at": _time(task.completed_at),
        "archived_at": _time(task.archived_at),
    }


def describe_question(task: Task) -> dict[str, Any] | None:
    """Return the last question of a task's agent as JSON-ready data; None where it asked none."""
    if task.asked_at is None:
        return None
    return {
        "text": task.question,
        "choices": task.choices,
        "number": task.question_number,
        "open": task.status == TaskStatus.WAITING_INPUT and task.answered_at is None,
        "asked_at": _time(task.asked_at),
        "answer": task.answer if task.answered_at else None,
        "answered_at": _time(task.answered_at),
    }


def describe_budget(task: Task) -> dict[str, Any]:
    """Return a task's own limits and what its attempts used; costs in US dollars."""
    return {
        "time_limit_s": task.time_limit_s,
        "token_limit": task.token_limit,
        "cost_limit_usd": usd_of(task.cost_limit_micros),
        "on_budget": task.on_budget,
        "tokens_used": task.tokens_used,
        "cost_used_usd": usd_of(task.cost_used_micros),
        "over_budget": task.over_budget,
    }


def describe_day(agent: Agent) -> dict[str, Any]:
    """Return an agent's limits per day (UTC) and what it used on `day`; costs in US dollars."""
    return {
        "token_limit": agent.token_limit,
        "cost_limit_usd": usd_of(agent.cost_limit_micros),
        "day": agent.usage_day.isoformat() if agent.usage_day else None,
        "tokens_used": agent.tokens_today,
        "cost_used_usd": usd_of(agent.cost_today_micros),
    }


def describe_agent(agent: Agent) -> dict[str, Any]:
    """Return an agent as JSON-ready data, with the evidence of its status and its age."""
    attempt = agent.attempt
    return {
        "id": agent.id.hex,
        "node_id": local_node().node_id,
        "own": True,
        "name": agent.name,
        "tool": agent.tool,
        "capabilities": agent.capabilities,
        "status": agent.status,
        "source": agent.source,
        "rule": agent.rule,
        "evidence": agent.evidence,
        "status_since": _time(agent.status_since),
        "model": agent.model,
        "dialog": agent.dialog,
        "crashes": agent.crashes,
        "restart_at": _time(agent.restart_at),
        "task_id": attempt.task_id.hex if attempt else None,
        "task_title": attempt.title if attempt else None,
        "paused_until": _time(agent.paused_until),
        "paused_reason": agent.paused_reason,
        "budget": describe_day(agent),
        "reserved_for": agent.reserved_for,
        "reserved_until": _time(agent.reserved_until),
    }


def phase_of(task: Task) -> str:
    """Return which of the five PHASES a task is in."""
    if not _phase_needs_subtasks(task):
        return phase_of_status(task.status)
    return _phase_among(task, set(task.subtasks.values_list("status", flat=True)))


def _phase_needs_subtasks(task: Task) -> bool:
    return bool(task.status == TaskStatus.IN_PROGRESS and task.parent_id is None and task.pk)


def _phase_among(task: Task, statuses: set[str]) -> str:
    """Return the phase of a task whose subtasks are in these statuses."""
    if statuses and _phase_needs_subtasks(task):
        if statuses <= {TaskStatus.MERGING, *TASK_TERMINAL}:
            return "merging"
        if statuses <= {TaskStatus.PENDING_REVIEW, *TASK_TERMINAL}:
            return "reviewing"
    return phase_of_status(task.status)


def phase_of_status(status: str) -> str:
    """Return which of the five PHASES a status belongs to, seen by itself."""
    return _PHASE_OF.get(status, "working")


def list_goals(limit: int = 50) -> list[Task]:
    """Return goals that are not archived, newest first, with their subtasks in plan order."""
    goals = Task.objects.filter(parent__isnull=True, archived_at__isnull=True)
    goals = goals.order_by("-created_at")
    return list(goals.prefetch_related("subtasks__depends_on")[:limit])


def task_counts() -> dict[str, int]:
    """Return how many tasks (goals and subtasks) are in each status."""
    rows = Task.objects.order_by().values_list("status").annotate(number=Count("id"))
    return {**dict.fromkeys(TaskStatus.values, 0), **dict(rows)}


def idle_agents(now: datetime) -> QuerySet[Agent]:
    """Return agents that could take work now: ready, without work, not reserved, not paused.

    None while the node is over its caps or out of room, and none of a tool that may run no more
    tasks at once.
    """
    if capacity.full_because() or room.full_reason():
        return Agent.objects.none()
    free = Agent.objects.filter(status=AgentStatus.READY, attempt__isnull=True)
    unreserved = free.filter(Q(reserved_for="") | Q(reserved_until__lte=now))
    unpaused = unreserved.filter(Q(paused_until__isnull=True) | Q(paused_until__lte=now))
    return unpaused.exclude(tool__in=capacity.tools_in_full_use())


def sellable_agents(now: datetime) -> list[Agent]:
    """Return the idle agents that no waiting task of this swarm could use, by name.

    Own work comes first, at a member also that of its emperor. What is sold was seen lately.
    """
    waiting = _waiting_needs(now)
    seen = Q(seen_at__isnull=True) | Q(seen_at__gt=now - AGENT_UNSEEN_AFTER)
    return [
        agent
        for agent in idle_agents(now).filter(seen).order_by("name")
        if not any(needs <= set(agent.capabilities) for needs in waiting)
    ]


def _waiting_needs(now: datetime) -> list[set[str]]:
    own = Task.objects.filter(status=TaskStatus.PENDING, parent__isnull=False)
    heard = MemberPulse.objects.filter(seen_at__gt=now - MEMBER_SILENT_AFTER)
    members = TaskCopy.objects.filter(
        status=TaskStatus.PENDING,
        parent_id__isnull=False,
        emperor_node_id__in=heard.values("node_id"),
    )
    return [
        set(needs)
        for rows in (own, members)
        for needs in rows.order_by().values_list("required_capabilities", flat=True).distinct()
    ]


def busy_goals() -> dict[UUID, int]:
    """Return how many subtasks of each goal are with an agent now."""
    rows = (
        Task.objects.filter(status__in=TASK_WITH_AGENT)
        .values_list("parent_id")
        .annotate(n=Count("id"))
    )
    return dict(rows.order_by())


def trouble_of(task: Task) -> dict[str, Any] | None:
    """Return what keeps a job of a task's goal failing while it is tried again, or None."""
    goal_id = task.parent_id or task.id
    waiting = Job.objects.filter(key=goal_id.hex, status__in=[JobStatus.QUEUED, JobStatus.RUNNING])
    job = waiting.filter(attempts__gt=0).order_by("-id").first()
    if job is None:
        return None
    return {
        "job": job.kind,
        "error": job.error,
        "attempts": job.attempts,
        "attempts_max": job.attempts_max,
        "due_at": _time(job.due_at),
    }


def troubled_jobs() -> list[Job]:
    """Return jobs that failed, or wait for another try after a failure, newest first."""
    failing = Q(status=JobStatus.FAILED) | (Q(attempts__gt=0) & ~Q(status=JobStatus.DONE))
    return list(Job.objects.filter(failing).order_by("-id")[:20])


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def unfinished_attempts() -> dict[UUID, str]:
    """Return attempts that need a runner, oldest first, each with the tool of its agent.

    They have not ended, or their worktree is in place. The tool is empty without an agent.
    """
    unfinished = ~Q(status__in=ATTEMPT_TERMINAL) | Q(worktree_removed_at__isnull=True)
    rows = Attempt.objects.filter(unfinished).order_by("created_at")
    return {key: tool or "" for key, tool in rows.values_list("id", "agent__tool")}


def idle_sessions() -> list[str]:
    """Return the tmux sessions of agents without work."""
    return list(Agent.objects.filter(attempt__isnull=True).values_list("session", flat=True))


def all_sessions() -> list[str]:
    """Return the tmux sessions of all agents."""
    return list(Agent.objects.values_list("session", flat=True))


def agents_are_starting() -> bool:
    """Tell whether this node has agents that were not looked at since it started."""
    return Agent.objects.filter(status=AgentStatus.STARTING).exists()
