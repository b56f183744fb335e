"""Keeps links to members of our own swarm, so that its topics never depend on strangers."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Any, Protocol

from p2p.clock import now_utc
from p2p.database_thread import DatabaseThread
from p2p.local import local_node
from p2p.mesh.dialler import Backoff
from p2p.mesh.settings import PeerInfo
from p2p.nodes import member_addresses
from p2p.protocol.limits import MEMBER_LINKS_MIN

log = logging.getLogger(__name__)

LOOK_MIN_S = 2.0
LOOK_MAX_S = 60.0


class Links(Protocol):
    """What this needs of the mesh."""

    def peers(self) -> list[PeerInfo]: ...

    def know_members(self, node_ids: Sequence[str]) -> None: ...

    def dial_node(self, node_id: str, addresses: Sequence[Any]) -> None: ...


async def keep_member_links(mesh: Links, database: DatabaseThread) -> None:
    """Dial members while fewer than five, or all that are known, are linked, until cancelled.

    Looks more and more seldom while nothing changes, because members may be gone for days.
    """
    chance = random.Random()
    backoff, before = Backoff(LOOK_MIN_S, LOOK_MAX_S, chance.random), -1
    while True:
        try:
            known = await database.run(member_addresses, local_node().swarm, now_utc())
            dialled = dial_missing(mesh, known, chance)
        except Exception:
            log.exception("looking for members failed and is tried again")
            dialled = before
        if dialled != before:
            backoff.reset()
        before = dialled
        await asyncio.sleep(backoff.next_s())


def dial_missing(mesh: Links, known: dict[str, list[Any]], chance: random.Random) -> int:
    """Dial as many known members as are missing, picked by chance; return how many."""
    mesh.know_members(list(known))
    linked = {peer.node_id for peer in mesh.peers() if peer.member}
    missing = min(MEMBER_LINKS_MIN, len(linked | set(known))) - len(linked)
    candidates = sorted(node_id for node_id in known if known[node_id] and node_id not in linked)
    picked = chance.sample(candidates, min(max(0, missing), len(candidates)))
    for node_id in picked:
        mesh.dial_node(node_id, known[node_id])
    return len(picked)
