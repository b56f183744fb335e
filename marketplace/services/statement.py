"""What moved in a wallet between two moments, with opening and closing balance, also as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet, Sum

from marketplace.models import LedgerEntry
from marketplace.queries import CURRENCY, describe_entry
from marketplace.states import EntryKind
from p2p.protocol.errors import DomainError

ENTRIES_MAX = 1_000  # shown at once; the CSV has all
COLUMNS = (
    *("id", "created_at", "kind", "amount", "balance_after", "held_after"),
    *("counterparty_node_id", "tribute_id", "reference", "note"),
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, kw_only=True)
class Period:
    """Which entries are wanted: from `since` on, before `until`, of one counterparty or all.

    `kind` is an EntryKind, or empty for all.
    """

    since: datetime | None = None
    until: datetime | None = None
    counterparty: str = ""
    kind: str = ""

    def __post_init__(self) -> None:
        if self.since and self.until and self.until < self.since:
            raise DomainError("bad_period", f"{self.until} is before {self.since}", 422)


def statement(period: Period) -> dict[str, Any]:
    """Return opening balance, entries, totals per kind and closing balance as JSON-ready data.

    Balances are the whole wallet's, whatever the counterparty; `truncated` says that there are
    more than ENTRIES_MAX entries, of which the oldest are shown.
    """
    shown = list(entries_of(period)[: ENTRIES_MAX + 1])
    return {
        "from": _time(period.since),
        "to": _time(period.until),
        "counterparty_node_id": period.counterparty or None,
        "currency": CURRENCY,
        "opening": _opening(period),
        "entries": [describe_entry(row) for row in shown[:ENTRIES_MAX]],
        "truncated": len(shown) > ENTRIES_MAX,
        "totals": totals_of(period),
        "closing": _closing(period),
    }


def totals_of(period: Period) -> dict[str, dict[str, int]]:
    """Return count and amount (VOID) of the period's entries per kind, zeros included."""
    rows = entries_of(period).order_by().values("kind")
    sums = rows.annotate(count=Count("id"), amount=Sum("amount"))
    by_kind = {row["kind"]: row for row in sums}
    return {
        kind.value: {
            "count": by_kind[kind]["count"] if kind in by_kind else 0,
            "amount": by_kind[kind]["amount"] if kind in by_kind else 0,
        }
        for kind in EntryKind
    }


def statement_csv(period: Period) -> Iterator[str]:
    """Yield the lines of a statement as CSV (RFC 4180), oldest entry first.

    Text that a spreadsheet would take for a formula gets a leading quote.
    """
    yield _line(COLUMNS)
    for row in entries_of(period).iterator():
        entry = describe_entry(row)
        yield _line(tuple(entry[column] for column in COLUMNS))


def entries_of(period: Period) -> QuerySet[LedgerEntry]:
    """Return the entries of a period, oldest first."""
    rows = LedgerEntry.objects.order_by("id")
    if period.since:
        rows = rows.filter(created_at__gte=period.since)
    if period.until:
        rows = rows.filter(created_at__lt=period.until)
    if period.counterparty:
        rows = rows.filter(counterparty_node_id=period.counterparty)
    if period.kind:
        rows = rows.filter(kind=period.kind)
    return rows


def _opening(period: Period) -> dict[str, int]:
    if period.since is None:
        return {"balance": 0, "held": 0}
    return _after(LedgerEntry.objects.filter(created_at__lt=period.since))


def _closing(period: Period) -> dict[str, int]:
    rows = LedgerEntry.objects.all()
    return _after(rows.filter(created_at__lt=period.until) if period.until else rows)


def _after(rows: QuerySet[LedgerEntry]) -> dict[str, int]:
    last = rows.order_by("-id").first()
    return {
        "balance": last.balance_after if last else 0,
        "held": last.held_after if last else 0,
    }


def _line(values: tuple[Any, ...]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow([_cell(value) for value in values])
    return written.getvalue()


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return "'" + text if text.startswith(_FORMULA_STARTS) else text


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
