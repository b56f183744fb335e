"""The owner's policies over REST."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Field, Router, Schema
from pydantic import ConfigDict, StrictBool

from marketplace.queries import describe_offering, describe_selling_policy
from marketplace.services.offerings import own_live_offering, set_selling_policy
from marketplace.services.selling import (
    EXECUTIONS_PER_BUYER_MAX,
    is_open,
    selling_policy,
    stock,
)
from marketplace.states import Acceptance, RequeuePolicy
from p2p.clock import now_utc
from p2p.protocol.limits import AMOUNT_MAX
from swarm.services.agents import AGENTS_MAX, CAPABILITIES_MAX

router = Router(tags=["marketplace"])

Capability = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9._+-]{0,63}$")]
Amount = Annotated[int, Field(ge=0, le=AMOUNT_MAX)]


class SellingPolicyIn(Schema):
    """The owner's wish to sell; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    selling: StrictBool | None = None
    agents_max: Annotated[int, Field(ge=1, le=AGENTS_MAX)] | None = None
    agents_kept: Annotated[int, Field(ge=0, le=AGENTS_MAX)] | None = None
    price_per_task: Amount | None = None
    capabilities: Annotated[list[Capability], Field(max_length=CAPABILITIES_MAX)] | None = None
    hours: Annotated[str, Field(max_length=40, examples=["22:00-06:00"])] | None = None
    executions_per_buyer_max: Annotated[int, Field(ge=1, le=EXECUTIONS_PER_BUYER_MAX)] | None = None
    credit_limit: Amount | None = None
    acceptance: Acceptance | None = None
    requeue: RequeuePolicy | None = None
    api_keys: StrictBool | None = None


@router.get("/policies/selling", summary="Show the selling policy")
def show_selling_policy(request: HttpRequest) -> dict[str, Any]:
    """The owner's wish to sell, and what it comes to now: how many agents, or why none."""
    return _described(now_utc())


@router.put("/policies/selling", summary="Change the selling policy")
def put_selling_policy(request: HttpRequest, body: SellingPolicyIn) -> dict[str, Any]:
    """Change what is given and make the offering true at once; what is left out stays."""
    now = now_utc()
    set_selling_policy(**body.dict(exclude_none=True), now=now)
    return _described(now)


def _described(now: datetime) -> dict[str, Any]:
    policy = selling_policy()
    found, offering = stock(policy, now), own_live_offering(now)
    return {
        **describe_selling_policy(policy),
        "open": is_open(policy, now),
        "sellable_agents": len(found.agents),
        "nothing_because": found.reason,
        "explanation": found.text,
        "offering": describe_offering(offering, now) if offering else None,
    }
