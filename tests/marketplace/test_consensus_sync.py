"""CONSENSUS_SYNC: after lost messages or an old backup both parties book the same payments."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from marketplace.messages import (
    Certificate,
    ConsensusPropose,
    ConsensusSyncReq,
    ConsensusSyncRsp,
    PaymentHeld,
)
from marketplace.models import Execution, LedgerEntry, Payment, Tribute
from marketplace.services import catching_up, payments, recovering, wallet
from marketplace.states import EntryKind, ExecutionStatus, PaymentStatus
from p2p import outbox
from p2p.models import OutboxMessage
from p2p.nodes import node_up
from p2p.protocol.errors import DomainError
from p2p.protocol.signing import open_sealed
from p2p.registration import registry
from tests.support.backups import back_up, restore
from tests.support.cluster import NETWORK, Cluster
from tests.support.paying import finish, hired, meet, sent, statuses
from tests.support.trading import GRANT, PRICE, Market


def certificates(market: Market) -> list[Certificate]:
    """Return the certificates that the seller holds."""
    with market.cluster.acting(market.seller):
        return [
            Certificate(
                propose=bytes(row.propose_frame).decode(),
                vote=bytes(row.vote_frame).decode(),
                stage="committed",
            )
            for row in Payment.objects.order_by("id")
        ]


@pytest.mark.parametrize("asker", ["buyer", "seller"])
def test_a_payer_restored_from_a_backup_captures_again_from_its_own_signature(
    cluster: Cluster, asker: str
) -> None:
    market = hired(cluster)
    backup = back_up(market.buyer)
    finish(market)
    restore(market.buyer, backup)
    assert market.wallet(market.buyer) == (GRANT, 2 * PRICE)

    sides = [market.buyer, market.seller]
    meet(market, *(sides if asker == "buyer" else sides[::-1]))
    meet(market, *(sides[::-1] if asker == "buyer" else sides))

    assert market.wallet(market.buyer) == (GRANT - 2 * PRICE, 0)
    assert statuses(cluster, market.buyer) == [PaymentStatus.COMMITTED] * 2
    with cluster.acting(market.buyer):
        assert set(Execution.objects.values_list("status", flat=True)) == {ExecutionStatus.ACCEPTED}
        assert Tribute.objects.get().status == "completed"
    market.check_books()


def test_a_payer_restored_to_before_the_deal_books_it_all_the_same(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=2)
    backup = back_up(market.buyer)
    market.request(market.goal(subtasks=2), count=2)
    for _ in range(3):
        cluster.step()
    market.dispatch()
    cluster.step()
    finish(market)
    restore(market.buyer, backup)
    assert market.wallet(market.buyer) == (GRANT, 0)

    meet(market, market.seller, market.buyer)

    assert market.wallet(market.buyer) == (GRANT - 2 * PRICE, 0)
    with cluster.acting(market.buyer):
        kinds = list(LedgerEntry.objects.order_by("id").values_list("kind", flat=True))
        assert kinds == ["grant", "hold", "capture", "hold", "capture"]
        assert set(Payment.objects.values_list("execution", flat=True)) == {None}
    market.check_books()


def test_a_payee_restored_to_before_the_deal_credits_again_from_both_signatures(
    cluster: Cluster,
) -> None:
    market = Market.open(cluster, agents=2)
    backup = back_up(market.seller)
    market.request(market.goal(subtasks=2), count=2)
    for _ in range(3):
        cluster.step()
    market.dispatch()
    cluster.step()
    finish(market)
    restore(market.seller, backup)
    assert market.wallet(market.seller) == (GRANT, 0)

    meet(market, market.buyer, market.seller)

    assert market.wallet(market.seller) == (GRANT + 2 * PRICE, 0)
    assert statuses(cluster, market.seller) == [PaymentStatus.COMMITTED] * 2
    market.check_books()


def test_a_payee_restored_in_the_middle_settles_its_tribute_too(cluster: Cluster) -> None:
    market = hired(cluster)
    backup = back_up(market.seller)
    finish(market)
    restore(market.seller, backup)

    meet(market, market.seller, market.buyer)
    meet(market, market.buyer, market.seller)

    assert market.wallet(market.seller) == (GRANT + 2 * PRICE, 0)
    with cluster.acting(market.seller):
        assert Tribute.objects.get().status == "completed"
    market.check_books()


def test_a_payee_that_refused_what_it_had_voted_for_believes_its_own_vote(
    cluster: Cluster,
) -> None:
    """A restored payee does not know its vote, whose signature the payer has."""
    market = hired(cluster)
    backup = back_up(market.seller)
    finish(market)
    restore(market.seller, backup)
    with cluster.acting(market.buyer):
        frames = [bytes(row.propose_frame) for row in Payment.objects.order_by("id")]
    with cluster.acting(market.seller):
        Execution.objects.update(status=ExecutionStatus.CANCELLED)
        for frame in frames:
            message = open_sealed(frame, NETWORK, registry).message
            assert isinstance(message, ConsensusPropose)
            payments.take_proposal(
                message.proposal, origin=market.buyer.node_id, frame=frame, now=cluster.now
            )
    for _ in range(3):
        cluster.step()
    assert statuses(cluster, market.seller) == [PaymentStatus.ABORTED] * 2
    assert statuses(cluster, market.buyer) == [PaymentStatus.COMMITTED] * 2

    meet(market, market.seller, market.buyer)

    assert statuses(cluster, market.seller) == [PaymentStatus.COMMITTED] * 2
    assert market.wallet(market.seller) == (GRANT + 2 * PRICE, 0)
    market.check_books()


def test_a_restored_payer_that_decides_once_more_pays_once(cluster: Cluster) -> None:
    market = hired(cluster, count=1, agents=1)
    market.work()
    cluster.step()
    backup = back_up(market.buyer)
    market.gate()
    for _ in range(4):
        cluster.step()
    restore(market.buyer, backup)

    market.gate()
    for _ in range(4):
        cluster.step()

    assert market.wallet(market.buyer) == (GRANT - PRICE, 0)
    assert market.wallet(market.seller) == (GRANT + PRICE, 0)
    assert statuses(cluster, market.buyer) == [PaymentStatus.COMMITTED]
    market.check_books()


def test_two_nodes_that_agree_exchange_one_request_and_no_frames(cluster: Cluster) -> None:
    market = hired(cluster)
    finish(market)

    meet(market, market.buyer, market.seller)

    assert sent(cluster, market.buyer, ConsensusSyncReq) == 1
    assert sent(cluster, market.seller, ConsensusSyncReq) == 0
    assert sent(cluster, market.seller, ConsensusSyncRsp) == 0


def test_partners_are_asked_again_after_ten_minutes_and_not_before(cluster: Cluster) -> None:
    market = hired(cluster)
    finish(market)
    with cluster.acting(market.buyer):
        node_up(
            node_id=market.seller.node_id,
            swarm="s",
            role="worker",
            addresses=[],
            http_port=0,
            now=cluster.now,
        )
    asked = []
    for seconds in (1, 598, 2):
        cluster.step(seconds)
        with cluster.acting(market.buyer):
            catching_up.compare_again(cluster.now)
        asked.append(sent(cluster, market.buyer, ConsensusSyncReq))

    assert asked == [1, 1, 2]


def test_a_third_party_learns_nothing(cluster: Cluster) -> None:
    market = hired(cluster)
    finish(market)
    stranger = cluster.add("stranger")
    frames = certificates(market)
    with cluster.acting(market.seller):
        ids = [key.hex for key in Payment.objects.values_list("id", flat=True)]

    def ask(held: list[PaymentHeld]) -> OutboxMessage:
        with cluster.acting(stranger):
            row = outbox.send_command(
                ConsensusSyncReq,
                to_node_id=market.seller.node_id,
                now=cluster.now,
                prefix="",
                held=held,
                digests=[],
                returned=True,
            )
        for _ in range(2):
            cluster.step()
        with cluster.acting(stranger):
            return OutboxMessage.objects.get(id=row.id)

    assert ask([]).outcome == "not_a_party"
    assert ask([PaymentHeld(id=key, stage="proposed") for key in ids]).outcome == "accepted"
    assert sent(cluster, market.seller, ConsensusSyncRsp) == 0
    with cluster.acting(stranger), pytest.raises(DomainError) as refused:
        recovering.take_certificate(frames[0], origin=market.seller.node_id, now=cluster.now)
    assert refused.value.code == "not_a_party"


def test_a_certificate_that_does_not_prove_itself_books_nothing(cluster: Cluster) -> None:
    market = Market.open(cluster, agents=2)
    backup = back_up(market.buyer)
    market.request(market.goal(subtasks=2), count=2)
    for _ in range(3):
        cluster.step()
    market.dispatch()
    cluster.step()
    finish(market)
    first, second = certificates(market)
    restore(market.buyer, backup)
    forged = [
        replace(first, vote=second.vote),
        replace(first, propose=first.propose.replace('"amount":7', '"amount":8')),
        replace(first, propose=first.vote),
        replace(first, vote=first.propose),
        replace(first, propose="no frame at all"),
    ]

    with cluster.acting(market.buyer):
        for certificate in forged:
            with pytest.raises(DomainError) as refused:
                recovering.take_certificate(
                    certificate, origin=market.seller.node_id, now=cluster.now
                )
            assert refused.value.code == "not_certified"
        unsigned = replace(first, vote="")
        assert not recovering.take_certificate(
            unsigned, origin=market.seller.node_id, now=cluster.now
        )
        assert not Payment.objects.exists()
    assert market.wallet(market.buyer) == (GRANT, 0)


def test_a_promise_beyond_the_restored_balance_is_kept_and_covered_by_later_income(
    cluster: Cluster,
) -> None:
    market = Market.open(cluster, agents=2)
    backup = back_up(market.buyer)
    market.request(market.goal(subtasks=2), count=2)
    for _ in range(3):
        cluster.step()
    market.dispatch()
    cluster.step()
    finish(market)
    restore(market.buyer, backup)
    with cluster.acting(market.buyer):
        for number, amount in enumerate((GRANT - 10, 3)):
            wallet.move(
                wallet.Movement(kind=EntryKind.HOLD, reference=f"h{number}", amount=amount),
                now=cluster.now,
            )

    meet(market, market.seller, market.buyer)

    with cluster.acting(market.buyer):
        assert wallet.describe_wallet() == {
            "balance": GRANT - PRICE,
            "held": GRANT - PRICE,
            "available": 0,
            "overdrawn": PRICE,
            "currency": "VOID",
        }
        assert sorted(Payment.objects.values_list("uncovered", flat=True)) == [0, PRICE]
        with pytest.raises(DomainError, match="1 VOID wanted, 0 VOID are available"):
            wallet.move(
                wallet.Movement(kind=EntryKind.HOLD, reference="new", amount=1), now=cluster.now
            )
        wallet.move(
            wallet.Movement(kind=EntryKind.RELEASE, reference="h1", amount=3), now=cluster.now
        )
        assert wallet.describe_wallet()["overdrawn"] == PRICE
        wallet.move(
            wallet.Movement(kind=EntryKind.CREDIT, reference="income", amount=10), now=cluster.now
        )
        assert wallet.describe_wallet() == {
            "balance": GRANT - 2 * PRICE + 10,
            "held": GRANT - 10,
            "available": 10 - 2 * PRICE + 10,
            "overdrawn": 0,
            "currency": "VOID",
        }
        assert not Payment.objects.filter(uncovered__gt=0).exists()
