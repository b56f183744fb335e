"""How much one buyer may owe: what is unsettled, and what is only its promise."""

from __future__ import annotations

from datetime import timedelta

from marketplace.models import Partner, SellingPolicy, Tribute
from marketplace.services.cancelling import cancel_tribute
from marketplace.services.credit import Exposure, exposure, may_owe
from marketplace.states import PaymentStatus, RejectCode
from tests.support.cluster import Cluster, SimNode
from tests.support.factories import make_promise
from tests.support.paying import finish
from tests.support.trading import PRICE, Market


def owed(market: Market, node: SimNode | None = None) -> tuple[int, int]:
    """Return what the buyer owes the seller: unsettled and promised."""
    with market.cluster.acting(node or market.seller):
        found = exposure(market.buyer.node_id, market.cluster.now)
    return found.unsettled, found.promised


def test_exposure_follows_a_trade_from_the_acceptance_to_the_promise(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=3)
    market.request(market.goal(subtasks=2), count=3)
    cluster.step()
    assert owed(market) == (3 * PRICE, 0)
    for _ in range(2):
        cluster.step()
    market.dispatch()
    cluster.step()
    assert owed(market) == (3 * PRICE, 0)

    finish(market)
    assert owed(market) == (PRICE, 2 * PRICE)

    with cluster.acting(market.buyer):
        cancel_tribute(Tribute.objects.get().id, reason="enough", now=cluster.now)
    cluster.step()
    assert owed(market) == (0, 2 * PRICE)


def test_a_reservation_that_lapses_unassigned_is_owed_no_more(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=2)
    market.request(market.goal(subtasks=2), count=2)
    for _ in range(3):
        cluster.step()
    assert owed(market) == (2 * PRICE, 0)

    cluster.now += timedelta(seconds=61)

    assert owed(market) == (0, 0)


def test_promises_to_the_buyer_are_set_off(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    buyer, seller = market.buyer.node_id, market.seller.node_id
    with cluster.acting(market.seller):
        for payer, payee, amount, status in (
            (buyer, seller, 30, PaymentStatus.COMMITTED),
            (buyer, seller, 4, PaymentStatus.VOTED),
            (buyer, seller, 500, PaymentStatus.ABORTED),
            (seller, buyer, 9, PaymentStatus.PROPOSED),
            (seller, buyer, 600, PaymentStatus.ABORTED),
            ("f" * 32, seller, 700, PaymentStatus.COMMITTED),
        ):
            make_promise(payer=payer, payee=payee, amount=amount, status=status)

        assert exposure(buyer) == Exposure(unsettled=0, promised=25)
        assert Exposure(unsettled=5, promised=-9).total == 0


def test_the_limit_is_the_partners_or_else_the_policys(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    buyer, seller = market.buyer.node_id, market.seller.node_id
    with cluster.acting(market.seller):
        SellingPolicy.objects.update(credit_limit=100)
        make_promise(payer=buyer, payee=seller, amount=90, status=PaymentStatus.COMMITTED)

        assert may_owe(buyer, 10, cluster.now) is None
        refused = may_owe(buyer, 11, cluster.now)
        assert refused is not None
        assert refused.code == RejectCode.CREDIT_LIMIT.value == "credit_limit"
        assert str(refused) == (
            f"11 VOID more: {buyer[:8]} owes 90 VOID (0 unsettled, 90 promised), its limit is 100"
        )

        Partner.objects.create(node_id=buyer, credit_limit=95, decided_at=cluster.now)
        assert may_owe(buyer, 5, cluster.now) is None
        assert may_owe(buyer, 6, cluster.now) is not None
        Partner.objects.update(credit_limit=0)
        assert may_owe(buyer, 1, cluster.now) is not None
        Partner.objects.update(credit_limit=None)
        assert may_owe(buyer, 10, cluster.now) is None
