"""The owner's wish to sell: what it allows, and which agents it lets go now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from marketplace.models import SellingPolicy
from marketplace.services.hours import check_hours, is_within
from marketplace.states import Acceptance, EndReason, RequeuePolicy
from p2p.protocol.errors import DomainError
from p2p.protocol.limits import AMOUNT_MAX
from swarm.models import Agent
from swarm.queries import idle_agents, sellable_agents
from swarm.sandbox import may_sell
from swarm.services.agents import AGENTS_MAX, capable, check_capabilities

RESERVED_BY_TRIBUTES = "tribute:"  # how reservations of sold agents begin
EXECUTIONS_PER_BUYER_MAX = 10_000
# field: (code, least, most)
_RANGES = {
    "agents_max": ("bad_count", 1, AGENTS_MAX),
    "agents_kept": ("bad_count", 0, AGENTS_MAX),
    "price_per_task": ("bad_price", 0, AMOUNT_MAX),
    "executions_per_buyer_max": ("bad_count", 1, EXECUTIONS_PER_BUYER_MAX),
    "credit_limit": ("bad_credit_limit", 0, AMOUNT_MAX),
}
_CHOICES = {"acceptance": Acceptance.values, "requeue": RequeuePolicy.values}


@dataclass(frozen=True)
class Stock:
    """Agents that may be offered now; where there are none, why, as a code and in words."""

    agents: list[Agent]
    reason: EndReason | None = None
    text: str = ""


def selling_policy() -> SellingPolicy:
    """Return the owner's wish; off, and not stored, until it is written."""
    stored = SellingPolicy.objects.filter(id=1).first()
    return stored or SellingPolicy(price_per_task=settings.ENVIRONMENT.price_per_task)


def write_policy(**changes: Any) -> SellingPolicy:
    """Change the named columns and keep the others; DomainError names a bad value and its limit."""
    checked = _checked(changes)
    first = {"price_per_task": settings.ENVIRONMENT.price_per_task, **checked}
    policy, _ = SellingPolicy.objects.update_or_create(
        id=1, defaults=checked, create_defaults=first
    )
    return policy


def is_open(policy: SellingPolicy, now: datetime) -> bool:
    """Tell whether new work is taken at this time of day, whether or not selling is on."""
    return is_within(policy.hours, now)


def stock(policy: SellingPolicy, now: datetime) -> Stock:
    """Return what may be offered: idle, not reserved, healthy, and nobody's at home.

    Never more than `agents_max` less those at work for buyers, nor than the idle agents less
    `agents_kept`; only such that can do all of `capabilities`.
    """
    if not policy.selling:
        return Stock([], EndReason.OPERATOR, "selling is off")
    if not may_sell():
        why = "bwrap cannot be used here, and VOIDLUX_SELL_WITHOUT_SANDBOX is 0"
        return Stock([], EndReason.NO_SANDBOX, why)
    if not is_open(policy, now):
        return Stock([], EndReason.OUTSIDE_HOURS, f"new work is taken {policy.hours} only")
    free = sellable_agents(now)
    chosen = capable(free, policy.capabilities)
    sold = sold_agents(now)
    idle = idle_agents(now).count()
    room = min(policy.agents_max - sold, idle - policy.agents_kept)
    if chosen and room > 0:
        return Stock(chosen[:room])
    if sold:
        return Stock([], EndReason.SOLD_OUT, f"{sold} agents are sold and no more are free")
    return Stock([], EndReason.NO_IDLE_AGENTS, _why_none(policy, idle, free, chosen))


def sold_agents(now: datetime) -> int:
    """Return how many agents are reserved for buyers or at work for them."""
    reserved = Agent.objects.filter(reserved_for__startswith=RESERVED_BY_TRIBUTES)
    return reserved.filter(reserved_until__gt=now).count()


def _why_none(policy: SellingPolicy, idle: int, free: list[Agent], chosen: list[Agent]) -> str:
    if not idle:
        return "no agent is idle"
    if not free:
        return f"own work that waits needs the idle agents ({idle})"
    if not chosen:
        return f"no idle agent can do all of {', '.join(policy.capabilities)}"
    return f"{idle} agents are idle and {policy.agents_kept} are kept for own work"


def _checked(changes: dict[str, Any]) -> dict[str, Any]:
    for name, (code, least, most) in _RANGES.items():
        value = changes.get(name, least)
        if not least <= value <= most:
            raise DomainError(code, f"{name} is {value}: {least} to {most} is allowed", 422)
    for name, choices in _CHOICES.items():
        value = changes.get(name, choices[0])
        if value not in choices:
            allowed = ", ".join(choices)
            raise DomainError(f"bad_{name}", f"{name} is {value!r}: one of {allowed}", 422)
    check_hours(changes.get("hours", ""))
    if "capabilities" not in changes:
        return changes
    check_capabilities(changes["capabilities"])
    return {**changes, "capabilities": sorted(set(changes["capabilities"]))}
