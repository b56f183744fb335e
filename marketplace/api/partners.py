"""Partners and refusals over REST: whom this node trusts to buy, and what it refused to others."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.http import HttpRequest
from ninja import Field, Query, Router, Schema
from pydantic import ConfigDict

from marketplace.models import Partner, Refusal
from marketplace.queries import describe_partner, describe_refusal
from marketplace.services.deciding import block_buyer
from marketplace.services.partners import (
    approve_partner,
    forget_partner,
    get_partner,
    limit_credit,
)
from p2p.clock import now_utc
from p2p.paging import PageQuery, paginate
from p2p.protocol.limits import AMOUNT_MAX

router = Router(tags=["marketplace"])


class PartnerIn(Schema):
    """What the operator decides about a node, and why."""

    model_config = ConfigDict(extra="forbid")

    standing: Literal["approved", "blocked"]
    note: Annotated[str, Field(max_length=200)] = ""


class CreditIn(Schema):
    """How much VOID a node may owe; null for the selling policy's limit."""

    model_config = ConfigDict(extra="forbid")

    credit_limit: Annotated[int, Field(ge=0, le=AMOUNT_MAX, strict=True)] | None


@router.get("/partners", summary="List partners")
def list_partners(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """Nodes about which the operator decided something."""
    rows = Partner.objects.all()
    return paginate(rows, page, order="-decided_at", describe=describe_partner)


@router.get("/partners/{node_id}", summary="Show a partner")
def show_partner(request: HttpRequest, node_id: str) -> dict[str, Any]:
    """What was decided about one node."""
    return describe_partner(get_partner(node_id))


@router.put("/partners/{node_id}", summary="Approve or block a partner")
def decide_partner(request: HttpRequest, node_id: str, body: PartnerIn) -> dict[str, Any]:
    """Accept a node's requests unasked from now on, or reject them and what waits at once."""
    decide = approve_partner if body.standing == "approved" else block_buyer
    return describe_partner(decide(node_id, note=body.note, now=now_utc()))


@router.put("/partners/{node_id}/credit-limit", summary="Limit a partner's credit")
def put_credit_limit(request: HttpRequest, node_id: str, body: CreditIn) -> dict[str, Any]:
    """Set how much VOID a node may owe this one."""
    return describe_partner(limit_credit(node_id, body.credit_limit, now=now_utc()))


@router.delete("/partners/{node_id}", summary="Forget a partner")
def remove_partner(request: HttpRequest, node_id: str) -> dict[str, Any]:
    """Treat a node as a stranger again."""
    forget_partner(node_id)
    return {"node_id": node_id, "forgotten": True}


@router.get("/refusals", summary="List refusals")
def list_refusals(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """What was refused to other nodes, newest first."""
    return paginate(Refusal.objects.all(), page, order="-id", describe=describe_refusal)
