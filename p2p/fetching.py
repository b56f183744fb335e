"""Sends peers what they ask for and only the store still has."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from p2p.clock import now_utc
from p2p.gossip.ids import RecordId
from p2p.protocol.limits import WANTED_BYTES_PER_S
from p2p.records import frames_of


async def send_stored(
    node_id: str,
    ids: Sequence[RecordId],
    *,
    send: Callable[[str, bytes], bool],
    on_database: Callable[..., Awaitable[Any]],
) -> None:
    """Send a peer the stored frames of records, and end when it may ask for more.

    To be run once at a time for each peer: it then gets no more than WANTED_BYTES_PER_S.
    """
    frames: list[bytes] = await on_database(frames_of, ids, now_utc())
    for frame in frames:
        send(node_id, frame)
    await asyncio.sleep(sum(map(len, frames)) / WANTED_BYTES_PER_S)
