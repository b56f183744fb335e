"""How much one buyer may owe this node: until witnesses exist, VOID is the payer's promise."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Q, Sum

from marketplace.models import Execution, Partner, Payment, SellingPolicy, Tribute
from marketplace.states import ExecutionStatus, PaymentStatus, RejectCode, TributeStatus
from p2p.local import local_node
from p2p.protocol.errors import DomainError

_GIVEN_BACK = (ExecutionStatus.REFUSED, ExecutionStatus.CANCELLED)


@dataclass(frozen=True)
class Exposure:
    """What this node stands to lose by one buyer, in VOID."""

    unsettled: int  # agreed on or accepted, and not paid
    promised: int  # credited on the buyer's promise, less what this node promised the buyer

    @property
    def total(self) -> int:
        """Both together; promises of this node to the buyer set off what it owes, never more."""
        return max(0, self.unsettled + self.promised)


def exposure(buyer_node_id: str, now: datetime | None = None) -> Exposure:
    """Return what a buyer owes this node; what has lapsed unassigned by `now` is not counted."""
    return Exposure(_unsettled(buyer_node_id, now), _promised(buyer_node_id))


def credit_limit(buyer_node_id: str) -> int:
    """Return the VOID that a buyer may owe: of its partner row, or else of the selling policy."""
    partner = Partner.objects.filter(node_id=buyer_node_id, credit_limit__isnull=False).first()
    if partner is not None and partner.credit_limit is not None:
        return partner.credit_limit
    policy = SellingPolicy.objects.filter(id=1).first() or SellingPolicy()
    return policy.credit_limit


def may_owe(buyer_node_id: str, amount: int, now: datetime) -> DomainError | None:
    """Return why a buyer may not owe `amount` VOID more (`credit_limit`), or None."""
    owed, limit = exposure(buyer_node_id, now), credit_limit(buyer_node_id)
    if owed.total + amount <= limit:
        return None
    return DomainError(
        RejectCode.CREDIT_LIMIT.value,
        f"{amount} VOID more: {buyer_node_id[:8]} owes {owed.total} VOID "
        f"({owed.unsettled} unsettled, {owed.promised} promised), its limit is {limit}",
    )


def _unsettled(buyer_node_id: str, now: datetime | None) -> int:
    sold = Tribute.objects.filter(from_node_id=buyer_node_id, to_node_id=local_node().node_id)
    settled = Q(executions__payment__isnull=False) | Q(executions__status__in=_GIVEN_BACK)
    live = sold.filter(status=TributeStatus.ACCEPTED)
    if now is not None:
        live = live.exclude(reserved_until__lte=now, executions__isnull=True)
    live = live.annotate(done=Count("executions", filter=settled))
    owed = sum(
        price * max(0, count - released - done)
        for price, count, released, done in live.values_list(
            "price_per_task", "task_count", "released_count", "done"
        )
    )
    accepted = Execution.objects.filter(
        tribute__in=sold.exclude(status=TributeStatus.ACCEPTED),
        status=ExecutionStatus.ACCEPTED,
        payment__isnull=True,
    )
    unpaid = accepted.aggregate(sum=Sum(F("tribute__price_per_task")))["sum"]
    return owed + int(unpaid or 0)


def _promised(buyer_node_id: str) -> int:
    own = local_node().node_id
    live = Payment.objects.exclude(status=PaymentStatus.ABORTED)
    taken = live.filter(payer_node_id=buyer_node_id, payee_node_id=own)
    given = live.filter(payer_node_id=own, payee_node_id=buyer_node_id)
    return _sum(taken.aggregate(sum=Sum("amount"))) - _sum(given.aggregate(sum=Sum("amount")))


def _sum(row: dict[str, int | None]) -> int:
    return int(row["sum"] or 0)
