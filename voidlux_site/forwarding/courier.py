"""Carries one request to another member over HTTP, within limits of time and size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import httpx

# Whoever cannot be connected to by then counts as gone; who has been reached may think for longer.
TIME_LIMITS = httpx.Timeout(30.0, connect=2.0, pool=2.0)
CONNECTIONS_MAX = 32
ANSWER_BYTES_MAX = 8 * 1024 * 1024
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Unreached(Exception):
    """The other member was not reached: it has done nothing of what it was to do."""


class AnswerLost(Exception):
    """The other member may have done what it was to do, but its answer did not arrive whole."""


@dataclass(frozen=True)
class Letter:
    """A request as it is handed on."""

    method: str
    path: str  # with the query
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """The answer to it."""

    status: int
    headers: dict[str, str]
    body: bytes


def carry(base_url: str, letter: Letter) -> Reply:
    """Hand a request to the node at `base_url` and return its answer.

    Raises Unreached where that is safe to repeat, AnswerLost where it is not.
    """
    try:
        with _client().stream(
            letter.method,
            base_url + letter.path,
            # A member answers to this name whatever address it is reached at.
            headers={**letter.headers, "Host": "localhost", "Accept-Encoding": "identity"},
            content=letter.body,
        ) as response:
            return Reply(response.status_code, dict(response.headers), _whole(response))
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise Unreached(str(error) or type(error).__name__) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise (Unreached if letter.method in _READING else AnswerLost)(reason) from error


def _whole(response: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    for part in response.iter_bytes():
        size += len(part)
        if size > ANSWER_BYTES_MAX:
            raise AnswerLost(f"it answers with more than {ANSWER_BYTES_MAX} bytes")
        parts.append(part)
    return b"".join(parts)


@cache
def _client() -> httpx.Client:
    # A connection that was kept may be dead, which shows only after the request was sent on it.
    limits = httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=0)
    return httpx.Client(timeout=TIME_LIMITS, limits=limits, follow_redirects=False, trust_env=False)
