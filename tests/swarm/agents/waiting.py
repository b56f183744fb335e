"""Waiting for a condition of the real world, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(look: Callable[[], T], *, limit_s: float = 15.0, every_s: float = 0.02) -> T:
    """Return the first true value of `look()`; AssertionError after `limit_s` seconds without."""
    deadline = time.monotonic() + limit_s
    while True:
        value = look()
        if value:
            return value
        assert time.monotonic() < deadline, f"still {value!r} after {limit_s} s"
        time.sleep(every_s)
