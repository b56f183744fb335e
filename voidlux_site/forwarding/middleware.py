"""Middleware of a member: passes on what only the emperor may do, takes what others pass on."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from swarm.errors import NotEmperor
from swarm.replication.terms import has_members
from voidlux_site.access import bearer_of, is_api_token
from voidlux_site.forwarding.passing_on import API_PREFIX, FORWARDED_BY, pass_on
from voidlux_site.operator import operator

_ADMIN_PREFIX = "/admin/"
_MULTIPART = "multipart/form-data"


class ForwardingMiddleware:
    """One place for all writes: views say NotEmperor, and need know nothing of members."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        """Take the next handler."""
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request to its view; one that a member passed on is the operator's."""
        if not request.path.startswith((API_PREFIX, _ADMIN_PREFIX)):
            if request.headers.get(FORWARDED_BY) and has_members():
                _let_in(request)
            if request.content_type == _MULTIPART:
                _ = request.body  # parsed from a stream it could not be passed on any more
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer a request that needs the emperor; the admin tells its user by itself."""
        if isinstance(error, NotEmperor) and not request.path.startswith(_ADMIN_PREFIX):
            return pass_on(request, error)
        return None


def _let_in(request: HttpRequest) -> None:
    """Let a member act as the operator on the dashboard, as the token lets it over the API.

    No other site can make a browser send the token, so that there is nothing to check for CSRF.
    """
    if is_api_token(bearer_of(request.headers.get("Authorization", ""))):
        request.user = operator()
        request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
