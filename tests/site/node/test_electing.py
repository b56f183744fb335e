"""The node's part in the election: what a change of emperor brings lets others go before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from p2p.database_thread import DatabaseThread
from swarm.election.participation import Due
from voidlux_site.node.electing import take_part


class SlowAdoption(DatabaseThread):
    """A database thread on which a new emperor has much to do; notes what ran, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[str] = []
        self.over = asyncio.Event()

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if isinstance(function, partial):
            self.ran.append("proclaimed")
            asyncio.get_running_loop().call_soon(self.ran.append, "sent by the relay")
            return Due(60.0, acts=True, settled=False)
        self.ran.append("settled")
        self.over.set()
        return Due(60.0, acts=True)

    run_first = run


async def test_what_a_new_emperor_says_is_sent_before_it_adopts() -> None:
    database = SlowAdoption()
    roles: list[str] = []
    part = asyncio.create_task(take_part(database, asyncio.Event(), roles.append))
    async with asyncio.timeout(10):
        await database.over.wait()
    await asyncio.sleep(0)
    part.cancel()
    with pytest.raises(asyncio.CancelledError):
        await part
    database.stop()

    assert database.ran == ["proclaimed", "sent by the relay", "settled"]
    assert roles == ["emperor"]
