"""The wallet: every movement of VOID is one ledger entry, unique per kind and reference."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F

from marketplace.errors import InsufficientFunds
from marketplace.models import LedgerEntry, Wallet
from marketplace.queries import describe_entry, describe_wallet
from marketplace.states import EntryKind
from p2p import outbox

GENESIS = "genesis"

# What each kind adds to (balance, held), times the amount.
EFFECT: dict[EntryKind, tuple[int, int]] = {
    EntryKind.GRANT: (1, 0),
    EntryKind.CREDIT: (1, 0),
    EntryKind.HOLD: (0, 1),
    EntryKind.RELEASE: (0, -1),
    EntryKind.CAPTURE: (-1, -1),
}


@dataclass(frozen=True, kw_only=True)
class Movement:
    """One movement of VOID: `reference` names its cause, so that it happens once."""

    kind: EntryKind
    reference: str
    amount: int
    tribute_id: UUID | None = None
    counterparty_node_id: str = ""
    note: str = ""


def grant_initial(amount: int, *, now: datetime) -> None:
    """Grant the initial balance, once in the life of the wallet."""
    move(Movement(kind=EntryKind.GRANT, reference=GENESIS, amount=amount), now=now)


def move(movement: Movement, *, now: datetime) -> LedgerEntry | None:
    """Write a movement with its effect on the wallet; None when it was written before.

    Raises InsufficientFunds where a hold exceeds what is available, and nothing is changed.
    """
    if movement.amount < 0:
        raise ValueError(f"a movement of {movement.amount} VOID is negative")
    with transaction.atomic():
        Wallet.objects.get_or_create(id=1)
        wallet = Wallet.objects.select_for_update().get(id=1)
        if LedgerEntry.objects.filter(kind=movement.kind, reference=movement.reference).exists():
            return None
        _apply(wallet, movement)
        wallet.refresh_from_db()
        entry = LedgerEntry.objects.create(
            kind=movement.kind,
            reference=movement.reference,
            tribute_id=movement.tribute_id,
            counterparty_node_id=movement.counterparty_node_id,
            amount=movement.amount,
            balance_after=wallet.balance,
            held_after=wallet.held,
            note=movement.note[:200],
            created_at=now,
        )
        outbox.publish_event(
            "wallet_update",
            str(movement.kind),
            {**describe_wallet(), "entry": describe_entry(entry)},
            now=now,
        )
    return entry


def _apply(wallet: Wallet, movement: Movement) -> None:
    balance_sign, held_sign = EFFECT[movement.kind]
    rows = Wallet.objects.filter(id=1)
    if movement.kind == EntryKind.HOLD:
        rows = rows.filter(balance__gte=F("held") + movement.amount)
    if held_sign < 0:
        rows = rows.filter(held__gte=movement.amount)
    moved = rows.update(
        balance=F("balance") + balance_sign * movement.amount,
        held=F("held") + held_sign * movement.amount,
    )
    if not moved:
        free = wallet.balance - wallet.held if movement.kind == EntryKind.HOLD else wallet.held
        raise InsufficientFunds(movement.amount, free)
