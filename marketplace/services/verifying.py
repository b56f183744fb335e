"""Recomputes the books from entries and signed frames, and names the first difference."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, Q, Sum

from marketplace.models import Execution, LedgerEntry, Payment, Tribute, Wallet
from marketplace.queries import overdrawn_amount
from marketplace.services import evidence
from marketplace.services.differences import Difference
from marketplace.services.wallet import EFFECT, GENESIS
from marketplace.states import EntryKind, ExecutionStatus, TributeStatus
from p2p.local import local_node

Check = Callable[[], Iterator[Difference]]

_BEGIN = {
    "sqlite": "BEGIN DEFERRED",
    "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
}
_SETTLED = (ExecutionStatus.ACCEPTED, ExecutionStatus.REFUSED, ExecutionStatus.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a verification read, and the first thing that does not add up (None: nothing)."""

    balance: int
    held: int
    overdrawn: int
    entries: int
    payments: int
    tributes: int
    difference: Difference | None

    def as_json(self) -> dict[str, Any]:
        """Return the findings as JSON-ready data."""
        found = self.difference
        return {
            "ok": found is None,
            "balance": self.balance,
            "held": self.held,
            "overdrawn": self.overdrawn,
            "entries": self.entries,
            "payments": self.payments,
            "tributes": self.tributes,
            "difference": None
            if found is None
            else {"where": found.where, "expected": found.expected, "found": found.found},
        }


def verify() -> Findings:
    """Check everything on one consistent view of the database; works beside a running node."""
    with _snapshot():
        wallet = Wallet.objects.filter(id=1).first() or Wallet()
        return Findings(
            balance=wallet.balance,
            held=wallet.held,
            overdrawn=overdrawn_amount(),
            entries=LedgerEntry.objects.count(),
            payments=Payment.objects.count(),
            tributes=Tribute.objects.count(),
            difference=_first_difference(),
        )


def _first_difference() -> Difference | None:
    for check in _CHECKS:
        for difference in check():
            return difference
    return None


def _running_totals() -> Iterator[Difference]:
    """Every entry continues the one before it, and the wallet's row is the last one."""
    balance = held = 0
    for entry in LedgerEntry.objects.order_by("id").iterator():
        by_balance, by_held = EFFECT[EntryKind(entry.kind)]
        balance += by_balance * entry.amount
        held += by_held * entry.amount
        found = (entry.balance_after, entry.held_after)
        if found != (balance, held):
            yield Difference(f"ledger entry {entry.id}", _money(balance, held), _money(*found))
        if not 0 <= held <= balance:
            yield Difference(
                f"ledger entry {entry.id}", "held between 0 and balance", _money(balance, held)
            )
    wallet = Wallet.objects.filter(id=1).first() or Wallet()
    if (wallet.balance, wallet.held) != (balance, held):
        yield Difference("the wallet", _money(balance, held), _money(wallet.balance, wallet.held))


def _each_once() -> Iterator[Difference]:
    """No movement has two entries, and VOID is granted once."""
    doubled = (
        LedgerEntry.objects.order_by()
        .values("kind", "reference")
        .annotate(times=Count("id"))
        .filter(times__gt=1)
    )
    for row in doubled:
        yield Difference(
            f"the {row['kind']} {row['reference']}", "1 entry", f"{row['times']} entries"
        )
    for entry in LedgerEntry.objects.filter(kind=EntryKind.GRANT).exclude(reference=GENESIS):
        yield Difference(f"ledger entry {entry.id}", "no second grant", entry.reference)


def _holds_closed() -> Iterator[Difference]:
    """What is held under each tribute is the price of what is not settled yet, and no more."""
    entries = LedgerEntry.objects.order_by().exclude(tribute_id=None)
    sums = entries.values("tribute_id").annotate(
        held=Sum("amount", filter=Q(kind=EntryKind.HOLD)),
        closed=Sum("amount", filter=Q(kind__in=(EntryKind.RELEASE, EntryKind.CAPTURE))),
    )
    tributes: dict[UUID | None, Any] = {
        row.id: row
        for row in Tribute.objects.filter(from_node_id=local_node().node_id).annotate(
            settled=Count("executions", filter=Q(executions__status__in=_SETTLED))
        )
    }
    left = {row["tribute_id"]: (row["held"] or 0) - (row["closed"] or 0) for row in sums.iterator()}
    for tribute_id in sorted({*left, *tributes}, key=str):
        expected, found = _still_held(tributes.get(tribute_id)), left.get(tribute_id, 0)
        if found != expected:
            where = f"the hold of tribute {str(tribute_id).replace('-', '')}"
            yield Difference(where, f"{expected} VOID left", f"{found} VOID left")


def _still_held(tribute: Any) -> int:
    """Return the VOID that a tribute (with `settled`) must hold; none for one that was lost."""
    if tribute is None:
        return 0
    if tribute.status == TributeStatus.PENDING:
        return int(tribute.total_cost)
    if tribute.status != TributeStatus.ACCEPTED:
        return 0
    left = tribute.task_count - tribute.released_count - tribute.settled
    return int(left * tribute.price_per_task)


def _accepted_are_paid() -> Iterator[Difference]:
    """Each result that this node accepted has its payment."""
    bought = Execution.objects.filter(
        tribute__from_node_id=local_node().node_id, status=ExecutionStatus.ACCEPTED
    )
    for execution in bought.filter(payment__isnull=True):
        yield Difference(
            f"task {execution.task_id.hex} of tribute {execution.tribute_id.hex}",
            "a payment for the accepted result",
            "none",
        )


def _money(balance: int, held: int) -> str:
    return f"balance {balance}, held {held}"


@contextlib.contextmanager
def _snapshot() -> Iterator[None]:
    """Read one state of the database without keeping a node that runs from writing."""
    if connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        # Django's own transactions would take the lock of the writers at once.
        cursor.execute(_BEGIN[connection.vendor])
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


_CHECKS: tuple[Check, ...] = (
    _running_totals,
    _each_once,
    _holds_closed,
    evidence.captures_proven,
    evidence.credits_proven,
    evidence.payments_booked,
    _accepted_are_paid,
    evidence.deals_proven,
    evidence.reports_proven,
)
