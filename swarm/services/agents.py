"""Agents of this node: registered, judged by evidence, reserved and taken into work."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from p2p import outbox
from p2p.doorbell import ring_on_commit
from p2p.protocol.errors import DomainError
from swarm import hooks
from swarm.agents.adapters import tool_named
from swarm.agents.sockets import session_name
from swarm.errors import NotFound
from swarm.models import Agent, Attempt
from swarm.outline import PROMPTS
from swarm.queries import describe_agent, idle_agents, sellable_agents
from swarm.replication.agents import publish_agent, publish_removal
from swarm.states import AgentStatus, AttemptStatus

AGENTS_MAX = 50
CAPABILITIES_MAX = 32
CRASHES_MAX = 5
RESTART_FIRST_S = 2.0
WATCH_S = 30.0
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,99}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CAPABILITY = re.compile(r"[a-z0-9][a-z0-9._+-]{0,63}")


def register_agent(
    *, name: str, tool: str, capabilities: Sequence[str], now: datetime, model: str = ""
) -> Agent:
    """Register an agent; its session is started by the agent loop. DomainError says what is wrong.

    At most AGENTS_MAX agents a node, names unique. `model` is given to the tool where it takes one.
    Whoever takes prompts can also do subtasks without a shell block: the capability `prompts`.
    """
    _check(name, capabilities)
    _check_model(model)
    implied = {PROMPTS} if tool_named(tool).deliver == "prompt" else set()
    with transaction.atomic():
        if Agent.objects.filter(name=name).exists():
            raise DomainError("name_taken", f"an agent {name!r} exists already")
        if Agent.objects.count() >= AGENTS_MAX:
            raise DomainError("too_many_agents", f"this node has {AGENTS_MAX} agents, the maximum")
        agent_id = uuid.uuid4()
        agent = Agent.objects.create(
            id=agent_id,
            name=name,
            tool=tool,
            model=model,
            capabilities=sorted({*capabilities, *implied}),
            session=session_name(agent_id.hex),
            status_since=now,
            registered_at=now,
        )
        _tell(agent, "registered", now)
    return agent


def ensure_agents(count: int, capabilities: Sequence[str], *, prefix: str, now: datetime) -> None:
    """Register shell agents until the node has `count`, named `{prefix}-{n}`."""
    for number in range(1, count + 1):
        name = f"{prefix}-{number}"
        if not Agent.objects.filter(name=name).exists():
            register_agent(name=name, tool="shell", capabilities=capabilities, now=now)


def register_agents(
    *,
    count: int,
    prefix: str,
    tool: str,
    capabilities: Sequence[str],
    now: datetime,
    model: str = "",
) -> list[Agent]:
    """Register `count` agents named `{prefix}-{n}` with the lowest numbers that are free.

    All or none: DomainError says what is wrong with the first that cannot be.
    """
    if not 1 <= count <= AGENTS_MAX:
        message = f"{count} agents: 1 to {AGENTS_MAX} is allowed"
        raise DomainError("bad_count", message, status=422)
    with transaction.atomic():
        taken = set(
            Agent.objects.filter(name__startswith=f"{prefix}-").values_list("name", flat=True)
        )
        free = (f"{prefix}-{n}" for n in range(1, count + len(taken) + 1))
        names = [name for name in free if name not in taken][:count]
        return [
            register_agent(name=name, tool=tool, capabilities=capabilities, model=model, now=now)
            for name in names
        ]


def remove_agent(agent_id: UUID, *, now: datetime) -> Agent:
    """Deregister an idle agent; DomainError `agent_busy` while it has work or is reserved."""
    with transaction.atomic():
        agent = get_agent(agent_id)
        free = Agent.objects.filter(id=agent_id, attempt__isnull=True).filter(
            Q(reserved_for="") | Q(reserved_until__lte=now)
        )
        if not free.exists():
            raise DomainError(
                "agent_busy", f"agent {agent.name} has work or is reserved; cancel that first"
            )
        description = describe_agent(agent)
        free.delete()
        publish_removal(agent_id, now)
        outbox.publish_event("agent_update", "removed", {"agent": description}, now=now)
        hooks.agents_changed(now)
    return agent


def get_agent(agent_id: UUID) -> Agent:
    """Return an agent, or raise NotFound."""
    agent = Agent.objects.select_related("attempt").filter(id=agent_id).first()
    if agent is None:
        raise NotFound("agent", agent_id)
    return agent


def judge_agent(
    agent_id: UUID,
    status: AgentStatus,
    *,
    source: str,
    rule: str,
    evidence: str,
    now: datetime,
    again: bool = False,
    **columns: Any,
) -> None:
    """Set what an agent is known to be doing, with the evidence; no news when nothing changed.

    An agent whose next start is put off after a crash stays as it is until then.
    `again` says that something of `columns` has, where state and rule are as they were.
    """
    with transaction.atomic():
        # What was looked at before a crash was noted says nothing of the agent after it.
        put_off = Q(restart_at__gt=now) | Q(rule="crash_loop")
        agents = Agent.objects.filter(id=agent_id).exclude(put_off)
        news = agents if again else agents.exclude(status=status, source=source, rule=rule)
        changed = news.update(
            status=status,
            source=source,
            rule=rule,
            evidence=evidence[:500],
            status_since=now,
            seen_at=None,
            **columns,
        )
        if changed:
            _tell(get_agent(agent_id), str(status), now)


def note_signal(
    agent_id: UUID, *, source: str, state: AgentStatus, text: str, now: datetime
) -> None:
    """Keep what the agent (`mcp`) or a hook of its tool (`hook`) said last: the best evidence."""
    Agent.objects.filter(id=agent_id).filter(Q(said_at__isnull=True) | Q(said_at__lte=now)).update(
        said_source=source, said_state=state, said_text=text[:200], said_at=now
    )
    ring_on_commit()


def note_crash(agent_id: UUID, evidence: str, *, now: datetime) -> None:
    """Count that an agent's program ended before it did anything, and put off its next start.

    The wait doubles with each crash in a row; after CRASHES_MAX the agent stays `exited` until
    the operator restarts it.
    """
    with transaction.atomic():
        agent = get_agent(agent_id)
        crashes = agent.crashes + 1
        restart_at = now + timedelta(seconds=RESTART_FIRST_S * 2 ** (crashes - 1))
        final = crashes >= CRASHES_MAX
        wait = "an operator can restart it" if final else f"started again at {restart_at:%H:%M:%S}"
        Agent.objects.filter(id=agent_id).update(
            crashes=crashes,
            restart_at=None if final else restart_at,
            status=AgentStatus.EXITED,
            source="process",
            rule="crash_loop" if final else "crashed",
            evidence=f"ended {crashes} times in a row: {evidence}; {wait}"[:500],
            status_since=now,
        )
        _tell(get_agent(agent_id), "exited", now)


def note_seen(agent_ids: Sequence[UUID], *, now: datetime) -> None:
    """Note that a look just found these agents able to work."""
    Agent.objects.filter(id__in=agent_ids, status=AgentStatus.READY).update(seen_at=now)


def note_sound(agent_id: UUID) -> None:
    """Forget earlier crashes: the agent's program works."""
    Agent.objects.filter(id=agent_id, crashes__gt=0).update(crashes=0, restart_at=None)


def restart_agent(agent_id: UUID, *, now: datetime) -> Agent:
    """Let an exited agent start anew, its crashes forgotten; DomainError `agent_busy` with work."""
    with transaction.atomic():
        idle = Agent.objects.filter(id=agent_id, attempt__isnull=True)
        restarted = idle.update(
            crashes=0,
            restart_at=None,
            status=AgentStatus.STARTING,
            source="operator",
            rule="restart_asked",
            evidence="the operator asked for a restart",
            status_since=now,
        )
        agent = get_agent(agent_id)
        if not restarted:
            raise DomainError("agent_busy", f"agent {agent.name} has work; cancel that first")
        _tell(agent, "starting", now)
    return agent


def claim_for(agent_id: UUID, *, now: datetime) -> Agent:
    """Say for an agent that its run is done, as the operator sees; DomainError `no_run`."""
    with transaction.atomic():
        agent = get_agent(agent_id)
        claimed = Attempt.objects.filter(
            holder=agent, status=AttemptStatus.WORKING, said_done_at__isnull=True
        ).update(said_done_at=now, summary="the operator says that it is done")
        if not claimed:
            raise DomainError("no_run", f"agent {agent.name} has no run that could be done")
        ring_on_commit()
    return agent


def watch_agent(agent_id: UUID, *, now: datetime) -> None:
    """Note that somebody follows the agent's screen for the next WATCH_S seconds."""
    Agent.objects.filter(id=agent_id).update(watched_until=now + timedelta(seconds=WATCH_S))
    ring_on_commit()


def take_agent(agent: Agent, attempt: Attempt, *, now: datetime) -> bool:
    """Give an idle agent its work; False when another dispatch was faster."""
    taken = Agent.objects.filter(
        id=agent.id, status=AgentStatus.READY, attempt__isnull=True
    ).update(
        attempt=attempt,
        status=AgentStatus.WORKING,
        source="dispatch",
        rule="assigned",
        evidence=f"{attempt.title} (attempt {attempt.number})"[:500],
        status_since=now,
    )
    if taken:
        _tell(get_agent(agent.id), "working", now)
    return bool(taken)


def free_agent(attempt: Attempt, *, now: datetime) -> None:
    """Take an ended attempt from its agent, which is ready again."""
    freed = Agent.objects.filter(attempt=attempt).update(
        attempt=None,
        dialog=None,
        considered=[],
        said_at=None,
        status=AgentStatus.READY,
        source="attempt",
        rule="attempt_ended",
        evidence=f"{attempt.branch} {attempt.status}"[:500],
        status_since=now,
        seen_at=None,
    )
    if freed and attempt.agent_id:
        _tell(get_agent(attempt.agent_id), "ready", now)


def capable(agents: Sequence[Agent], required: Sequence[str]) -> list[Agent]:
    """Return the agents whose capabilities contain all of `required`."""
    return [agent for agent in agents if set(required) <= set(agent.capabilities)]


def reserve_agents(
    count: int,
    *,
    capabilities: Sequence[str] = (),
    reserved_for: str,
    until: datetime,
    now: datetime,
    for_sale: bool = False,
) -> list[Agent]:
    """Reserve capable idle agents; DomainError `no_idle_agents` and none if too few are.

    `for_sale` leaves those to the swarm that its own waiting tasks could use.
    """
    with transaction.atomic():
        free = idle_agents(now)
        candidates = sellable_agents(now) if for_sale else list(free.order_by("name"))
        chosen = capable(candidates, capabilities)[:count]
        reserved = free.filter(id__in=[agent.id for agent in chosen]).update(
            reserved_for=reserved_for, reserved_until=until
        )
        if reserved < count:
            raise DomainError(
                "no_idle_agents", f"{count} agents wanted, {reserved} are idle and not reserved"
            )
        for agent in chosen:
            _tell(get_agent(agent.id), "reserved", now)
    return chosen


def release_agents(reserved_for: str, *, keep: int, now: datetime) -> int:
    """Give back all but `keep` agents of a reservation; those with work are kept first."""
    with transaction.atomic():
        held = Agent.objects.filter(reserved_for=reserved_for)
        surplus = list(held.order_by(F("attempt").asc(nulls_last=True), "name"))[keep:]
        for agent in surplus:
            Agent.objects.filter(id=agent.id).update(reserved_for="", reserved_until=None)
            _tell(get_agent(agent.id), "released", now)
    return len(surplus)


def prolong_reservation(reserved_for: str, *, until: datetime) -> None:
    """Keep a reservation's agents until a later time."""
    Agent.objects.filter(reserved_for=reserved_for).update(reserved_until=until)


def _tell(agent: Agent, event: str, now: datetime) -> None:
    outbox.publish_event("agent_update", event, {"agent": describe_agent(agent)}, now=now)
    publish_agent(agent, now)
    hooks.agents_changed(now)
    ring_on_commit()


def _check_model(model: str) -> None:
    if model and not _MODEL.fullmatch(model):
        message = f"model {model[:80]!r}: 1 to 100 letters, digits and any of '._:/@+-'"
        raise DomainError("bad_model", message, status=422)


def _check(name: str, capabilities: Sequence[str]) -> None:
    if not _NAME.fullmatch(name):
        raise DomainError(
            "bad_name",
            f"agent name {name[:80]!r}: 1 to 64 letters, digits, '.', '_' or '-'",
            status=422,
        )
    check_capabilities(capabilities)


def check_capabilities(capabilities: Sequence[str]) -> None:
    """Refuse what cannot be capabilities of an agent; DomainError names the first."""
    if len(capabilities) > CAPABILITIES_MAX:
        raise DomainError(
            "too_many_capabilities",
            f"{len(capabilities)} capabilities, at most {CAPABILITIES_MAX}",
            status=422,
        )
    for capability in capabilities:
        if not _CAPABILITY.fullmatch(capability):
            raise DomainError(
                "bad_capability",
                f"capability {capability[:80]!r}: 1 to 64 of a-z, 0-9, '.', '_', '+', '-'",
                status=422,
            )
