"""What is sold on real nodes runs in a sandbox, and its result is paid as ever."""

from __future__ import annotations

from pathlib import Path

from swarm.sandbox import bwrap
from tests.support.deals import assert_books, hire, money, small_repository, submit
from tests.support.nodes import RealNode
from tests.support.services import find_program
from tests.support.waiting import wait_for


async def test_a_sold_block_sees_no_secret_speaks_commits_and_is_paid(
    market: tuple[RealNode, RealNode], tmp_path: Path
) -> None:
    find_program(bwrap.PROGRAM)
    buyer, seller = market
    remote = small_repository(tmp_path / "git")
    secrets = [seller.home / name for name in ("identity.pem", "api-token", "voidlux.sqlite3")]
    assert all(path.exists() for path in secrets)
    looks = "; ".join(f"! test -e {path}" for path in secrets)
    counts = 'test "$(ls -d /proc/[0-9]* | wc -l)" -lt 12'
    block = f'{looks}; {counts}; sh "$VOIDLUX_SAY" progress here; echo x > x; git add x; '

    deal = await hire(await submit(buyer, remote.path, f"{block} git commit -qm sold"), seller)

    assert (await deal.ended())["status"] == "completed"
    await wait_for(lambda: deal.executions() == [("accepted", "committed")])
    assert remote.text(deal.subtasks()[0]["commit"], "x") == "x\n"
    assert len(list(seller.home.glob("runs/*/cell"))) == 1
    assert (money(buyer), money(seller)) == ((995, 0), (1005, 0))
    assert_books([buyer, seller], grants=2000)
