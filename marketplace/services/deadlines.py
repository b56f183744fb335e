"""The work deadline: what is not reported by then ends at the seller and is released at the buyer.

What was reported stays with the buyer's verdict, however late that comes.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Count, F, Q

from marketplace.models import Execution, Tribute
from marketplace.services import cancelling, sales
from marketplace.services.settlement import send_verdict, unused
from marketplace.services.transitions import get_tribute, move_execution, side_of
from marketplace.states import ExecutionStatus, Side, TributeStatus
from swarm.services.attempts import cancel_open
from swarm.states import Actor

NOT_REPORTED = "no report before the work deadline"
_UNREPORTED = Q(
    executions__status__in=[ExecutionStatus.OPEN, ExecutionStatus.CANCELLING],
    executions__reported_at__isnull=True,
)


def end_overdue(now: datetime) -> int:
    """End what both sides have not got reported by its work deadline; returns of how many."""
    overdue = (
        Tribute.objects.filter(status=TributeStatus.ACCEPTED, work_deadline_at__lte=now)
        .annotate(
            opened=Count("executions"),
            unreported=Count("executions", filter=_UNREPORTED),
        )
        .filter(Q(unreported__gt=0) | Q(task_count__gt=F("released_count") + F("opened")))
    )
    rows = list(overdue[:100])
    for tribute in rows:
        with transaction.atomic():
            if side_of(tribute) == Side.BUYER:
                _release(tribute, now)
            else:
                _stop(tribute, now)
    return len(rows)


def _unreported(tribute: Tribute) -> list[Execution]:
    unsettled = [ExecutionStatus.OPEN, ExecutionStatus.CANCELLING]
    rows = tribute.executions.filter(status__in=unsettled, reported_at__isnull=True)
    return list(rows.select_related("tribute"))


def _release(tribute: Tribute, now: datetime) -> None:
    for execution in _unreported(tribute):
        # For a seller whose report is under way and will be refused as too late.
        send_verdict(execution, "refused", NOT_REPORTED, now=now)
        cancelling.end_unreported(execution, reason=NOT_REPORTED, now=now, by=Actor.LEASE)
    tribute = get_tribute(tribute.id)
    if tribute.status == TributeStatus.ACCEPTED and (left := unused(tribute)) > 0:
        cancelling.give_back(tribute, left, reason="the work deadline has passed", now=now)


def _stop(tribute: Tribute, now: datetime) -> None:
    for execution in _unreported(tribute):
        cancel_open(
            execution.task_id,
            assigner_node_id=tribute.from_node_id,
            reason=NOT_REPORTED,
            now=now,
        )
        move_execution(execution, ExecutionStatus.CANCELLED, now=now, reason=NOT_REPORTED)
    used = tribute.executions.count()
    Tribute.objects.filter(id=tribute.id).update(released_count=tribute.task_count - used)
    sales.settle_sale(tribute, now=now)
