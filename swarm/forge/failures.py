"""A forge's refusals in one form: what was tried, what it said, and whether again may help."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from django.conf import settings

from p2p.protocol.errors import ExternalError

MESSAGE_CHARS_MAX = 1_000
RETRY_AFTER_MAX_S = 7_200.0
SECONDARY_LIMIT_S = 60.0  # what GitHub asks for where it names no time
_SECONDARY_LIMIT = "secondary rate limit"
_TOKEN_NEEDED = "check the node's token for it: what it may do, and whether it has run out"


class ForgeError(ExternalError):
    """A forge did not do what was asked; `status` is of HTTP, None where none came."""

    def __init__(
        self,
        message: str,
        *,
        retryable: bool,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Take a sentence that names the forge; secrets in it are hidden."""
        super().__init__(
            hide_secrets(message)[:MESSAGE_CHARS_MAX],
            retryable=retryable,
            retry_after_s=retry_after_s,
        )
        self.status = status


def hide_secrets(text: str) -> str:
    """Return a text without the node's tokens."""
    environment = settings.ENVIRONMENT
    for token in (environment.github_token, environment.gitlab_token):
        secret = token.get_secret_value()
        if secret:
            text = text.replace(secret, "***")
    return text


def refusal(
    forge: str, doing: str, status: int, said: str, headers: Mapping[str, str]
) -> ForgeError:
    """Return the error of an answer that is no success."""
    lower = {name.lower(): value for name, value in headers.items()}
    wait_s = _wait_s(status, said, lower)
    message = f"{forge} answered {status} to {doing}: {said}"
    if wait_s is not None:
        limited = f"{message} (rate limit, again in {wait_s:.0f} s)"
        return ForgeError(limited, retryable=True, status=status, retry_after_s=wait_s)
    if status in (401, 403):
        return ForgeError(f"{message}; {_TOKEN_NEEDED}", retryable=False, status=status)
    return ForgeError(message, retryable=status == 408 or status >= 500, status=status)


def unreachable(forge: str, doing: str, error: Exception) -> ForgeError:
    """Return the error of a request that got no answer."""
    return ForgeError(
        f"{forge} did not answer to {doing}: {type(error).__name__}: {error}", retryable=True
    )


def _wait_s(status: int, said: str, headers: Mapping[str, str]) -> float | None:
    """Return how long a rate limit asks us to wait; None where the answer is no rate limit."""
    if status not in (403, 429):
        return None
    if "retry-after" in headers:
        return _bounded(_seconds(headers["retry-after"]))
    used_up = headers.get("x-ratelimit-remaining", headers.get("ratelimit-remaining")) == "0"
    reset = headers.get("x-ratelimit-reset", headers.get("ratelimit-reset", ""))
    if (used_up or status == 429) and reset.isdigit():
        return _bounded(float(reset) - time.time())
    if status == 429 or _SECONDARY_LIMIT in said.lower():
        return SECONDARY_LIMIT_S
    return None


def _seconds(text: str) -> float:
    """Read `Retry-After`: seconds, or a date."""
    if text.isdigit():
        return float(text)
    try:
        return parsedate_to_datetime(text).astimezone(UTC).timestamp() - time.time()
    except ValueError:
        return SECONDARY_LIMIT_S


def _bounded(wait_s: float) -> float:
    return min(RETRY_AFTER_MAX_S, max(1.0, wait_s))
