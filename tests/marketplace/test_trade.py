"""A trade between two simulated nodes, from the offering to both ledgers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings

from marketplace.models import Execution, Offering, Payment, Tribute
from marketplace.services import offerings, reservations, sales, tributes
from marketplace.states import EntryKind, ExecutionStatus, PaymentStatus, TributeStatus
from p2p.protocol.errors import DomainError
from swarm import hooks
from swarm.models import Agent, Attempt, Task
from swarm.queries import idle_agents
from swarm.services import goals
from swarm.services.lifecycle import requeue_task
from swarm.states import TaskStatus
from tests.support.cluster import Cluster
from tests.support.trading import GRANT, PRICE, Market, total


def test_an_offering_reaches_the_other_node(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=3)

    with cluster.acting(market.buyer):
        offering = Offering.objects.get()
        assert (offering.node_id, offering.idle_agents, offering.price_per_task) == (
            market.seller.node_id,
            3,
            PRICE,
        )
        assert offering.capabilities == ["python"]


def test_a_whole_trade_is_paid_once_and_closed_on_both_sides(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=3)
    goal = market.goal(subtasks=2)

    tribute = market.request(goal, count=2)
    assert market.wallet(market.buyer) == (GRANT, 2 * PRICE)
    for _ in range(3):
        cluster.step()
    assert market.tribute(market.buyer, tribute.id).status == TributeStatus.ACCEPTED
    with cluster.acting(market.seller):
        assert idle_agents(cluster.now).count() == 1
    assert market.dispatch() == 2
    cluster.step()
    assert market.work() == 2
    cluster.step()
    assert market.gate() == 2
    for _ in range(4):
        cluster.step()

    assert market.wallet(market.buyer) == (GRANT - 2 * PRICE, 0)
    assert market.wallet(market.seller) == (GRANT + 2 * PRICE, 0)
    for node in (market.buyer, market.seller):
        assert market.tribute(node, tribute.id).status == TributeStatus.COMPLETED
        with cluster.acting(node):
            assert set(Payment.objects.values_list("status", flat=True)) == {
                PaymentStatus.COMMITTED
            }
    hashes = {market.tribute(n, tribute.id).tx_hash for n in (market.buyer, market.seller)}
    assert len(hashes) == 1 and next(iter(hashes)).startswith("0x")
    with cluster.acting(market.seller):
        assert idle_agents(cluster.now).count() == 3
    market.check_books()


def test_a_result_that_is_not_accepted_is_reworked_under_the_same_price(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    goal = market.goal(subtasks=1)
    market.request(goal, count=1)
    for _ in range(3):
        cluster.step()

    for target in (TaskStatus.PENDING, TaskStatus.COMPLETED):
        assert market.dispatch() == 1
        cluster.step()
        assert market.work() == 1
        cluster.step()
        assert market.gate(target) == 1
        for _ in range(4):
            cluster.step()

    assert market.wallet(market.buyer) == (GRANT - PRICE, 0)
    assert market.wallet(market.seller) == (GRANT + PRICE, 0)
    with cluster.acting(market.seller):
        assert [each.status for each in Execution.objects.all()] == [ExecutionStatus.ACCEPTED]
    with cluster.acting(market.buyer):
        task = Task.objects.get(parent__isnull=False)
        assert (task.attempt, task.generation) == (2, 2)
        assert Execution.objects.get().status == ExecutionStatus.ACCEPTED
    market.check_books()


def test_nothing_is_paid_for_work_that_never_passes(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    goal = market.goal(subtasks=1)
    tribute = market.request(goal, count=1)
    for _ in range(3):
        cluster.step()

    for _ in range(3):
        market.dispatch()
        cluster.step()
        market.work(fail=True)
        for _ in range(3):
            cluster.step()

    assert market.wallet(market.buyer) == (GRANT, 0)
    assert market.wallet(market.seller) == (GRANT, 0)
    for node in (market.buyer, market.seller):
        assert market.tribute(node, tribute.id).status == TributeStatus.FAILED
    with cluster.acting(market.buyer):
        task = Task.objects.get(parent__isnull=False)
        assert task.status == TaskStatus.FAILED
        assert "attempt 3 was the last" in task.events.last().reason
        assert Task.objects.get(id=goal.id).status == TaskStatus.FAILED
    market.check_books()


def test_executions_that_a_finished_goal_did_not_use_are_given_back(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=3)
    goal = market.goal(subtasks=1)
    tribute = market.request(goal, count=3)
    for _ in range(3):
        cluster.step()
    market.dispatch()
    cluster.step()
    market.work()
    cluster.step()
    market.gate()
    with cluster.acting(market.buyer):
        goals.cancel_task(goal.id, reason="enough", now=cluster.now)
    for _ in range(4):
        cluster.step()

    assert market.wallet(market.buyer) == (GRANT - PRICE, 0)
    for node in (market.buyer, market.seller):
        ended = market.tribute(node, tribute.id)
        assert (ended.status, ended.released_count) == (TributeStatus.COMPLETED, 2)
    with cluster.acting(market.seller):
        assert not Agent.objects.exclude(reserved_for="").exists()
    market.check_books()


def test_a_request_without_the_funds_holds_and_sends_nothing(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=2)
    goal = market.goal(subtasks=2)
    with cluster.acting(market.seller):
        offerings.start_selling(agents_max=2, price_per_task=600, now=cluster.now)
    cluster.step()

    with pytest.raises(DomainError, match="1200 VOID wanted, 1000 VOID are available") as refused:
        market.request(goal, count=2)

    assert refused.value.code == "insufficient_funds"
    assert market.wallet(market.buyer) == (GRANT, 0)
    with cluster.acting(market.buyer):
        assert not Tribute.objects.exists()


@pytest.mark.parametrize("ended", ["withdrawn", "expired"])
def test_an_offering_that_has_ended_sells_nothing(cluster: Cluster, ended: str) -> None:
    market = Market.open(cluster, agents=2)
    goal = market.goal(subtasks=1)
    if ended == "withdrawn":
        with cluster.acting(market.seller):
            offerings.withdraw_offering(Offering.objects.get().id, now=cluster.now)
        cluster.step()
    else:
        cluster.now += timedelta(seconds=301)

    with pytest.raises(DomainError, match=f"is {ended}") as refused:
        market.request(goal, count=1)

    assert refused.value.code == "offering_gone"
    assert market.wallet(market.buyer) == (GRANT, 0)


def test_more_tasks_than_idle_agents_are_refused_by_buyer_and_seller(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=2)
    goal = market.goal(subtasks=3)
    with pytest.raises(DomainError, match="3 tasks wanted, the offering has 2") as refused:
        market.request(goal, count=3)
    assert refused.value.code == "no_idle_agents"

    tribute = market.request(goal, count=2)
    with cluster.acting(market.seller):
        Agent.objects.filter(name="agent-0").delete()
    for _ in range(3):
        cluster.step()

    rejected = market.tribute(market.buyer, tribute.id)
    assert (rejected.status, rejected.reason_code) == (TributeStatus.REJECTED, "no_idle_agents")
    assert market.wallet(market.buyer) == (GRANT, 0)
    market.check_books()


def test_a_stranger_waits_for_the_operator(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    market.seller.environment = market.seller.environment.model_copy(update={"allow_nodes": ()})
    goal = market.goal(subtasks=1)
    tribute = market.request(goal, count=1)
    for _ in range(3):
        cluster.step()
    assert market.tribute(market.seller, tribute.id).status == TributeStatus.PENDING

    with cluster.acting(market.seller):
        sales.reject_by_operator(tribute.id, reason="who are you", now=cluster.now)
    cluster.step()

    rejected = market.tribute(market.buyer, tribute.id)
    assert (rejected.status, rejected.reason) == (TributeStatus.REJECTED, "who are you")
    assert market.wallet(market.buyer) == (GRANT, 0)


def test_a_request_that_nobody_answers_expires_on_both_sides(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    market.seller.environment = market.seller.environment.model_copy(update={"allow_nodes": ()})
    tribute = market.request(market.goal(subtasks=1), count=1)
    cluster.step()
    cluster.now += timedelta(seconds=tributes.ANSWER_DEADLINE_S)

    for node in (market.buyer, market.seller):
        with cluster.acting(node):
            assert tributes.expire_unanswered(cluster.now) == 1

    for node in (market.buyer, market.seller):
        assert market.tribute(node, tribute.id).status == TributeStatus.EXPIRED
    assert market.wallet(market.buyer) == (GRANT, 0)


def test_an_assignment_after_the_reservation_is_answered_lapsed(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    goal = market.goal(subtasks=1)
    tribute = market.request(goal, count=1)
    for _ in range(3):
        cluster.step()
    cluster.now += timedelta(seconds=61)
    with cluster.acting(market.seller):
        assert reservations.lapse_reservations(cluster.now) == 1

    assert market.dispatch() == 1
    for _ in range(3):
        cluster.step()

    with cluster.acting(market.buyer):
        task = Task.objects.get(parent__isnull=False)
        assert (task.status, task.attempt) == (TaskStatus.PENDING, 0)
        assert Execution.objects.get().status == ExecutionStatus.REFUSED
        assert "is cancelled" in task.events.last().reason
    assert market.tribute(market.seller, tribute.id).reason_code == "lapsed"
    assert market.wallet(market.buyer) == (GRANT, 0)
    market.check_books()


def test_a_second_assignment_beyond_the_tribute_is_refused(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=2)
    goal = market.goal(subtasks=2)
    market.request(goal, count=1)
    for _ in range(3):
        cluster.step()

    assert market.dispatch() == 1
    cluster.step()

    assert market.work() == 1


@pytest.mark.parametrize("seed", range(25))
def test_the_books_add_up_under_loss_duplication_and_reordering(
    cluster: Cluster, seed: int
) -> None:
    cluster.random.seed(seed)
    market = Market.open(cluster, agents=3)
    cluster.faults.drop, cluster.faults.duplicate = 0.3, 0.3
    cluster.faults.reorder = True
    goal = market.goal(subtasks=5)
    market.request(goal, count=3)

    for _ in range(40):
        action = cluster.random.choice(["dispatch", "work", "fail", "gate", "rework", "wait"])
        if action == "dispatch":
            market.dispatch()
        elif action in ("work", "fail"):
            market.work(fail=action == "fail")
        elif action in ("gate", "rework"):
            market.gate(TaskStatus.COMPLETED if action == "gate" else TaskStatus.PENDING)
        cluster.step(seconds=cluster.random.choice([0.5, 3.0, 20.0]))
        market.check_books()
    with cluster.acting(market.buyer):
        if Task.objects.get(id=goal.id).status not in ("completed", "failed"):
            goals.cancel_task(goal.id, reason="the end of the test", now=cluster.now)
    cluster.settle()

    market.check_books()
    captured = total(market.buyer, cluster, EntryKind.CAPTURE)
    assert total(market.seller, cluster, EntryKind.CREDIT) == captured
    assert market.wallet(market.buyer) == (GRANT - captured, 0)
    assert market.wallet(market.seller) == (GRANT + captured, 0)


def test_a_hired_task_that_the_operator_takes_back_stops_at_the_seller_and_is_paid_once(
    cluster: Cluster,
) -> None:
    market = Market.open(cluster, agents=1)
    goal = market.goal(1)
    market.request(goal, 1)
    cluster.settle(1)
    market.dispatch()
    cluster.step()
    with cluster.acting(market.buyer):
        task = Task.objects.get(parent__isnull=False)
        requeue_task(task.id, reason="too slow", now=cluster.now)
    cluster.step()
    cluster.step()
    with cluster.acting(market.seller):
        assert [run.status for run in Attempt.objects.all()] == ["cancelled"]

    market.dispatch()
    cluster.step()
    cluster.step()
    assert market.work() == 1
    cluster.step()
    assert market.gate() == 1
    cluster.settle(3)

    assert market.wallet(market.seller) == (GRANT + PRICE, 0)
    market.check_books()


def test_the_work_of_a_seller_counts_as_a_strangers_unless_the_buyer_vouches_for_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = Market.open(cluster)
    goal = market.goal(2)
    tribute = market.request(goal, 1)
    for _ in range(3):
        cluster.step()
    market.dispatch()
    with cluster.acting(market.buyer):
        hired = goal.subtasks.get(tribute_id=tribute.id)
        assert hooks.tasks_of_strangers(goal.id) == {hired.id}
        assert hooks.tasks_of_strangers(tribute.id) == set()

        # Somebody else goes on with what the seller began.
        goal.subtasks.filter(id=hired.id).update(tribute_id=None)
        assert hooks.tasks_of_strangers(goal.id) == {hired.id}

        trusting = settings.ENVIRONMENT.model_copy(update={"allow_nodes": (market.seller.node_id,)})
        monkeypatch.setattr(settings, "ENVIRONMENT", trusting)
        assert hooks.tasks_of_strangers(goal.id) == set()
