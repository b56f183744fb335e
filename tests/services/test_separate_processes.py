"""One node as three processes over PostgreSQL and Redis: the same trade, events and recovery."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.deals import ENDED, UNITTEST, Deal, gate_file, small_repository, submit
from tests.support.services import Postgres
from tests.support.split_node import RUNNODE, SplitNode
from tests.support.waiting import is_alive, wait_for
from tests.support.websockets import Follower, open_websocket

RECOVERY_S = 50.0  # a job's lease of 30 s, the sweep, a nudge, and what the gate then does


@pytest.fixture
def node(tmp_path: Path, postgres: Postgres, redis_url: str) -> Iterator[SplitNode]:
    """A node of three processes with one agent; not started yet."""
    made = SplitNode(
        tmp_path / "node",
        database_url=postgres.create(f"split_{uuid.uuid4().hex[:8]}"),
        redis_url=redis_url,
        agents="1",
    )
    yield made
    made.end()


async def test_a_goal_is_done_and_followed_and_a_gate_outlives_its_worker(
    node: SplitNode, tmp_path: Path
) -> None:
    node.launch()
    await wait_for(node.is_up, 60.0)
    orphan, runs = await a_gate_whose_worker_is_killed(node, tmp_path)
    node.launch_worker()
    await another_node_is_refused(node, tmp_path / "other")

    async with open_websocket(node) as follower:
        assert (await follower.next_event())["event"] == "hello"
        await a_goal_of_two_subtasks_is_done(node, follower, tmp_path / "second")

    ended = await orphan.ended(RECOVERY_S)
    assert (ended["status"], ended["error"]) == ("completed", "")
    assert orphan.subtasks()[0]["attempt"] == 1
    assert len(runs.read_text().split()) == 2
    assert await asyncio.to_thread(node.stop) == 0
    assert "Traceback" not in node.log()


async def another_node_is_refused(node: SplitNode, home: Path) -> None:
    other = SplitNode(home, database_url=node.database_url, redis_url=node.redis_url)
    other.launch_part("node", *RUNNODE)
    code = await asyncio.to_thread(other.parts["node"].wait, 30)

    name = node.database_url.rpartition("/")[2]
    line = f"DATABASE_URL names {name}, which another node process uses"
    assert (code, other.log().splitlines()) == (2, [line])


async def a_goal_of_two_subtasks_is_done(node: SplitNode, follower: Follower, folder: Path) -> None:
    deal = await submit(node, small_repository(folder).path, "true", "true")

    ended = await deal.ended()

    assert (ended["status"], ended["error"]) == ("completed", "")
    assert deal.statuses() == ["completed", "completed"]
    async with asyncio.timeout(20.0):
        told = await _statuses_until_end(follower, deal.goal_id)
    # It is told once more in planning: how it will be tested.
    assert told == ["planning", "planning", "in_progress", "merging", "completed"]


async def _statuses_until_end(follower: Follower, goal_id: str) -> list[str]:
    """Return the goal's statuses as the node told them, up to its end."""
    statuses: list[str] = []
    while not statuses or statuses[-1] not in ENDED:
        event: dict[str, Any] = await follower.next_event()
        if event["type"] == "task_update" and event["task"]["id"] == goal_id:
            statuses.append(event["event"])
    return statuses


async def a_gate_whose_worker_is_killed(node: SplitNode, tmp_path: Path) -> tuple[Deal, Path]:
    """Submit a goal and kill the worker while its tests run; the goal, and who tested it."""
    go, pids = tmp_path / "go", tmp_path / "pids"
    command = f"echo $$ >> {pids}; {gate_file(go)}; {UNITTEST}"
    deal = await submit(
        node, small_repository(tmp_path / "first").path, "true", test_command=command
    )
    await wait_for(pids.exists)
    first = int(pids.read_text())
    node.kill_part("worker")
    await wait_for(lambda: not is_alive(first))
    go.touch()
    return deal, pids
