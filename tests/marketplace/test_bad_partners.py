"""What a buyer or a seller that breaks the rules, or is overtaken by its own words, can do."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from marketplace.messages import ConsensusPropose, TributeRequest
from marketplace.models import Execution, Payment, Tribute
from marketplace.services import cancelling, payments, sales
from marketplace.states import EntryKind, ExecutionStatus, PaymentStatus, TributeStatus
from p2p import outbox
from p2p.models import OutboxKind, OutboxMessage
from p2p.protocol.errors import DomainError
from p2p.protocol.signing import open_sealed
from p2p.protocol.timestamps import to_timestamp
from p2p.registration import number_of, registry
from swarm.handlers import on_assign_answered
from swarm.messages import TaskAssign, TaskSpec
from swarm.models import Attempt, Task
from swarm.states import TaskStatus
from tests.support.cluster import NETWORK, Cluster
from tests.support.trading import BASE, GRANT, PRICE, Market, total


def accepted_tribute(market: Market, *, subtasks: int, count: int) -> Tribute:
    """Let the buyer hire `count` executions for a goal and return the tribute."""
    tribute = market.request(market.goal(subtasks=subtasks), count=count)
    for _ in range(3):
        market.cluster.step()
    return tribute


def assign(market: Market, tribute: Tribute, *, attempt: int, generation: int) -> str:
    """Send the first subtask to the seller whatever the buyer's books say; its last answer."""
    with market.cluster.acting(market.buyer):
        task = Task.objects.get(parent__isnull=False, number=1)
        outbox.send_command(
            TaskAssign,
            to_node_id=market.seller.node_id,
            now=market.cluster.now,
            task=TaskSpec(
                id=task.id.hex, title=task.title, repository=task.repository, attempt=attempt
            ),
            base_commit=BASE,
            generation=generation,
            tribute_id=tribute.id.hex,
        )
    for _ in range(2):
        market.cluster.step()
    with market.cluster.acting(market.seller):
        reports = OutboxMessage.objects.filter(kind=OutboxKind.COMMAND).order_by("-id")
        return bytes(reports[0].frame).decode()


def test_an_execution_that_is_paid_is_not_worked_on_again(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=2)
    tribute = accepted_tribute(market, subtasks=2, count=2)
    market.dispatch()
    cluster.step()
    with cluster.acting(market.seller):
        second = Attempt.objects.get(title="Part 2")
        Attempt.objects.filter(id=second.id).update(status="preparing")
    assert market.work() == 1
    cluster.step()
    assert market.gate() == 1
    for _ in range(3):
        cluster.step()
    assert market.tribute(market.seller, tribute.id).status == TributeStatus.ACCEPTED

    answer = assign(market, tribute, attempt=2, generation=2)

    assert '"code":"not_allowed"' in answer and "is already accepted" in answer
    with cluster.acting(market.seller):
        assert Attempt.objects.count() == 2


def test_a_price_covers_three_runs_and_no_more(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    tribute = accepted_tribute(market, subtasks=1, count=1)
    for number in (1, 2, 3):
        assign(market, tribute, attempt=number, generation=number)
        assert market.work(fail=True) == 1

    answer = assign(market, tribute, attempt=4, generation=4)

    assert '"code":"not_allowed"' in answer and "had 3 runs, its price covers 3" in answer
    assert market.work() == 0


@pytest.mark.parametrize("count", [0, 51, 40_000])
def test_a_request_for_no_or_too_many_tasks_is_refused(cluster: Cluster, count: int) -> None:
    market = Market.open(cluster, agents=1)
    tribute = market.request(market.goal(subtasks=1), count=1)
    frame = bytes(market.tribute(market.buyer, tribute.id).request_frame)
    asked = open_sealed(frame, NETWORK, registry).message
    assert isinstance(asked, TributeRequest)
    body = replace(asked.tribute, task_count=count, total_cost=count * PRICE)

    with cluster.acting(market.seller), pytest.raises(DomainError) as refused:
        sales.take_request(body, origin=market.buyer.node_id, frame=frame, now=cluster.now)

    assert str(refused.value) == f"task_count is {count}: 1 to 50 is allowed"


def test_a_stranger_can_leave_so_many_requests_and_for_so_long(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    market.seller.environment = market.seller.environment.model_copy(update={"allow_nodes": ()})
    tribute = market.request(market.goal(subtasks=1), count=1)
    frame = bytes(market.tribute(market.buyer, tribute.id).request_frame)
    asked = open_sealed(frame, NETWORK, registry).message
    assert isinstance(asked, TributeRequest)
    whole_day = to_timestamp(cluster.now + timedelta(days=1))

    def ask(number: int, deadline_at: str = whole_day) -> None:
        body = replace(asked.tribute, id=f"{number:032x}", deadline_at=deadline_at)
        sales.take_request(body, origin=market.buyer.node_id, frame=frame, now=cluster.now)

    with cluster.acting(market.seller):
        with pytest.raises(DomainError, match="is more than 86400 s ahead"):
            ask(0, to_timestamp(cluster.now + timedelta(days=1, seconds=1)))
        for number in range(20):
            ask(number)
        with pytest.raises(DomainError, match=r"20 requests of .* wait, 20 are allowed") as refused:
            ask(20)

        assert refused.value.code == "too_many_requests"
        assert Tribute.objects.count() == 20


def test_a_cancellation_that_was_overtaken_takes_nothing_back(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=3)
    tribute = accepted_tribute(market, subtasks=1, count=3)
    market.dispatch()
    cluster.step()

    with cluster.acting(market.seller):
        for released in (2, 1):
            cancelling.take_cancel(
                tribute.id,
                origin=market.buyer.node_id,
                released_count=released,
                task_ids=[],
                reason="",
                now=cluster.now,
            )

    assert market.tribute(market.seller, tribute.id).released_count == 2


def test_money_that_the_payee_refuses_by_its_answer_goes_back(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = Market.open(cluster, agents=1)
    accepted_tribute(market, subtasks=1, count=1)
    market.dispatch()
    cluster.step()
    market.work()
    cluster.step()

    def refuse(*_: object, **__: object) -> None:
        raise DomainError("not_allowed", "not from you")

    monkeypatch.setattr(payments, "take_proposal", refuse)
    market.gate()
    for _ in range(3):
        cluster.step()

    with cluster.acting(market.buyer):
        payment = Payment.objects.get()
        assert (payment.status, payment.reason) == (PaymentStatus.ABORTED, "not from you")
    assert market.wallet(market.buyer) == (GRANT, 0)
    assert market.wallet(market.seller) == (GRANT, 0)
    market.check_books()


def test_a_payment_cannot_be_proposed_under_the_name_of_another(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=2)
    accepted_tribute(market, subtasks=2, count=2)
    market.dispatch()
    cluster.step()
    market.work()
    cluster.step()
    market.gate()
    for _ in range(3):
        cluster.step()
    assert total(market.seller, cluster, EntryKind.CREDIT) == 2 * PRICE
    with cluster.acting(market.seller):
        first, second = Payment.objects.order_by("execution_id")
        execution_id = second.execution_id
        Execution.objects.filter(id=execution_id).update(status=ExecutionStatus.OPEN)
        proposed = open_sealed(bytes(second.propose_frame), NETWORK, registry).message
        assert isinstance(proposed, ConsensusPropose)
        proposal = replace(proposed.proposal, id=first.id.hex)
        second.delete()

        payments.take_proposal(proposal, origin=market.buyer.node_id, frame=b"", now=cluster.now)

        assert not Payment.objects.filter(execution_id=execution_id).exists()
    assert total(market.seller, cluster, EntryKind.CREDIT) == 2 * PRICE


def test_a_task_that_was_claimed_is_not_taken_back_for_a_lost_answer(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    accepted_tribute(market, subtasks=1, count=1)
    market.dispatch()
    for _ in range(2):
        cluster.step()

    with cluster.acting(market.buyer):
        row = OutboxMessage.objects.get(number=number_of(TaskAssign))
        later = cluster.now + timedelta(seconds=61)
        on_assign_answered(row, False, "expired", "no answer in time", later)

        task = Task.objects.get(parent__isnull=False)
        assert (task.status, task.assigned_agent) == (TaskStatus.CLAIMED, "agent-0")
        assert Execution.objects.get().status == ExecutionStatus.OPEN
