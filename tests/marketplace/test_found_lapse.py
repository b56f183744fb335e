"""A reservation lapses only where nothing was assigned; found by the market's machine."""

from __future__ import annotations

from datetime import timedelta

from marketplace.services.reservations import lapse_reservations
from marketplace.states import TributeStatus
from tests.support.cluster import Cluster
from tests.support.trading import GRANT, PRICE, Market


def test_work_that_takes_longer_than_a_day_ends_alike_on_both_sides(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    tribute = market.request(market.goal(subtasks=1), count=1)
    for _ in range(3):
        cluster.step()
    assert market.dispatch() == 1
    cluster.step()
    assert market.work() == 1
    cluster.step()

    cluster.now += timedelta(days=1, seconds=1)
    with cluster.acting(market.seller):
        assert lapse_reservations(cluster.now) == 0
    assert market.gate() == 1
    for _ in range(4):
        cluster.step()

    for node in (market.buyer, market.seller):
        assert market.tribute(node, tribute.id).status == TributeStatus.COMPLETED
    assert market.wallet(market.seller) == (GRANT + PRICE, 0)
