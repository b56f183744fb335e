"""How a story is told: what is said, when, and how long is waited for what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from voidlux_site.demo.nodes import Nodes
from voidlux_site.demo.view import View
from voidlux_site.demo.waiting import wait_for

T = TypeVar("T")


@dataclass(frozen=True)
class Telling:
    """The nodes of a story, the view that it is told through, and its time 0."""

    nodes: Nodes
    view: View
    started_at: datetime

    def say(self, text: str) -> None:
        """Say a line, with the seconds since the start."""
        self.view.say(text, self.now_s())

    def wait(
        self, what: str, within_s: float, condition: Callable[[], T | None], seen: Callable[[], str]
    ) -> T:
        """Return the first true value of the condition; raises what `wait_for` raises."""
        return wait_for(what, within_s, condition, nodes=self.nodes, seen=seen)

    def now_s(self) -> float:
        """Return the seconds since the start."""
        return (datetime.now(UTC) - self.started_at).total_seconds()
