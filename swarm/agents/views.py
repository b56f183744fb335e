"""What the monitor needs to know of agents, read from the database in two queries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.db.models import Q

from swarm.agents.models import Delivery, DeliveryKind
from swarm.agents.places import run_dir_of
from swarm.models import Agent, Attempt
from swarm.states import AgentStatus, AttemptStatus, DeliveryStatus

OPEN = (DeliveryStatus.QUEUED, DeliveryStatus.TYPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDelivery:
    """The oldest open delivery of an agent."""

    id: UUID
    text: str
    status: DeliveryStatus
    tries: int
    typed_at: datetime | None
    reason: str
    stalled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedWindow:
    """The usage window that an attempt's tool showed as exhausted; `until` is None once over."""

    key: str
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """An agent with a session to look at; `run_dir` is None while it has no run."""

    id: UUID
    name: str
    session: str
    tool: str
    status: AgentStatus
    source: str
    rule: str
    said: tuple[str, str, str, datetime] | None
    dialog_id: str
    watched_until: datetime | None
    run_dir: Path | None
    started: bool
    delivery: OpenDelivery | None
    attempt_id: UUID | None = None
    window: NotedWindow | None = None

    def is_watched(self, now: datetime) -> bool:
        """Tell whether somebody follows its screen."""
        return self.watched_until is not None and self.watched_until > now


def load_views(prompt_tools: set[str], now: datetime) -> list[AgentView]:
    """Return agents whose tool works on a prompt now, and those that somebody watches."""
    at_work = Q(tool__in=prompt_tools, attempt__status=AttemptStatus.WORKING)
    agents = list(
        Agent.objects.filter(at_work | Q(watched_until__gt=now)).select_related("attempt")
    )
    waiting: dict[UUID, Delivery] = {}
    begun: set[UUID] = set()
    mine = Delivery.objects.filter(agent__in=agents)
    for delivery in mine.filter(status__in=OPEN).order_by("queued_at", "id"):
        waiting.setdefault(delivery.agent_id, delivery)
    taken = mine.filter(kind=DeliveryKind.PROMPT, status=DeliveryStatus.ACKNOWLEDGED)
    begun.update(key for key in taken.values_list("attempt_id", flat=True) if key is not None)
    return [_view(agent, waiting.get(agent.id), begun, prompt_tools) for agent in agents]


def _view(
    agent: Agent, delivery: Delivery | None, begun: set[UUID], prompt_tools: set[str]
) -> AgentView:
    attempt = agent.attempt if agent.tool in prompt_tools else None
    at_work = attempt is not None and attempt.status == AttemptStatus.WORKING
    said = None
    if agent.said_at is not None:
        said = (agent.said_source, agent.said_state, agent.said_text, agent.said_at)
    return AgentView(
        id=agent.id,
        name=agent.name,
        session=agent.session,
        tool=agent.tool,
        status=AgentStatus(agent.status),
        source=agent.source,
        rule=agent.rule,
        said=said,
        dialog_id=(agent.dialog or {}).get("id", ""),
        watched_until=agent.watched_until,
        run_dir=run_dir_of(attempt) if attempt is not None and at_work else None,
        started=attempt is not None and attempt.id in begun,
        delivery=_open(delivery) if delivery is not None else None,
        attempt_id=attempt.id if attempt is not None and at_work else None,
        window=_window(attempt) if attempt is not None else None,
    )


def _window(attempt: Attempt) -> NotedWindow | None:
    if not attempt.window_key:
        return None
    return NotedWindow(key=attempt.window_key, until=attempt.window_until)


def _open(delivery: Delivery) -> OpenDelivery:
    return OpenDelivery(
        id=delivery.id,
        text=delivery.text,
        status=DeliveryStatus(delivery.status),
        tries=delivery.tries,
        typed_at=delivery.typed_at,
        reason=delivery.reason,
        stalled=delivery.stalled_at is not None,
    )
