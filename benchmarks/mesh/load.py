"""The load that every subject gets: records of 400 bytes, counted and timed at each delivery.

Without sockets and event loops, and with the standard library alone, because the subjects run on
different loops and in different environments.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

PAYLOAD_BYTES = 400
IN_FLIGHT = 64  # records under way in a closed loop, over all publishers
WARM_UP_S = 1.0  # trees and caches are built
CLOSED_S = 1.5
OPEN_RATE_PER_S = 20
OPEN_S = 3.0
GIVE_UP_S = 3.0  # a record that is not everywhere by then counts as lost
_NUMBER_CHARS = 12
_NEVER = 10**_NUMBER_CHARS
# Every load of a process has numbers of its own, because nodes remember what they have seen.
_first_numbers = itertools.count(0, 10**8)


@dataclass(slots=True)
class _Record:
    """One record under way."""

    published_at: float
    left: int
    done: Callable[[], None]


@dataclass(slots=True)
class Load:
    """What was published and what arrived; `receivers` is how many nodes each record is to reach.

    Only what lies between `start_measuring` and `stop_measuring` counts.
    """

    receivers: int
    at_start: Callable[[], None] = lambda: None  # called when measuring starts
    over: bool = False  # nothing more is to be published
    latencies_s: list[float] = field(default_factory=list)
    expected: int = 0
    delivered: int = 0
    deliveries_in_time: int = 0
    measured_s: float = 0.0
    _under_way: dict[int, _Record] = field(default_factory=dict)
    _last: int = field(default_factory=lambda: next(_first_numbers))
    _first_measured: int = _NEVER
    _last_measured: int = _NEVER
    _measuring: bool = False
    _started_at: float = 0.0

    def publish(self, done: Callable[[], None], *, due_at: float = 0.0) -> bytes:
        """Return the next payload; `done` is called when it is everywhere, or given up.

        `due_at` (time.perf_counter) is when it should have been published: in an open loop a
        publisher that is late must not hide its lateness.
        """
        self._last += 1
        if self._measuring:
            self.expected += self.receivers
        self._under_way[self._last] = _Record(due_at or time.perf_counter(), self.receivers, done)
        return payload_of(self._last)

    def arrived(self, payload: bytes | str) -> None:
        """Count one delivery; a copy that a node gets again must not come here."""
        number = int(payload[:_NUMBER_CHARS])
        record = self._under_way.get(number)
        if self._measuring:
            self.deliveries_in_time += 1
        if record is None:
            return
        if self._first_measured <= number <= self._last_measured:
            self.delivered += 1
            self.latencies_s.append(time.perf_counter() - record.published_at)
        record.left -= 1
        if not record.left:
            del self._under_way[number]
            record.done()

    def start_measuring(self) -> None:
        """Count from here on: the records published from now, and all deliveries from now."""
        self._first_measured = self._last + 1
        self._measuring = True
        self.at_start()
        self._started_at = time.perf_counter()

    def stop_measuring(self) -> None:
        """End the time that is measured; what is under way is still counted when it arrives."""
        self.measured_s = time.perf_counter() - self._started_at
        self._measuring, self.over = False, True
        self._last_measured = self._last

    def give_up(self) -> None:
        """Let the publishers of lost records go on."""
        before = time.perf_counter() - GIVE_UP_S
        for number, record in list(self._under_way.items()):
            if record.published_at < before:
                del self._under_way[number]
                record.done()

    @property
    def under_way(self) -> int:
        """How many records are not everywhere yet."""
        return len(self._under_way)

    @property
    def deliveries_per_s(self) -> float:
        """Deliveries in the measured time, each second."""
        return self.deliveries_in_time / self.measured_s

    def counts(self) -> dict[str, int]:
        """Return how many deliveries were to come and how many came."""
        return {"expected": self.expected, "delivered": self.delivered}

    def latency_ms(self, share: float) -> float:
        """Return the latency below which that share of the deliveries lies."""
        return percentile(self.latencies_s, share) * 1000


def payload_of(number: int) -> bytes:
    """Return PAYLOAD_BYTES of text that begin with a number."""
    return f"{number:0{_NUMBER_CHARS}d}".encode().ljust(PAYLOAD_BYTES, b"x")


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile; NaN for no values."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
