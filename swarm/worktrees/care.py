"""What is done by the clock for worktrees and clones, as long as a node runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from p2p.clock import now_utc
from p2p.database_thread import DatabaseThread
from p2p.local import local_node
from swarm.agents.threads import on_thread
from swarm.evidence_files import prune_files
from swarm.git.rescue.unowned import keep_unowned
from swarm.git.upkeep import clones_of, tidy
from swarm.worktrees import room

log = logging.getLogger(__name__)

ROUND_S = 5.0
KEEP_EVERY = 3  # rounds
TIDY_EVERY = 120  # rounds


async def care_for_worktrees(database: DatabaseThread) -> None:
    """Look for room, keep commits that nothing reaches, tidy and prune, until cancelled."""
    number = 0
    while True:
        await _safely(room.look_again)
        if number % KEEP_EVERY == 0:
            await _safely(_keep_all)
        if number % TIDY_EVERY == 0:
            await _safely(_tidy_all)
            await _prune(database)
        number += 1
        await asyncio.sleep(ROUND_S)


def _keep_all() -> None:
    for clone in clones_of(local_node().home):
        for ref in keep_unowned(clone):
            log.info("kept a commit of %s that nothing reached: %s", clone.path.stem, ref)


def _tidy_all() -> None:
    for clone in clones_of(local_node().home):
        tidy(clone)


async def _prune(database: DatabaseThread) -> None:
    try:
        await database.run(prune_files, now_utc())
    except Exception:
        log.exception("old evidence was not pruned; it is tried again")


async def _safely(work: Callable[[], None]) -> None:
    try:
        await on_thread(work)
    except Exception as error:
        # The next round does it again; one clone that is broken must not end the care for all.
        log.warning("care of worktrees: %s", error or type(error).__name__)
