"""Logging in with a one-time link, and out again."""

from __future__ import annotations

from django.contrib.auth import login, logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from p2p.clock import now_utc
from voidlux_site.access import LOGIN_LINK_TTL_S, use_login_token
from voidlux_site.operator import BACKEND


@require_GET
def explain(request: HttpRequest) -> HttpResponse:
    """Tell a visitor how to get a login link."""
    return _page(request, used=False, status=200)


@require_GET
def enter(request: HttpRequest, token: str) -> HttpResponse:
    """Log the browser in with a good link; a used or expired one gets the page about links."""
    user = use_login_token(token, now_utc())
    if user is None:
        return _page(request, used=True, status=410)
    login(request, user, backend=BACKEND)
    return redirect("dashboard")


@require_POST
def leave(request: HttpRequest) -> HttpResponse:
    """Log the browser out."""
    logout(request)
    return redirect("login")


def _page(request: HttpRequest, *, used: bool, status: int) -> HttpResponse:
    context = {"used": used, "minutes": LOGIN_LINK_TTL_S // 60}
    response = render(request, "dashboard/login.html", context, status=status)
    response.headers["Cache-Control"] = "no-store"
    return response
