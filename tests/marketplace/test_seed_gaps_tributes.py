"""The original's gaps and roadmap steps that are about tributes, each with a test of its name."""

from __future__ import annotations

from marketplace.messages import TributeAccept, TributeReject, TributeRequest
from marketplace.models import Execution, Tribute
from marketplace.services import sales
from p2p.models import InboxMessage
from p2p.registration import handler_of, number_of, registry
from swarm.messages import TaskComplete
from swarm.models import Attempt, Task
from tests.support.bargaining import bought, ends, executions, hired, pass_on, subtask
from tests.support.cluster import Cluster, SimNode
from tests.support.trading import COMMIT, GRANT, PRICE, Market


def received(market: Market, node: SimNode) -> set[int]:
    """Return the numbers of the messages that a node has taken."""
    with market.cluster.acting(node):
        return set(InboxMessage.objects.filter(accepted=True).values_list("number", flat=True))


def test_gap_3_a_negotiation_is_known_on_both_sides(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=2)
    accepted = bought(market, count=1)
    market.seller.environment = market.seller.environment.model_copy(update={"allow_nodes": ()})
    rejected = market.request(market.goal(subtasks=1), count=1)
    pass_on(market, 2)
    with cluster.acting(market.seller):
        sales.reject_by_operator(rejected.id, reason="busy", now=cluster.now)
    pass_on(market)

    assert ends(market, accepted.id) == ("accepted", "accepted")
    assert ends(market, rejected.id) == ("rejected", "rejected")
    assert number_of(TributeRequest) in received(market, market.seller)
    assert {number_of(TributeAccept), number_of(TributeReject)} <= received(market, market.buyer)


def test_gap_5_an_acceptance_dispatches_the_buyers_tasks(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=2)
    tribute = bought(market, subtasks=3, count=2)

    assert market.dispatch() == 2
    pass_on(market)

    with cluster.acting(market.seller):
        runs = Attempt.objects.filter(tribute_id=tribute.id).order_by("title")
        assert list(runs.values_list("title", flat=True)) == ["Part 1", "Part 2"]
    assert subtask(market, 3).status == "pending"


def test_gap_9_a_result_names_the_commit_that_is_on_the_remote(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    hired(market)
    market.work()
    pass_on(market)

    task = subtask(market)
    assert (task.status, task.commit, task.result) == ("pending_review", COMMIT, "done")
    with cluster.acting(market.buyer):
        report = registry.decode(bytes(Execution.objects.get().report_frame))
    assert isinstance(report, TaskComplete)
    assert (report.commit, report.git_branch) == (COMMIT, task.git_branch)


def test_step_4_request_accept_and_reject_have_handlers_on_the_mesh(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    tribute = market.request(market.goal(subtasks=1), count=1)
    with cluster.acting(market.buyer):
        request = registry.decode(bytes(Tribute.objects.get().request_frame))
    pass_on(market, 3)
    with cluster.acting(market.seller):
        accept = registry.decode(bytes(Tribute.objects.get().answer_frame))

    assert isinstance(request, TributeRequest) and isinstance(accept, TributeAccept)
    assert handler_of(request) is not None and handler_of(accept) is not None
    assert (request.origin, accept.origin) == (market.buyer.node_id, market.seller.node_id)
    assert ends(market, tribute.id) == ("accepted", "accepted")


def test_step_6_tasks_carry_the_tribute_that_pays_for_them(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=1)
    tribute = hired(market)

    assert subtask(market).tribute_id == tribute.id
    with cluster.acting(market.seller):
        attempt = Attempt.objects.get()
        assert (attempt.tribute_id, attempt.agent.name) == (tribute.id, "agent-0")


def test_step_10_a_tribute_completes_when_all_its_tasks_have(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=2)
    tribute = hired(market, subtasks=2, count=2)
    for number in (1, 2):
        with cluster.acting(market.seller):
            market._end(Attempt.objects.get(title=f"Part {number}"), str(number) * 40, False)
        pass_on(market)
        market.gate()
        pass_on(market)
        assert ends(market, tribute.id) == (
            ("accepted",) * 2 if number == 1 else ("completed",) * 2
        )

    assert executions(market, market.seller) == ["accepted", "accepted"]
    assert market.wallet(market.seller) == (GRANT + 2 * PRICE, 0)


def test_defect_22_tributes_are_accepted_and_delegated_work_runs_and_is_paid(
    cluster: Cluster,
) -> None:
    market = Market.open(cluster, agents=1)
    tribute = hired(market)
    with cluster.acting(market.buyer):
        assert Task.objects.get(parent__isnull=False).assigned_agent == "agent-0"
    market.work()
    pass_on(market)
    market.gate()
    pass_on(market)

    assert ends(market, tribute.id) == ("completed", "completed")
    assert market.wallet(market.buyer) == (GRANT - PRICE, 0)
    assert market.wallet(market.seller) == (GRANT + PRICE, 0)
    cluster.close()  # nothing of it is in memory only
    assert ends(market, tribute.id) == ("completed", "completed")
    market.check_books()
