"""The worker of a buyer is killed while its gate's tests run; its node goes on."""

from __future__ import annotations

from pathlib import Path

from tests.support.deals import (
    UNITTEST,
    assert_books,
    gate_file,
    hire,
    money,
    small_repository,
    submit,
)
from tests.support.nodes import RealNode
from tests.support.waiting import is_alive, wait_for


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
