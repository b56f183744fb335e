"""Errors of the API as RFC 9457 problems, with stable codes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from p2p.protocol.errors import DomainError, ExternalError
from swarm.errors import NotEmperor

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
VALUE_CHARS_MAX = 200
_LIMITS = ("ge", "gt", "le", "lt", "max_length", "min_length", "pattern", "expected")
_CODES = {400: "bad_request", 401: "unauthenticated", 403: "forbidden", 404: "not_found"}


def problem(
    status: int, code: str, detail: str, *, errors: list[dict[str, Any]] | None = None
) -> HttpResponse:
    """Return a problem+json response; `errors` name field, value and limit of each mistake."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if errors is not None:
        body["errors"] = errors
    response = JsonResponse(body, status=status, content_type=CONTENT_TYPE)
    if status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = "Bearer"
    return response


def install_problem_handlers(api: NinjaAPI) -> None:
    """Let every error of `api` be answered with a problem."""
    handlers: dict[type[Exception], Callable[[HttpRequest, Any], HttpResponse]] = {
        NotEmperor: _on_not_emperor,
        DomainError: _on_domain_error,
        ExternalError: _on_external_error,
        ValidationError: _on_validation_error,
        AuthenticationError: _on_unauthenticated,
        HttpError: _on_http_error,
        Http404: _on_not_found,
        Exception: _on_bug,
    }
    for error, handler in handlers.items():
        api.add_exception_handler(error, handler)


def _on_domain_error(request: HttpRequest, error: DomainError) -> HttpResponse:
    return problem(error.status, error.code, error.message)


def _on_not_emperor(request: HttpRequest, error: NotEmperor) -> HttpResponse:
    raise error  # the middleware passes the request on to the emperor


def _on_external_error(request: HttpRequest, error: ExternalError) -> HttpResponse:
    response = problem(503, "tool_failed", error.message)
    if error.retryable:
        response["Retry-After"] = "1"
    return response


def _on_validation_error(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = [_mistake(each) for each in error.errors]
    first = errors[0] if errors else {"field": "request", "message": "not valid"}
    return problem(422, "invalid", f"{first['field']}: {first['message']}", errors=errors)


def _on_unauthenticated(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return problem(
        401, "unauthenticated", "send the bearer token of VOIDLUX_HOME/api-token, or log in"
    )


def _on_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    code = _CODES.get(error.status_code, "error")
    return problem(error.status_code, code, str(error))


def _on_not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return problem(404, "not_found", f"nothing at {request.path}")


def _on_bug(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "internal", "the node failed to answer; its log says why")


def _mistake(error: dict[str, Any]) -> dict[str, Any]:
    """Return field, message, value and limit of one mistake."""
    source, *place = map(str, error["loc"])
    context = error.get("ctx", {})
    limits = [context[name] for name in _LIMITS if name in context]
    # The first part below `body` is the name of the view's parameter, which is nobody's business.
    hidden = source == "body" or place[:1] == [source]
    field = ".".join(place[1:] if hidden and len(place) > 1 else place)
    return {
        "field": field or "body",
        "message": error["msg"],
        "value": _shown(error.get("input")),
        "limit": limits[0] if limits else None,
    }


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}..."
