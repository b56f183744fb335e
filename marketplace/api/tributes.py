"""Tributes over REST: request, decide, cancel and follow."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Field, Query, Router, Schema
from ninja.responses import Status
from pydantic import ConfigDict

from marketplace.models import Tribute
from marketplace.queries import describe_tribute
from marketplace.services.admission import TASK_COUNT_MAX
from marketplace.services.cancelling import cancel_tribute
from marketplace.services.sales import accept_by_operator, reject_by_operator
from marketplace.services.tributes import request_tribute
from marketplace.states import TributeStatus
from p2p.clock import now_utc
from p2p.paging import PageQuery, paginate
from swarm.errors import NotFound

router = Router(tags=["marketplace"])


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


@router.get("/tributes", summary="List tributes")
def list_tributes(request: HttpRequest, query: Query[TributeQuery]) -> dict[str, Any]:
    """Agreements in which this node buys or sells, newest first."""
    rows = Tribute.objects.prefetch_related("executions")
    if query.status:
        rows = rows.filter(status=query.status)
    return paginate(rows, query, order="-created_at", describe=describe_tribute)


@router.post("/tributes", summary="Request a tribute", response={201: dict})
def add_tribute(request: HttpRequest, body: TributeIn) -> Status[dict[str, Any]]:
    """Hold the cost and ask the seller for task executions."""
    tribute = request_tribute(
        offering_id=body.offering_id,
        task_count=body.task_count,
        goal_id=body.goal_id,
        now=now_utc(),
    )
    return Status(201, describe_tribute(tribute))


@router.get("/tributes/{tribute_id}", summary="Show a tribute")
def show_tribute(request: HttpRequest, tribute_id: UUID) -> dict[str, Any]:
    """One tribute with its executions and payments."""
    return _described(tribute_id)


@router.post("/tributes/{tribute_id}/accept", summary="Accept a tribute")
def accept_tribute(
    request: HttpRequest, tribute_id: UUID, body: AcceptIn | None = None
) -> dict[str, Any]:
    """Accept a request that waits for this node's decision."""
    remember = body is not None and body.remember
    accept_by_operator(tribute_id, remember=remember, now=now_utc())
    return _described(tribute_id)


@router.post("/tributes/{tribute_id}/reject", summary="Reject a tribute")
def reject_tribute(
    request: HttpRequest, tribute_id: UUID, body: ReasonIn | None = None
) -> dict[str, Any]:
    """Reject a request that waits for this node's decision."""
    reject_by_operator(tribute_id, reason=(body or ReasonIn()).reason, now=now_utc())
    return _described(tribute_id)


@router.post("/tributes/{tribute_id}/cancel", summary="Cancel a tribute")
def cancel(request: HttpRequest, tribute_id: UUID, body: CancelIn | None = None) -> dict[str, Any]:
    """Cancel a tribute, or single executions of it, as far as its rules allow."""
    asked = body or CancelIn()
    cancel_tribute(tribute_id, reason=asked.reason, task_ids=asked.task_ids, now=now_utc())
    return _described(tribute_id)


def _described(tribute_id: UUID) -> dict[str, Any]:
    tribute = Tribute.objects.filter(id=tribute_id).first()
    if tribute is None:
        raise NotFound("tribute", tribute_id)
    return describe_tribute(tribute)
