"""What is paid under a tribute and what is not: policies, lying sellers, and one payer only."""

from __future__ import annotations

from uuid import uuid4

import pytest
from msgspec.structs import replace

from marketplace.messages import TributeCancel, TributeRequest, TributeVerdict
from marketplace.models import Execution, Tribute
from marketplace.services import sales
from marketplace.services.cancelling import cancel_tribute
from marketplace.services.tributes import request_tribute
from p2p import outbox
from p2p.models import OutboxKind, OutboxMessage
from p2p.protocol.errors import DomainError
from p2p.protocol.signing import open_sealed
from p2p.registration import registry
from swarm.messages import TaskAssign, TaskSpec
from swarm.models import Attempt, Task
from swarm.services import goals
from swarm.services.transitions import move_task
from swarm.states import Actor, TaskStatus
from tests.support.bargaining import (
    attempts,
    bought,
    codes,
    ends,
    executions,
    hired,
    pass_on,
    refusals,
    subtask,
)
from tests.support.cluster import NETWORK, Cluster, SimNode
from tests.support.trading import GRANT, PRICE, Market


def test_a_part_that_is_done_is_paid_and_the_rest_is_given_back(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=3)
    tribute = hired(market, subtasks=2, count=3)
    with cluster.acting(market.seller):
        market._end(Attempt.objects.get(title="Part 1"), "1" * 40, False)
    pass_on(market)
    market.gate()
    pass_on(market)
    with cluster.acting(market.buyer):
        goals.cancel_task(subtask(market).parent_id, reason="enough", now=cluster.now)
    pass_on(market)

    assert executions(market, market.buyer) == ["accepted", "cancelled"]
    assert executions(market, market.seller) == ["accepted", "cancelled"]
    assert ends(market, tribute.id) == ("completed", "completed")
    assert market.wallet(market.buyer) == (GRANT - PRICE, 0)
    assert market.wallet(market.seller) == (GRANT + PRICE, 0)
    market.check_books()


def test_a_paid_run_is_paid_though_the_tests_are_red_and_a_re_run_needs_another_execution(
    cluster: Cluster,
) -> None:
    market = Market.open(cluster, agents=2)
    tribute = hired(market, subtasks=1, count=2, per_run=True)
    for number in (1, 2):
        market.work(commit=str(number) * 40)
        pass_on(market)
        with cluster.acting(market.buyer):
            _verify_then_red(cluster)
        pass_on(market)
        assert market.wallet(market.seller) == (GRANT + number * PRICE, 0)
        assert market.dispatch() == (1 if number == 1 else 0)
        pass_on(market)

    with cluster.acting(market.buyer):
        assert list(Execution.objects.order_by("id").values_list("run", "status")) == [
            (1, "accepted"),
            (2, "accepted"),
        ]
    assert ends(market, tribute.id) == ("completed", "completed")
    assert subtask(market).status == TaskStatus.PENDING
    market.check_books()


def test_a_run_without_a_commit_is_not_paid_under_the_policy_execution(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    tribute = hired(market, per_run=True)
    market.work(fail=True)
    pass_on(market)

    assert ends(market, tribute.id) == ("failed", "failed")
    assert market.wallet(market.buyer) == (GRANT, 0)
    assert market.dispatch() == 0


def test_both_sides_keep_the_signed_report(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    hired(market)
    market.work()
    pass_on(market)

    kept = []
    for node in (market.buyer, market.seller):
        with cluster.acting(node):
            execution = Execution.objects.get()
            assert execution.reported_at is not None
            kept.append(bytes(execution.report_frame))
    assert kept[0] == kept[1]
    report = open_sealed(kept[0], NETWORK, registry).message
    assert (report.origin, report.commit) == (market.seller.node_id, "c" * 40)


def test_each_step_of_a_tribute_is_told_with_the_whole_of_it(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    hired(market)
    market.work()
    pass_on(market)
    market.gate()
    pass_on(market)

    assert _told(market, market.buyer) == [
        *("requested", "accepted", "execution_reported", "execution_accepted"),
        *("completed", "paid"),
    ]
    assert _told(market, market.seller) == [
        *("requested", "accepted", "assigned", "execution_reported", "execution_accepted"),
        *("verdict_accepted", "completed", "paid"),
    ]


def test_only_the_requester_assigns_cancels_judges_and_pays(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=2)
    tribute = bought(market, subtasks=1, count=2)
    third = cluster.add("third")
    with cluster.acting(third):
        for command, fields in (
            (TributeCancel, {"released_count": 2, "task_ids": [], "reason": "mine"}),
            (TributeVerdict, {"task_id": uuid4().hex, "run": 1, "verdict": "refused"}),
        ):
            outbox.send_command(
                command,
                to_node_id=market.seller.node_id,
                now=cluster.now,
                tribute_id=tribute.id.hex,
                **fields,
            )
    pass_on(market, 2)

    assert refusals(market, market.seller) == [
        ("TributeCancel", "not_allowed"),
        ("TributeVerdict", "not_allowed"),
    ]
    assert ends(market, tribute.id) == ("accepted", "accepted")
    with cluster.acting(third), pytest.raises(DomainError):
        cancel_tribute(tribute.id, reason="mine", now=cluster.now)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"task_count": 0, "total_cost": 0}, "bad_count"),
        ({"task_count": 51, "total_cost": 51 * PRICE}, "bad_count"),
        ({"task_count": 2, "total_cost": 2 * PRICE + 1}, "bad_count"),
        ({"from_node_id": "a" * 32}, "not_allowed"),
        ({"to_node_id": "a" * 32}, "not_allowed"),
        ({"work_deadline_at": "2025-01-01T00:00:00Z"}, "bad_deadline"),
    ],
)
def test_a_request_that_cannot_be_is_refused_with_a_code_and_kept(
    cluster: Cluster, change: dict[str, object], code: str
) -> None:
    market = Market.open(cluster, agents=3)
    _request(market, **change)

    assert refusals(market, market.seller) == [("TributeRequest", code)]
    with cluster.acting(market.seller):
        assert not Tribute.objects.exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"total_cost": PRICE - 1}, "wrong_price"),
        ({"total_cost": 0}, "wrong_price"),
        ({"policy": "execution"}, "wrong_policy"),
        ({"offering_id": "0" * 32}, "offering_gone"),
        ({"repository": "ext::sh"}, "bad_repository"),
    ],
)
def test_a_request_on_other_terms_is_rejected_with_a_code(
    cluster: Cluster, change: dict[str, object], code: str
) -> None:
    market = Market.open(cluster, agents=3)
    _request(market, **change)

    with cluster.acting(market.seller):
        assert [each.reason_code for each in Tribute.objects.all()] == [code]


def test_unknown_assignments_verdicts_and_acceptances_are_refused_and_kept(
    cluster: Cluster,
) -> None:
    market = Market.open(cluster, agents=1)
    tribute = hired(market)
    with cluster.acting(market.seller):
        accepts = OutboxMessage.objects.filter(kind=OutboxKind.COMMAND).order_by("id")
        frame = bytes(accepts.first().frame)
        accept = open_sealed(frame, NETWORK, registry).message
        outbox.send_command(
            type(accept),
            to_node_id=market.buyer.node_id,
            now=cluster.now,
            tribute_id=accept.tribute_id,
            tx_hash=accept.tx_hash,
            reserved_until=accept.reserved_until,
        )
    with cluster.acting(market.buyer):
        outbox.send_command(
            TributeVerdict,
            to_node_id=market.seller.node_id,
            now=cluster.now,
            tribute_id=tribute.id.hex,
            task_id=uuid4().hex,
            run=1,
            verdict="accepted",
        )
    pass_on(market, 2)

    assert codes(refusals(market, market.buyer)) == ["wrong_state"]
    assert refusals(market, market.seller) == [("TributeVerdict", "not_allowed")]
    assert attempts(market) == ["queued"]


def test_an_assignment_that_nobody_holds_money_for_is_refused_and_kept(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    market.seller.environment = market.seller.environment.model_copy(update={"allow_nodes": ()})
    waiting = market.request(market.goal(subtasks=1), count=1)
    pass_on(market, 2)
    with cluster.acting(market.buyer):
        for generation, tribute_id in enumerate((uuid4().hex, waiting.id.hex), 1):
            outbox.send_command(
                TaskAssign,
                to_node_id=market.seller.node_id,
                now=cluster.now,
                task=TaskSpec(
                    id=uuid4().hex, title="Part", repository="/srv/remote.git", attempt=1
                ),
                base_commit="b" * 40,
                generation=generation,
                tribute_id=tribute_id,
            )
    pass_on(market, 2)

    assert refusals(market, market.seller) == [
        ("TaskAssign", "not_allowed"),
        ("TaskAssign", "lapsed"),
    ]
    assert attempts(market) == []


def test_a_node_buys_nothing_from_itself(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    own = market.seller.node_id
    frame = _frame(market)
    with cluster.acting(market.seller):
        body = replace(frame.tribute, from_node_id=own, to_node_id=own)
        with pytest.raises(DomainError, match="does not buy from itself"):
            sales.take_request(body, origin=own, frame=b"", now=cluster.now)
        offering_id = sales.Offering.objects.get().id
        with pytest.raises(DomainError) as refused:
            request_tribute(offering_id=offering_id, task_count=1, goal_id=uuid4(), now=cluster.now)
    assert refused.value.code == "own_offering"


def _frame(market: Market) -> TributeRequest:
    """A request of the buyer that the seller has not got, with its hold given back."""
    tribute = market.request(market.goal(subtasks=1), count=1)
    with market.cluster.acting(market.buyer):
        OutboxMessage.objects.filter(kind=OutboxKind.COMMAND).delete()
        message = open_sealed(bytes(tribute_frame(tribute)), NETWORK, registry).message
        cancel_tribute(tribute.id, reason="only the text of it", now=market.cluster.now)
        OutboxMessage.objects.filter(kind=OutboxKind.COMMAND).delete()
    return message  # type: ignore[no-any-return]


def tribute_frame(tribute: Tribute) -> bytes:
    return bytes(Tribute.objects.get(id=tribute.id).request_frame)


def _request(market: Market, **change: object) -> None:
    """Send the seller a request with other fields than the buyer's services would write."""
    body = replace(_frame(market).tribute, **change)
    with market.cluster.acting(market.buyer):
        outbox.send_command(
            TributeRequest, to_node_id=market.seller.node_id, now=market.cluster.now, tribute=body
        )
    pass_on(market, 2)


def _told(market: Market, node: SimNode) -> list[str]:
    with market.cluster.acting(node):
        events = [row.event for row in OutboxMessage.objects.filter(kind=OutboxKind.EVENT)]
    told = [each for each in events if each["type"] == "tribute_update"]
    assert all(set(each["tribute"]) >= {"id", "status", "executions"} for each in told)
    return [each["event"] for each in told]


def _verify_then_red(cluster: Cluster) -> None:
    task = Task.objects.get(status=TaskStatus.PENDING_REVIEW)
    move_task(task.id, TaskStatus.MERGING, by=Actor.GATE, reason="shown", now=cluster.now)
    _red(Task.objects.get(id=task.id), cluster)


def _red(task: Task, cluster: Cluster) -> None:
    goals.requeue_or_fail(
        task, by=Actor.GATE, reason="red", feedback="red", evidence={}, now=cluster.now
    )
