"""The wallet over REST."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router

from marketplace.models import LedgerEntry
from marketplace.queries import describe_entry, describe_wallet
from p2p.paging import PageQuery, paginate

router = Router(tags=["wallet"])


@router.get("/wallet", summary="Show the wallet")
def show_wallet(request: HttpRequest) -> dict[str, Any]:
    """Balance, held and available VOID of this node."""
    return describe_wallet()


@router.get("/wallet/ledger", summary="List ledger entries")
def list_ledger(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """The wallet's immutable history, newest first."""
    return paginate(LedgerEntry.objects.all(), page, order="-id", describe=describe_entry)
