"""The dialogs of the market: a form, one service call, and its refusal shown inline."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from marketplace.models import Offering, Partner
from marketplace.queries import describe_selling_policy, describe_wallet
from marketplace.services.buying import buying_policy, set_buying_policy
from marketplace.services.deciding import decide_partner
from marketplace.services.hours import zone_name
from marketplace.services.offerings import set_selling_policy
from marketplace.services.sales import reject_by_operator
from marketplace.services.selling import selling_policy
from marketplace.services.tributes import request_tribute
from p2p.clock import now_utc
from swarm.errors import NotFound
from swarm.queries import list_goals
from swarm.states import TASK_TERMINAL
from voidlux_site.dashboard.answers import refusals_shown, saved, staff_only
from voidlux_site.dashboard.dialogs import answer
from voidlux_site.dashboard.market.forms import (
    BuyingForm,
    NewPartnerForm,
    PartnerForm,
    ReasonForm,
    SellingForm,
    TributeForm,
)
from voidlux_site.dashboard.market.views import SELLING_PARTS, TRIBUTE_PARTS, WALLET_PARTS


@require_http_methods(["GET", "POST"])
@staff_only
def selling(request: HttpRequest) -> HttpResponse:
    """Change the selling policy; the offering follows at once."""
    written = describe_selling_policy(selling_policy())
    shown = {**written, "capabilities": ", ".join(written["capabilities"])}
    shown["selling"] = written["selling"] or "on" in request.GET
    form = SellingForm(request.POST or None, initial=shown)

    def submit(fields: dict[str, Any]) -> HttpResponse:
        set_selling_policy(**fields, now=now_utc())
        return saved("The selling policy is saved", *SELLING_PARTS, "market-partners")

    return answer(request, "selling", form, submit, {"zone": zone_name()})


@require_http_methods(["GET", "POST"])
@staff_only
def buying(request: HttpRequest) -> HttpResponse:
    """Change the buying policy."""
    policy = buying_policy()
    shown = {name: getattr(policy, name) for name in BuyingForm.base_fields}
    form = BuyingForm(request.POST or None, initial=shown)

    def submit(fields: dict[str, Any]) -> HttpResponse:
        set_buying_policy(**fields)
        return saved("The buying policy is saved", "market-buying")

    return answer(request, "buying", form, submit, {})


@require_http_methods(["GET", "POST"])
@staff_only
@refusals_shown
def tribute(request: HttpRequest, offering_id: UUID) -> HttpResponse:
    """Request a tribute under an offering."""
    offering = Offering.objects.filter(id=offering_id).first()
    if offering is None:
        raise NotFound("offering", offering_id)
    goals = [each for each in list_goals() if each.status not in TASK_TERMINAL]
    form = TributeForm(request.POST or None, goals=goals)

    def submit(fields: dict[str, Any]) -> HttpResponse:
        request_tribute(
            offering_id=offering_id,
            task_count=fields["task_count"],
            goal_id=UUID(fields["goal"]),
            now=now_utc(),
        )
        return saved("The tribute is requested", *TRIBUTE_PARTS, *WALLET_PARTS, "offerings")

    context = {"offering": offering, "goals": goals, "wallet": describe_wallet()}
    return answer(request, "tribute", form, submit, context)


@require_http_methods(["GET", "POST"])
@staff_only
def reject(request: HttpRequest, tribute_id: UUID) -> HttpResponse:
    """Reject a tribute that waits for a decision."""
    form = ReasonForm(request.POST or None)

    def submit(fields: dict[str, Any]) -> HttpResponse:
        reject_by_operator(tribute_id, reason=fields["reason"], now=now_utc())
        return saved("The tribute is rejected", *TRIBUTE_PARTS)

    return answer(request, "reject", form, submit, {"tribute_id": tribute_id})


@require_http_methods(["GET", "POST"])
@staff_only
def new_partner(request: HttpRequest) -> HttpResponse:
    """Decide about a node that is named by its id."""
    form = NewPartnerForm(request.POST or None)
    return answer(request, "partner", form, lambda fields: _decided(**fields), {})


@require_http_methods(["GET", "POST"])
@staff_only
def partner(request: HttpRequest, node_id: str) -> HttpResponse:
    """Change standing, limit and note of a node."""
    row = Partner.objects.filter(node_id=node_id).first() or Partner(node_id=node_id)
    shown = {name: getattr(row, name) for name in PartnerForm.base_fields}
    form = PartnerForm(request.POST or None, initial=shown)
    context = {"node_id": node_id}
    return answer(
        request, "partner", form, lambda fields: _decided(node_id=node_id, **fields), context
    )


def _decided(*, node_id: str, standing: str, credit_limit: int | None, note: str) -> HttpResponse:
    decide_partner(node_id, standing=standing, credit_limit=credit_limit, note=note, now=now_utc())
    return saved(f"{node_id[:8]} is {standing}", "market-partners", *TRIBUTE_PARTS)
