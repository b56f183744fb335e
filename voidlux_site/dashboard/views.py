"""The page, its parts and the actions of its buttons; every action is one service call."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_POST

from marketplace.services.cancelling import cancel_tribute
from marketplace.services.offerings import stop_selling
from marketplace.services.sales import accept_by_operator
from p2p.clock import now_utc
from p2p.posts.services import remove_post
from voidlux_site.dashboard.answers import refusals_shown, saved, staff_only
from voidlux_site.dashboard.parts import PARTS, page_context, part_context

CANCEL_REASON = "cancelled on the dashboard"


@require_GET
@staff_only
@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    """Show the whole dashboard."""
    return render(request, "dashboard/page.html", page_context(now_utc()))


@require_GET
@staff_only
def part(request: HttpRequest, name: str) -> HttpResponse:
    """Show the inside of one part."""
    if name not in PARTS:
        raise Http404(f"no part {name}")
    return render(request, PARTS[name].template, part_context(name, now_utc()))


@require_POST
@staff_only
@refusals_shown
def remove_from_wall(request: HttpRequest, post_id: UUID) -> HttpResponse:
    """Take one of this node's posts off the wall."""
    remove_post(post_id, now=now_utc())
    return saved("The post is removed", "posts")


@require_POST
@staff_only
@refusals_shown
def withdraw(request: HttpRequest) -> HttpResponse:
    """Withdraw this node's offering, if it has one, and stop selling."""
    stop_selling(now=now_utc())
    return saved("This node sells no more", "offerings")


@require_POST
@staff_only
@refusals_shown
def accept(request: HttpRequest, tribute_id: UUID) -> HttpResponse:
    """Accept a tribute that waits for a decision."""
    accept_by_operator(tribute_id, now=now_utc())
    return saved("The tribute is accepted", "tributes", "offerings", "agents")


@require_POST
@staff_only
@refusals_shown
def cancel_purchase(request: HttpRequest, tribute_id: UUID) -> HttpResponse:
    """Cancel a tribute that this node requested."""
    cancel_tribute(tribute_id, reason=CANCEL_REASON, now=now_utc())
    return saved("The tribute is cancelled", "tributes", "wallet", "ledger")
