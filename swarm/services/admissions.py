"""Work that another node gives to this one: whose word counts, and which agent takes it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from p2p.protocol.errors import DomainError, ExternalError
from swarm import hooks
from swarm.errors import StaleGeneration
from swarm.git.names import validate_url
from swarm.messages import TaskAssign
from swarm.models import Agent, Attempt, KnownTerm
from swarm.queries import idle_agents
from swarm.replication import authority, terms
from swarm.services import reports, withdrawals
from swarm.services.attempts import Assignment, cancel_open, start_attempt
from swarm.states import AgentStatus


def take_assignment(command: TaskAssign, now: datetime) -> None:
    """Start the work and claim it, or answer why not; what was begun already is left alone.

    ExternalError where the answer is not known yet: nothing is changed then.
    """
    task_id = UUID(command.task.id)
    same = Attempt.objects.filter(
        assigner_node_id=command.origin, task_id=task_id, generation=command.generation
    )
    if same.exists():
        return
    try:
        with transaction.atomic():
            attempt = _admit_and_start(command, task_id, now)
            reports.report_claim(attempt, now=now)
    except DomainError as refusal:
        for listener in hooks.refusal_listeners:
            listener(command, refusal, now)
        reports.refuse_assignment(
            task_id,
            generation=command.generation,
            to_node_id=command.origin,
            code=refusal.code,
            error=str(refusal),
            now=now,
        )


def take_withdrawal(
    task_id: UUID, *, generation: int, from_node_id: str, reason: str, now: datetime
) -> None:
    """Stop the runs of a dispatch that its assigner has taken back, also one still to come."""
    with transaction.atomic():
        withdrawals.note_dispatch(_scope_of(from_node_id), task_id, generation, now)
        cancel_open(
            task_id,
            assigner_node_id=from_node_id,
            reason=f"taken back: {reason}",
            now=now,
            through=generation,
        )


def _admit_and_start(command: TaskAssign, task_id: UUID, now: datetime) -> Attempt:
    validate_url(command.task.repository)
    if command.tribute_id is None:
        _check_term(command)
        scope = withdrawals.SWARM
    else:
        scope = command.origin
    _check_generation(command, scope, task_id, now)
    if command.tribute_id is None:
        return _start(command, task_id, [_named_agent(command, now)], now)
    reservation = _reservation(command, now)
    reserved = Agent.objects.filter(reserved_for=reservation, attempt__isnull=True)
    _require_seen(list(reserved))
    return _start(command, task_id, list(reserved.order_by("name")), now)


def _check_term(command: TaskAssign) -> None:
    if command.term is None or not terms.has_members():
        raise DomainError("not_allowed", f"{command.origin[:8]} names neither tribute nor term")
    authority.check_assigner(command.origin, command.term)


def _check_generation(command: TaskAssign, scope: str, task_id: UUID, now: datetime) -> None:
    """Refuse a dispatch that a newer one or its withdrawal has overtaken; end older runs."""
    if not withdrawals.note_dispatch(scope, task_id, command.generation, now):
        newest = withdrawals.newest_dispatch(scope, task_id)
        raise StaleGeneration(str(task_id), command.generation, newest)
    older = Attempt.objects.filter(task_id=task_id, generation__lt=command.generation)
    if scope == withdrawals.SWARM:
        assigners = set(older.filter(tribute_id=None).values_list("assigner_node_id", flat=True))
    else:
        assigners = {command.origin}
    for assigner in assigners:
        cancel_open(
            task_id,
            assigner_node_id=assigner,
            reason=f"superseded by generation {command.generation}",
            now=now,
            through=command.generation - 1,
        )


def _named_agent(command: TaskAssign, now: datetime) -> Agent:
    agent = Agent.objects.filter(id=UUID(command.agent_id)).first() if command.agent_id else None
    if agent is None:
        raise DomainError("agent_gone", f"there is no agent {command.agent_id} here")
    if not idle_agents(now).filter(id=agent.id).exists():
        raise DomainError("agent_busy", f"agent {agent.name} is {agent.status}, or reserved")
    return agent


def _reservation(command: TaskAssign, now: datetime) -> str:
    admission = hooks.admission()
    if admission is None:
        raise DomainError("not_allowed", "this node takes no work from other swarms")
    return admission(command, now)


def _require_seen(agents: list[Agent]) -> None:
    """ExternalError while all that could take the work are still to be seen after a restart."""
    # A promise made before the crash: "no agent" now would lose the buyer its whole tribute.
    if agents and all(agent.status == AgentStatus.STARTING for agent in agents):
        names = ", ".join(agent.name for agent in agents)
        raise ExternalError(f"{names}: not seen since the node started", retryable=True)


def _start(command: TaskAssign, task_id: UUID, agents: list[Agent], now: datetime) -> Attempt:
    spec = command.task
    attempt = start_attempt(
        Assignment(
            task_id=task_id,
            assigner_node_id=command.origin,
            title=spec.title,
            instructions=spec.instructions,
            shell=spec.shell,
            feedback=spec.feedback,
            repository=spec.repository,
            number=spec.attempt,
            generation=command.generation,
            term=command.term.counter if command.term else 0,
            base_commit=command.base_commit,
            previous_branch=spec.previous_branch or "",
            tribute_id=UUID(command.tribute_id) if command.tribute_id else None,
            acceptance_criteria=spec.acceptance_criteria,
            complexity=spec.complexity,
            time_limit_s=spec.time_limit_s,
            token_limit=spec.token_limit,
            cost_limit_micros=spec.cost_limit_micros,
        ),
        agents,
        now=now,
    )
    if attempt is None:
        raise DomainError("no_idle_agents", "no agent that is set aside for it is free now")
    return attempt


def _scope_of(assigner_node_id: str) -> str:
    is_member = KnownTerm.objects.filter(node_id=assigner_node_id).exists()
    return withdrawals.SWARM if is_member else assigner_node_id
