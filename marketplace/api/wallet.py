"""The wallet over REST: balance, ledger and statements."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import Field, Query, Router, Schema
from pydantic import AwareDatetime

from marketplace.models import LedgerEntry
from marketplace.queries import describe_entry, describe_wallet
from marketplace.services.statement import Period, statement, statement_csv
from marketplace.states import EntryKind
from p2p.paging import PageQuery, paginate

router = Router(tags=["wallet"])


class StatementQuery(Schema):
    """Which period, counterparty and kind of entries a statement is about."""

    since: Annotated[AwareDatetime | None, Field(alias="from")] = None
    until: Annotated[AwareDatetime | None, Field(alias="to")] = None
    counterparty: Annotated[str, Field(pattern="^([0-9a-f]{32})?$", max_length=32)] = ""
    kind: EntryKind | None = None

    def period(self) -> Period:
        """Return the same as the services take it."""
        return Period(
            since=self.since,
            until=self.until,
            counterparty=self.counterparty,
            kind=self.kind or "",
        )


@router.get("/wallet", summary="Show the wallet")
def show_wallet(request: HttpRequest) -> dict[str, Any]:
    """Balance, held and available VOID of this node."""
    return describe_wallet()


@router.get("/wallet/ledger", summary="List ledger entries")
def list_ledger(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """The wallet's immutable history, newest first."""
    return paginate(LedgerEntry.objects.all(), page, order="-id", describe=describe_entry)


@router.get("/wallet/statement", summary="Show a statement")
def show_statement(request: HttpRequest, query: Query[StatementQuery]) -> dict[str, Any]:
    """Opening balance, what moved in a period, totals per kind and closing balance."""
    return statement(query.period())


@router.get("/wallet/statement.csv", summary="Download a statement")
def download_statement(request: HttpRequest, query: Query[StatementQuery]) -> HttpResponseBase:
    """The same entries as CSV, for a spreadsheet."""
    response = StreamingHttpResponse(statement_csv(query.period()), content_type="text/csv")
    response["Content-Disposition"] = 'attachment; filename="statement.csv"'
    return response
