"""How the dashboard answers: who may see it, and what an action tells the page."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from p2p.protocol.errors import DomainError, ExternalError
from swarm.errors import NotEmperor

View = Callable[..., HttpResponse]


def staff_only(view: View) -> View:
    """Wrap a view: whoever is not logged in is sent to the page about login links."""

    @functools.wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        user = request.user
        if user.is_active and getattr(user, "is_staff", False):
            response = view(request, *args, **kwargs)
            response.headers["Cache-Control"] = "no-store"
            return response
        if request.headers.get("HX-Request"):
            return HttpResponseClientRedirect(reverse("login"))
        return redirect("login")

    return wrapper


def saved(message: str, *parts: str, stay: bool = False) -> HttpResponse:
    """Tell the page that an action is done, and which parts of it are out of date.

    An open dialog is closed by that, unless it is to `stay`.
    """
    response = HttpResponse(status=204)
    response.headers["HX-Trigger"] = json.dumps(
        {"voidlux:saved": {"message": message, "parts": list(parts), "stay": stay}}
    )
    return response


def refusals_shown(view: View) -> View:
    """Wrap an action of a button: its expected refusals appear as a notice on the page.

    What only the emperor may do is passed on to it by the middleware.
    """

    @functools.wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except NotEmperor:
            raise
        except DomainError as error:
            return _notice(request, error.message, error.code, error.status)
        except ExternalError as error:
            return _notice(request, error.message, "tool_failed", 503)

    return wrapper


def _notice(request: HttpRequest, message: str, code: str, status: int) -> HttpResponse:
    context = {"message": message, "code": code}
    response = render(request, "dashboard/notice.html", context, status=status)
    response.headers["HX-Retarget"] = "#notice"
    response.headers["HX-Reswap"] = "innerHTML"
    return response
