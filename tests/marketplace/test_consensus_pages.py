"""CONSENSUS_SYNC of more payments than one message can name or carry."""

from __future__ import annotations

from uuid import UUID

from marketplace.messages import ConsensusPropose, ConsensusSyncRsp, ConsensusVote, ProposalBody
from marketplace.models import Payment
from marketplace.services.certificates import payment_id
from marketplace.states import PaymentStatus
from p2p import outbox
from p2p.protocol import limits
from p2p.protocol.signing import open_sealed
from p2p.registration import registry
from tests.support.cluster import NETWORK, Cluster, SimNode
from tests.support.paying import finish, hired, meet, sent
from tests.support.trading import Market


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
