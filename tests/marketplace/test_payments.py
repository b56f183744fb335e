"""Payments under loss, doubling and reordering, and proposals that break a rule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from marketplace.messages import ConsensusAbort, ConsensusPropose, ProposalBody
from marketplace.models import Execution, LedgerEntry, Payment
from marketplace.services import payments
from marketplace.services.certificates import payment_id, proposal_in
from marketplace.services.verifying import verify
from marketplace.states import EntryKind, ExecutionStatus, PaymentStatus
from p2p.models import InboxMessage, OutboxMessage
from p2p.protocol.errors import DomainError
from p2p.registration import number_of
from tests.support.cluster import Cluster, Faults
from tests.support.paying import finish, hired
from tests.support.trading import GRANT, PRICE, Market, total

OTHER = "f" * 32


def proposed(cluster: Cluster) -> tuple[Market, ProposalBody, bytes]:
    """Return a market whose buyer has proposed a payment that nobody has seen yet."""
    market = hired(cluster, count=1, agents=1)
    market.work()
    cluster.step()
    market.gate()
    with cluster.acting(market.buyer):
        frame = bytes(Payment.objects.get().propose_frame)
    return market, proposal_in(frame), frame


def take(market: Market, proposal: ProposalBody, frame: bytes, origin: str = "") -> None:
    with market.cluster.acting(market.seller):
        payments.take_proposal(
            proposal, origin=origin or market.buyer.node_id, frame=frame, now=market.cluster.now
        )


def renamed(proposal: ProposalBody, **fields: Any) -> ProposalBody:
    """Return a proposal with other fields, under the id that belongs to them."""
    changed = replace(proposal, **fields)
    tribute, task = UUID(changed.tribute_id), UUID(changed.task_id)
    return replace(changed, id=payment_id(tribute, task, changed.run).hex)


BREACHES: list[tuple[str, Callable[[ProposalBody], ProposalBody], bool]] = [
    ("8 VOID, the agreed price is 7", lambda p: replace(p, amount=8), True),
    ("0 VOID, the agreed price is 7", lambda p: replace(p, amount=0), True),
    ("run 2 of task", lambda p: renamed(p, run=2), True),
    ("was not done under", lambda p: renamed(p, task_id="a" * 32), True),
    ("is not the one of run 1", lambda p: replace(p, id="b" * 32), False),
    ("tribute", lambda p: renamed(p, tribute_id="c" * 32), False),
    ("is not between the parties", lambda p: replace(p, to_node_id=OTHER), False),
    ("is not between the parties", lambda p: replace(p, from_node_id=OTHER), False),
]


def test_a_proposal_that_breaks_a_rule_is_aborted_and_credits_nothing(cluster: Cluster) -> None:
    market, proposal, frame = proposed(cluster)
    for number, (rule, breach, kept) in enumerate(BREACHES, 1):
        take(market, breach(proposal), frame)
        with cluster.acting(market.seller):
            answers = OutboxMessage.objects.filter(number=number_of(ConsensusAbort))
            assert answers.count() == number
            assert rule in bytes(answers.order_by("-id")[0].frame).decode(), rule
            refused = Payment.objects.filter(id=UUID(breach(proposal).id))
            assert list(refused.values_list("status", flat=True)) == (["aborted"] if kept else [])
            refused.delete()
            assert not LedgerEntry.objects.filter(kind=EntryKind.CREDIT).exists()
            assert Execution.objects.get().status == ExecutionStatus.OPEN


def test_a_stranger_cannot_pay_for_another(cluster: Cluster) -> None:
    market, proposal, frame = proposed(cluster)

    take(market, proposal, frame, origin=OTHER)

    with cluster.acting(market.seller):
        assert not Payment.objects.exists()


@pytest.mark.parametrize("status", [ExecutionStatus.REFUSED, ExecutionStatus.CANCELLED])
def test_an_execution_that_was_not_accepted_is_not_paid(
    cluster: Cluster, status: ExecutionStatus
) -> None:
    market, proposal, frame = proposed(cluster)
    with cluster.acting(market.seller):
        Execution.objects.update(status=status)

    take(market, proposal, frame)
    for _ in range(3):
        cluster.step()

    assert market.wallet(market.seller) == (GRANT, 0)
    assert market.wallet(market.buyer) == (GRANT, 0)
    with cluster.acting(market.buyer):
        assert Payment.objects.get().status == PaymentStatus.ABORTED


def test_a_proposal_that_was_refused_once_stays_refused_when_it_comes_again(
    cluster: Cluster,
) -> None:
    market, proposal, frame = proposed(cluster)
    with cluster.acting(market.seller):
        Execution.objects.update(status=ExecutionStatus.REFUSED)
    take(market, proposal, frame)
    with cluster.acting(market.seller):
        Execution.objects.update(status=ExecutionStatus.OPEN)
        InboxMessage.objects.all().delete()

    take(market, proposal, frame)

    assert total(market.seller, cluster, EntryKind.CREDIT) == 0


def test_a_proposal_that_comes_again_after_all_was_forgotten_is_voted_for_again(
    cluster: Cluster,
) -> None:
    market, proposal, frame = proposed(cluster)
    take(market, proposal, frame)
    with cluster.acting(market.seller):
        vote = bytes(Payment.objects.get().vote_frame)
        InboxMessage.objects.all().delete()

    take(market, proposal, frame)

    with cluster.acting(market.seller):
        assert bytes(Payment.objects.get().vote_frame) == vote
    assert total(market.seller, cluster, EntryKind.CREDIT) == PRICE


def test_of_a_vote_and_an_abort_that_cross_the_first_counts(cluster: Cluster) -> None:
    market, proposal, frame = proposed(cluster)
    take(market, proposal, frame)
    key, seller = UUID(proposal.id), market.seller.node_id
    with cluster.acting(market.seller):
        vote = bytes(Payment.objects.get().vote_frame)
    with cluster.acting(market.buyer):
        payments.take_vote(key, voter=seller, frame=vote, now=cluster.now)
        payments.take_abort(key, origin=seller, reason="late", now=cluster.now)
        assert Payment.objects.get().status == PaymentStatus.COMMITTED
    assert market.wallet(market.buyer) == (GRANT - PRICE, 0)


def test_a_vote_after_the_abort_is_refused_and_moves_nothing(cluster: Cluster) -> None:
    market, proposal, _ = proposed(cluster)
    key, seller = UUID(proposal.id), market.seller.node_id
    with cluster.acting(market.buyer):
        payments.take_abort(key, origin=seller, reason="no", now=cluster.now)
        payments.take_abort(key, origin=seller, reason="no", now=cluster.now)
        with pytest.raises(DomainError) as refused:
            payments.take_vote(key, voter=seller, frame=b"", now=cluster.now)
    assert refused.value.code == "aborted"
    assert market.wallet(market.buyer) == (GRANT, 0)


def test_only_the_parties_can_vote_commit_and_abort(cluster: Cluster) -> None:
    market, proposal, _ = proposed(cluster)
    key = UUID(proposal.id)
    with cluster.acting(market.buyer):
        for act in (
            lambda: payments.take_vote(key, voter=OTHER, frame=b"", now=cluster.now),
            lambda: payments.take_commit(key, origin=OTHER, now=cluster.now),
            lambda: payments.take_abort(key, origin=OTHER, reason="", now=cluster.now),
            lambda: payments.take_commit(key, origin=market.buyer.node_id, now=cluster.now),
        ):
            with pytest.raises(DomainError) as refused:
                act()
            assert refused.value.code == "not_allowed"
        assert Payment.objects.get().status == PaymentStatus.PROPOSED


@pytest.mark.parametrize("seed", range(3))
def test_a_lossy_doubling_reordering_network_pays_each_result_once(
    cluster: Cluster, seed: int
) -> None:
    market = hired(cluster, count=3, agents=3)
    market.work()
    cluster.step()
    cluster.random.seed(seed)
    cluster.faults = Faults(drop=0.4, duplicate=0.4, reorder=True)
    market.gate()
    for _ in range(20):
        cluster.step(7)
        market.check_books()
    cluster.settle(rounds=3)

    assert market.wallet(market.buyer) == (GRANT - 3 * PRICE, 0)
    assert market.wallet(market.seller) == (GRANT + 3 * PRICE, 0)
    for node in (market.buyer, market.seller):
        with cluster.acting(node):
            assert set(Payment.objects.values_list("status", flat=True)) == {"committed"}
            assert verify().difference is None


def test_a_lost_vote_is_repeated_until_it_arrives(cluster: Cluster) -> None:
    market, _, _ = proposed(cluster)
    cluster.step()
    cluster.cut.add(frozenset(("buyer", "seller")))
    for _ in range(3):
        cluster.step(61)
    with cluster.acting(market.buyer):
        assert Payment.objects.get().status == PaymentStatus.PROPOSED
    cluster.cut.clear()
    cluster.now += timedelta(hours=3)
    cluster.settle(rounds=2)

    with cluster.acting(market.buyer):
        assert Payment.objects.get().status == PaymentStatus.COMMITTED
    market.check_books()


def test_payments_of_two_runs_of_a_task_are_two(cluster: Cluster) -> None:
    tribute, task = UUID(int=1), UUID(int=2)
    ids = {payment_id(tribute, task, run) for run in (1, 2)}
    ids.add(payment_id(task, tribute, 1))
    assert len(ids) == 3
    assert payment_id(tribute, task, 1) in ids


def test_a_proposal_names_its_run(cluster: Cluster) -> None:
    market = hired(cluster, count=1, agents=1)
    for node in (market.buyer, market.seller):
        with cluster.acting(node):
            Execution.objects.update(run=2)
    finish(market)

    with cluster.acting(market.seller):
        payment = Payment.objects.get()
        sent = proposal_in(bytes(payment.propose_frame))
    assert (sent.run, payment.status) == (2, PaymentStatus.COMMITTED)
    with cluster.acting(market.buyer):
        row = OutboxMessage.objects.get(number=number_of(ConsensusPropose))
        assert row.outcome == "accepted"
