"""What is offered at this moment, and why it is not more, in the words of the selling policy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from marketplace.models import SellingPolicy
from marketplace.services.selling import sold_agents, stock
from swarm.models import Agent
from swarm.queries import idle_agents, sellable_agents
from swarm.services.agents import capable


@dataclass(frozen=True)
class Explanation:
    """How many agents are offered now, of how many; each limit that bites is one sentence."""

    offered: int
    agents: int
    limits: list[str]


def explain_stock(policy: SellingPolicy, now: datetime) -> Explanation:
    """Return what may be offered now and every reason why it is not all of this node's agents."""
    found = stock(policy, now)
    agents = Agent.objects.count()
    if found.reason is not None and found.reason not in ("sold_out", "no_idle_agents"):
        return Explanation(0, agents, [found.text])
    idle = idle_agents(now).count()
    free = sellable_agents(now)
    able = len(capable(free, policy.capabilities))
    sold = sold_agents(now)
    limits = [
        text
        for count, text in (
            (agents - idle - sold, "busy, paused or not ready"),
            (sold, "sold at this moment"),
            (idle - len(free), "wanted by own work that waits, or not seen lately"),
            (len(free) - able, f"not able to do all of {', '.join(policy.capabilities)}"),
        )
        if count > 0
        for text in [f"{_of(count, agents)} {text}"]
    ]
    rest = able - len(found.agents)
    if rest > 0 and idle - policy.agents_kept < able:
        limits.append(f"{policy.agents_kept} of {idle} idle agents are kept for own work")
    if rest > 0 and policy.agents_max - sold < able:
        limits.append(f"at most {policy.agents_max} are sold at once")
    if not agents:
        limits.append("this node has no agents")
    return Explanation(len(found.agents), agents, limits)


def _of(count: int, agents: int) -> str:
    return f"{count} of {agents} agents {'is' if count == 1 else 'are'}"
