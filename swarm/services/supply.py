"""Who could work now: this node's idle agents, those of other members, and hired places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.db.models import OuterRef, Q, Subquery

from swarm import hooks
from swarm.models import Agent, Attempt, RemoteAgent, Task
from swarm.queries import idle_agents
from swarm.replication import terms
from swarm.replication.pulses import living_members
from swarm.services.task_models import distance, named_for
from swarm.states import TASK_WITH_AGENT

W = TypeVar("W", Agent, RemoteAgent)


@dataclass
class Supply:
    """What was idle when it was looked at: what agents can do, and who hires."""

    abilities: list[frozenset[str]]
    hiring: set[UUID]

    @classmethod
    def look(cls, now: datetime) -> Supply:
        """Look at who is idle now."""
        own = idle_agents(now).order_by().values_list("capabilities", flat=True)
        members = [agent.capabilities for agent in member_agents(now)]
        return cls([frozenset(each) for each in (*own, *members)], hooks.hiring_goals())

    def __bool__(self) -> bool:
        return bool(self.abilities or self.hiring)

    def can(self, needs: Sequence[str]) -> bool:
        """Tell whether an idle agent meets these needs."""
        return any(able.issuperset(needs) for able in self.abilities)


def own_agents(now: datetime) -> list[Agent]:
    """Return this node's idle agents, longest idle first, each with its `last_repository`."""
    latest = Attempt.objects.filter(agent=OuterRef("pk")).order_by("-created_at")
    repository = Subquery(latest.values("repository")[:1])
    return list(idle_agents(now).annotate(last_repository=repository).order_by("status_since"))


def member_agents(now: datetime) -> list[RemoteAgent]:
    """Return idle agents of living members, longest idle first, that this node has not engaged."""
    if not terms.has_members():
        return []
    engaged = Task.objects.filter(status__in=TASK_WITH_AGENT, assigned_agent_id__isnull=False)
    idle = RemoteAgent.objects.filter(available=True, node_id__in=living_members(now)).filter(
        Q(refused_until__isnull=True) | Q(refused_until__lte=now)
    )
    unengaged = idle.exclude(id__in=engaged.values("assigned_agent_id"))
    return list(unengaged.order_by("status_since", "name"))


def best_first(agents: Sequence[W], task: Task) -> list[W]:
    """Return the capable agents: those with the model for the task first.

    Among equal ones who worked in the repository last comes first.
    """
    able = [each for each in agents if set(task.required_capabilities) <= set(each.capabilities)]
    return sorted(
        able,
        key=lambda each: (
            distance(each, task.complexity),
            getattr(each, "last_repository", None) != task.repository,
        ),
    )


def only_members_have_the_model(task: Task, now: datetime) -> bool:
    """Tell whether the model named for a task is idle at a member, and not here."""
    if not named_for(task.complexity) or not terms.has_members():
        return False
    return not _has_the_model(own_agents(now), task) and _has_the_model(member_agents(now), task)


def _has_the_model(agents: Sequence[W], task: Task) -> bool:
    return any(distance(each, task.complexity) == 0 for each in best_first(agents, task)[:1])
