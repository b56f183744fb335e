"""Tributes as the pages show them: with sums, deadlines, and what the operator may do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from marketplace.models import Execution, Payment, Tribute
from marketplace.services.credit import Exposure, credit_limit, exposure
from marketplace.services.deciding import waiting_requests
from marketplace.services.partners import standing_of
from marketplace.states import (
    TRIBUTE_TERMINAL,
    ExecutionStatus,
    PaymentStatus,
    TributeStatus,
)
from p2p.local import local_node
from p2p.models import KnownNode
from voidlux_site.dashboard.asking import Asked, page_of
from voidlux_site.dashboard.context import Context

TRIBUTES_SHOWN = 10
QUEUE_SHOWN = 20
SIDES = ["", "buying", "selling"]
STATES = ["", "open", "ended"]
_GIVEN_BACK = (ExecutionStatus.REFUSED, ExecutionStatus.CANCELLED)


@dataclass(frozen=True)
class Sums:
    """The price of a tribute in VOID, by what became of it; together they are its whole cost."""

    paid: int
    released: int
    open: int


@dataclass(frozen=True)
class TributeView:
    """A tribute with what follows for this node: its side, its sums, its next deadline."""

    row: Tribute
    buying: bool
    executions: list[Execution]
    sums: Sums
    waits: bool
    now: datetime

    @property
    def other_node_id(self) -> str:
        """The node on the other side."""
        return self.row.to_node_id if self.buying else self.row.from_node_id

    @property
    def unassigned(self) -> int:
        """How many executions are neither assigned nor given back."""
        return self.row.task_count - self.row.released_count - len(self.executions)

    @property
    def reserved(self) -> bool:
        """Whether agents are kept for an assignment that has not come yet."""
        until = self.row.reserved_until
        waiting = self.row.status == TributeStatus.ACCEPTED and not self.executions
        return waiting and until is not None and until > self.now

    @property
    def working(self) -> bool:
        """Whether the work deadline counts."""
        return self.row.status == TributeStatus.ACCEPTED and not self.reserved

    @property
    def cancellable(self) -> bool:
        """Whether there is something that this node may still give back."""
        if self.row.status == TributeStatus.PENDING:
            return self.buying
        if self.row.status != TributeStatus.ACCEPTED:
            return False
        return self.unassigned > 0 if self.buying else not self.executions


@dataclass(frozen=True)
class Request:
    """A request that waits for the operator, with what is known about its buyer."""

    row: Tribute
    buyer: KnownNode | None
    standing: str
    owes: Exposure
    limit: int

    @property
    def within(self) -> bool:
        """Whether the buyer's credit allows it."""
        return self.owes.total + self.row.total_cost <= self.limit


def tributes(asked: Asked) -> Context:
    """Return a page of tributes, newest first, of one side or both, open or ended or all."""
    own_id = local_node().node_id
    rows = Tribute.objects.prefetch_related("executions__payment").order_by("-created_at", "id")
    side, state = asked.choice("side", SIDES), asked.choice("state", STATES)
    if side:
        rows = rows.filter(**{"from_node_id" if side == "buying" else "to_node_id": own_id})
    if state:
        over = Q(status__in=TRIBUTE_TERMINAL)
        rows = rows.filter(over if state == "ended" else ~over)
    page = page_of(rows, asked, TRIBUTES_SHOWN)
    return {"page": page, "tributes": views_of(page["rows"], asked.now)}


def queue(asked: Asked) -> Context:
    """Return the requests that wait for the operator, oldest first, at most QUEUE_SHOWN."""
    waiting = waiting_requests()
    return {
        "requests": [_request(row, asked.now) for row in waiting[:QUEUE_SHOWN]],
        "count": len(waiting),
    }


def views_of(rows: list[Tribute], now: datetime) -> list[TributeView]:
    """Return tributes as the pages show them; their executions should be prefetched."""
    own_id = local_node().node_id
    waiting = {row.id for row in waiting_requests()}
    return [
        TributeView(
            row=row,
            buying=row.from_node_id == own_id,
            executions=list(row.executions.all()),
            sums=sums_of(row),
            waits=row.id in waiting,
            now=now,
        )
        for row in rows
    ]


def sums_of(tribute: Tribute) -> Sums:
    """Return what is paid, given back and still open of a tribute's price."""
    executions = list(tribute.executions.all())
    paid = sum(payment.amount for each in executions if (payment := _paid(each)))
    if tribute.status in TRIBUTE_TERMINAL and not executions:
        return Sums(0, tribute.total_cost, 0)
    back = sum(each.status in _GIVEN_BACK for each in executions) + tribute.released_count
    released = min(back * tribute.price_per_task, tribute.total_cost - paid)
    return Sums(paid, released, tribute.total_cost - paid - released)


def _paid(execution: Execution) -> Payment | None:
    payment: Payment | None = getattr(execution, "payment", None)
    return payment if payment and payment.status != PaymentStatus.ABORTED else None


def _request(row: Tribute, now: datetime) -> Request:
    return Request(
        row=row,
        buyer=KnownNode.objects.filter(node_id=row.from_node_id).first(),
        standing=standing_of(row.from_node_id),
        owes=exposure(row.from_node_id, now),
        limit=credit_limit(row.from_node_id),
    )
