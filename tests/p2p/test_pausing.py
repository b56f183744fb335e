"""Waiting for a ring ends with the ring, with its time, and with a cancellation."""

from __future__ import annotations

import asyncio

import pytest

from p2p.pausing import rung_within


async def test_the_wait_ends_with_the_ring_or_with_its_time() -> None:
    bell = asyncio.Event()
    assert await rung_within(bell, 0.001) is False
    bell.set()
    assert await rung_within(bell, 60) is True


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_a_cancellation_soon_after_the_ring_is_not_lost(turns: int) -> None:
    bell = asyncio.Event()
    waiting = asyncio.create_task(rung_within(bell, 60))
    await asyncio.sleep(0)
    bell.set()
    for _ in range(turns):
        await asyncio.sleep(0)

    accepted = waiting.cancel()

    await asyncio.wait([waiting])
    assert waiting.cancelled() is accepted
