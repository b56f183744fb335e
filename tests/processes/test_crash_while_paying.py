"""The buyer is killed after it has captured a price and before the seller has credited it."""

from __future__ import annotations

from pathlib import Path

from tests.support.deals import (
    assert_books,
    gate_file,
    hire,
    money,
    references,
    small_repository,
    submit,
)
from tests.support.nodes import RealNode
from tests.support.waiting import wait_for


async def test_a_capture_survives_the_crash_of_both_and_is_credited_once(
    market: tuple[RealNode, RealNode], tmp_path: Path
) -> None:
    buyer, seller = market
    go = tmp_path / "go"
    deal = await hire(
        await submit(
            buyer, small_repository(tmp_path / "git").path, "true", test_command=gate_file(go)
        ),
        seller,
    )
    await wait_for(lambda: deal.statuses() == ["merging"])

    seller.kill9()
    go.touch()
    await wait_for(lambda: references(buyer, "capture"))
    buyer.kill9()
    seller.start()

    assert money(seller) == (1000, 0)
    assert references(seller, "credit") == []

    buyer.start()
    goal = await deal.ended()
    await wait_for(lambda: deal.executions() == [("accepted", "committed")])

    assert goal["status"] == "completed"
    assert money(buyer) == (995, 0)
    assert money(seller) == (1005, 0)
    assert references(seller, "credit") == references(buyer, "capture")
    assert deal.tribute()["status"] == "completed"
    assert_books([buyer, seller], grants=2000)


async def test_a_payer_that_crashes_with_its_proposal_on_the_wire_pays_once(
    market: tuple[RealNode, RealNode], tmp_path: Path
) -> None:
    buyer, seller = market
    go = tmp_path / "go"
    deal = await hire(
        await submit(
            buyer, small_repository(tmp_path / "git").path, "true", test_command=gate_file(go)
        ),
        seller,
    )
    await wait_for(lambda: deal.statuses() == ["merging"])

    seller.pause()
    go.touch()
    await wait_for(lambda: references(buyer, "capture"))
    buyer.kill9()
    seller.resume()
    buyer.start()

    assert (await deal.ended())["status"] == "completed"
    await wait_for(lambda: deal.executions() == [("accepted", "committed")])
    await wait_for(lambda: seller.items("/tributes")[0]["status"] == "completed")
    assert money(buyer) == (995, 0)
    assert money(seller) == (1005, 0)
    assert_books([buyer, seller], grants=2000)
