"""What the node does by the clock: dispatch, leases, deadlines, jobs and offerings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from marketplace import retention as marketplace_retention
from marketplace.services.cancelling import ask_again
from marketplace.services.catching_up import compare_again
from marketplace.services.deadlines import end_overdue
from marketplace.services.offerings import expire_offerings, refresh_offering
from marketplace.services.overflow import buy_overflow
from marketplace.services.reservations import lapse_reservations
from marketplace.services.tributes import expire_unanswered
from p2p import retention as p2p_retention
from p2p.clock import now_utc
from p2p.database_thread import DatabaseThread
from p2p.pausing import rung_within
from swarm import retention as swarm_retention
from swarm.budgets.enforcement import enforce_time_limits
from swarm.budgets.pauses import end_pauses
from swarm.budgets.windows import end_windows
from swarm.election.office import adopt_late
from swarm.gate.run_rows import close_abandoned
from swarm.replication.heartbeats import beat, heartbeat_every_s
from swarm.services import jobs
from swarm.services.dispatch import dispatch_ready
from swarm.services.goals import requeue_lapsed
from swarm.services.planning import dispatch_planning
from swarm.services.unplaceable import note_unplaceable

log = logging.getLogger(__name__)

R = TypeVar("R")

SWEEP_EVERY_S = 1.0
FORGET_EVERY_S = 600.0

IN_OFFICE: tuple[Callable[[datetime], object], ...] = (
    adopt_late,
    requeue_lapsed,
    note_unplaceable,
)
_SWEEPS: tuple[Callable[[datetime], object], ...] = (
    *IN_OFFICE,
    enforce_time_limits,
    end_windows,
    end_pauses,
    jobs.recover_lapsed,
    close_abandoned,
    expire_unanswered,
    lapse_reservations,
    end_overdue,
    ask_again,
    expire_offerings,
    refresh_offering,
    buy_overflow,
    compare_again,
)
_FORGETS: tuple[Callable[[datetime], object], ...] = (
    p2p_retention.forget_old,
    swarm_retention.forget_old,
    marketplace_retention.forget_old,
)


async def dispatch_when_rung(database: DatabaseThread, rung: asyncio.Event) -> None:
    """Match ready tasks and free agents at every ring and every second, until cancelled."""
    while True:
        await _run_on(database, dispatch_ready)
        await _run_on(database, dispatch_planning)
        await rung_within(rung, SWEEP_EVERY_S)
        rung.clear()


async def give_heartbeats(database: DatabaseThread) -> None:
    """Tell members that this node lives, several times within a lease, until cancelled."""
    while True:
        await _run_on(database, beat)
        await asyncio.sleep(heartbeat_every_s())


async def sweep(database: DatabaseThread) -> None:
    """Settle what has run out and nudge waiting jobs, every second, until cancelled."""
    seconds = 0.0
    while True:
        for chore in _SWEEPS:
            await _run_on(database, chore)
        await _nudge_waiting(database)
        if seconds % FORGET_EVERY_S == 0:
            for forget in _FORGETS:
                await _run_on(database, forget)
        seconds += SWEEP_EVERY_S
        await asyncio.sleep(SWEEP_EVERY_S)


async def _nudge_waiting(database: DatabaseThread) -> None:
    for job_id in await _run_on(database, jobs.due_unnudged) or ():
        await asyncio.to_thread(jobs.nudge, job_id)


async def _run_on(database: DatabaseThread, chore: Callable[[datetime], R]) -> R | None:
    """Run a chore; one that fails is logged and ends neither its loop nor another chore."""
    try:
        return await database.run(chore, now_utc())
    except Exception:
        log.exception("%s failed and is tried again", chore.__name__)
        return None
