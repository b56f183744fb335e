"""Virtual time: what is to happen, in the order of when; nothing waits for it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable


class Timeline:
    """A queue of events on a clock that jumps from one to the next."""

    def __init__(self) -> None:
        """Start at second 0."""
        self.now_s = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, delay_s: float, do: Callable[[], None]) -> None:
        """Have something happen later; of the same moment the first asked for comes first."""
        heapq.heappush(self._events, (self.now_s + delay_s, next(self._order), do))

    def run_until(self, until_s: float) -> None:
        """Let happen what is due by then."""
        while self._events and self._events[0][0] <= until_s:
            self.now_s, _, do = heapq.heappop(self._events)
            do()
        self.now_s = until_s
