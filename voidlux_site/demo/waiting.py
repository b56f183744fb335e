"""Waiting for the nodes, within a time, and telling what was seen when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from p2p.protocol.errors import ExternalError, VoidLuxError
from voidlux_site.demo.nodes import Nodes

LOOK_EVERY_S = 0.3
DYING_S = 2.0  # a process that is killed closes its connections before its end can be seen

T = TypeVar("T")


class StoryFailed(VoidLuxError):
    """The story did not go on within its time; the message says where it stopped."""


def wait_for(
    what: str,
    within_s: float,
    condition: Callable[[], T | None],
    *,
    nodes: Nodes,
    seen: Callable[[], str],
) -> T:
    """Return the first true value of `condition`, looking every LOOK_EVERY_S seconds.

    StoryFailed after `within_s` seconds, with what `seen` says then; NodeDied when a node ends.
    """
    ends_at = time.monotonic() + within_s
    while True:
        nodes.require_alive()
        value, trouble = _attempt(condition)
        if value:
            return value
        if time.monotonic() >= ends_at:
            raise StoryFailed(f"waited {within_s:g} s for {what}; {trouble or _told(seen)}")
        time.sleep(LOOK_EVERY_S)


def blame_the_dead(nodes: Nodes) -> None:
    """Raise NodeDied where a node ends within DYING_S seconds; for use after a failed call."""
    ends_at = time.monotonic() + DYING_S
    while time.monotonic() < ends_at:
        nodes.require_alive()
        time.sleep(LOOK_EVERY_S)


def _attempt(condition: Callable[[], T | None]) -> tuple[T | None, str]:
    """Return what the condition says; an API that does not answer now may answer soon."""
    try:
        return condition(), ""
    except ExternalError as error:
        if not error.retryable:
            raise
        return None, str(error)


def _told(seen: Callable[[], str]) -> str:
    try:
        return f"seen: {seen() or 'nothing'}"
    except ExternalError as error:
        return str(error)
