"""The wallet: every movement of VOID is one ledger entry, unique per kind and reference."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F

from marketplace.errors import InsufficientFunds
from marketplace.models import LedgerEntry, Payment, Wallet
from marketplace.queries import describe_entry, describe_wallet, overdrawn_amount
from marketplace.services.certificates import proposal_in
from marketplace.states import EntryKind
from p2p import outbox

log = logging.getLogger(__name__)

GENESIS = "genesis"

# What each kind adds to (balance, held), times the amount.
EFFECT: dict[EntryKind, tuple[int, int]] = {
    EntryKind.GRANT: (1, 0),
    EntryKind.CREDIT: (1, 0),
    EntryKind.HOLD: (0, 1),
    EntryKind.RELEASE: (0, -1),
    EntryKind.CAPTURE: (-1, -1),
}
_GIVES = frozenset({EntryKind.GRANT, EntryKind.CREDIT, EntryKind.RELEASE})


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
    VOID that becomes available first covers what the wallet is overdrawn by.
    """
    if movement.amount < 0:
        raise ValueError(f"a movement of {movement.amount} VOID is negative")
    owed = overdrawn_amount() if movement.kind == EntryKind.HOLD else 0
    with transaction.atomic():
        entry = _write(movement, kept_back=owed, now=now)
        if entry is not None and movement.kind in _GIVES:
            _cover_overdrawn(now)  # it may change the wallet again, never this entry
    return entry


def capture_late(payment: Payment, movement: Movement, *, now: datetime) -> None:
    """Book a capture whose hold is gone, as a hold and a capture of its own.

    What the wallet cannot give now stays on the payment as `uncovered`: nothing new can be held
    until later income has covered it.
    """
    available = describe_wallet()["available"]
    if movement.amount > available:
        Payment.objects.filter(id=payment.id).update(uncovered=movement.amount)
        log.warning(
            "payment %s of %d VOID was promised, %d VOID are available: overdrawn",
            payment.id.hex,
            movement.amount,
            available,
        )
        outbox.publish_event("wallet_update", "overdrawn", describe_wallet(), now=now)
        return
    with transaction.atomic():
        for kind in (EntryKind.HOLD, EntryKind.CAPTURE):
            _write(replace(movement, kind=kind), kept_back=0, now=now)


def _cover_overdrawn(now: datetime) -> None:
    """Capture what was promised before, oldest first, as far as the wallet covers it whole."""
    for payment in Payment.objects.filter(uncovered__gt=0).order_by("created_at", "id"):
        row = Wallet.objects.get(id=1)
        if payment.amount > row.balance - row.held:
            return
        Payment.objects.filter(id=payment.id).update(uncovered=0)
        for kind in (EntryKind.HOLD, EntryKind.CAPTURE):
            _write(_made_up(kind, payment), kept_back=0, now=now)


def _made_up(kind: EntryKind, payment: Payment) -> Movement:
    return Movement(
        kind=kind,
        reference=payment.id.hex,
        amount=payment.amount,
        tribute_id=UUID(proposal_in(bytes(payment.propose_frame)).tribute_id),
        counterparty_node_id=payment.payee_node_id,
        note="covered later",
    )


def _write(movement: Movement, *, kept_back: int, now: datetime) -> LedgerEntry | None:
    with transaction.atomic():
        Wallet.objects.get_or_create(id=1)
        wallet = Wallet.objects.select_for_update().get(id=1)
        if LedgerEntry.objects.filter(kind=movement.kind, reference=movement.reference).exists():
            return None
        _apply(wallet, movement, kept_back)
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


def _apply(wallet: Wallet, movement: Movement, kept_back: int) -> None:
    balance_sign, held_sign = EFFECT[movement.kind]
    rows = Wallet.objects.filter(id=1)
    if movement.kind == EntryKind.HOLD:
        rows = rows.filter(balance__gte=F("held") + movement.amount + kept_back)
    if held_sign < 0:
        rows = rows.filter(held__gte=movement.amount)
    moved = rows.update(
        balance=F("balance") + balance_sign * movement.amount,
        held=F("held") + held_sign * movement.amount,
    )
    if not moved:
        free = wallet.balance - wallet.held - kept_back
        available = max(0, free) if movement.kind == EntryKind.HOLD else wallet.held
        raise InsufficientFunds(movement.amount, available)
