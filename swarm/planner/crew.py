"""Who could do the work: capabilities, tools and models of this swarm's agents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from django.conf import settings

from swarm.models import Agent, RemoteAgent
from swarm.outline import PROMPTS
from swarm.replication.pulses import living_members
from swarm.services.planned_goals import PLANNER
from swarm.states import AgentStatus, Complexity

CAPABILITIES_SHOWN = 100
SIZES = {
    Complexity.SMALL: "a change of a few lines in one place",
    Complexity.MEDIUM: "a change of one part with its tests",
    Complexity.LARGE: "a new part, or a change across several",
    Complexity.XL: "as much as one agent can do at all; rather cut it",
}


def crew(now: datetime) -> list[Agent | RemoteAgent]:
    """Return this node's agents and those of living members that could be given work."""
    gone = AgentStatus.EXITED
    own = Agent.objects.exclude(status=gone).order_by("name")
    members = RemoteAgent.objects.exclude(status=gone).filter(node_id__in=living_members(now))
    return [*own, *members.order_by("name")]


def capabilities_of(agents: Iterable[Agent | RemoteAgent]) -> list[str]:
    """Return what a subtask may ask for, by name: not planning, and not prompts, which all take."""
    offered = {each for agent in agents for each in agent.capabilities}
    return sorted(offered - {PLANNER, PROMPTS})[:CAPABILITIES_SHOWN]


def describe_crew(agents: list[Agent | RemoteAgent]) -> str:
    """Return, in lines for a model, who there is, what they can do and what the sizes mean."""
    able = Counter(each for agent in agents for each in agent.capabilities)
    tools = Counter(agent.tool for agent in agents)
    named = ", ".join(f"{each} ({able[each]} agents)" for each in capabilities_of(agents))
    models = {size: getattr(settings.ENVIRONMENT, f"model_{size}") for size in Complexity}
    lines = [
        f"Agents: {len(agents)}"
        + (f" ({', '.join(f'{tool}: {n}' for tool, n in sorted(tools.items()))})" if tools else ""),
        f"Capabilities: {named or 'none is declared: leave the lists empty'}",
        "Complexity, by which an agent and its model are chosen:",
    ]
    for size, words in SIZES.items():
        lines.append(f"- {size}: {words}{f' (model {models[size]})' if models[size] else ''}")
    return "\n".join(lines)
