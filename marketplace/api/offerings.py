"""Offerings over REST: what is for sale, and this node's own."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import HttpRequest
from ninja import Field, Query, Router, Schema
from ninja.responses import Status
from pydantic import ConfigDict

from marketplace.models import Offering
from marketplace.queries import describe_offering, live_offerings
from marketplace.services import offerings
from marketplace.services.offerings import start_selling
from p2p.clock import now_utc
from p2p.paging import PageQuery, paginate
from p2p.protocol.limits import AMOUNT_MAX

router = Router(tags=["marketplace"])


class OfferingQuery(PageQuery):
    """Which offerings are wanted."""

    state: Literal["live", "all"] = "live"
    capability: Annotated[str, Field(max_length=64)] = ""


class OfferingIn(Schema):
    """How many idle agents to sell at most, and the price of one task in VOID."""

    model_config = ConfigDict(extra="forbid")

    idle_agents: Annotated[int, Field(ge=1, le=50)]
    price_per_task: Annotated[int, Field(ge=0, le=AMOUNT_MAX)]


@router.get("/offerings", summary="List offerings")
def list_offerings(request: HttpRequest, query: Query[OfferingQuery]) -> dict[str, Any]:
    """Idle agents for sale in the network, newest first."""
    now = now_utc()
    rows = live_offerings(now) if query.state == "live" else Offering.objects.all()
    if query.capability:
        rows = rows.filter(id__in=_with_capability(query.capability))
    return paginate(
        rows, query, order="-created_at", describe=lambda row: describe_offering(row, now)
    )


@router.post("/offerings", summary="Sell idle agents", response={201: dict})
def add_offering(request: HttpRequest, body: OfferingIn) -> Status[dict[str, Any]]:
    """Offer this node's idle agents, at most so many, at a price."""
    now = now_utc()
    offering = start_selling(
        agents_max=body.idle_agents, price_per_task=body.price_per_task, now=now
    )
    return Status(201, describe_offering(offering, now))


@router.delete("/offerings/{offering_id}", summary="Withdraw an offering")
def withdraw_offering(request: HttpRequest, offering_id: UUID) -> dict[str, Any]:
    """Withdraw this node's own offering and stop selling."""
    now = now_utc()
    offerings.withdraw_offering(offering_id, now=now)
    return {"id": offering_id.hex, "withdrawn": True}


def _with_capability(capability: str) -> list[UUID]:
    # JSON containment is not available on SQLite, and the table is small.
    rows = Offering.objects.values_list("id", "capabilities")
    return [offering_id for offering_id, capabilities in rows if capability in capabilities]
