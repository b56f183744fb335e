"""The page of contributions: what this node's goals brought to which repository."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_POST

from p2p.clock import now_utc
from swarm.forge.services import retry_pull, sync_pull
from voidlux_site.dashboard.answers import refusals_shown, saved, staff_only
from voidlux_site.dashboard.parts import contributions_context

_PARTS = ("contributions", "attention", "waiting")


@require_GET
@staff_only
@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    """Show every contribution with its pull request."""
    return render(request, "dashboard/contributions.html", contributions_context(now_utc()))


@require_POST
@staff_only
@refusals_shown
def retry(request: HttpRequest, pull_id: UUID) -> HttpResponse:
    """Take a failed pull request up again."""
    pull = retry_pull(pull_id, now=now_utc())
    return saved(f"The pull request of {pull.title} is tried again", *_PARTS)


@require_POST
@staff_only
@refusals_shown
def sync(request: HttpRequest, pull_id: UUID) -> HttpResponse:
    """Look at an open pull request now."""
    pull = sync_pull(pull_id, now=now_utc())
    return saved(f"The pull request of {pull.title} is looked at", *_PARTS)
