"""The hybrid logical clock: unix milliseconds that never run backwards and never repeat."""

from __future__ import annotations

import threading
from collections.abc import Callable

from p2p.protocol.limits import CLOCK_AHEAD_MAX_MS, INTEGER_MAX


class HybridClock:
    """Stamps what this node writes; safe to share between threads."""

    def __init__(self, now_ms: Callable[[], int], value: int = 0) -> None:
        """Take the wall clock in unix ms and the last value that was persisted."""
        self._now_ms = now_ms
        self._last = value
        self._lock = threading.Lock()

    @property
    def value(self) -> int:
        """The highest stamp written or witnessed so far."""
        return self._last

    def tick(self) -> int:
        """Return the next stamp, max(last + 1, unix ms); OverflowError beyond 2**53 - 1."""
        with self._lock:
            stamp = max(self._last + 1, self._now_ms())
            if stamp > INTEGER_MAX:
                raise OverflowError(f"clock value {stamp} exceeds {INTEGER_MAX}")
            self._last = stamp
            return stamp

    def witness(self, remote: int) -> bool:
        """Move on to a remote stamp; False, and nothing moves, when it is too far ahead."""
        if self.is_ahead(remote):
            return False
        with self._lock:
            self._last = max(self._last, remote)
        return True

    def is_ahead(self, remote: int) -> bool:
        """Tell whether a stamp lies more than ten minutes ahead of the wall clock."""
        return remote - self._now_ms() > CLOCK_AHEAD_MAX_MS
