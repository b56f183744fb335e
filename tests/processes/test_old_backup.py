"""A node whose home was restored from an old backup is heard again."""

from __future__ import annotations

import json
import shutil
import time

from tests.support.nodes import RealNode, start_all
from tests.support.waiting import wait_for


async def new_offering(buyer: RealNode, seller: RealNode, known: set[str]) -> None:
    """Wait until the buyer sees an offering of the seller that is not known, and add it."""

    def fresh() -> set[str]:
        rows = [row for row in buyer.items("/offerings") if row["node_id"] == seller.node_id]
        return {row["id"] for row in rows} - known

    known |= await wait_for(fresh)


async def test_a_restored_node_begins_a_new_incarnation_and_its_offering_is_seen(
    buyer: RealNode, seller: RealNode
) -> None:
    buyer.has_worker = seller.has_worker = False
    start_all(buyer, seller)
    known: set[str] = set()
    await new_offering(buyer, seller, known)
    seller.stop()
    backup = seller.home.with_name("backup")
    shutil.copytree(seller.home, backup, ignore=shutil.ignore_patterns("*.sock", "*.lock"))
    for _ in range(2):
        seller.start()
        await new_offering(buyer, seller, known)
        seller.stop()

    restored_at_s = int(time.time())
    shutil.rmtree(seller.home)
    shutil.copytree(backup, seller.home)
    seller.start()
    await new_offering(buyer, seller, known)

    incarnation = json.loads((seller.home / "incarnation.json").read_text())["incarnation"]
    assert incarnation >= restored_at_s
    assert "this home is an old copy" in seller.log()
