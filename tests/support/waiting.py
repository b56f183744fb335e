"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
PAUSE_MIN_S = 0.02
PAUSES_PER_LOOK = 3


async def wait_for(condition: Callable[[], T | None], timeout_s: float = 30.0) -> T:
    """Return the first true value of `condition`; raises AssertionError after `timeout_s`."""
    ends_at = time.monotonic() + timeout_s
    while (looked_at := time.monotonic()) < ends_at:
        value = condition()
        if value:
            return value
        # Who asks a node without a pause keeps it from what is waited for.
        took_s = time.monotonic() - looked_at
        await asyncio.sleep(max(PAUSE_MIN_S, PAUSES_PER_LOOK * took_s))
    raise AssertionError(f"{condition} was not met within {timeout_s} s")


def is_alive(pid: int) -> bool:
    """Tell whether the process runs; one that ended and waits to be reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
