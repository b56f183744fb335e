"""Buyer or seller is killed at each point of a trade: paid exactly once or released exactly.

Both nodes go through all of it in one life of their homes, so that what one crash leaves behind
is there at the next one. Each point is one that a node has reached, seen in its database or by
a file, while whatever would carry it further waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from p2p.protocol.numbers import MessageNumber
from tests.support.deals import (
    ENDED,
    UNITTEST,
    Deal,
    assert_books,
    gate_file,
    hire,
    is_sent,
    left_at_work,
    money,
    movements,
    offering_of,
    references,
    request,
    small_repository,
    submit,
    verify_ledger,
)
from tests.support.git_remote import GitRemote
from tests.support.nodes import RealNode, start_all
from tests.support.waiting import is_alive, wait_for

pytestmark = pytest.mark.faults

PRICE = 5
AGENTS = 2
PAID = [("accepted", "committed")]
KILL_ONCE = """#!/bin/sh
while read -r _ _ ref; do
  case "$ref" in refs/heads/task/*) mkdir {once} 2>/dev/null && kill -9 {pid} ;; esac
done
exit 0
"""


@dataclass(frozen=True)
class Traders:
    """A buyer without agents, a seller that trusts it, and a remote that both can write."""

    buyer: RealNode
    seller: RealNode
    remote: GitRemote
    folder: Path

    def fresh(self, name: str) -> Path:
        """Return the path of a file that is not there yet."""
        path = self.folder / name
        assert not path.exists()
        return path

    def sold(self, deal: Deal) -> dict[str, Any] | None:
        """Return the deal's tribute as the seller shows it, None where it has none."""
        return next((t for t in self.seller.items("/tributes") if t["id"] == deal.tribute_id), None)

    def sold_status(self, deal: Deal) -> str:
        """Return the status of the deal's tribute at the seller, "" where it has none."""
        sold = self.sold(deal)
        return sold["status"] if sold else ""

    def end_goals(self) -> None:
        """Cancel what a test that failed has left open, so that the next one is not in its way."""
        for goal in self.buyer.items("/tasks"):
            if goal["status"] not in ENDED:
                self.buyer.post(f"/tasks/{goal['id']}/cancel")

    def decide_by_hand(self, *, by_hand: bool) -> None:
        """Let the seller's operator decide on every request, or not."""
        body = {"acceptance": "manual" if by_hand else "auto"}
        self.seller.api.put("/policies/selling", json=body).raise_for_status()

    async def deal(self, block: str = "true", *, test_command: str = UNITTEST) -> Deal:
        """Submit a goal of one subtask and buy it from the seller."""
        goal = await submit(self.buyer, self.remote.path, block, test_command=test_command)
        return await hire(goal, self.seller)

    async def assert_paid_once(self, *deals: Deal) -> None:
        """Wait until each deal is completed and paid; every book has its price once."""
        for deal in deals:
            assert (await deal.ended())["status"] == "completed"
            await wait_for(lambda deal=deal: deal.executions() == PAID)  # type: ignore[misc]
            await wait_for(lambda deal=deal: self.sold_status(deal) == "completed")  # type: ignore[misc]
            assert deal.tribute()["status"] == "completed"
            assert movements(self.buyer, deal.tribute_id) == [("hold", PRICE), ("capture", PRICE)]
            assert movements(self.seller, deal.tribute_id) == [("credit", PRICE)]
        self.assert_settled()

    def assert_settled(self) -> None:
        """Assert that nothing is held and that both homes prove their books."""
        assert (money(self.buyer)[1], money(self.seller)[1]) == (0, 0)
        assert_books([self.buyer, self.seller], grants=2000)
        verify_ledger(self.buyer, self.seller)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traders]:
    """Two nodes that live, and are killed, through all tests of this module."""
    folder = tmp_path_factory.mktemp("killed")
    buyer = RealNode(folder / "buyer", swarm="helios")
    seller = RealNode(
        folder / "seller",
        swarm="andromeda",
        agents=str(AGENTS),
        sell="on",
        price_per_task=str(PRICE),
        seeds=buyer.address,
        allow_nodes=buyer.node_id,
        sold_sandbox_paths=str(folder),
    )
    buyer.variables["allow_nodes"] = seller.node_id
    try:
        start_all(buyer, seller)
        yield Traders(buyer, seller, small_repository(folder / "git"), folder)
    finally:
        buyer.end()
        seller.end()


@pytest.fixture
async def traders(nodes: Traders) -> Traders:
    """Both nodes up and linked, with every agent of the seller free, as each test finds them."""
    for node in (nodes.buyer, nodes.seller):
        node.resume()
        if node.process is not None and node.process.poll() is not None:
            node.start()
    nodes.end_goals()
    await offering_of(nodes.buyer, nodes.seller, idle_agents=AGENTS)
    return nodes


async def test_a_buyer_killed_before_its_request_is_answered_buys_after_its_restart(
    traders: Traders,
) -> None:
    buyer, seller = traders.buyer, traders.seller
    goal = await submit(buyer, traders.remote.path, "true")
    offering = await offering_of(buyer, seller, idle_agents=1)
    seller.pause()
    answer = request(goal, offering, 1)
    deal = Deal(buyer, goal.goal_id, answer.json()["id"])
    assert deal.tribute()["status"] == "pending"

    buyer.kill9()
    seller.resume()
    buyer.start()

    await traders.assert_paid_once(deal)


@pytest.mark.parametrize("decision", ["accept", "reject"])
async def test_a_seller_killed_with_a_request_in_its_queue_still_has_it_to_decide_on(
    traders: Traders, decision: str
) -> None:
    buyer, seller = traders.buyer, traders.seller
    traders.decide_by_hand(by_hand=True)
    deal = await traders.deal()
    await wait_for(lambda: traders.sold_status(deal) == "pending")

    seller.kill9()
    seller.start()

    assert traders.sold_status(deal) == "pending"
    assert deal.tribute()["status"] == "pending"
    assert money(buyer)[1] == PRICE
    traders.decide_by_hand(by_hand=False)
    seller.post(f"/tributes/{deal.tribute_id}/{decision}")
    if decision == "accept":
        await traders.assert_paid_once(deal)
        return
    await wait_for(lambda: deal.tribute()["status"] == "rejected")
    assert deal.tribute()["reason_code"] == "refused"
    assert movements(buyer, deal.tribute_id) == [("hold", PRICE), ("release", PRICE)]
    assert movements(seller, deal.tribute_id) == []
    buyer.post(f"/tasks/{deal.goal_id}/cancel")
    traders.assert_settled()


async def test_a_seller_killed_right_after_its_acceptance_keeps_it(traders: Traders) -> None:
    buyer, seller = traders.buyer, traders.seller
    traders.decide_by_hand(by_hand=True)
    deal = await traders.deal()
    await wait_for(lambda: traders.sold_status(deal) == "pending")
    traders.decide_by_hand(by_hand=False)
    buyer.pause()
    seller.post(f"/tributes/{deal.tribute_id}/accept")
    await wait_for(lambda: traders.sold_status(deal) == "accepted")

    seller.kill9()
    buyer.resume()
    seller.start()

    await traders.assert_paid_once(deal)


async def test_a_buyer_killed_between_acceptance_and_first_assignment_assigns_after_its_restart(
    traders: Traders,
) -> None:
    buyer, go = traders.buyer, traders.fresh("go-assign")
    blocks = (gate_file(go), "test -e part1.py")
    goal = await submit(buyer, traders.remote.path, *blocks, in_turn=True)
    first = await hire(goal, traders.seller)
    await wait_for(lambda: goal.statuses() == ["in_progress", "blocked"])
    second = await hire(goal, traders.seller)
    await wait_for(lambda: second.tribute()["status"] == "accepted")
    assert second.executions() == []

    buyer.kill9()
    buyer.start()
    assert second.tribute()["status"] == "accepted"
    assert second.executions() == []
    go.touch()

    await traders.assert_paid_once(first, second)


async def test_work_outlives_the_crash_of_its_seller_and_is_reported_after_the_restart(
    traders: Traders,
) -> None:
    seller, go = traders.seller, traders.fresh("go-work")
    deal = await traders.deal(f"echo run >> runs; {gate_file(go)}")
    await wait_for(lambda: left_at_work(seller, "runs"))
    await wait_for(lambda: deal.statuses() == ["in_progress"])

    seller.kill9()
    await wait_for(lambda: seller.processes() == {})
    assert len(seller.sessions()) == AGENTS
    go.touch()
    seller.start()

    await traders.assert_paid_once(deal)
    [task] = deal.subtasks()
    assert task["attempt"] == 1
    assert traders.remote.text(task["commit"], "runs") == "run\n"


async def test_a_seller_killed_between_push_and_report_reports_after_its_restart(
    traders: Traders,
) -> None:
    seller = traders.seller
    remote = small_repository(traders.fresh("git-of-killer"))
    hook = remote.path / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(KILL_ONCE.format(once=traders.fresh("killed-once"), pid=seller.pid))
    hook.chmod(0o755)
    deal = await hire(await submit(traders.buyer, remote.path, "true"), seller)

    await wait_for(lambda: seller.process is not None and seller.process.poll() == -9)
    branch = f"refs/heads/task/{deal.subtasks()[0]['id'][:8]}"
    assert branch in remote.refs()
    assert deal.subtasks()[0]["commit"] == ""
    seller.start()

    await traders.assert_paid_once(deal)
    [task] = deal.subtasks()
    assert (task["attempt"], task["commit"]) == (1, remote.refs()[branch])


async def test_a_buyer_killed_in_the_tests_of_its_gate_runs_them_again(traders: Traders) -> None:
    buyer = traders.buyer
    go, pids = traders.fresh("go-gate"), traders.fresh("pids")
    deal = await traders.deal(test_command=f"echo $$ >> {pids}; {gate_file(go)}; {UNITTEST}")
    await wait_for(lambda: pids.exists() and pids.read_text().endswith("\n"))
    first = int(pids.read_text())

    buyer.kill9()
    await wait_for(lambda: not is_alive(first))
    buyer.start()
    go.touch()

    await traders.assert_paid_once(deal)
    assert len(pids.read_text().split()) == 2
    assert deal.subtasks()[0]["attempt"] == 1


async def test_a_capture_survives_the_crash_of_both_and_is_credited_once(traders: Traders) -> None:
    buyer, seller, go = traders.buyer, traders.seller, traders.fresh("go-capture")
    deal = await traders.deal(test_command=gate_file(go))
    await wait_for(lambda: deal.statuses() == ["merging"])
    before = money(seller)

    seller.kill9()
    go.touch()
    await wait_for(lambda: ("capture", PRICE) in movements(buyer, deal.tribute_id))
    buyer.kill9()
    seller.start()
    assert money(seller) == before
    buyer.start()

    await traders.assert_paid_once(deal)
    assert references(seller, "credit")[-1] == references(buyer, "capture")[-1]


async def test_a_seller_killed_after_its_credit_votes_again_for_the_same_payment(
    traders: Traders,
) -> None:
    buyer, seller, go = traders.buyer, traders.seller, traders.fresh("go-vote")
    deal = await traders.deal(test_command=gate_file(go))
    await wait_for(lambda: deal.statuses() == ["merging"])

    # The proposal waits in the seller's socket, later the vote in that of the buyer, who never
    # reads it: a socket ends with its process.
    seller.pause()
    go.touch()
    await wait_for(lambda: ("capture", PRICE) in movements(buyer, deal.tribute_id))
    await wait_for(lambda: is_sent(buyer, MessageNumber.CONSENSUS_PROPOSE))
    buyer.pause()
    seller.resume()
    await wait_for(lambda: ("credit", PRICE) in movements(seller, deal.tribute_id))
    seller.kill9()
    buyer.kill9()
    buyer.start()
    assert deal.executions() == [("accepted", "proposed")]
    seller.start()

    await traders.assert_paid_once(deal)
