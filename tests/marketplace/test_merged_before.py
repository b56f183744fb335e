"""A hired task whose result an emperor before had merged: whose commit it was is paid."""

from __future__ import annotations

import pytest

from marketplace.models import Execution
from marketplace.states import ExecutionStatus
from swarm.models import Attempt, Task
from swarm.services.transitions import move_task
from swarm.states import Actor, AttemptStatus, TaskStatus
from tests.support.cluster import Cluster
from tests.support.trading import COMMIT, GRANT, PRICE, Market

OTHER = "d" * 40


@pytest.mark.parametrize(
    ("reported", "merged", "paid"),
    [(True, COMMIT, True), (True, OTHER, False), (False, OTHER, False)],
)
def test_only_the_commit_that_was_merged_is_paid(
    reported: bool, merged: str, paid: bool, cluster: Cluster
) -> None:
    market = Market.open(cluster)
    market.request(market.goal(subtasks=1), count=1)
    for _ in range(3):
        cluster.step()
    assert market.dispatch() == 1
    cluster.step()
    if reported:
        market.work()
        cluster.step()

    with cluster.acting(market.buyer):
        task = Task.objects.get(parent__isnull=False)
        assert task.status == (TaskStatus.PENDING_REVIEW if reported else TaskStatus.CLAIMED)
        move_task(
            task.id,
            TaskStatus.COMPLETED,
            by=Actor.GATE,
            reason="merged before",
            now=cluster.now,
            evidence={"pushed_by": "a" * 32},
            commit=merged,
        )
    for _ in range(6):
        cluster.step()

    price = PRICE if paid else 0
    assert market.wallet(market.buyer) == (GRANT - price, 0)
    assert market.wallet(market.seller) == (GRANT + price, 0)
    expected = ExecutionStatus.ACCEPTED if paid else ExecutionStatus.REFUSED
    for node in (market.buyer, market.seller):
        with cluster.acting(node):
            status = Execution.objects.get().status
            assert status == (expected if reported else ExecutionStatus.CANCELLED)
    with cluster.acting(market.seller):
        ended = AttemptStatus.SUCCEEDED if reported else AttemptStatus.CANCELLED
        assert Attempt.objects.get().status == ended
    market.check_books()
