"""The wallet's log with its running balance, filtered, with totals and a download."""

from __future__ import annotations

from urllib.parse import urlencode

from marketplace.models import LedgerEntry
from marketplace.queries import describe_wallet
from marketplace.services.hours import zone_name
from marketplace.services.statement import Period, entries_of, totals_of
from marketplace.states import EntryKind
from p2p.protocol.errors import DomainError
from voidlux_site.dashboard.asking import Asked, page_of
from voidlux_site.dashboard.context import Context

ENTRIES_SHOWN = 15
COUNTERPARTIES_SHOWN = 50


def ledger(asked: Asked) -> Context:
    """Return a page of the wallet's entries, newest first, with totals of the whole period."""
    refused = ""
    try:
        period = _period(asked)
    except DomainError as error:
        period, refused = Period(), error.message
    rows = entries_of(period).order_by("-id")
    return {
        "wallet": describe_wallet(),
        "page": page_of(rows, asked, ENTRIES_SHOWN),
        "totals": totals_of(period),
        "count": rows.count(),
        "filtered": period != Period(),
        "refused": refused,
        "download": _download(period),
        "zone": zone_name(),
    }


def counterparties() -> list[str]:
    """Return the nodes of the latest entries, newest first."""
    rows = LedgerEntry.objects.exclude(counterparty_node_id="").order_by("-id")
    named = rows.values_list("counterparty_node_id", flat=True)[:1000]
    return list(dict.fromkeys(named))[:COUNTERPARTIES_SHOWN]


def _period(asked: Asked) -> Period:
    return Period(
        since=asked.midnight("from"),
        until=asked.midnight("to", after_days=1),
        counterparty=asked.text("counterparty"),
        kind=asked.choice("kind", ["", *EntryKind.values]),
    )


def _download(period: Period) -> str:
    """Return the query of the same entries as CSV, with a leading `?` unless it is empty."""
    asked = {
        "from": period.since.isoformat() if period.since else "",
        "to": period.until.isoformat() if period.until else "",
        "counterparty": period.counterparty,
        "kind": str(period.kind),
    }
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"?{query}" if query else ""
