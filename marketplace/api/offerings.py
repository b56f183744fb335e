"""Offerings over REST: what is for sale, and this node's own."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import HttpRequest
from ninja import Field, Query, Router, Schema
from ninja.responses import Status
from pydantic import ConfigDict

from marketplace.models import Offering
from marketplace.queries import describe_offering, describe_offering_event, keys_of, offerings_in
from marketplace.services import offerings
from marketplace.states import OfferingState
from p2p.clock import now_utc
from p2p.paging import PageQuery, paginate
from p2p.protocol.limits import AMOUNT_MAX
from swarm.errors import NotFound
from swarm.services.agents import AGENTS_MAX

EVENTS_SHOWN = 200

router = Router(tags=["marketplace"])


class OfferingQuery(PageQuery):
    """Which offerings are wanted; those for sale come cheapest first, others newest first."""

    state: Literal["live", "withdrawn", "expired", "all"] = "live"
    capability: Annotated[str, Field(max_length=64, pattern=r"^([a-z0-9][a-z0-9._+-]*)?$")] = ""
    node: Annotated[str, Field(pattern="^([0-9a-f]{32})?$", description="The seller's id.")] = ""
    price_max: Annotated[int, Field(ge=0, le=AMOUNT_MAX)] | None = None


class OfferingIn(Schema):
    """How many idle agents to sell at most, and the price of one task in VOID."""

    model_config = ConfigDict(extra="forbid")

    idle_agents: Annotated[int, Field(ge=1, le=AGENTS_MAX)]
    price_per_task: Annotated[int, Field(ge=0, le=AMOUNT_MAX)]


@router.get("/offerings", summary="List offerings")
def list_offerings(request: HttpRequest, query: Query[OfferingQuery]) -> dict[str, Any]:
    """Idle agents for sale in the network, cheapest first; ended ones with `state`."""
    now = now_utc()
    prices = {} if query.price_max is None else {"price_per_task__lte": query.price_max}
    if query.state == "live":
        for_sale = keys_of(query.capability, node_id=query.node, now=now).filter(**prices)
        return paginate(
            for_sale.select_related("offering"),
            query,
            order="price_per_task",
            describe=lambda row: describe_offering(row.offering, now),
        )
    state = None if query.state == "all" else OfferingState(query.state)
    rows = offerings_in(state, now).filter(**prices)
    if query.node:
        rows = rows.filter(node_id=query.node)
    if query.capability:
        rows = rows.filter(keys__capability=query.capability)
    return paginate(
        rows, query, order="-created_at", describe=lambda row: describe_offering(row, now)
    )


@router.post("/offerings", summary="Sell idle agents", response={201: dict})
def add_offering(request: HttpRequest, body: OfferingIn) -> Status[dict[str, Any]]:
    """Switch selling on: this node's idle agents, at most so many, at a price."""
    now = now_utc()
    offering = offerings.start_selling(
        agents_max=body.idle_agents, price_per_task=body.price_per_task, now=now
    )
    return Status(201, describe_offering(offering, now))


@router.get("/offerings/{offering_id}", summary="Show an offering")
def show_offering(request: HttpRequest, offering_id: UUID) -> dict[str, Any]:
    """One offering; this node's own with the changes of its life, newest first."""
    offering = Offering.objects.filter(id=offering_id).first()
    if offering is None:
        raise NotFound("offering", offering_id)
    events = offering.events.order_by("-id")[:EVENTS_SHOWN]
    history = [describe_offering_event(each) for each in events]
    return {**describe_offering(offering, now_utc()), "history": history}


@router.delete("/offerings/{offering_id}", summary="Withdraw an offering")
def withdraw_offering(request: HttpRequest, offering_id: UUID) -> dict[str, Any]:
    """Withdraw this node's own offering and stop selling."""
    now = now_utc()
    offerings.withdraw_offering(offering_id, now=now)
    return {"id": offering_id.hex, "withdrawn": True}
