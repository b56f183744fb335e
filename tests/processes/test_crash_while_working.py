"""Nodes and workers are killed while an agent works, a push is out, or a gate's tests run."""

from __future__ import annotations

from pathlib import Path

from tests.support.deals import (
    UNITTEST,
    assert_books,
    gate_file,
    hire,
    left_at_work,
    money,
    small_repository,
    submit,
)
from tests.support.nodes import RealNode
from tests.support.waiting import is_alive, wait_for

KILL_ONCE = """#!/bin/sh
while read -r _ _ ref; do
  case "$ref" in refs/heads/task/*) mkdir {once} 2>/dev/null && kill -9 {pid} ;; esac
done
exit 0
"""


async def test_a_seller_killed_between_push_and_report_reports_after_its_restart(
    market: tuple[RealNode, RealNode], tmp_path: Path
) -> None:
    buyer, seller = market
    remote = small_repository(tmp_path / "git")
    hook = remote.path / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(KILL_ONCE.format(once=tmp_path / "killed", pid=seller.pid))
    hook.chmod(0o755)
    deal = await hire(await submit(buyer, remote.path, "true"), seller)

    assert seller.process is not None
    await wait_for(lambda: seller.process is not None and seller.process.poll() == -9)
    branch = f"refs/heads/task/{deal.subtasks()[0]['id'][:8]}"
    assert branch in remote.refs()
    assert deal.subtasks()[0]["commit"] == ""
    seller.start()

    assert (await deal.ended())["status"] == "completed"
    await wait_for(lambda: deal.executions() == [("accepted", "committed")])
    [task] = deal.subtasks()
    assert (task["attempt"], task["commit"]) == (1, remote.refs()[branch])
    assert (money(buyer), money(seller)) == ((995, 0), (1005, 0))
    assert_books([buyer, seller], grants=2000)


async def test_work_outlives_the_crash_of_its_node_and_is_reported_after_the_restart(
    market: tuple[RealNode, RealNode], tmp_path: Path
) -> None:
    buyer, seller = market
    go, remote = tmp_path / "go", small_repository(tmp_path / "git")
    block = f"echo run >> runs; {gate_file(go)}"
    deal = await hire(await submit(buyer, remote.path, block), seller)
    await wait_for(lambda: left_at_work(seller, "runs"))
    await wait_for(lambda: deal.statuses() == ["in_progress"])

    seller.kill9()
    await wait_for(lambda: seller.processes() == {})
    assert len(seller.sessions()) == 1
    go.touch()
    seller.start()

    assert (await deal.ended())["status"] == "completed"
    await wait_for(lambda: deal.executions() == [("accepted", "committed")])
    assert deal.subtasks()[0]["attempt"] == 1
    assert remote.text(deal.subtasks()[0]["commit"], "runs") == "run\n"
    assert_books([buyer, seller], grants=2000)


async def test_a_gate_whose_worker_is_killed_runs_its_tests_again(
    market: tuple[RealNode, RealNode], tmp_path: Path
) -> None:
    buyer, seller = market
    go, pids = tmp_path / "go", tmp_path / "pids"
    command = f"echo $$ >> {pids}; {gate_file(go)}; {UNITTEST}"
    deal = await hire(
        await submit(buyer, small_repository(tmp_path / "git").path, "true", test_command=command),
        seller,
    )
    await wait_for(pids.exists)
    first, worker = int(pids.read_text()), buyer.worker_pid()
    assert worker is not None

    buyer.kill_worker()
    await wait_for(lambda: not is_alive(first))
    await wait_for(lambda: buyer.worker_pid() not in (None, worker))
    go.touch()

    assert (await deal.ended(20.0))["status"] == "completed"
    await wait_for(lambda: deal.executions() == [("accepted", "committed")])
    assert len(pids.read_text().split()) == 2
    assert (money(buyer), money(seller)) == ((995, 0), (1005, 0))
    assert_books([buyer, seller], grants=2000)
