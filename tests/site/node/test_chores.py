"""What the node does by the clock goes on whatever fails."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from p2p.database_thread import DatabaseThread
from swarm.services import jobs
from tests.support.waiting import wait_for
from voidlux_site.node import chores


async def test_a_sweep_whose_jobs_cannot_be_read_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[datetime] = []

    def due_unnudged(now: datetime) -> list[int]:
        looked.append(now)
        raise RuntimeError("database is locked")

    monkeypatch.setattr(chores, "_SWEEPS", ())
    monkeypatch.setattr(chores, "SWEEP_EVERY_S", 0.01)
    monkeypatch.setattr(chores, "_FORGETS", ())
    monkeypatch.setattr(jobs, "due_unnudged", due_unnudged)
    database = DatabaseThread()
    sweeping = asyncio.create_task(chores.sweep(database))

    await wait_for(lambda: len(looked) > 1)

    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)
    database.stop()
