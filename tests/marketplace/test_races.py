"""The rows of the table of races in docs/marketplace.md, on two simulated nodes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings

from marketplace.models import Offering, Tribute
from marketplace.services import cancelling, deadlines, offerings, reservations, sales, tributes
from marketplace.services.cancelling import cancel_tribute
from p2p.models import OutboxMessage
from p2p.protocol.errors import DomainError
from p2p.protocol.numbers import MessageNumber
from swarm.models import Task
from swarm.services import goals
from swarm.states import TaskStatus
from tests.support.bargaining import (
    attempts,
    bought,
    codes,
    ends,
    executions,
    hired,
    pass_on,
    refusals,
    reserved,
    subtask,
    wait,
)
from tests.support.cluster import Cluster
from tests.support.trading import GRANT, PRICE, Market

PAID = ((GRANT - PRICE, 0), (GRANT + PRICE, 0))
UNPAID = ((GRANT, 0), (GRANT, 0))


def wallets(market: Market) -> tuple[tuple[int, int], tuple[int, int]]:
    return market.wallet(market.buyer), market.wallet(market.seller)


def asked_a_stranger(cluster: Cluster) -> tuple[Market, Tribute]:
    """A request that waits for the seller's operator."""
    market = Market.open(cluster, agents=1)
    market.seller.environment = market.seller.environment.model_copy(update={"allow_nodes": ()})
    tribute = market.request(market.goal(subtasks=1), count=1)
    pass_on(market, 2)
    return market, tribute


def test_an_acceptance_that_arrives_after_the_deadline_frees_the_agents(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    tribute = market.request(market.goal(subtasks=1), count=1)
    cluster.step()
    with cluster.acting(market.buyer):
        Tribute.objects.update(deadline_at=cluster.now)
    pass_on(market, 2)
    with cluster.acting(market.buyer):
        tributes.expire_unanswered(cluster.now)
    pass_on(market)

    assert ends(market, tribute.id) == ("expired", "cancelled")
    assert (reserved(market), wallets(market)) == (0, UNPAID)
    assert ("TributeAccept", "expired") in refusals(market, market.buyer)
    market.check_books()


def test_an_operator_that_accepts_after_the_deadline_reserves_nothing(cluster: Cluster) -> None:
    market, tribute = asked_a_stranger(cluster)
    wait(market, tributes.ANSWER_DEADLINE_S)

    with cluster.acting(market.seller):
        assert sales.accept(tribute.id, now=cluster.now).reason_code == "expired"
    pass_on(market)

    assert ends(market, tribute.id) == ("rejected", "rejected")
    assert (reserved(market), wallets(market)) == (0, UNPAID)


def test_an_offering_withdrawn_while_a_request_waits_is_gone(cluster: Cluster) -> None:
    market, tribute = asked_a_stranger(cluster)
    with cluster.acting(market.seller):
        offerings.withdraw_offering(Offering.objects.get().id, now=cluster.now)
        sales.accept_by_operator(tribute.id, now=cluster.now)
    pass_on(market)

    assert market.tribute(market.buyer, tribute.id).reason_code == "offering_gone"
    assert (reserved(market), wallets(market)) == (0, UNPAID)


def test_an_assignment_that_crosses_the_lapse_is_given_to_somebody_else(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    tribute = bought(market, count=1)
    wait(market, 61)
    with cluster.acting(market.seller):
        assert reservations.lapse_reservations(cluster.now) == 1
    assert market.dispatch() == 1
    pass_on(market)

    assert (executions(market, market.buyer), executions(market, market.seller)) == (
        ["refused"],
        [],
    )
    assert ("TaskAssign", "lapsed") in refusals(market, market.seller)
    assert (subtask(market).status, market.dispatch()) == ("pending", 0)
    assert ends(market, tribute.id) == ("failed", "cancelled")
    assert (reserved(market), wallets(market)) == (0, UNPAID)


def test_a_lapse_gives_the_price_back_though_nothing_is_ever_assigned(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=2)
    tribute = bought(market, count=2)
    wait(market, 61)
    with cluster.acting(market.seller):
        reservations.lapse_reservations(cluster.now)
    pass_on(market)

    assert ends(market, tribute.id) == ("cancelled", "cancelled")
    assert wallets(market) == UNPAID


@pytest.mark.parametrize("whole_goal", [True, False])
def test_a_cancellation_that_crosses_the_report_takes_nothing_back(
    cluster: Cluster, whole_goal: bool
) -> None:
    market = Market.open(cluster, agents=1)
    tribute = hired(market)
    task = subtask(market)
    market.work()  # the report is written, and not yet sent
    with cluster.acting(market.buyer):
        if whole_goal:
            goals.cancel_task(task.parent_id, reason="enough", now=cluster.now)
        else:
            cancel_tribute(tribute.id, task_ids=[task.id], reason="late", now=cluster.now)
    assert executions(market, market.buyer) == ["cancelling"]
    assert market.wallet(market.buyer) == (GRANT, PRICE)
    pass_on(market)
    assert ("TributeCancel", "already_reported") in refusals(market, market.seller)
    market.gate()
    pass_on(market)

    assert ends(market, tribute.id) == ("completed", "completed")
    assert wallets(market) == PAID
    market.check_books()


@pytest.mark.parametrize("whole_goal", [True, False])
def test_what_is_taken_back_before_a_report_is_released_and_ended(
    cluster: Cluster, whole_goal: bool
) -> None:
    market = Market.open(cluster, agents=1)
    tribute = hired(market)
    task = subtask(market)
    with cluster.acting(market.buyer):
        if whole_goal:
            goals.cancel_task(task.parent_id, reason="enough", now=cluster.now)
        else:
            cancel_tribute(tribute.id, task_ids=[task.id], reason="late", now=cluster.now)
    assert market.wallet(market.buyer) == (GRANT, PRICE)  # held until the seller has answered
    pass_on(market)

    assert attempts(market) == ["cancelled"]
    assert (executions(market, market.buyer), executions(market, market.seller)) == (
        ["cancelled"],
        ["cancelled"],
    )
    assert ends(market, tribute.id) == ("cancelled", "cancelled")
    assert subtask(market).status == ("cancelled" if whole_goal else "pending")
    assert (reserved(market), wallets(market)) == (0, UNPAID)
    assert (market.work(), market.dispatch()) == (0, 0)


def test_a_cancellation_that_crosses_the_acceptance_frees_the_agents(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=2)
    tribute = market.request(market.goal(subtasks=1), count=2)
    cluster.step()  # the request arrives and is accepted
    assert reserved(market) == 2
    with cluster.acting(market.buyer):
        cancel_tribute(tribute.id, reason="enough", now=cluster.now)
    pass_on(market)

    assert ends(market, tribute.id) == ("cancelled", "cancelled")
    assert (reserved(market), wallets(market)) == (0, UNPAID)


def test_a_seller_that_cancels_while_it_is_assigned_gets_no_work(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=2)
    tribute = bought(market, subtasks=1, count=2)
    with cluster.acting(market.seller):
        cancel_tribute(tribute.id, reason="the agents are needed", now=cluster.now)
    assert market.dispatch() == 1
    pass_on(market)

    assert attempts(market) == []
    assert (executions(market, market.buyer), reserved(market)) == (["refused"], 0)
    assert market.tribute(market.buyer, tribute.id).released_count == 1
    assert ends(market, tribute.id) == ("failed", "cancelled")
    assert wallets(market) == UNPAID


def test_a_seller_cannot_cancel_what_it_was_assigned(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    tribute = hired(market)

    with cluster.acting(market.seller), pytest.raises(DomainError) as refused:
        cancel_tribute(tribute.id, reason="tired", now=cluster.now)

    assert refused.value.code == "already_assigned"


def test_a_cancellation_that_overtakes_its_assignment_is_kept_by_the_seller(
    cluster: Cluster,
) -> None:
    market = Market.open(cluster, agents=1)
    tribute = bought(market, count=1)
    market.dispatch()
    with cluster.acting(market.buyer):
        task = Task.objects.get(parent__isnull=False)
        cancel_tribute(tribute.id, task_ids=[task.id], reason="late", now=cluster.now)
    cluster.collect()
    cluster._flying.reverse()
    cluster.deliver()
    pass_on(market)

    assert attempts(market) == []
    assert (executions(market, market.buyer), executions(market, market.seller)) == (
        ["cancelled"],
        ["cancelled"],
    )
    assert ends(market, tribute.id) == ("cancelled", "cancelled")
    assert (reserved(market), wallets(market)) == (0, UNPAID)


def test_a_cancellation_that_overtakes_the_verdict_on_a_report_is_asked_again(
    cluster: Cluster,
) -> None:
    """Found by the market's machine: the price stayed held until the work deadline."""
    market = Market.open(cluster, agents=1)
    tribute = hired(market)
    market.work()
    pass_on(market)
    market.gate(TaskStatus.PENDING)
    with cluster.acting(market.buyer):
        verdict = OutboxMessage.objects.filter(number=MessageNumber.TRIBUTE_VERDICT)
        held_back = verdict.get()
        verdict.update(due_at=cluster.now + timedelta(seconds=30))
    market.dispatch()
    with cluster.acting(market.buyer):
        goals.cancel_task(tribute.goal_id, reason="enough", now=cluster.now)
    pass_on(market)
    assert executions(market, market.buyer) == ["open"]
    assert held_back.to_node_id == market.seller.node_id

    wait(market, 61)
    with cluster.acting(market.buyer):
        assert cancelling.ask_again(cluster.now) == 1
        assert cancelling.ask_again(cluster.now) == 0
    pass_on(market)

    assert ends(market, tribute.id) == ("cancelled", "cancelled")
    assert (reserved(market), wallets(market)) == (0, UNPAID)


def test_a_refusal_of_what_never_arrived_settles_it_at_the_seller(cluster: Cluster) -> None:
    """Found by the market's machine: the sale stayed open until its work deadline."""
    market = Market.open(cluster, agents=2)
    tribute = bought(market, count=2, subtasks=2)
    market.dispatch()
    with cluster.acting(market.buyer):
        assigned = OutboxMessage.objects.filter(number=MessageNumber.TASK_ASSIGN)
        assigned.latest("id").delete()  # lost for good
    pass_on(market)
    with cluster.acting(market.buyer):
        lost = Task.objects.filter(git_branch="", assigned_node=market.seller.node_id)
        assert lost.update(attempt=3, lease_expires_at=cluster.now) == 1
        assert goals.requeue_lapsed(cluster.now) == 1
    pass_on(market)
    assert (executions(market, market.buyer), executions(market, market.seller)) == (
        ["open", "refused"],
        ["open", "refused"],
    )
    market.work()
    pass_on(market)
    market.gate()
    pass_on(market, 4)

    assert ends(market, tribute.id) == ("completed", "completed")
    assert (reserved(market), wallets(market)) == (0, PAID)


@pytest.mark.parametrize("shown", ["", "the remote shows no such branch"])
def test_a_goal_cancelled_after_the_report_pays_what_the_remote_shows(
    cluster: Cluster, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marketplace.jobs.objection_of_remote", lambda *_: shown)
    market = Market.open(cluster, agents=1)
    tribute = hired(market)
    market.work()
    pass_on(market)
    with cluster.acting(market.buyer):
        goals.cancel_task(subtask(market).parent_id, reason="enough", now=cluster.now)
    pass_on(market)

    bought_one = market.tribute(market.buyer, tribute.id)
    with cluster.acting(market.buyer):
        reason = bought_one.executions.get().reason
    if shown:
        assert (wallets(market), ends(market, tribute.id)) == (UNPAID, ("failed", "failed"))
        assert reason == shown
    else:
        assert (wallets(market), ends(market, tribute.id)) == (PAID, ("completed", "completed"))
        assert reason == "cancelled after the report: the remote shows cccccccc"
    market.check_books()


def test_what_is_not_reported_by_the_work_deadline_ends_on_both_sides(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=3)
    tribute = hired(market, subtasks=2, count=3)
    wait(market, settings.ENVIRONMENT.work_deadline_s)
    market.work(commit="d" * 40)  # reported, but too late
    for node in (market.buyer, market.seller):
        with cluster.acting(node):
            assert deadlines.end_overdue(cluster.now) == 1
    pass_on(market)

    assert codes(refusals(market, market.buyer)) == ["expired", "expired"]
    assert executions(market, market.buyer) == ["cancelled", "cancelled"]
    assert executions(market, market.seller) == ["refused", "refused"]
    assert market.tribute(market.buyer, tribute.id).released_count == 1
    assert (reserved(market), wallets(market)) == (0, UNPAID)
    assert (subtask(market).status, market.dispatch()) == ("pending", 0)
    for node in (market.buyer, market.seller):
        with cluster.acting(node):
            assert deadlines.end_overdue(cluster.now) == 0
    market.check_books()


def test_a_silent_seller_is_released_at_the_work_deadline(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    tribute = hired(market)
    cluster.cut = {frozenset(("buyer", "seller"))}
    with cluster.acting(market.buyer):
        goals.cancel_task(subtask(market).parent_id, reason="enough", now=cluster.now)
    pass_on(market)
    assert market.wallet(market.buyer) == (GRANT, PRICE)
    wait(market, settings.ENVIRONMENT.work_deadline_s)
    with cluster.acting(market.buyer):
        deadlines.end_overdue(cluster.now)
    assert (executions(market, market.buyer), wallets(market)) == (["cancelled"], UNPAID)

    cluster.cut = set()
    pass_on(market)
    wait(market, 100)
    pass_on(market)
    assert attempts(market) == ["cancelled"]
    assert ends(market, tribute.id)[0] == "cancelled"
