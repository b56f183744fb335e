"""Taking executions back: by the buyer, by the seller, and the answers of the other side."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from django.db import transaction
from django.db.models import F

from marketplace.messages import TributeCancel
from marketplace.models import Execution, Tribute
from marketplace.services import reservations, sales, wallet
from marketplace.services.references import executions as in_words
from marketplace.services.settlement import close_if_settled, release_execution, unused
from marketplace.services.transitions import (
    get_tribute,
    move_execution,
    move_tribute,
    side_of,
    tell,
)
from marketplace.services.tributes import release_all
from marketplace.states import EntryKind, ExecutionStatus, RejectCode, Side, TributeStatus
from p2p import outbox
from p2p.local import local_node
from p2p.models import OutboxMessage
from p2p.protocol.errors import DomainError
from p2p.registration import registry
from swarm.errors import WrongState
from swarm.models import Task
from swarm.services.attempts import cancel_open
from swarm.services.transitions import move_task
from swarm.states import TASK_TERMINAL, TASK_WITH_AGENT, Actor, TaskStatus

ALREADY_REPORTED = "already_reported"
ASK_AGAIN_AFTER = timedelta(minutes=1)


def cancel_tribute(
    tribute_id: UUID, *, reason: str, now: datetime, task_ids: Sequence[UUID] = ()
) -> Tribute:
    """Cancel a tribute as far as its rules allow; returns it as it is then.

    The buyer gives back what was not assigned, or asks for the executions `task_ids` back; the
    seller may end it until the first assignment. DomainError `already_assigned`,
    `already_reported`, or `wrong_state` when nothing is left to cancel.
    """
    with transaction.atomic():
        tribute = get_tribute(tribute_id)
        if side_of(tribute) == Side.SELLER:
            _cancel_as_seller(tribute, reason, now)
        elif task_ids:
            for task_id in task_ids:
                _ask_back_by_task(tribute, task_id, reason, now)
        else:
            _cancel_as_buyer(tribute, reason, now)
    return get_tribute(tribute_id)


def release_unused(goal_id: UUID, *, now: datetime) -> None:
    """Give back what an ended goal bought and did not use."""
    mine = Tribute.objects.filter(goal_id=goal_id, from_node_id=local_node().node_id)
    for tribute in mine.filter(status__in=[TributeStatus.PENDING, TributeStatus.ACCEPTED]):
        if tribute.status == TributeStatus.PENDING or unused(tribute) > 0:
            cancel_tribute(tribute.id, reason="the goal has ended", now=now)


def ask_back(execution: Execution, *, reason: str, now: datetime) -> None:
    """Ask the seller for an execution that it has not reported; its price stays held."""
    with transaction.atomic():
        execution = move_execution(execution, ExecutionStatus.CANCELLING, now=now, reason=reason)
        _send(execution.tribute, reason, now, task_ids=[execution.task_id.hex])


def give_back(tribute: Tribute, count: int, *, reason: str, now: datetime) -> None:
    """Release the price of `count` executions that were never assigned."""
    released = tribute.released_count + count
    Tribute.objects.filter(id=tribute.id).update(released_count=F("released_count") + count)
    wallet.move(
        wallet.Movement(
            kind=EntryKind.RELEASE,
            reference=f"{tribute.id.hex}:unused:{released}",
            amount=count * tribute.price_per_task,
            tribute_id=tribute.id,
            counterparty_node_id=tribute.to_node_id,
            note=f"{in_words(count)} not used: {reason}",
        ),
        now=now,
    )
    tribute.refresh_from_db()
    tell(tribute, "released", now=now)
    close_if_settled(tribute, now=now)


def take_cancel(
    tribute_id: UUID,
    *,
    origin: str,
    released_count: int,
    task_ids: Sequence[UUID],
    reason: str,
    now: datetime,
) -> None:
    """Take the other side's cancellation; DomainError `already_reported` changes nothing."""
    tribute = get_tribute(tribute_id)
    with transaction.atomic():
        if side_of(tribute) == Side.BUYER:
            _take_sellers(tribute, origin, reason, now)
        else:
            sales.require_buyer(tribute, origin)
            _take_buyers(tribute, released_count, task_ids, reason, now)


def note_answered(
    row: OutboxMessage, accepted: bool, code: str, detail: str, now: datetime
) -> None:
    """Settle what was asked back: given back, or reported before and judged as usual."""
    command = cast(TributeCancel, registry.decode(bytes(row.frame)))
    asked = Execution.objects.filter(
        tribute_id=UUID(command.tribute_id),
        tribute__from_node_id=local_node().node_id,
        task_id__in=[UUID(task_id) for task_id in command.task_ids],
        status=ExecutionStatus.CANCELLING,
    )
    for execution in asked.select_related("tribute"):
        if accepted:
            end_unreported(execution, reason=command.reason, now=now)
        else:
            words = f"not taken back: {detail or code}"
            again_at = now + ASK_AGAIN_AFTER
            move_execution(
                execution, ExecutionStatus.OPEN, now=now, reason=words, ask_again_at=again_at
            )


def ask_again(now: datetime) -> int:
    """Ask again for executions that nobody wants any more and no report of which came.

    The refusal may have crossed the verdict on an earlier report. What the seller still refuses
    ends with the work deadline. Returns of how many.
    """
    due = Execution.objects.filter(
        tribute__from_node_id=local_node().node_id,
        status=ExecutionStatus.OPEN,
        reported_at__isnull=True,
        ask_again_at__lte=now,
    )
    rows = list(due.select_related("tribute")[:100])
    Execution.objects.filter(id__in=[each.id for each in rows]).update(ask_again_at=None)
    wanted = Task.objects.exclude(status__in=TASK_TERMINAL)
    unwanted = [each for each in rows if not wanted.filter(id=each.task_id).exists()]
    for execution in unwanted:
        ask_back(execution, reason="its task has ended", now=now)
    return len(unwanted)


def end_unreported(
    execution: Execution, *, reason: str, now: datetime, by: Actor = Actor.OPERATOR
) -> None:
    """Release the price of an execution that nobody will report, and queue its task anew."""
    with transaction.atomic():
        execution = move_execution(execution, ExecutionStatus.CANCELLED, now=now, reason=reason)
        release_execution(execution, note="taken back", now=now)
        held = Task.objects.filter(
            id=execution.task_id, tribute_id=execution.tribute_id, status__in=TASK_WITH_AGENT
        )
        if held.exists():
            move_task(
                execution.task_id,
                TaskStatus.PENDING,
                by=by,
                reason=f"taken back from the seller: {reason}",
                now=now,
                assigned_node="",
                assigned_agent="",
                assigned_agent_id=None,
                lease_expires_at=None,
                progress="",
            )


def _cancel_as_buyer(tribute: Tribute, reason: str, now: datetime) -> None:
    if tribute.status == TributeStatus.PENDING:
        moved = move_tribute(
            tribute.id, TributeStatus.CANCELLED, now=now, reason_code="cancelled", reason=reason
        )
        release_all(moved, note="cancelled", now=now)
        # An acceptance may be under way: the seller is told that all of it comes back.
        _send(moved, reason, now, released_count=tribute.task_count)
    elif tribute.status == TributeStatus.ACCEPTED and unused(tribute) > 0:
        give_back(tribute, unused(tribute), reason=reason, now=now)
        _send(get_tribute(tribute.id), reason, now)
    else:
        raise WrongState(f"tribute {tribute.id}", tribute.status, TributeStatus.CANCELLED)


def _ask_back_by_task(tribute: Tribute, task_id: UUID, reason: str, now: datetime) -> None:
    execution = tribute.executions.filter(task_id=task_id).order_by("-run").first()
    if execution is None:
        raise DomainError("not_found", f"task {task_id} is not of tribute {tribute.id}", 404)
    if execution.reported_at is not None:
        raise DomainError(ALREADY_REPORTED, f"task {task_id} is reported and will be judged")
    ask_back(execution, reason=reason, now=now)


def _cancel_as_seller(tribute: Tribute, reason: str, now: datetime) -> None:
    if tribute.status == TributeStatus.PENDING:
        sales.reject(tribute.id, code=RejectCode.REFUSED, reason=reason, now=now)
        return
    if tribute.executions.exists():
        raise DomainError("already_assigned", f"tribute {tribute.id} is assigned: finish it")
    reservations.end_unassigned(tribute, code="cancelled_by_seller", reason=reason, now=now)


def _take_sellers(tribute: Tribute, origin: str, reason: str, now: datetime) -> None:
    """Give back what was not assigned; what was is answered by the seller with `lapsed`."""
    if tribute.to_node_id != origin:
        raise DomainError("not_allowed", f"tribute {tribute.id} was not requested of {origin[:8]}")
    words = f"cancelled by the seller: {reason}"
    if tribute.status == TributeStatus.PENDING:
        moved = move_tribute(
            tribute.id,
            TributeStatus.CANCELLED,
            now=now,
            reason_code="cancelled_by_seller",
            reason=words,
        )
        release_all(moved, note=words, now=now)
    elif tribute.status == TributeStatus.ACCEPTED and unused(tribute) > 0:
        give_back(tribute, unused(tribute), reason=words, now=now)


def _take_buyers(
    tribute: Tribute, released_count: int, task_ids: Sequence[UUID], reason: str, now: datetime
) -> None:
    if tribute.status == TributeStatus.PENDING:
        move_tribute(
            tribute.id,
            TributeStatus.CANCELLED,
            now=now,
            reason_code="cancelled",
            reason=f"cancelled by the buyer: {reason}",
        )
    if tribute.status != TributeStatus.ACCEPTED:
        return
    for task_id in task_ids:
        _return_execution(tribute, task_id, reason, now)
    most = tribute.task_count - tribute.executions.count()
    # Each message names all so far: one that was overtaken takes nothing back.
    released = min(max(released_count, tribute.released_count), most)
    Tribute.objects.filter(id=tribute.id).update(released_count=released)
    sales.settle_sale(tribute, now=now)


def _return_execution(tribute: Tribute, task_id: UUID, reason: str, now: datetime) -> None:
    execution = tribute.executions.filter(task_id=task_id).order_by("-run").first()
    if execution is None:
        # The cancellation overtook its assignment, which this row will refuse.
        if unused(tribute) < 1:
            raise DomainError("not_allowed", f"task {task_id} is not of tribute {tribute.id}")
        execution = Execution.objects.create(tribute=tribute, task_id=task_id, opened_at=now)
    if execution.status in (ExecutionStatus.REFUSED, ExecutionStatus.CANCELLED):
        return
    if execution.reported_at is not None or execution.status == ExecutionStatus.ACCEPTED:
        raise DomainError(ALREADY_REPORTED, f"task {task_id} was reported before")
    cancel_open(task_id, assigner_node_id=tribute.from_node_id, reason=reason, now=now)
    move_execution(execution, ExecutionStatus.CANCELLED, now=now, reason=reason)


def _send(
    tribute: Tribute,
    reason: str,
    now: datetime,
    *,
    task_ids: Sequence[str] = (),
    released_count: int | None = None,
) -> None:
    outbox.send_command(
        TributeCancel,
        to_node_id=tribute.to_node_id,
        now=now,
        expires_in_s=None,
        tribute_id=tribute.id.hex,
        released_count=tribute.released_count if released_count is None else released_count,
        task_ids=list(task_ids),
        reason=reason[:500],
    )
