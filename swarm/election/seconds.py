"""The clock of the election: seconds that only go forward, also while the machine sleeps."""

from __future__ import annotations

import time

# CLOCK_MONOTONIC stands still during a suspend, after which an emperor must know that it was away.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def monotonic_s() -> float:
    """Return the seconds since some moment before this process."""
    return time.clock_gettime(_CLOCK)
