"""Exhausted usage windows: noted once each, waited for by agent and run, and gone on after."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce

from p2p.doorbell import ring_on_commit
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.agents.adapters import tool_named
from swarm.agents.models import Delivery, DeliveryKind
from swarm.budgets.pauses import REASON_CHARS_MAX, pause_agent
from swarm.models import Agent, Attempt, Task
from swarm.services import deliveries, reports
from swarm.services.attempts import get_attempt
from swarm.services.transitions import note_event
from swarm.states import ATTEMPT_TERMINAL, Actor, AttemptStatus, DeliveryStatus, TaskStatus


def note_window(
    attempt_id: UUID, *, rule: str, key: str, shown: str, until: datetime, now: datetime
) -> bool:
    """Pause the agent of a run whose tool shows an exhausted usage window; False when known.

    The run goes on, since its tool may wait by itself; the history of its task tells of it.
    """
    with transaction.atomic():
        open_run = Attempt.objects.filter(id=attempt_id).exclude(status__in=ATTEMPT_TERMINAL)
        noted = open_run.exclude(window_key=key).update(
            window_rule=rule,
            window_key=key,
            window_at=Coalesce(F("window_at"), Value(now)),
            window_until=until,
        )
        if not noted:
            return False
        attempt = get_attempt(attempt_id)
        if attempt.agent is not None:
            _pause(attempt.agent, until, shown, now)
        _tell(attempt, f"{until:%Y-%m-%d %H:%M:%S} UTC: {shown}", until, now)
        ring_on_commit()
    return True


def forget_window(attempt_id: UUID, *, now: datetime) -> None:
    """Forget a run's window: the tool works again, so the same words would tell of another one."""
    with transaction.atomic():
        _close(get_attempt(attempt_id), now, window_key="")
        ring_on_commit()


def end_windows(now: datetime) -> int:
    """Let the runs go on whose windows are over, and tell their tools to; returns how many."""
    over = list(Attempt.objects.filter(window_until__lte=now).select_related("agent"))
    for attempt in over:
        with transaction.atomic():
            _close(attempt, now)
            _go_on(attempt, now)
            ring_on_commit()
    return len(over)


def _pause(agent: Agent, until: datetime, shown: str, now: datetime) -> None:
    paused = agent.paused_until
    if until > now and (paused is None or paused < until):
        reason = f"{agent.tool} says: {shown}"[:REASON_CHARS_MAX]
        pause_agent(agent.id, until=until, reason=reason, now=now)


def _tell(attempt: Attempt, what: str, until: datetime, now: datetime) -> None:
    who = attempt.agent.name if attempt.agent is not None else "its agent"
    text = f"the usage window of {who} is exhausted until {what}"
    if attempt.assigner_node_id != local_node().node_id:
        try:
            reports.report_progress(attempt, text, now=now)
        except DomainError:
            return  # the assigner wants nothing of this run any more, and its runner will see it
        return
    task = Task.objects.filter(id=attempt.task_id).first()
    if task is not None:
        status = TaskStatus(task.status)
        evidence = {"attempt": attempt.number, "until": until.isoformat()}
        note_event(task, status, status, by=Actor.BUDGET, reason=text, evidence=evidence, now=now)


def _close(attempt: Attempt, now: datetime, **columns: str) -> None:
    waited_s = (now - attempt.window_at).total_seconds() if attempt.window_at else 0.0
    Attempt.objects.filter(id=attempt.id).update(
        window_at=None, window_until=None, waited_s=F("waited_s") + max(0.0, waited_s), **columns
    )


def _go_on(attempt: Attempt, now: datetime) -> None:
    """Queue the word that makes the tool go on, where its adapter names one and its turn began."""
    begun = Delivery.objects.filter(
        attempt=attempt,
        kind=DeliveryKind.PROMPT,
        status__in=(DeliveryStatus.TYPED, DeliveryStatus.ACKNOWLEDGED),
    )
    if attempt.status != AttemptStatus.WORKING or attempt.agent is None or not begun.exists():
        return
    try:
        rules = {rule.name: rule for rule in tool_named(attempt.agent.tool).usage_window}
        rule = rules.get(attempt.window_rule)
        if rule is not None and rule.go_on:
            kind = DeliveryKind.SEND
            deliveries.queue_delivery(attempt.agent, kind, rule.go_on, now, attempt=attempt)
    except DomainError:
        return  # the tool is gone or its queue is full: the agent is shown as it is
