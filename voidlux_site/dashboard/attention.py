"""What waits for a person: questions, plans, reviews, dialogs, texts, agents, work, tributes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from marketplace.services.deciding import waiting_requests
from swarm.agent_views import last_lines
from swarm.forge.models import PullRequest
from swarm.forge.queries import failed_pulls
from swarm.models import Agent, Delivery, Review, Task
from swarm.review.queries import reviews_for_people
from swarm.services.deliveries import OPEN
from swarm.services.plan_drafts import drafts
from swarm.states import AgentStatus, TaskStatus
from voidlux_site.dashboard.asking import Asked
from voidlux_site.dashboard.market import deals

SHOWN_MAX = 20
SCREENS_MAX = 5  # each costs a call of tmux
SCREEN_LINES = 8


@dataclass(frozen=True)
class OpenDialog:
    """An agent that is blocked, with the last lines of its screen: what it is asked."""

    agent: Agent
    screen: str


@dataclass(frozen=True)
class Attention:
    """All that waits for a person, each kind oldest first."""

    questions: list[Task]
    plans: list[Task]
    reviews: list[Review]
    dialogs: list[OpenDialog]
    stalled: list[Delivery]
    ended: list[Agent]
    unplaceable: list[Task]
    pulls: list[PullRequest]
    requests: list[deals.Request]

    @property
    def count(self) -> int:
        """How many things wait."""
        of_agents = (self.questions, self.dialogs, self.stalled, self.ended)
        of_work = (self.plans, self.reviews, self.unplaceable, self.pulls, self.requests)
        return sum(len(kind) for kind in (*of_agents, *of_work))


def count_waiting() -> int:
    """Return how many things wait for a person, without looking at any screen."""
    return sum(rows.count() for rows in _all_kinds()) + len(waiting_requests())


def read_attention(now: datetime) -> Attention:
    """Return what waits for a person now, at most SHOWN_MAX of each kind."""
    blocked = list(_blocked()[:SHOWN_MAX])
    return Attention(
        questions=list(_questions()[:SHOWN_MAX]),
        plans=list(drafts()[:SHOWN_MAX]),
        reviews=list(reviews_for_people()[:SHOWN_MAX]),
        dialogs=[_open_dialog(agent, place) for place, agent in enumerate(blocked)],
        stalled=list(_stalled()[:SHOWN_MAX]),
        ended=list(_ended()[:SHOWN_MAX]),
        unplaceable=list(_unplaceable()[:SHOWN_MAX]),
        pulls=list(failed_pulls()[:SHOWN_MAX]),
        requests=deals.queue(Asked(now))["requests"],
    )


def is_asking(task: Task) -> bool:
    """Tell whether a task waits for an answer of a person."""
    return task.status == TaskStatus.WAITING_INPUT and (
        task.answered_at is None or bool(task.over_budget)
    )


def _open_dialog(agent: Agent, place: int) -> OpenDialog:
    lines = last_lines(agent, SCREEN_LINES) if place < SCREENS_MAX else []
    return OpenDialog(agent, "\n".join(lines))


def _questions() -> QuerySet[Task]:
    unanswered = Q(answered_at__isnull=True) | ~Q(over_budget="")
    waiting = Task.objects.filter(unanswered, status=TaskStatus.WAITING_INPUT)
    return waiting.select_related("parent").order_by("asked_at", "updated_at")


def _blocked() -> QuerySet[Agent]:
    """Those that ask something; the end of a usage window needs nobody."""
    waits = Q(dialog__isnull=True, attempt__window_until__isnull=False)
    blocked = Agent.objects.filter(status=AgentStatus.BLOCKED).exclude(waits)
    return blocked.order_by("status_since")


def _unplaceable() -> QuerySet[Task]:
    ready = Task.objects.filter(status=TaskStatus.PENDING).exclude(waiting_reason="")
    return ready.select_related("parent").order_by("updated_at", "number")


def _all_kinds() -> tuple[QuerySet[Any], ...]:
    of_agents = _questions(), _blocked(), _stalled(), _ended()
    return *of_agents, drafts(), reviews_for_people(), _unplaceable(), failed_pulls()


def _stalled() -> QuerySet[Delivery]:
    rows = Delivery.objects.filter(status__in=OPEN, stalled_at__isnull=False)
    return rows.select_related("agent").order_by("stalled_at")


def _ended() -> QuerySet[Agent]:
    gone = Agent.objects.filter(status=AgentStatus.EXITED, attempt__isnull=True)
    return gone.filter(restart_at__isnull=True).order_by("status_since")
