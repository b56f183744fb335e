"""The marketplace over REST: offerings, tributes and the wallet."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import HttpRequest
from ninja import Field, Query, Router, Schema
from ninja.responses import Status
from pydantic import ConfigDict

from marketplace.models import LedgerEntry, Offering, Tribute
from marketplace.queries import (
    describe_entry,
    describe_offering,
    describe_tribute,
    describe_wallet,
    live_offerings,
)
from marketplace.services import offerings
from marketplace.services.admission import TASK_COUNT_MAX
from marketplace.services.cancelling import cancel_tribute
from marketplace.services.offerings import start_selling
from marketplace.services.sales import accept_by_operator, reject_by_operator
from marketplace.services.tributes import request_tribute
from marketplace.states import TributeStatus
from p2p.clock import now_utc
from p2p.paging import PageQuery, paginate
from swarm.errors import NotFound

AMOUNT_MAX = 10**12

router = Router()


class OfferingQuery(PageQuery):
    """Which offerings are wanted."""

    state: Literal["live", "all"] = "live"
    capability: Annotated[str, Field(max_length=64)] = ""


class OfferingIn(Schema):
    """How many idle agents to sell at most, and the price of one task in VOID."""

    model_config = ConfigDict(extra="forbid")

    idle_agents: Annotated[int, Field(ge=1, le=50)]
    price_per_task: Annotated[int, Field(ge=0, le=AMOUNT_MAX)]


class TributeQuery(PageQuery):
    """Which tributes are wanted."""

    status: TributeStatus | None = None


class TributeIn(Schema):
    """A request for task executions under an offering, for one goal."""

    model_config = ConfigDict(extra="forbid")

    offering_id: UUID
    task_count: Annotated[int, Field(ge=1, le=TASK_COUNT_MAX)]
    goal_id: UUID


class ReasonIn(Schema):
    """Why a tribute is refused or cancelled."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=500)] = "decided by the operator"


class AcceptIn(Schema):
    """Whether the buyer's next requests are accepted without asking."""

    model_config = ConfigDict(extra="forbid")

    remember: bool = False


class CancelIn(ReasonIn):
    """What is cancelled: all that the rules allow, or single executions under way."""

    task_ids: Annotated[list[UUID], Field(max_length=TASK_COUNT_MAX)] = []


@router.get("/offerings", tags=["marketplace"], summary="List offerings")
def list_offerings(request: HttpRequest, query: Query[OfferingQuery]) -> dict[str, Any]:
    """Idle agents for sale in the network, newest first."""
    now = now_utc()
    rows = live_offerings(now) if query.state == "live" else Offering.objects.all()
    if query.capability:
        rows = rows.filter(id__in=_with_capability(query.capability))
    return paginate(
        rows, query, order="-created_at", describe=lambda row: describe_offering(row, now)
    )


@router.post("/offerings", tags=["marketplace"], summary="Sell idle agents", response={201: dict})
def add_offering(request: HttpRequest, body: OfferingIn) -> Status[dict[str, Any]]:
    """Offer this node's idle agents, at most so many, at a price."""
    now = now_utc()
    offering = start_selling(
        agents_max=body.idle_agents, price_per_task=body.price_per_task, now=now
    )
    return Status(201, describe_offering(offering, now))


@router.delete("/offerings/{offering_id}", tags=["marketplace"], summary="Withdraw an offering")
def withdraw_offering(request: HttpRequest, offering_id: UUID) -> dict[str, Any]:
    """Withdraw this node's own offering and stop selling."""
    now = now_utc()
    offerings.withdraw_offering(offering_id, now=now)
    return {"id": offering_id.hex, "withdrawn": True}


@router.get("/tributes", tags=["marketplace"], summary="List tributes")
def list_tributes(request: HttpRequest, query: Query[TributeQuery]) -> dict[str, Any]:
    """Agreements in which this node buys or sells, newest first."""
    rows = Tribute.objects.prefetch_related("executions")
    if query.status:
        rows = rows.filter(status=query.status)
    return paginate(rows, query, order="-created_at", describe=describe_tribute)


@router.post("/tributes", tags=["marketplace"], summary="Request a tribute", response={201: dict})
def add_tribute(request: HttpRequest, body: TributeIn) -> Status[dict[str, Any]]:
    """Hold the cost and ask the seller for task executions."""
    tribute = request_tribute(
        offering_id=body.offering_id,
        task_count=body.task_count,
        goal_id=body.goal_id,
        now=now_utc(),
    )
    return Status(201, describe_tribute(tribute))


@router.get("/tributes/{tribute_id}", tags=["marketplace"], summary="Show a tribute")
def show_tribute(request: HttpRequest, tribute_id: UUID) -> dict[str, Any]:
    """One tribute with its executions and payments."""
    return _described(tribute_id)


@router.post("/tributes/{tribute_id}/accept", tags=["marketplace"], summary="Accept a tribute")
def accept_tribute(
    request: HttpRequest, tribute_id: UUID, body: AcceptIn | None = None
) -> dict[str, Any]:
    """Accept a request that waits for this node's decision."""
    remember = body is not None and body.remember
    accept_by_operator(tribute_id, remember=remember, now=now_utc())
    return _described(tribute_id)


@router.post("/tributes/{tribute_id}/reject", tags=["marketplace"], summary="Reject a tribute")
def reject_tribute(
    request: HttpRequest, tribute_id: UUID, body: ReasonIn | None = None
) -> dict[str, Any]:
    """Reject a request that waits for this node's decision."""
    reject_by_operator(tribute_id, reason=(body or ReasonIn()).reason, now=now_utc())
    return _described(tribute_id)


@router.post("/tributes/{tribute_id}/cancel", tags=["marketplace"], summary="Cancel a tribute")
def cancel(request: HttpRequest, tribute_id: UUID, body: CancelIn | None = None) -> dict[str, Any]:
    """Cancel a tribute, or single executions of it, as far as its rules allow."""
    asked = body or CancelIn()
    cancel_tribute(tribute_id, reason=asked.reason, task_ids=asked.task_ids, now=now_utc())
    return _described(tribute_id)


@router.get("/wallet", tags=["wallet"], summary="Show the wallet")
def show_wallet(request: HttpRequest) -> dict[str, Any]:
    """Balance, held and available VOID of this node."""
    return describe_wallet()


@router.get("/wallet/ledger", tags=["wallet"], summary="List ledger entries")
def list_ledger(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """The wallet's immutable history, newest first."""
    return paginate(LedgerEntry.objects.all(), page, order="-id", describe=describe_entry)


def _described(tribute_id: UUID) -> dict[str, Any]:
    tribute = Tribute.objects.filter(id=tribute_id).first()
    if tribute is None:
        raise NotFound("tribute", tribute_id)
    return describe_tribute(tribute)


def _with_capability(capability: str) -> list[UUID]:
    # JSON containment is not available on SQLite, and the table is small.
    rows = Offering.objects.values_list("id", "capabilities")
    return [offering_id for offering_id, capabilities in rows if capability in capabilities]
