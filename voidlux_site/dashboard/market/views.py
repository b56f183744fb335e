"""The page of the market and the actions of its buttons; every action is one service call."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_POST

from marketplace.services.cancelling import cancel_tribute
from marketplace.services.deciding import block_buyer_of
from marketplace.services.offerings import set_selling_policy, stop_selling
from marketplace.services.sales import accept_by_operator
from p2p.clock import now_utc
from voidlux_site.dashboard.answers import refusals_shown, saved, staff_only
from voidlux_site.dashboard.parts import market_context

CANCEL_REASON = "cancelled on the dashboard"
ACCEPTED = "The request is accepted as soon as its remote was tried"
TRIBUTE_PARTS = ("market-queue", "market-tributes", "tributes", "attention", "waiting")
SELLING_PARTS = ("market-selling", "market-offerings", "market-ended", "offerings")
WALLET_PARTS = ("wallet", "ledger", "market-ledger", "market-buying")


@require_GET
@staff_only
@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    """Show what is sold and bought, tributes, partners and the wallet."""
    return render(request, "dashboard/market.html", market_context(now_utc()))


@require_POST
@staff_only
@refusals_shown
def sell(request: HttpRequest) -> HttpResponse:
    """Switch selling on, as the policy says."""
    set_selling_policy(selling=True, now=now_utc())
    return saved("Selling is on", *SELLING_PARTS)


@require_POST
@staff_only
@refusals_shown
def withdraw(request: HttpRequest) -> HttpResponse:
    """Withdraw this node's offering, if it has one, and stop selling."""
    stop_selling(now=now_utc())
    return saved("This node sells no more", *SELLING_PARTS)


@require_POST
@staff_only
@refusals_shown
def accept(request: HttpRequest, tribute_id: UUID) -> HttpResponse:
    """Accept a tribute that waits for a decision."""
    accept_by_operator(tribute_id, now=now_utc())
    return saved(ACCEPTED, *TRIBUTE_PARTS)


@require_POST
@staff_only
@refusals_shown
def remember(request: HttpRequest, tribute_id: UUID) -> HttpResponse:
    """Accept a tribute that waits for a decision, and its buyer's next ones by themselves."""
    accept_by_operator(tribute_id, now=now_utc(), remember=True)
    return saved(ACCEPTED, *TRIBUTE_PARTS, "market-partners")


@require_POST
@staff_only
@refusals_shown
def block(request: HttpRequest, tribute_id: UUID) -> HttpResponse:
    """Block the node that asks, and reject what it waits for."""
    partner = block_buyer_of(tribute_id, now=now_utc())
    return saved(f"{partner.node_id[:8]} is blocked", *TRIBUTE_PARTS, "market-partners")


@require_POST
@staff_only
@refusals_shown
def cancel(request: HttpRequest, tribute_id: UUID) -> HttpResponse:
    """Cancel a tribute as far as its rules allow this side."""
    cancel_tribute(tribute_id, reason=CANCEL_REASON, now=now_utc())
    return saved("The tribute is cancelled", *TRIBUTE_PARTS, *WALLET_PARTS)
