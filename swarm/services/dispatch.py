"""Dispatch: a free agent and a ready task meet at once, here or on a hired node."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from p2p import outbox
from p2p.local import local_node
from swarm import hooks
from swarm.git.names import attempt_branch
from swarm.messages import TaskAssign, TaskSpec
from swarm.models import Agent, Task
from swarm.queries import busy_goals, idle_agents
from swarm.services import reports
from swarm.services.agents import capable
from swarm.services.attempts import Assignment, start_attempt
from swarm.services.transitions import move_task
from swarm.states import Actor, TaskStatus

log = logging.getLogger(__name__)

READY_MAX = 1000  # looked at in one round
ASSIGN_EXPIRY_S = 60.0  # as long as a reservation: a later answer would be `lapsed`


def dispatch_ready(now: datetime) -> int:
    """Give ready subtasks to free agents and hired nodes; returns how many were given.

    Order: priority, then fairness between goals, then age and place in the plan.
    """
    given = 0
    agents, hiring = list(idle_agents(now)), hooks.hiring_goals()
    if not agents and not hiring:
        return 0
    for task in _in_order(_ready_tasks()):
        # Asked in memory first: this runs at every ring, and most tasks wait for an agent.
        if _may_be_given(task, agents, hiring) and _try_to_give(task, now):
            given += 1
            agents, hiring = list(idle_agents(now)), hooks.hiring_goals()
    return given


def _may_be_given(task: Task, agents: Sequence[Agent], hiring: set[UUID]) -> bool:
    return task.parent_id in hiring or bool(capable(agents, task.required_capabilities))


def _try_to_give(task: Task, now: datetime) -> bool:
    try:
        with transaction.atomic():
            return _give(task, now)
    except Exception:
        # A bug of ours, and no reason for the tasks behind this one to wait.
        log.exception("task %s was not given to anybody", task.id)
        return False


def _give(task: Task, now: datetime) -> bool:
    # What goes back to work goes back to the node that was hired for it, whose price covers it.
    if task.tribute_id is not None:
        return _give_away(task, now) or _give_locally(task, now)
    return _give_locally(task, now) or _give_away(task, now)


def _ready_tasks() -> list[Task]:
    ready = Task.objects.filter(status=TaskStatus.PENDING, parent__isnull=False)
    in_turn = ready.order_by("-priority", "created_at", "number")
    return list(in_turn.select_related("parent")[:READY_MAX])


def _in_order(tasks: Iterable[Task]) -> list[Task]:
    # The n-th task of every goal comes before the (n+1)-th of any: no goal starves another.
    turns = busy_goals()
    keyed = []
    for task in tasks:
        assert task.parent_id is not None, "only subtasks are dispatched"
        turn = turns.get(task.parent_id, 0)
        turns[task.parent_id] = turn + 1
        keyed.append(((-task.priority, turn, task.created_at, task.number), task))
    return [task for _, task in sorted(keyed, key=lambda pair: pair[0])]


def _give_locally(task: Task, now: datetime) -> bool:
    agents = capable(list(idle_agents(now).order_by("status_since")), task.required_capabilities)
    if not agents:
        return False
    claimed = _claim(task, local_node().node_id, "a local agent is free", now)
    attempt = start_attempt(_assignment(claimed), agents, now=now)
    if attempt is None:
        # Cannot happen on the one database thread; were it to, nothing of it may stay.
        raise RuntimeError(f"no agent left for task {task.id}")
    reports.report_claim(attempt, now=now)
    return True


def _give_away(task: Task, now: datetime) -> bool:
    for source in hooks.hire_sources:
        hire = source.hire(task, now)
        if hire is not None:
            _assign(task, hire, now)
            return True
    return False


def _assign(task: Task, hire: hooks.Hire, now: datetime) -> None:
    reason = f"hired from {hire.node_id[:8]} under tribute {hire.tribute_id.hex[:8]}"
    claimed = _claim(task, hire.node_id, reason, now, tribute_id=hire.tribute_id)
    spec = TaskSpec(
        id=claimed.id.hex,
        title=claimed.title,
        instructions=claimed.instructions,
        shell=claimed.shell,
        feedback=claimed.feedback[-reports.SUMMARY_CHARS_MAX :],
        repository=claimed.repository,
        attempt=claimed.attempt,
        previous_branch=_previous_branch(claimed) or None,
    )
    outbox.send_command(
        TaskAssign,
        to_node_id=hire.node_id,
        now=now,
        expires_in_s=ASSIGN_EXPIRY_S,
        task=spec,
        base_commit=_base_commit(claimed),
        generation=claimed.generation,
        tribute_id=hire.tribute_id.hex,
    )


def _claim(task: Task, node_id: str, reason: str, now: datetime, **columns: Any) -> Task:
    return move_task(
        task.id,
        TaskStatus.CLAIMED,
        by=Actor.DISPATCHER,
        reason=reason,
        now=now,
        assigned_node=node_id,
        base_commit=_base_commit(task),
        attempt=task.attempt + 1,
        generation=task.generation + 1,
        lease_expires_at=reports.lease_end(now),
        claimed_at=now,
        **{"tribute_id": None, **columns},
    )


def _assignment(task: Task) -> Assignment:
    return Assignment(
        task_id=task.id,
        assigner_node_id=local_node().node_id,
        title=task.title,
        instructions=task.instructions,
        shell=task.shell,
        feedback=task.feedback,
        repository=task.repository,
        number=task.attempt,
        generation=task.generation,
        base_commit=_base_commit(task),
        previous_branch=_previous_branch(task),
    )


def _base_commit(task: Task) -> str:
    assert task.parent is not None
    return task.parent.integration_commit or task.parent.base_commit


def _previous_branch(task: Task) -> str:
    return attempt_branch(task.id, task.attempt - 1) if task.attempt > 1 else ""
