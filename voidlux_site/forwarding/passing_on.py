"""What happens to a request that only the emperor may do: it is passed on, or told to wait."""

from __future__ import annotations

import logging
import math
from datetime import datetime

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from p2p.clock import now_utc
from p2p.local import local_node
from swarm.errors import NotEmperor
from swarm.models import KnownTerm
from swarm.replication import terms
from swarm.replication.pulses import silences_s
from voidlux_site.access import api_token
from voidlux_site.api.problems import problem
from voidlux_site.forwarding.courier import AnswerLost, Letter, Reply, Unreached, carry

logger = logging.getLogger(__name__)

FORWARDED_BY = "X-VoidLux-Forwarded-By"
API_PREFIX = "/api/"
RETRY_AFTER_MAX_S = 60
_CARRIED = frozenset({"accept", "content-type", "idempotency-key"})
_BROUGHT_BACK = frozenset({"allow", "cache-control", "content-type", "location", "retry-after"})
_HTMX = "hx-"


def pass_on(request: HttpRequest, refused: NotEmperor) -> HttpResponse:
    """Return the emperor's answer to a request; 503 without one, 502 where it may be done."""
    now = now_utc()
    row = terms.highest_term()
    why_not = _why_not(request, row)
    if why_not or row is None:
        return _wait(request, "no_emperor", why_not, row, now)
    who = f"the emperor {row.node_id[:8]} at {terms.address_of(row)}"
    try:
        reply = carry(terms.address_of(row), _letter_of(request))
    except Unreached as error:
        logger.info("%s %s: %s: %s", request.method, request.path, who, error)
        return _wait(request, "emperor_unreachable", f"{who} cannot be reached", row, now)
    except AnswerLost as error:
        logger.warning("%s %s: %s: %s", request.method, request.path, who, error)
        said = (
            f"{who} was given this but gave no answer: it may be done or not. "
            "Look before you do it again, or repeat it with the same Idempotency-Key"
        )
        return _refusal(request, 502, "answer_lost", said)
    if _is_shut_out(reply):
        return _wait(request, "emperor_refuses", f"{who} does not know our token", row, now)
    return _brought_back(reply)


def _why_not(request: HttpRequest, row: KnownTerm | None) -> str:
    """Return why a request cannot be passed on, empty where it can."""
    if request.headers.get(FORWARDED_BY):
        return "this node was taken for the emperor, which it is not"
    if row is None:
        return "no emperor is known"
    if not terms.has_members():
        return f"the emperor is {row.node_id[:8]}, of a swarm whose secret this node has not got"
    if row.node_id == local_node().node_id:
        return "this node is emperor, but has not yet taken over this task"
    if not terms.address_of(row):
        return f"where the emperor {row.node_id[:8]} can be reached is not known"
    return ""


def _letter_of(request: HttpRequest) -> Letter:
    headers = {
        name: value
        for name, value in request.headers.items()
        if name.lower() in _CARRIED or name.lower().startswith(_HTMX)
    }
    csrf = request.COOKIES.get(settings.CSRF_COOKIE_NAME)
    if csrf:
        # A form that is shown again holds a token, which must fit the cookie of its browser.
        headers["Cookie"] = f"{settings.CSRF_COOKIE_NAME}={csrf}"
    headers["Authorization"] = f"Bearer {api_token()}"
    headers[FORWARDED_BY] = local_node().node_id
    return Letter(request.method or "GET", request.get_full_path(), headers, request.body)


def _is_shut_out(reply: Reply) -> bool:
    login = reverse("login")
    return reply.status == 401 or login in (
        reply.headers.get("location"),
        reply.headers.get("hx-redirect"),
    )


def _brought_back(reply: Reply) -> HttpResponse:
    response = HttpResponse(reply.body, status=reply.status)
    del response.headers["Content-Type"]
    for name, value in reply.headers.items():
        if name.lower() in _BROUGHT_BACK or name.lower().startswith(_HTMX):
            response.headers[name] = value
    response._has_been_logged = True  # type: ignore[attr-defined] # who answered has logged it
    return response


def _wait(
    request: HttpRequest, code: str, why: str, row: KnownTerm | None, now: datetime
) -> HttpResponse:
    """Return 503 that says since when there is no emperor, and when to come again."""
    election = settings.ENVIRONMENT
    silent_s = silences_s(now).get(row.node_id) if row is not None else None
    heard = "" if silent_s is None else f"; it was last heard of {silent_s:.0f} s ago"
    if row is None or (silent_s or 0.0) >= election.emperor_stale_s:
        outlook = "the members of the swarm elect one"
    else:
        outlook = f"after {election.emperor_stale_s:g} s of silence the members elect another"
    response = _refusal(request, 503, code, f"{why}{heard}: {outlook}")
    response._has_been_logged = True  # type: ignore[attr-defined] # a wait is no error of ours
    rest_s = election.emperor_stale_s + election.candidacy_s - (silent_s or 0.0)
    response.headers["Retry-After"] = str(math.ceil(min(RETRY_AFTER_MAX_S, max(1.0, rest_s))))
    return response


def _refusal(request: HttpRequest, status: int, code: str, message: str) -> HttpResponse:
    if request.path.startswith(API_PREFIX):
        return problem(status, code, message)
    context = {"message": message, "code": code}
    response = render(request, "dashboard/notice.html", context, status=status)
    response.headers["HX-Retarget"] = "#notice"
    response.headers["HX-Reswap"] = "innerHTML"
    response.headers["Cache-Control"] = "no-store"
    return response
