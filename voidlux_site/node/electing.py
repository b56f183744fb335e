"""Takes part in the election by the clock; an emperor's heartbeat waits for nothing it can pass."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from p2p.clock import now_utc
from p2p.database_thread import DatabaseThread
from p2p.pausing import rung_within
from p2p.protocol.fields import Role
from swarm.election import participation
from swarm.election.participation import Due

log = logging.getLogger(__name__)

RETRY_S = 1.0
TICK_PAUSE_S = 0.05  # every commit rings; looking at each of a burst would only slow it down


async def take_part(
    database: DatabaseThread, rung: asyncio.Event, on_role: Callable[[Role], None]
) -> None:
    """Tick when it is due and at every ring, and say which role this node has, until cancelled."""
    due = Due(0.0, acts=False)
    while True:
        due = await _tick(database, due)
        on_role("emperor" if due.acts else "worker")
        if await rung_within(rung, due.in_s):
            await asyncio.sleep(min(TICK_PAUSE_S, due.in_s))
        rung.clear()


async def _tick(database: DatabaseThread, before: Due) -> Due:
    # A member's tick must not pass the heartbeats that wait to be read; an emperor's own may.
    run = database.run_first if before.acts else database.run
    try:
        due = await run(partial(participation.tick, follow_up=False), now_utc())
        if not due.settled:
            # What waits to be sent goes first: to adopt many tasks takes longer than a candidacy,
            # and members that have not heard of their emperor by then elect a second one.
            await asyncio.sleep(TICK_PAUSE_S)
            due = await database.run(participation.tick, now_utc())
        return due
    except Exception:
        log.exception("the election's tick failed and is tried again")
        return Due(RETRY_S, acts=before.acts)
