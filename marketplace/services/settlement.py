"""Executions on the buyer's side: settled as the swarm decides about their tasks, then paid."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from marketplace.messages import TributeVerdict
from marketplace.models import Execution, Tribute
from marketplace.services import payments, wallet
from marketplace.services.references import execution_reference
from marketplace.services.transitions import move_execution, move_tribute, tell
from marketplace.states import (
    EXECUTION_TERMINAL,
    EntryKind,
    ExecutionStatus,
    TributeStatus,
)
from p2p import outbox


def accept_execution(execution: Execution, *, commit: str, reason: str, now: datetime) -> None:
    """Take the result and pay: verdict, capture and proposal in one transaction."""
    with transaction.atomic():
        execution = move_execution(
            execution, ExecutionStatus.ACCEPTED, now=now, commit=commit, reason=reason
        )
        send_verdict(execution, "accepted", reason, now=now)
        payments.propose(execution, now=now)
        close_if_settled(execution.tribute, now=now)


def refuse_execution(execution: Execution, *, commit: str, reason: str, now: datetime) -> None:
    """Give the price back: nothing is paid without the evidence that the policy names."""
    with transaction.atomic():
        execution = move_execution(
            execution, ExecutionStatus.REFUSED, now=now, commit=commit, reason=reason
        )
        send_verdict(execution, "refused", reason, now=now)
        release_execution(execution, note="not accepted", now=now)


def send_back(execution: Execution, *, commit: str, reason: str, now: datetime) -> None:
    """Say that a result is not accepted yet and that another run follows under the same price."""
    Execution.objects.filter(id=execution.id).update(reported_at=None)
    execution.commit = commit
    send_verdict(execution, "rework", reason, now=now)


def release_execution(execution: Execution, *, note: str, now: datetime) -> None:
    """Give back the price of an execution that has just ended unpaid, once."""
    tribute = execution.tribute
    wallet.move(
        wallet.Movement(
            kind=EntryKind.RELEASE,
            reference=execution_reference(execution),
            amount=tribute.price_per_task,
            tribute_id=tribute.id,
            counterparty_node_id=tribute.to_node_id,
            note=f"{note}: {execution.title}",
        ),
        now=now,
    )
    close_if_settled(tribute, now=now)


def close_if_settled(tribute: Tribute, *, now: datetime) -> None:
    """End a tribute when every execution is settled or given back: `completed` if one was good.

    Both sides call it, each with its own rows.
    """
    tribute = Tribute.objects.get(id=tribute.id)
    if tribute.status != TributeStatus.ACCEPTED:
        return
    statuses = list(tribute.executions.values_list("status", flat=True))
    if not set(statuses) <= EXECUTION_TERMINAL:
        return
    if len(statuses) + tribute.released_count < tribute.task_count:
        return
    accepted = statuses.count(ExecutionStatus.ACCEPTED)
    target, code = _end_of(statuses)
    move_tribute(
        tribute.id,
        target,
        now=now,
        reason_code=code,
        reason=f"{accepted} of {len(statuses)} executions accepted",
    )


def unused(tribute: Tribute) -> int:
    """Return how many executions are neither assigned nor given back."""
    return tribute.task_count - tribute.released_count - tribute.executions.count()


def send_verdict(execution: Execution, verdict: str, reason: str, *, now: datetime) -> None:
    """Tell the seller what became of an execution; sent until it is answered."""
    outbox.send_command(
        TributeVerdict,
        to_node_id=execution.tribute.to_node_id,
        now=now,
        expires_in_s=None,
        tribute_id=execution.tribute_id.hex,
        task_id=execution.task_id.hex,
        run=execution.run,
        verdict=verdict,
        commit=execution.commit or None,
        reason=reason[:500],
    )
    if verdict == "rework":
        tell(execution.tribute, "execution_rework", now=now)


def _end_of(statuses: list[str]) -> tuple[TributeStatus, str]:
    if not statuses:
        return TributeStatus.CANCELLED, "unused"
    if ExecutionStatus.ACCEPTED in statuses:
        return TributeStatus.COMPLETED, ""
    if set(statuses) == {ExecutionStatus.CANCELLED}:
        return TributeStatus.CANCELLED, "cancelled"
    return TributeStatus.FAILED, "no_accepted_result"
