"""Middleware of `/api/`: bounded bodies, and problems where Django would answer with a page."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from voidlux_site.api.problems import CONTENT_TYPE, problem

BODY_BYTES_MAX = 1024 * 1024
_PREFIX = "/api/"
# In JSON a zero byte is written with an escape, whose backslash is not escaped itself.
_ZERO_BYTE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class ApiMiddleware:
    """Refuses bodies that are too long or hold zero bytes; answers 404 and 405 as problems."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        """Take the next handler."""
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on, or answer 413 or 422."""
        if not request.path.startswith(_PREFIX):
            return self._get_response(request)
        size = _body_bytes(request)
        if size > BODY_BYTES_MAX:
            return problem(413, "body_too_large", f"body of {size} bytes exceeds {BODY_BYTES_MAX}")
        if _ZERO_BYTE.search(request.body):
            # PostgreSQL cannot store one, and git, shell and terminal cannot be given one.
            return problem(422, "zero_byte", "a text of the body holds a zero byte (\\u0000)")
        return _as_problem(request, self._get_response(request))


def _body_bytes(request: HttpRequest) -> int:
    declared = request.META.get("CONTENT_LENGTH") or "0"
    if declared.isdigit() and int(declared) > BODY_BYTES_MAX:
        return int(declared)
    try:
        return len(request.body)
    except RequestDataTooBig:
        return BODY_BYTES_MAX + 1


def _as_problem(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if response.status_code < 400 or response.headers.get("Content-Type") == CONTENT_TYPE:
        return response
    if response.status_code == 404:
        return problem(404, "not_found", f"nothing at {request.path}")
    if response.status_code == 405:
        answer: HttpResponse = problem(
            405, "method_not_allowed", f"{request.method} is not allowed at {request.path}"
        )
        answer["Allow"] = response.headers.get("Allow", "")
        return answer
    if response.status_code == 403:
        return problem(403, "forbidden", "the request was refused, probably its CSRF token")
    return response
