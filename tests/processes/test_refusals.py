"""Tests that hang, remotes that are gone, money that is short, offerings that ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.processes.conftest import MakeNode
from tests.support.deals import (
    assert_books,
    hire,
    money,
    offering_of,
    outline,
    references,
    request,
    small_repository,
    submit,
)
from tests.support.nodes import RealNode, start_all
from tests.support.waiting import wait_for

pytestmark = pytest.mark.faults


async def test_a_test_command_that_hangs_uses_up_the_attempts_and_pays_nothing(
    buyer: RealNode, seller: RealNode, tmp_path: Path
) -> None:
    buyer.variables["test_time_limit_s"] = "1"
    start_all(buyer, seller)
    command = "[ ! -e part1.py ] || sleep 1000"
    deal = await hire(
        await submit(
            buyer,
            small_repository(tmp_path / "git").path,
            "echo again $VOIDLUX_ATTEMPT > log.txt",
            test_command=command,
        ),
        seller,
    )

    goal = await deal.ended()

    red = f"the tests turned red: {command!r} ran longer than its limit of 1 s"
    assert (goal["status"], goal["error"]) == ("failed", f"1 Part 1: {red}")
    [task] = deal.subtasks()
    assert (task["status"], task["attempt"]) == ("failed", 3)
    reasons = [reason for _, reason in deal.reasons()]
    assert reasons.count(red) == 2
    assert reasons[-1] == f"{red}; attempt 3 was the last"
    runs = buyer.get(f"/tasks/{deal.goal_id}/evidence")["test_runs"]
    assert [(run["passed"], run["timed_out"]) for run in runs if run["timed_out"]] == [
        (False, True)
    ] * 3 * 2, "each attempt is run again before it is blamed"
    assert deal.executions() == [("refused", None)]
    await wait_for(lambda: seller.items("/tributes")[0]["status"] == "failed")
    assert (money(buyer), money(seller)) == ((1000, 0), (1000, 0))
    assert references(buyer, "capture") == []
    assert_books([buyer, seller], grants=2000)


async def test_a_remote_that_is_not_there_is_named_while_the_goal_waits_for_it(
    make_node: MakeNode, tmp_path: Path
) -> None:
    node = make_node("alone", agents="1").start()
    path = tmp_path / "git" / "remote.git"
    goal = node.post("/tasks", {"description": outline("true"), "repository": str(path)})

    def trouble() -> Any:
        return node.get(f"/tasks/{goal['id']}")["trouble"]

    await wait_for(trouble)
    assert node.get(f"/tasks/{goal['id']}")["status"] == "planning"
    assert (trouble()["job"], trouble()["attempts_max"]) == ("prepare_goal", 10)
    assert f"'{path}' does not appear to be a git repository" in trouble()["error"]
    assert node.get("/status")["troubled_jobs"] == 1

    small_repository(tmp_path / "git")
    await wait_for(lambda: node.get(f"/tasks/{goal['id']}")["status"] == "completed")
    assert trouble() is None
    assert node.get("/status")["troubled_jobs"] == 0


async def test_a_remote_that_the_seller_cannot_write_releases_the_hold(
    market: tuple[RealNode, RealNode], tmp_path: Path
) -> None:
    buyer, seller = market
    remote = small_repository(tmp_path / "git")
    deal = await submit(buyer, f"file://{remote.path}", "true")
    away = remote.path.rename(tmp_path / "away.git")

    deal = await hire(deal, seller)
    await wait_for(lambda: deal.tribute()["status"] == "rejected")

    tribute = deal.tribute()
    assert tribute["reason_code"] == "remote_not_writable"
    assert str(remote.path) in tribute["reason"]
    assert tribute["executions"] == []
    assert deal.statuses() == ["pending"]
    assert (money(buyer), money(seller)) == ((1000, 0), (1000, 0))

    away.rename(remote.path)
    deal = await hire(deal, seller)
    assert (await deal.ended())["status"] == "completed"
    await wait_for(lambda: deal.executions() == [("accepted", "committed")])
    assert_books([buyer, seller], grants=2000)


async def test_a_poor_buyer_and_an_offering_that_ended_are_refused_and_nothing_is_held(
    buyer: RealNode, seller: RealNode, tmp_path: Path
) -> None:
    buyer.variables["initial_balance"] = "1"
    seller.variables["offering_ttl_s"] = "3"
    start_all(buyer, seller)
    deal = await submit(buyer, small_repository(tmp_path / "git").path, "true", "true")
    offering = await offering_of(buyer, seller, idle_agents=1)

    poor = request(deal, offering, 1)
    assert poor.headers["content-type"].startswith("application/problem+json")
    assert (poor.status_code, poor.json()["code"]) == (409, "insufficient_funds")
    assert "5 VOID wanted, 1 VOID are available" in poor.text

    many = request(deal, offering, 2)
    assert (many.status_code, many.json()["code"]) == (409, "no_idle_agents")

    seller.pause()
    await wait_for(lambda: _state_of(buyer, offering) == "expired")
    gone = request(deal, offering, 1)
    assert (gone.status_code, gone.json()["code"]) == (409, "offering_gone")
    assert gone.json()["detail"].endswith("is expired")

    seller.resume()
    own = await offering_of(seller, seller, idle_agents=1)
    seller.api.delete(f"/offerings/{own['id']}").raise_for_status()
    await wait_for(lambda: _state_of(buyer, own) == "withdrawn")
    withdrawn = request(deal, own, 1)
    assert (withdrawn.status_code, withdrawn.json()["code"]) == (409, "offering_gone")
    assert withdrawn.json()["detail"].endswith("is withdrawn")

    assert buyer.items("/tributes") == []
    assert money(buyer) == (1, 0)
    assert_books([buyer, seller], grants=1001)


def _state_of(node: RealNode, offering: dict[str, Any]) -> str:
    known = {each["id"]: each["state"] for each in node.items("/offerings?state=all")}
    return str(known[offering["id"]])
