"""The page, its parts and the actions of its buttons; every action is one service call."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_POST

from p2p.clock import now_utc
from p2p.posts.services import remove_post
from voidlux_site.dashboard.answers import refusals_shown, saved, staff_only
from voidlux_site.dashboard.asking import Asked
from voidlux_site.dashboard.parts import PARTS, page_context, part_context


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
    asked = Asked(now_utc(), request.GET.dict())
    return render(request, PARTS[name].template, part_context(name, asked))


@require_POST
@staff_only
@refusals_shown
def remove_from_wall(request: HttpRequest, post_id: UUID) -> HttpResponse:
    """Take one of this node's posts off the wall."""
    remove_post(post_id, now=now_utc())
    return saved("The post is removed", "posts")
