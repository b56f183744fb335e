"""CONSENSUS_SYNC: after lost messages or an old backup both parties book the same payments."""

from __future__ import annotations

from uuid import UUID

import pytest
from msgspec.structs import replace

from marketplace.messages import (
    Certificate,
    ConsensusPropose,
    ConsensusSyncReq,
    ConsensusSyncRsp,
    ConsensusVote,
    PaymentHeld,
    ProposalBody,
)
from marketplace.models import Execution, LedgerEntry, Payment, Tribute
from marketplace.services import catching_up, recovering, wallet
from marketplace.services.certificates import payment_id
from marketplace.states import EntryKind, ExecutionStatus, PaymentStatus
from p2p import outbox
from p2p.models import OutboxMessage
from p2p.nodes import node_up
from p2p.protocol import limits
from p2p.protocol.errors import DomainError
from p2p.protocol.signing import open_sealed
from p2p.registration import number_of, registry
from tests.support.backups import back_up, restore
from tests.support.cluster import NETWORK, Cluster, SimNode
from tests.support.trading import GRANT, PRICE, Market


def hired(cluster: Cluster, count: int = 2, agents: int = 2) -> Market:
    """Return a market whose buyer has hired `count` executions that are under way."""
    market = Market.open(cluster, agents=agents)
    market.request(market.goal(subtasks=count), count=count)
    for _ in range(3):
        cluster.step()
    assert market.dispatch() == count
    cluster.step()
    return market


def finish(market: Market) -> None:
    """Work, judge and pay everything that is under way."""
    market.work()
    market.cluster.step()
    market.gate()
    for _ in range(4):
        market.cluster.step()


def meet(market: Market, node: SimNode, other: SimNode) -> None:
    """Let a node greet another, as at a new link, and let all that follows arrive."""
    with market.cluster.acting(node):
        catching_up.meet_partner(other.node_id, market.cluster.now)
    for _ in range(6):
        market.cluster.step()


def statuses(cluster: Cluster, node: SimNode) -> list[str]:
    with cluster.acting(node):
        return list(Payment.objects.values_list("status", flat=True))


def sent(cluster: Cluster, node: SimNode, kind: type) -> int:
    with cluster.acting(node):
        return OutboxMessage.objects.filter(number=number_of(kind)).count()


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


def test_more_payments_than_a_message_names_are_found_by_their_digests(cluster: Cluster) -> None:
    market = hired(cluster)
    finish(market)
    grow(market, count=limits.PAYMENTS_NAMED_MAX + 150)
    with cluster.acting(market.buyer):
        lost = [Payment.objects.order_by("id")[number] for number in (3, 120, 200)]
        gone = {row.id for row in lost if row.execution_id is None}
        Payment.objects.filter(id__in=gone).delete()
        before = Payment.objects.count()

    meet(market, market.buyer, market.seller)

    with cluster.acting(market.buyer):
        assert Payment.objects.count() == before + len(gone) == limits.PAYMENTS_NAMED_MAX + 152
    assert sent(cluster, market.seller, ConsensusSyncRsp) == 1 + len({key.hex[0] for key in gone})


def test_many_lost_payments_come_in_pages(cluster: Cluster) -> None:
    market = hired(cluster)
    finish(market)
    grow(market, count=150)
    with cluster.acting(market.buyer):
        Payment.objects.filter(execution=None).delete()

    meet(market, market.buyer, market.seller)
    meet(market, market.buyer, market.seller)

    with cluster.acting(market.buyer):
        assert Payment.objects.count() == 152


def grow(market: Market, *, count: int) -> None:
    """Give both nodes `count` further payments of a deal that both have forgotten."""
    tribute = "7" * 32
    rows = []
    for number in range(count):
        task = f"{number:032x}"
        proposal = ProposalBody(
            id=payment_id(*(UUID(each) for each in (tribute, task)), 1).hex,
            tribute_id=tribute,
            task_id=task,
            run=1,
            from_node_id=market.buyer.node_id,
            to_node_id=market.seller.node_id,
            amount=1,
            currency="VOID",
            commit="c" * 40,
        )
        with market.cluster.acting(market.buyer):
            propose = seal_quietly(ConsensusPropose, market.seller, market, proposal=proposal)
        with market.cluster.acting(market.seller):
            vote = seal_quietly(
                ConsensusVote,
                market.buyer,
                market,
                proposal_id=proposal.id,
                voter_node_id=market.seller.node_id,
                vote="accept",
            )
        rows.append((proposal, propose, vote))
    for node in (market.buyer, market.seller):
        with market.cluster.acting(node):
            Payment.objects.bulk_create(
                Payment(
                    id=UUID(proposal.id),
                    payer_node_id=market.buyer.node_id,
                    payee_node_id=market.seller.node_id,
                    amount=1,
                    status=PaymentStatus.COMMITTED,
                    propose_frame=propose,
                    vote_frame=vote,
                    created_at=market.cluster.now,
                )
                for proposal, propose, vote in rows
            )


def seal_quietly(kind: type, to: SimNode, market: Market, **fields: object) -> bytes:
    """Sign a command of the acting node that is never sent."""
    row = outbox.send_command(kind, to_node_id=to.node_id, now=market.cluster.now, **fields)
    frame = bytes(row.frame)
    row.delete()
    assert open_sealed(frame, NETWORK, registry)
    return frame
