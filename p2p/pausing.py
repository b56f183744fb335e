"""Waiting for a ring, but not for ever."""

from __future__ import annotations

import asyncio


async def rung_within(bell: asyncio.Event, longest_s: float) -> bool:
    """Wait until the bell is set, at most so many seconds; tell whether it was.

    `asyncio.wait_for` of Python 3.11 forgets a cancellation that comes in the same turn of the
    loop as the ring; a loop of ours would then never end.
    """
    try:
        async with asyncio.timeout(longest_s):
            return await bell.wait()
    except TimeoutError:
        return False
