"""Whole trades in which messages come twice, nodes restart, and executions are cancelled."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from marketplace.models import Tribute
from marketplace.services.cancelling import cancel_tribute
from marketplace.states import EntryKind
from swarm.models import Task
from swarm.services import goals
from swarm.states import TaskStatus
from tests.support.bargaining import (
    attempts,
    books,
    bought,
    executions,
    hear_again,
    restart,
)
from tests.support.cluster import Cluster
from tests.support.trading import GRANT, PRICE, Market, total

PAID = ((GRANT - PRICE, 0), (GRANT + PRICE, 0))
UNPAID = ((GRANT, 0), (GRANT, 0))


def wallets(market: Market) -> tuple[tuple[int, int], tuple[int, int]]:
    return market.wallet(market.buyer), market.wallet(market.seller)


def trade(market: Market, after_each: Callable[[], None]) -> None:
    """Trade two subtasks, one with a re-run, and do something after each step."""
    market.request(market.goal(subtasks=2), count=3)
    actions: list[Callable[[], object]] = [
        *[lambda: cluster_step(market)] * 3,
        market.dispatch,
        *[lambda: cluster_step(market)] * 2,
        market.work,
        *[lambda: cluster_step(market)] * 2,
        lambda: market.gate(TaskStatus.PENDING),
        *[lambda: cluster_step(market)] * 2,
        market.dispatch,
        *[lambda: cluster_step(market)] * 2,
        market.work,
        *[lambda: cluster_step(market)] * 2,
        market.gate,
        *[lambda: cluster_step(market)] * 4,
    ]
    for act in actions:
        act()
        after_each()


def cluster_step(market: Market) -> None:
    market.cluster.step(1)


@pytest.mark.parametrize("forgotten", [False, True])
def test_no_message_of_a_trade_moves_anything_a_second_time(
    cluster: Cluster, forgotten: bool
) -> None:
    market = Market.open(cluster, agents=3)
    heard = []

    def listen_again() -> None:
        before = books(market)
        heard.append(hear_again(market, forgotten=forgotten))
        assert books(market) == before

    trade(market, listen_again)

    assert max(heard) >= 20
    assert wallets(market) == ((GRANT - 2 * PRICE, PRICE), (GRANT + 2 * PRICE, 0))
    market.check_books()


@pytest.mark.parametrize("name", ["buyer", "seller"])
def test_a_restart_at_any_point_of_a_trade_changes_nothing(cluster: Cluster, name: str) -> None:
    market = Market.open(cluster, agents=3)
    node = cluster.nodes[name]

    trade(market, lambda: restart(market, node))

    assert wallets(market) == ((GRANT - 2 * PRICE, PRICE), (GRANT + 2 * PRICE, 0))
    assert executions(market, market.buyer) == ["accepted", "accepted"]
    assert attempts(market) == ["succeeded"] * 4
    market.check_books()


@pytest.mark.parametrize("per_run", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_books_add_up_whatever_is_cancelled_lost_or_overtaken(
    cluster: Cluster, seed: int, per_run: bool
) -> None:
    cluster.random.seed(seed)
    market = Market.open(cluster, agents=3)
    cluster.faults.drop, cluster.faults.duplicate = 0.3, 0.3
    cluster.faults.reorder = True
    tribute = bought(market, subtasks=4, count=3, per_run=per_run)
    for _ in range(30):
        act = cluster.random.choice(["dispatch", "work", "fail", "gate", "rework", "cancel"])
        if act == "dispatch":
            market.dispatch()
        elif act in ("work", "fail"):
            market.work(commit=f"{cluster.random.getrandbits(160):040x}", fail=act == "fail")
        elif act in ("gate", "rework"):
            market.gate(TaskStatus.COMPLETED if act == "gate" else TaskStatus.PENDING)
        else:
            cancel_something(market, tribute)
        cluster.step(seconds=cluster.random.choice([0.5, 3.0, 20.0]))
        market.check_books()
    with cluster.acting(market.buyer):
        goal = Task.objects.get(parent__isnull=True)
        if goal.status not in ("completed", "failed"):
            goals.cancel_task(goal.id, reason="the end of the test", now=cluster.now)
    cluster.settle(6)

    market.check_books()
    captured = total(market.buyer, cluster, EntryKind.CAPTURE)
    assert total(market.seller, cluster, EntryKind.CREDIT) == captured
    assert wallets(market) == ((GRANT - captured, 0), (GRANT + captured, 0))
    paid = captured // PRICE
    assert executions(market, market.buyer).count("accepted") == paid
    assert executions(market, market.seller).count("accepted") == paid


def cancel_something(market: Market, tribute: Tribute) -> None:
    """Ask one execution back that the buyer has not seen reported, if any."""
    with market.cluster.acting(market.buyer):
        open_ones = Tribute.objects.get(id=tribute.id).executions.filter(
            status="open", reported_at__isnull=True
        )
        execution = open_ones.first()
        if execution is not None:
            cancel_tribute(
                tribute.id, task_ids=[execution.task_id], reason="late", now=market.cluster.now
            )
