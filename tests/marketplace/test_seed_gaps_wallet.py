"""The seed's gap 4 and steps 5 and 8 of its roadmap: the wallet has a ledger, and tells of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from marketplace.errors import InsufficientFunds
from marketplace.messages import ConsensusPropose, ProposalBody
from marketplace.models import LedgerEntry, Payment, Wallet
from marketplace.queries import describe_entry, describe_wallet
from marketplace.services import wallet
from marketplace.services.verifying import verify
from marketplace.services.wallet import Movement, capture_late, move
from marketplace.states import EntryKind
from p2p.local import local_node
from p2p.models import OutboxKind, OutboxMessage
from p2p.protocol.signing import seal
from p2p.registration import registry
from tests.support.cluster import Cluster, SimNode
from tests.support.factories import NOW
from tests.support.paying import finish, hired
from tests.support.trading import GRANT, PRICE, Market


def kinds(market: Market, node: SimNode) -> list[tuple[str, int, int]]:
    """Return (kind, amount, balance after) of a node's entries, oldest first."""
    with market.cluster.acting(node):
        rows = LedgerEntry.objects.order_by("id")
        return list(rows.values_list("kind", "amount", "balance_after"))


def test_gap_4_the_balance_is_what_its_ledger_says(cluster: Cluster) -> None:
    market = hired(cluster, count=1, agents=1)
    finish(market)

    for node, balance in ((market.buyer, GRANT - PRICE), (market.seller, GRANT + PRICE)):
        with cluster.acting(node):
            assert describe_wallet()["balance"] == balance
            assert LedgerEntry.objects.order_by("-id")[0].balance_after == balance
            assert verify().difference is None


def test_step_5_the_buyer_is_debited_and_the_seller_credited_by_entries(cluster: Cluster) -> None:
    market = hired(cluster, count=1, agents=1)
    assert kinds(market, market.buyer) == [("grant", GRANT, GRANT), ("hold", PRICE, GRANT)]

    finish(market)

    assert kinds(market, market.buyer)[2:] == [("capture", PRICE, GRANT - PRICE)]
    assert kinds(market, market.seller) == [
        ("grant", GRANT, GRANT),
        ("credit", PRICE, GRANT + PRICE),
    ]
    with cluster.acting(market.buyer):
        entry = LedgerEntry.objects.get(kind=EntryKind.CAPTURE)
        assert entry.counterparty_node_id == market.seller.node_id
        assert entry.tribute_id is not None


@pytest.mark.django_db
@pytest.mark.parametrize("amount", [0, 1000, 5])
def test_step_5_the_first_balance_can_be_set(amount: int) -> None:
    wallet.grant_initial(amount, now=NOW)

    assert describe_wallet()["available"] == amount


@pytest.mark.django_db
def test_step_8_browsers_hear_of_each_movement_with_balance_and_entry() -> None:
    wallet.grant_initial(10, now=NOW)
    move(Movement(kind=EntryKind.HOLD, reference="h", amount=4), now=NOW)
    move(Movement(kind=EntryKind.HOLD, reference="h", amount=4), now=NOW)
    with pytest.raises(InsufficientFunds):
        move(Movement(kind=EntryKind.HOLD, reference="more", amount=7), now=NOW)

    events: list[Any] = list(
        OutboxMessage.objects.filter(kind=OutboxKind.EVENT).values_list("event", flat=True)
    )
    assert events == [
        {
            "type": "wallet_update",
            "event": event,
            "balance": 10,
            "held": held,
            "available": 10 - held,
            "overdrawn": 0,
            "currency": "VOID",
            "entry": describe_entry(LedgerEntry.objects.get(kind=event)),
        }
        for event, held in (("grant", 0), ("hold", 4))
    ]


class MovementsProperty(TestCase):
    """Any order of movements, promises beyond the balance among them, keeps the invariants."""

    @given(
        st.lists(
            st.tuples(
                st.sampled_from([*EntryKind, "late"]),
                st.integers(0, 30),
                st.integers(0, 5).map(str),
            ),
            max_size=25,
        )
    )
    def test_gap_4_any_order_of_movements_keeps_the_books(
        self, movements: list[tuple[str, int, str]]
    ) -> None:
        registry.freeze()
        for number, (kind, amount, reference) in enumerate(movements):
            try:
                if kind == "late":
                    promise_late(amount, number)
                else:
                    move(
                        Movement(kind=EntryKind(kind), reference=reference, amount=amount), now=NOW
                    )
            except InsufficientFunds:
                continue
            check_books()


def promise_late(amount: int, number: int) -> None:
    """Book a payment of an earlier life of the wallet, as a certificate would."""
    identity = local_node().identity
    propose = ConsensusPropose(
        origin=identity.node_id,
        public_key=identity.public_key_text,
        lamport_ts=1,
        to="2" * 32,
        msg_id=f"{number:032x}",
        proposal=ProposalBody(
            id=f"{number:032x}",
            tribute_id="7" * 32,
            task_id="8" * 32,
            run=1,
            from_node_id=identity.node_id,
            to_node_id="2" * 32,
            amount=amount,
            currency="VOID",
            commit="c" * 40,
        ),
    )
    payment = Payment.objects.create(
        payer_node_id=identity.node_id,
        payee_node_id="2" * 32,
        amount=amount,
        propose_frame=seal(propose, local_node().identity, local_node().network),
        created_at=NOW + timedelta(seconds=number),
    )
    movement = Movement(kind=EntryKind.CAPTURE, reference=payment.id.hex, amount=amount)
    capture_late(payment, movement, now=NOW)


def check_books() -> None:
    """Assert that entries, wallet and what is uncovered agree."""
    balance = held = 0
    for entry in LedgerEntry.objects.order_by("id"):
        by_balance, by_held = wallet.EFFECT[EntryKind(entry.kind)]
        balance += by_balance * entry.amount
        held += by_held * entry.amount
        assert (entry.balance_after, entry.held_after) == (balance, held)
        assert 0 <= held <= balance
    row = Wallet.objects.first() or Wallet()
    assert (row.balance, row.held) == (balance, held)
    uncovered = Payment.objects.filter(uncovered__gt=0).order_by("created_at", "id")
    booked = set(LedgerEntry.objects.filter(kind="capture").values_list("reference", flat=True))
    for payment in Payment.objects.all():
        assert (payment.id.hex in booked) == (payment.uncovered == 0)
    first = uncovered.first()
    assert first is None or first.uncovered > balance - held
