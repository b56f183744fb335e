"""The seller's side of a tribute: requests and their answers, verdicts and its end."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction

from marketplace.messages import TributeAccept, TributeBody, TributeReject
from marketplace.models import Execution, Offering, Tribute
from marketplace.services import admission
from marketplace.services.partners import approve_partner
from marketplace.services.references import deal_hash, request_hash, reservation_of
from marketplace.services.settlement import close_if_settled, unused
from marketplace.services.transitions import get_tribute, move_execution, move_tribute, tell
from marketplace.services.trials import was_tried
from marketplace.states import (
    EXECUTION_TERMINAL,
    ExecutionStatus,
    RejectCode,
    RequeuePolicy,
    TributeStatus,
)
from p2p import outbox
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from p2p.protocol.timestamps import from_timestamp, to_timestamp
from swarm.services import jobs
from swarm.services.agents import release_agents, reserve_agents
from swarm.services.attempts import cancel_open

ADMIT = "admit_tribute"


def take_request(body: TributeBody, *, origin: str, frame: bytes, now: datetime) -> None:
    """Store a buyer's request and begin to decide on it; rejects at once what cannot be."""
    if body.from_node_id != origin or body.to_node_id != local_node().node_id:
        raise DomainError("not_allowed", "the request is not from its buyer to this node")
    if origin == local_node().node_id:
        raise DomainError("not_allowed", "a node does not buy from itself")
    admission.check_body(body, now)
    admission.check_waiting(origin)
    with transaction.atomic():
        tribute = _store(body, frame, now)
        refusal = admission.refusal_of(tribute, now)
        if refusal is not None:
            reject(tribute.id, code=refusal.code, reason=str(refusal), now=now)
            return
        tell(tribute, "requested", now=now)
        if admission.waits_for_operator(origin):
            return
        if was_tried(tribute, now):
            _reserve_and_answer(tribute, now)
        else:
            _try_remote(tribute, now)


def accept(tribute_id: UUID, *, now: datetime) -> Tribute:
    """Reserve agents and send the acceptance; rejects what a rule forbids by now."""
    tribute = get_tribute(tribute_id)
    with transaction.atomic():
        refusal = admission.refusal_of(tribute, now)
        if refusal is not None:
            return reject(tribute_id, code=refusal.code, reason=str(refusal), now=now)
        return _reserve_and_answer(tribute, now)


def reject(tribute_id: UUID, *, code: str, reason: str, now: datetime) -> Tribute:
    """Refuse a request with a RejectCode and words."""
    code = RejectCode(code)
    with transaction.atomic():
        tribute = move_tribute(
            tribute_id, TributeStatus.REJECTED, now=now, reason_code=code, reason=reason
        )
        row = outbox.send_command(
            TributeReject,
            to_node_id=tribute.from_node_id,
            now=now,
            tribute_id=tribute.id.hex,
            code=code,
            reason=reason[:500],
        )
        Tribute.objects.filter(id=tribute_id).update(answer_frame=row.frame)
    return tribute


def accept_by_operator(tribute_id: UUID, *, now: datetime, remember: bool = False) -> Tribute:
    """Accept a waiting request as the operator; the remote is still tried first.

    `remember` approves the buyer, whose next requests are then accepted without asking.
    """
    tribute = _waiting(tribute_id)
    with transaction.atomic():
        if remember:
            approve_partner(tribute.from_node_id, note="approved with a tribute", now=now)
        _try_remote(tribute, now)
    return tribute


def reject_by_operator(tribute_id: UUID, *, reason: str, now: datetime) -> Tribute:
    """Reject a waiting request as the operator."""
    _waiting(tribute_id)
    words = reason or "refused by the operator"
    return reject(tribute_id, code=RejectCode.REFUSED, reason=words, now=now)


def take_verdict(
    tribute_id: UUID,
    task_id: UUID,
    *,
    run: int,
    buyer: str,
    verdict: str,
    commit: str,
    reason: str,
    now: datetime,
) -> None:
    """Note what the buyer's gate made of an execution; the payment comes by itself."""
    tribute = get_tribute(tribute_id)
    require_buyer(tribute, buyer)
    execution = tribute.executions.filter(task_id=task_id, run=run).first()
    if execution is None:
        if verdict != "refused" or tribute.status != TributeStatus.ACCEPTED or unused(tribute) < 1:
            raise DomainError("not_allowed", f"task {task_id} is not of tribute {tribute_id}")
        # Its assignment never came; should it still come, this row refuses it.
        execution = Execution.objects.create(
            tribute=tribute, task_id=task_id, run=run, opened_at=now
        )
    if execution.status != ExecutionStatus.OPEN:
        return
    with transaction.atomic():
        if verdict == "rework":
            # What comes next is another run, which the buyer may take back until it reports.
            _note_rework(execution, commit, reason)
        else:
            accepted = verdict == "accepted"
            if not accepted:
                cancel_open(task_id, assigner_node_id=buyer, reason=reason, now=now)
            move_execution(
                execution,
                ExecutionStatus.ACCEPTED if accepted else ExecutionStatus.REFUSED,
                now=now,
                commit=commit,
                reason=reason,
            )
        tell(get_tribute(tribute_id), f"verdict_{verdict}", now=now)
        settle_sale(tribute, now=now)


def settle_sale(tribute: Tribute, *, now: datetime) -> None:
    """Free the agents that the rest of a tribute cannot need, and end it when all is settled."""
    tribute = get_tribute(tribute.id)
    closed = tribute.executions.filter(status__in=EXECUTION_TERMINAL).count()
    unpaid = tribute.executions.filter(status=ExecutionStatus.ACCEPTED, payment__isnull=True)
    left = max(0, tribute.task_count - tribute.released_count - closed)
    if now >= tribute.work_deadline_at:
        left = 0  # what is reported waits for its verdict without an agent
    release_agents(reservation_of(tribute.id), keep=left, now=now)
    if not unpaid.exists():
        close_if_settled(tribute, now=now)


def require_buyer(tribute: Tribute, node_id: str) -> None:
    """DomainError `not_allowed` unless this node sells a tribute to the node `node_id`."""
    if tribute.from_node_id != node_id or tribute.to_node_id != local_node().node_id:
        raise DomainError("not_allowed", f"tribute {tribute.id} is not of {node_id[:8]}")


def _reserve_and_answer(tribute: Tribute, now: datetime) -> Tribute:
    """Accept what no rule forbids; rejects where too few agents are idle."""
    until = now + timedelta(seconds=settings.ENVIRONMENT.reservation_s)
    try:
        with transaction.atomic():
            reserve_agents(
                tribute.task_count,
                capabilities=tribute.capabilities,
                reserved_for=reservation_of(tribute.id),
                until=until,
                now=now,
                for_sale=True,
            )
            row = outbox.send_command(
                TributeAccept,
                to_node_id=tribute.from_node_id,
                now=now,
                expires_in_s=settings.ENVIRONMENT.reservation_s,
                tribute_id=tribute.id.hex,
                tx_hash=request_hash(bytes(tribute.request_frame)),
                reserved_until=to_timestamp(until),
            )
            return move_tribute(
                tribute.id,
                TributeStatus.ACCEPTED,
                now=now,
                reserved_until=until,
                answer_frame=row.frame,
                tx_hash=deal_hash(bytes(tribute.request_frame), bytes(row.frame)),
            )
    except DomainError as no_agents:
        if no_agents.code != RejectCode.NO_IDLE_AGENTS:
            raise
        return reject(tribute.id, code=no_agents.code, reason=str(no_agents), now=now)


def _try_remote(tribute: Tribute, now: datetime) -> None:
    jobs.enqueue(ADMIT, key=tribute.id.hex, lane=f"admit:{tribute.id.hex}", now=now)


def _note_rework(execution: Execution, commit: str, reason: str) -> None:
    same = Execution.objects.filter(id=execution.id, status=ExecutionStatus.OPEN)
    same.update(reason=reason[:500])
    if execution.tribute.policy == RequeuePolicy.ACCEPTED_RESULT:
        # A verdict that was overtaken by the next run's report is not about that one.
        same.filter(commit=commit).update(reported_at=None)


def _store(body: TributeBody, frame: bytes, now: datetime) -> Tribute:
    offering = Offering.objects.filter(id=UUID(body.offering_id)).first()
    return Tribute.objects.create(
        id=UUID(body.id),
        offering_id=UUID(body.offering_id),
        from_node_id=body.from_node_id,
        to_node_id=body.to_node_id,
        repository=body.repository,
        ref=body.ref,
        task_count=body.task_count,
        capabilities=offering.capabilities if offering else [],
        price_per_task=body.total_cost // body.task_count,
        total_cost=body.total_cost,
        policy=body.policy,
        request_frame=frame,
        deadline_at=from_timestamp(body.deadline_at),
        work_deadline_at=from_timestamp(body.work_deadline_at),
        created_at=now,
        updated_at=now,
    )


def _waiting(tribute_id: UUID) -> Tribute:
    tribute = get_tribute(tribute_id)
    if tribute.to_node_id != local_node().node_id or tribute.status != TributeStatus.PENDING:
        raise DomainError("wrong_state", f"tribute {tribute_id} is not waiting for this node")
    return tribute
