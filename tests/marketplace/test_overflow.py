"""Hiring by itself when own agents are saturated, within a budget and a highest price."""

from __future__ import annotations

from datetime import timedelta

import pytest

from marketplace.models import BuyingPolicy, Offering, Partner, Tribute
from marketplace.services.buying import BUDGET_WINDOW, budget_left
from marketplace.services.overflow import SATURATED_AFTER, buy_overflow
from marketplace.services.sales import reject_by_operator
from marketplace.states import Standing, TributeStatus
from swarm.models import Task
from swarm.services.dispatch import dispatch_ready
from swarm.states import TaskStatus
from tests.support.cluster import Cluster, SimNode
from tests.support.trading import GRANT, PRICE, Market, add_ready_agent


@pytest.fixture
def market(cluster: Cluster) -> Market:
    """A seller of three agents, and a buyer that vouches for it and may spend ten prices a day."""
    made = Market.open(cluster, agents=3)
    made.buyer.environment = made.buyer.environment.model_copy(
        update={"allow_nodes": (made.seller.node_id,)}
    )
    wish(made, overflow=True, budget_per_day=10 * PRICE, price_max=PRICE)
    return made


def wish(market: Market, **columns: object) -> None:
    with market.cluster.acting(market.buyer):
        BuyingPolicy.objects.update_or_create(id=1, defaults=columns)


def buy(market: Market, *, after: timedelta = SATURATED_AFTER) -> int:
    market.cluster.now += after
    with market.cluster.acting(market.buyer):
        return buy_overflow(market.cluster.now)


def bought(market: Market) -> list[tuple[int, str]]:
    with market.cluster.acting(market.buyer):
        rows = Tribute.objects.order_by("created_at")
        assert all(row.overflow for row in rows)
        return [(row.task_count - row.released_count, row.status) for row in rows]


def test_nothing_is_bought_unless_the_owner_wishes_it(market: Market) -> None:
    market.goal(subtasks=2)
    wish(market, overflow=False)
    assert buy(market) == 0
    with market.cluster.acting(market.buyer):
        BuyingPolicy.objects.all().delete()
    assert buy(market) == 0
    assert market.wallet(market.buyer) == (GRANT, 0)


def test_defect_23_overflow_is_bought_done_accepted_and_paid(market: Market) -> None:
    market.goal(subtasks=2)
    assert buy(market, after=SATURATED_AFTER - timedelta(seconds=1)) == 0
    assert buy(market) == 1
    assert buy(market) == 0, "what is on its way is not bought again"
    assert bought(market) == [(2, TributeStatus.PENDING)]

    for _ in range(3):
        market.cluster.step()
    assert buy(market) == 0
    assert market.dispatch() == 2
    market.cluster.step()
    market.work()
    market.cluster.step()
    market.gate()
    market.cluster.settle(2)

    assert bought(market) == [(2, TributeStatus.COMPLETED)]
    assert market.wallet(market.buyer) == (GRANT - 2 * PRICE, 0)
    market.check_books()


def test_only_what_no_own_agent_is_free_for_is_bought(market: Market) -> None:
    market.goal(subtasks=2)
    with market.cluster.acting(market.buyer):
        add_ready_agent("own", market.cluster)
    assert buy(market) == 0, "an own agent is free"
    assert market.dispatch() == 1
    assert buy(market) == 1
    assert bought(market) == [(1, TributeStatus.PENDING)]


def test_what_own_agents_took_after_all_is_given_back(market: Market) -> None:
    market.goal(subtasks=1)
    buy(market)
    for _ in range(3):
        market.cluster.step()
    assert bought(market) == [(1, TributeStatus.ACCEPTED)]
    with market.cluster.acting(market.buyer):
        add_ready_agent("own", market.cluster)
        assert dispatch_ready(market.cluster.now) == 1
    assert buy(market) == 0
    assert bought(market) == [(0, TributeStatus.CANCELLED)]
    assert market.wallet(market.buyer) == (GRANT, 0)
    market.cluster.settle(2)
    with market.cluster.acting(market.seller):
        assert Tribute.objects.get().status == TributeStatus.CANCELLED


def test_the_budget_of_a_day_is_never_exceeded(market: Market) -> None:
    wish(market, budget_per_day=2 * PRICE + 1)
    market.goal(subtasks=3)
    assert buy(market) == 1
    assert bought(market) == [(2, TributeStatus.PENDING)]
    with market.cluster.acting(market.buyer):
        policy = BuyingPolicy.objects.get()
        assert budget_left(policy, market.cluster.now) == 1
        assert budget_left(policy, market.cluster.now + BUDGET_WINDOW) == 2 * PRICE + 1


def test_a_rejected_request_gives_its_budget_back_and_is_not_repeated_at_once(
    market: Market,
) -> None:
    market.goal(subtasks=1)
    market.seller.environment = market.seller.environment.model_copy(update={"allow_nodes": ()})
    buy(market)
    market.cluster.step()
    with market.cluster.acting(market.seller):
        reject_by_operator(Tribute.objects.get().id, reason="not today", now=market.cluster.now)
    market.cluster.step()
    assert bought(market) == [(1, TributeStatus.REJECTED)]
    with market.cluster.acting(market.buyer):
        assert budget_left(BuyingPolicy.objects.get(), market.cluster.now) == 10 * PRICE
    assert buy(market) == 0


@pytest.mark.parametrize(
    ("policy", "standing", "vouched", "expected"),
    [
        ({"price_max": PRICE - 1}, None, True, 0),
        ({"budget_per_day": PRICE - 1}, None, True, 0),
        ({}, None, False, 0),
        ({"strangers": True}, None, False, 1),
        ({}, Standing.APPROVED, False, 1),
        ({"strangers": True}, Standing.BLOCKED, False, 0),
        ({}, Standing.BLOCKED, True, 0),
    ],
)
def test_of_whom_and_for_how_much(
    market: Market,
    policy: dict[str, object],
    standing: Standing | None,
    vouched: bool,
    expected: int,
) -> None:
    wish(market, **policy)
    if not vouched:
        market.buyer.environment = market.buyer.environment.model_copy(update={"allow_nodes": ()})
    if standing:
        decide(market, market.buyer, standing)
    market.goal(subtasks=1)
    assert buy(market) == expected


def decide(market: Market, node: SimNode, standing: Standing) -> None:
    with market.cluster.acting(node):
        Partner.objects.create(
            node_id=market.seller.node_id, standing=standing, decided_at=market.cluster.now
        )


def test_only_offerings_that_can_do_the_work_are_bought(market: Market) -> None:
    market.goal(subtasks=1)
    with market.cluster.acting(market.buyer):
        Task.objects.filter(status=TaskStatus.PENDING, parent__isnull=False).update(
            required_capabilities=["rust"]
        )
    assert buy(market) == 0
    with market.cluster.acting(market.buyer):
        Offering.objects.update(capabilities=["python", "rust"])
    assert buy(market) == 1
