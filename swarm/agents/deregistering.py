"""An agent's end: its run withdrawn where that is forced, its row gone, its session ended."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from swarm.agents import prompt_run, steps
from swarm.agents.adapters import tool_named
from swarm.models import Agent
from swarm.services import agents, attempts


def deregister(agent_id: UUID, *, force: bool, now: datetime) -> Agent:
    """Remove an agent and end its session; DomainError `agent_busy` with work, unless forced.

    Forced, its run ends first: the task goes back with the reason, its commits are kept.
    """
    agent = agents.get_agent(agent_id)
    if force:
        if agent.attempt is not None and tool_named(agent.tool).deliver == "block":
            steps.stop(agent.attempt)
        attempts.withdraw_agent(agent.id, now=now)
    agents.remove_agent(agent.id, now=now)
    prompt_run.end_session(agent)
    return agent
