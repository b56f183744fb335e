"""Which agents' model suits a task: VOIDLUX_MODEL_* name one for each complexity."""

from __future__ import annotations

from django.conf import settings

from swarm.models import Agent, RemoteAgent
from swarm.states import Complexity


def named_for(complexity: str) -> str:
    """Return the model that is named for tasks of a complexity; empty for none."""
    name: str = getattr(settings.ENVIRONMENT, f"model_{complexity}", "")
    return name


def distance(agent: Agent | RemoteAgent, complexity: str) -> int:
    """Return how well an agent's model suits a complexity: 0 is best.

    0: the named one; 1: any; 2: the one that is named for other tasks, which may come soon.
    """
    wanted = named_for(complexity)
    if wanted and agent.model == wanted:
        return 0
    others = {named_for(each) for each in Complexity.values} - {"", wanted}
    return 2 if agent.model in others else 1
