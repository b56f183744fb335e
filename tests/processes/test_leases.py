"""Leases: a seller that is gone loses its task, a buyer that was gone takes nothing back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.processes.conftest import MakeNode
from tests.support.deals import (
    assert_books,
    gate_file,
    hire,
    hold_pushes,
    left_at_work,
    money,
    references,
    small_repository,
    submit,
)
from tests.support.nodes import RealNode
from tests.support.waiting import wait_for

pytestmark = pytest.mark.faults

LEASE_S = 10


@pytest.fixture
def buyer(make_node: MakeNode) -> RealNode:
    """A node that has no agents of its own and waits only shortly for a sign of life."""
    return make_node("buyer", swarm="helios", lease_s=str(LEASE_S))


async def test_the_task_of_a_seller_that_is_gone_is_done_at_home_and_costs_nothing(
    market: tuple[RealNode, RealNode], tmp_path: Path
) -> None:
    buyer, seller = market
    block = f"[ $VOIDLUX_ATTEMPT != 1 ] || {{ touch began; {gate_file(tmp_path / 'never')}; }}"
    deal = await hire(await submit(buyer, small_repository(tmp_path / "git").path, block), seller)
    await wait_for(lambda: left_at_work(seller, "began"))
    await wait_for(lambda: deal.statuses() == ["in_progress"])
    assert money(buyer) == (1000, 5)

    seller.kill9()
    buyer.post("/agents", {"name": "home-1"})
    goal = await deal.ended()

    assert goal["status"] == "completed"
    [task] = deal.subtasks()
    assert (task["assigned_node"], task["assigned_agent"]) == (buyer.node_id, "home-1")
    assert task["attempt"] == 2
    lost = f"no sign of life from {seller.node_id[:8]} since its lease began"
    assert ("pending", lost) in deal.reasons()
    [execution] = deal.tribute()["executions"]
    assert (execution["status"], execution["reason"]) == ("refused", lost)
    assert deal.tribute()["status"] == "failed"
    assert money(buyer) == (1000, 0)
    assert references(buyer, "capture") == []

    seller.start()
    await wait_for(lambda: seller.items("/tributes")[0]["status"] == "failed")
    await wait_for(lambda: seller.get("/status")["agents"]["ready"] == 1)
    assert_books([buyer, seller], grants=2000)


async def test_a_buyer_that_was_down_longer_than_a_lease_still_takes_and_pays_the_result(
    market: tuple[RealNode, RealNode], tmp_path: Path
) -> None:
    buyer, seller = market
    go = tmp_path / "go"
    deal = await hire(
        await submit(buyer, small_repository(tmp_path / "git").path, gate_file(go)), seller
    )
    await wait_for(lambda: deal.statuses() == ["in_progress"])
    before_end = deal.subtasks()[0]["lease_expires_at"]

    buyer.kill9()
    await wait_for(lambda: _is_past(before_end))
    buyer.start()
    go.touch()

    assert (await deal.ended())["status"] == "completed"
    await wait_for(lambda: deal.executions() == [("accepted", "committed")])
    assert deal.subtasks()[0]["attempt"] == 1
    assert (money(buyer), money(seller)) == ((995, 0), (1005, 0))
    assert_books([buyer, seller], grants=2000)


async def test_a_push_that_takes_long_is_a_sign_of_life(
    make_node: MakeNode, tmp_path: Path
) -> None:
    node = make_node("node", agents="1", lease_s=str(LEASE_S)).start()
    remote = small_repository(tmp_path / "git")
    arrived, go = tmp_path / "arrived", tmp_path / "go"
    hold_pushes(remote, arrived, go)
    goal = await submit(node, remote.path, "true")
    await wait_for(arrived.exists)
    lease_at_arrival = goal.subtasks()[0]["lease_expires_at"]

    await wait_for(lambda: goal.subtasks()[0]["lease_expires_at"] > lease_at_arrival, LEASE_S)
    assert goal.subtasks()[0]["progress"] == "pushing"
    go.touch()

    assert (await goal.ended())["status"] == "completed"
    assert goal.subtasks()[0]["attempt"] == 1


def _is_past(moment: str) -> bool:
    return datetime.fromisoformat(moment) < datetime.now(UTC)
