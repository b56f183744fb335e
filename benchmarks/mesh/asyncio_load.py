"""The closed and the open loop on asyncio, for every subject that runs on it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from benchmarks.mesh.load import (
    CLOSED_S,
    GIVE_UP_S,
    IN_FLIGHT,
    OPEN_RATE_PER_S,
    OPEN_S,
    WARM_UP_S,
    Load,
)

Publish = Callable[[int, bytes], None]  # (number of the publisher, payload)
AsyncPublish = Callable[[int, bytes], Awaitable[None]]


async def closed_loop(load: Load, publish: Publish, publishers: int) -> None:
    """Keep IN_FLIGHT records under way: when one is everywhere, the next one is published."""

    def keep_one_under_way(publisher: int) -> None:
        if not load.over:
            publish(publisher, load.publish(lambda: keep_one_under_way(publisher)))

    reaper = asyncio.create_task(_reap(load))
    for number in range(IN_FLIGHT):
        keep_one_under_way(number % publishers)
    await _measure_closed(load)
    await _until_all_arrived(load)
    reaper.cancel()


async def closed_loop_awaiting(load: Load, publish: AsyncPublish, publishers: int) -> None:
    """Do the same with a library whose publish must be awaited: one task for each record."""
    workers = [
        asyncio.create_task(_work(load, publish, number % publishers))
        for number in range(IN_FLIGHT)
    ]
    reaper = asyncio.create_task(_reap(load))
    await _measure_closed(load)
    await asyncio.wait(workers, timeout=GIVE_UP_S)
    for task in (*workers, reaper):
        task.cancel()


async def _measure_closed(load: Load) -> None:
    await asyncio.sleep(WARM_UP_S)
    load.start_measuring()
    await asyncio.sleep(CLOSED_S)
    load.stop_measuring()


async def open_loop(
    load: Load,
    publish: Publish | AsyncPublish,
    publishers: int,
    *,
    warm_up_s: float = WARM_UP_S,
    lasts_s: float = OPEN_S,
) -> None:
    """Publish at a fixed rate, whatever becomes of it, the publishers in turn."""
    rate = OPEN_RATE_PER_S
    warm_up = int(rate * warm_up_s)
    begun_at = time.perf_counter()
    for number in range(warm_up + int(rate * lasts_s)):
        due_at = begun_at + number / rate
        await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
        if number == warm_up:
            load.start_measuring()
        published = publish(number % publishers, load.publish(lambda: None, due_at=due_at))
        if published is not None:
            await published
    load.stop_measuring()
    await _until_all_arrived(load)


async def _work(load: Load, publish: AsyncPublish, publisher: int) -> None:
    loop = asyncio.get_running_loop()
    while not load.over:
        everywhere: asyncio.Future[None] = loop.create_future()
        await publish(publisher, load.publish(lambda future=everywhere: _finish(future)))
        await everywhere


def _finish(everywhere: asyncio.Future[None]) -> None:
    if not everywhere.done():
        everywhere.set_result(None)


async def _reap(load: Load) -> None:
    while True:
        await asyncio.sleep(0.5)
        load.give_up()


async def _until_all_arrived(load: Load) -> None:
    """Wait for what is still under way, a bounded time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GIVE_UP_S):
            while load.under_way:  # noqa: ASYNC110 - a few polls at the end, outside the figures
                await asyncio.sleep(0.01)
