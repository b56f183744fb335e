"""Dispatch: a free agent and a ready task meet at once, here, at a member or on a hired node."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from django.db import transaction

from p2p import outbox
from p2p.local import local_node
from p2p.protocol.limits import AMOUNT_MAX
from swarm import hooks
from swarm.budgets.limits import limit_of
from swarm.git.names import attempt_branch
from swarm.messages import TaskAssign, TaskSpec
from swarm.models import RemoteAgent, Task
from swarm.replication import terms
from swarm.services import reports
from swarm.services.attempts import Assignment, start_attempt
from swarm.services.notes import instructions_for
from swarm.services.overlaps import overlaps_of, warning
from swarm.services.ready_queue import ReadyQueue
from swarm.services.supply import (
    Supply,
    best_first,
    member_agents,
    only_members_have_the_model,
    own_agents,
)
from swarm.services.transitions import move_task
from swarm.states import Actor, TaskStatus

log = logging.getLogger(__name__)

ASSIGN_EXPIRY_S = 60.0  # as long as a reservation: a later answer would be `lapsed`


def dispatch_ready(now: datetime) -> int:
    """Give ready subtasks to free agents and hired nodes; returns how many were given.

    Order: priority, then fairness between goals, then age and place in the plan. Own agents come
    first, then those of other members, then hired ones; a member's agent with the model that is
    named for the task comes before own ones without it.
    """
    given = 0
    supply = Supply.look(now)
    if not supply or not terms.is_emperor():
        return 0
    queue = ReadyQueue()
    while supply and (task := queue.next(supply)) is not None:
        if _try_to_give(task, now):
            given += 1
            queue.given(task)
            supply = Supply.look(now)
        else:
            queue.skip(task)
    return given


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
    if task.tribute_id is not None and _hire(task, now):
        return True
    ways = [_give_locally, _give_to_member]
    if only_members_have_the_model(task, now):
        ways.reverse()
    if any(give(task, now) for give in ways):
        return True
    return task.tribute_id is None and _hire(task, now)


def _give_locally(task: Task, now: datetime) -> bool:
    agents = best_first(own_agents(now), task)
    if not agents:
        return False
    claimed = _claim(task, local_node().node_id, "a local agent is free", now)
    attempt = start_attempt(_assignment(claimed), agents, now=now)
    if attempt is None:
        # Cannot happen on the one database thread; were it to, nothing of it may stay.
        raise RuntimeError(f"no agent left for task {task.id}")
    reports.report_claim(attempt, now=now)
    return True


def _give_to_member(task: Task, now: datetime) -> bool:
    agents = best_first(member_agents(now), task)
    if not agents:
        return False
    agent = agents[0]
    claimed = _claim(
        task,
        agent.node_id,
        f"{agent.name} at {agent.node_id[:8]} is free",
        now,
        assigned_agent=agent.name,
        assigned_agent_id=agent.id,
    )
    RemoteAgent.objects.filter(id=agent.id).update(last_repository=task.repository)
    _assign(claimed, agent.node_id, now, agent_id=agent.id.hex, term=terms.own_term(now))
    return True


def _hire(task: Task, now: datetime) -> bool:
    for source in hooks.hire_sources:
        hire = source.hire(task, now)
        if hire is not None:
            reason = f"hired from {hire.node_id[:8]} under tribute {hire.tribute_id.hex[:8]}"
            claimed = _claim(task, hire.node_id, reason, now, tribute_id=hire.tribute_id)
            _assign(claimed, hire.node_id, now, tribute_id=hire.tribute_id.hex)
            return True
    return False


def _assign(claimed: Task, to_node_id: str, now: datetime, **fields: Any) -> None:
    spec = TaskSpec(
        id=claimed.id.hex,
        title=claimed.title,
        instructions=instructions_for(claimed),
        shell=claimed.shell,
        feedback=claimed.feedback[-reports.SUMMARY_CHARS_MAX :],
        repository=claimed.repository,
        attempt=claimed.attempt,
        previous_branch=_previous_branch(claimed) or None,
        acceptance_criteria=claimed.acceptance_criteria,
        complexity=claimed.complexity,  # type: ignore[arg-type]
        time_limit_s=limit_of(claimed, "time_limit_s"),
        token_limit=_left(claimed, "token_limit", claimed.tokens_used),
        cost_limit_micros=_left(claimed, "cost_limit_micros", claimed.cost_used_micros),
    )
    outbox.send_command(
        TaskAssign,
        to_node_id=to_node_id,
        now=now,
        expires_in_s=ASSIGN_EXPIRY_S,
        task=spec,
        base_commit=_base_commit(claimed),
        generation=claimed.generation,
        **fields,
    )


def _claim(task: Task, node_id: str, reason: str, now: datetime, **columns: Any) -> Task:
    overlaps = overlaps_of(task)
    evidence = {"overlaps": [each.as_evidence() for each in overlaps]} if overlaps else {}
    claimed = move_task(
        task.id,
        TaskStatus.CLAIMED,
        by=Actor.DISPATCHER,
        reason=f"{reason}{warning(overlaps)}",
        now=now,
        evidence=evidence,
        assigned_node=node_id,
        base_commit=_base_commit(task),
        attempt=task.attempt + 1,
        generation=max(task.generation, task.generation_floor) + 1,
        term=terms.own_term(now).counter,
        lease_expires_at=reports.lease_end(now),
        claimed_at=now,
        git_branch="",  # named by the claim of whoever takes it
        waiting_reason="",
        **{"tribute_id": None, **columns},
    )
    claimed.parent = task.parent  # it was read with the task, and need not be read again
    return claimed


def _assignment(task: Task) -> Assignment:
    return Assignment(
        task_id=task.id,
        assigner_node_id=local_node().node_id,
        title=task.title,
        instructions=instructions_for(task),
        shell=task.shell,
        feedback=task.feedback,
        repository=task.repository,
        number=task.attempt,
        generation=task.generation,
        term=task.term,
        base_commit=_base_commit(task),
        previous_branch=_previous_branch(task),
        acceptance_criteria=task.acceptance_criteria,
        complexity=task.complexity,
        time_limit_s=limit_of(task, "time_limit_s"),
    )


def _left(task: Task, name: str, used: int) -> int | None:
    """Return what a task's limit leaves for another run; the limit is one over all of them."""
    limit = limit_of(task, name)
    return None if limit is None else min(AMOUNT_MAX, max(0, limit - used))


def _base_commit(task: Task) -> str:
    assert task.parent is not None
    return task.parent.integration_commit or task.parent.base_commit


def _previous_branch(task: Task) -> str:
    return attempt_branch(task.id, task.attempt - 1) if task.attempt > 1 else ""
