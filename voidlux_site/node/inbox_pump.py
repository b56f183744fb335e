"""Carries verified messages from the mesh to the database thread, in bounded batches."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from p2p.clock import now_utc
from p2p.database_thread import DatabaseThread
from p2p.inbox import BATCH_MAX, apply_batch
from p2p.protocol.codec import Received

log = logging.getLogger(__name__)

WAITING_MAX = 10_000


class InboxPump:
    """A bounded queue that the mesh fills and the database thread empties."""

    def __init__(self, database: DatabaseThread) -> None:
        self._database = database
        self._waiting: deque[Received] = deque()
        self._arrived = asyncio.Event()

    def deliver(self, received: Received, from_node_id: str) -> bool:
        """Queue a message; False when there is no room: a record then may come again."""
        if len(self._waiting) >= WAITING_MAX:
            return False
        self._waiting.append(received)
        self._arrived.set()
        return True

    async def run(self) -> None:
        """Apply batches as they come, until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                await self._apply_next()

    async def _apply_next(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
        try:
            await self._database.run(apply_batch, batch, now_utc())
        except Exception:
            log.exception("a batch of %d messages was not applied", len(batch))
