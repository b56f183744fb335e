"""The owner's buying policy over REST."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Field, Router, Schema
from pydantic import ConfigDict

from marketplace.services.buying import describe_buying_policy, set_buying_policy
from p2p.clock import now_utc
from p2p.protocol.limits import AMOUNT_MAX

router = Router(tags=["marketplace"])

Amount = Annotated[int, Field(ge=0, le=AMOUNT_MAX, strict=True)]


class BuyingPolicyIn(Schema):
    """When the dispatcher may hire by itself; amounts in VOID."""

    model_config = ConfigDict(extra="forbid")

    overflow: bool
    budget_per_day: Amount
    price_max: Amount
    strangers: bool = False


@router.get("/policies/buying", summary="Show the buying policy")
def show_buying_policy(request: HttpRequest) -> dict[str, Any]:
    """Whether this node hires when its own agents are saturated, and what is left of the budget."""
    return describe_buying_policy(now_utc())


@router.put("/policies/buying", summary="Set the buying policy")
def put_buying_policy(request: HttpRequest, body: BuyingPolicyIn) -> dict[str, Any]:
    """Store the whole policy; it counts from the next second on."""
    set_buying_policy(**body.dict())
    return describe_buying_policy(now_utc())
