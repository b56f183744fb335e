"""The wallet: entries are immutable, happen once, and never overdraw."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from marketplace.errors import InsufficientFunds
from marketplace.models import LedgerEntry, Wallet
from marketplace.services import wallet
from marketplace.services.wallet import Movement, move
from marketplace.states import EntryKind

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_move(kind: EntryKind, amount: int, reference: str = "r") -> LedgerEntry | None:
    return move(Movement(kind=kind, reference=reference, amount=amount), now=NOW)


@pytest.mark.django_db
def test_the_grant_is_given_once() -> None:
    wallet.grant_initial(1000, now=NOW)
    wallet.grant_initial(500, now=NOW)

    assert Wallet.objects.get().balance == 1000
    assert LedgerEntry.objects.count() == 1


@pytest.mark.django_db
def test_a_repeated_movement_moves_nothing() -> None:
    wallet.grant_initial(10, now=NOW)
    assert a_move(EntryKind.HOLD, 4) is not None

    assert a_move(EntryKind.HOLD, 4) is None

    row = Wallet.objects.get()
    assert (row.balance, row.held) == (10, 4)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "amount"),
    [(EntryKind.HOLD, 11), (EntryKind.CAPTURE, 1), (EntryKind.RELEASE, 1)],
)
def test_what_is_not_there_cannot_be_moved(kind: EntryKind, amount: int) -> None:
    wallet.grant_initial(10, now=NOW)

    with pytest.raises(InsufficientFunds):
        a_move(kind, amount)

    row = Wallet.objects.get()
    assert (row.balance, row.held, LedgerEntry.objects.count()) == (10, 0, 1)


@pytest.mark.django_db
def test_an_entry_is_immutable() -> None:
    wallet.grant_initial(10, now=NOW)
    entry = LedgerEntry.objects.get()

    entry.amount = 11
    with pytest.raises(TypeError):
        entry.save()
    with pytest.raises(TypeError):
        entry.delete()


@pytest.mark.django_db
@pytest.mark.parametrize("columns", [{"balance": 1, "held": 2}, {"balance": -1}])
def test_the_database_itself_refuses_an_impossible_wallet(columns: dict[str, int]) -> None:
    wallet.grant_initial(10, now=NOW)

    with pytest.raises(IntegrityError), transaction.atomic():
        Wallet.objects.update(**columns)


@pytest.mark.django_db(transaction=True)
def test_of_racing_holds_only_as_many_as_the_balance_covers_succeed() -> None:
    wallet.grant_initial(3, now=NOW)
    refused: list[str] = []

    def hold(number: int) -> None:
        try:
            a_move(EntryKind.HOLD, 1, f"hold-{number}")
        except InsufficientFunds as error:
            refused.append(str(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=hold, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    row = Wallet.objects.get()
    assert (row.balance, row.held, len(refused)) == (3, 3, 5)


class LedgerProperty(TestCase):
    """Any sequence of movements keeps wallet and ledger equal."""

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(list(EntryKind)), st.integers(0, 50), st.integers(0, 6).map(str)
            ),
            max_size=25,
        )
    )
    def test_the_wallet_is_the_sum_of_its_ledger(
        self, movements: list[tuple[EntryKind, int, str]]
    ) -> None:
        for kind, amount, reference in movements:
            try:
                a_move(kind, amount, reference)
            except InsufficientFunds:
                continue
        balance = held = 0
        for entry in LedgerEntry.objects.order_by("id"):
            by_balance, by_held = wallet.EFFECT[EntryKind(entry.kind)]
            balance += by_balance * entry.amount
            held += by_held * entry.amount
            assert (entry.balance_after, entry.held_after) == (balance, held)
            assert 0 <= held <= balance
        row = Wallet.objects.first() or Wallet()
        assert (row.balance, row.held) == (balance, held)
