"""What the client library raised, as one of our errors: whether again may help, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_ai import exceptions

from p2p.protocol.errors import DomainError, ExternalError
from swarm.llm.models import LlmOutcome
from swarm.llm.providers import Endpoint
from swarm.llm.redaction import redact

SAID_CHARS_MAX = 300
RETRY_AFTER_S_MAX = 3600.0
_NEVER = (exceptions.ModelQuotaExceededError, exceptions.ModelRequestRejectedError)
_AGAIN_LATER = frozenset({408, 409, 425})


@dataclass(frozen=True, slots=True)
class Failure:
    """How a question ended, and the error that is raised for it."""

    outcome: LlmOutcome
    error: DomainError | ExternalError


def failure_of(error: Exception, endpoint: Endpoint) -> Failure:
    """Return what an exception of the client library means; no secret is left in it."""
    where = f"{endpoint.model} ({endpoint.place})"
    if isinstance(error, exceptions.ModelRateLimitError):
        wait_s = None if error.retry_after is None else min(error.retry_after, RETRY_AFTER_S_MAX)
        text = f"{where} answers {_status(error)}: too many requests{_said(error)}"
        return _later(LlmOutcome.RATE_LIMITED, text, wait_s)
    if isinstance(error, exceptions.ModelTimeoutError):
        return _later(LlmOutcome.TIMED_OUT, f"{where} does not take the connection in time")
    if isinstance(error, exceptions.ModelConnectionError):
        return _later(LlmOutcome.UNREACHABLE, f"{where} cannot be reached: {_cause(error)}")
    if isinstance(error, exceptions.ModelHTTPError):
        return _of_status(error, where)
    if isinstance(error, _NEVER):
        text = f"{where} refuses the request{_said(error)}"
        return Failure(LlmOutcome.REFUSED, DomainError("llm_refused", text))
    if isinstance(error, exceptions.AgentRunError):
        return _later(LlmOutcome.FAILED, f"{where} gave no readable answer: {_clean(str(error))}")
    text = f"{where} could not be asked: {type(error).__name__}: {_clean(str(error))}"
    return Failure(LlmOutcome.FAILED, ExternalError(text, retryable=False))


def timed_out(endpoint: Endpoint, what: str) -> Failure:
    """Return the failure of a question whose time is over."""
    return _later(LlmOutcome.TIMED_OUT, f"{endpoint.model} ({endpoint.place}) {what}")


def broken_off(endpoint: Endpoint) -> Failure:
    """Return the failure of an answer whose stream ended before its end."""
    text = f"the answer of {endpoint.model} ({endpoint.place}) broke off"
    return _later(LlmOutcome.UNREACHABLE, text)


def refused(endpoint: Endpoint) -> Failure:
    """Return the failure of a question that the model does not want to answer."""
    text = f"{endpoint.model} ({endpoint.place}) refuses to answer this"
    return Failure(LlmOutcome.REFUSED, DomainError("llm_refused", text))


def invalid(endpoint: Endpoint, tries: int, complaint: str) -> Failure:
    """Return the failure of a model that gave no valid answer, with the last complaint."""
    text = f"{endpoint.model} gave no valid answer in {tries} tries: {_clean(complaint)}"
    return Failure(LlmOutcome.INVALID, DomainError("llm_invalid", text))


def _of_status(error: exceptions.ModelHTTPError, where: str) -> Failure:
    text = f"{where} answers {error.status_code}{_said(error)}"
    if error.status_code >= 500 or error.status_code in _AGAIN_LATER:
        wait_s = None if error.retry_after is None else min(error.retry_after, RETRY_AFTER_S_MAX)
        return _later(LlmOutcome.UNREACHABLE, text, wait_s)
    return Failure(LlmOutcome.REFUSED, DomainError("llm_refused", text))


def _later(outcome: LlmOutcome, text: str, retry_after_s: float | None = None) -> Failure:
    return Failure(outcome, ExternalError(text, retryable=True, retry_after_s=retry_after_s))


def _status(error: exceptions.ModelAPIError) -> str:
    return str(getattr(error, "status_code", 429))


def _said(error: exceptions.ModelAPIError) -> str:
    """Return the provider's own sentence from the body of its error."""
    body: Any = error.body
    for name in ("error", "message"):
        if isinstance(body, dict):
            body = body.get(name, body)
    said = _clean(body) if isinstance(body, str) else ""
    return f": {said}" if said else ""


def _cause(error: Exception) -> str:
    """Return the innermost words: the outer ones only say that there was an error."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return _clean(str(error)) or type(error).__name__


def _clean(text: str) -> str:
    return redact(" ".join(text.split()))[:SAID_CHARS_MAX]
