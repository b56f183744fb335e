"""The seller's side of a tribute: admission, reservation, verdicts and its end."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction

from marketplace.messages import TributeAccept, TributeBody, TributeReject
from marketplace.models import Execution, Offering, Tribute
from marketplace.queries import state_of
from marketplace.services.settlement import close_if_settled
from marketplace.services.transitions import get_tribute, move_tribute, tell
from marketplace.services.tributes import TASK_COUNT_MAX, deal_hash, request_hash
from marketplace.states import ExecutionStatus, TributeStatus
from p2p import outbox
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from p2p.protocol.timestamps import from_timestamp, to_timestamp
from swarm.git.names import validate_url
from swarm.messages import TaskAssign
from swarm.models import ATTEMPTS_MAX_DEFAULT, Attempt
from swarm.services import jobs
from swarm.services.agents import prolong_reservation, release_agents, reserve_agents
from swarm.services.attempts import cancel_open

ADMIT = "admit_tribute"
WAITING_MAX = 20  # undecided requests of one buyer
DEADLINE_MAX_S = 86_400
WORK_LIMIT_S = 86_400.0  # a committed reservation ends after a day whatever happens


def take_request(body: TributeBody, *, origin: str, frame: bytes, now: datetime) -> None:
    """Store a buyer's request and begin to decide on it; rejects at once what cannot be."""
    if body.from_node_id != origin or body.to_node_id != local_node().node_id:
        raise DomainError("not_allowed", "the request is not from its buyer to this node")
    offering = Offering.objects.filter(id=UUID(body.offering_id)).first()
    with transaction.atomic():
        _check_waiting(body, now)
        tribute = _store(body, offering, frame, now)
        refusal = _refusal(tribute, offering, now)
        if refusal is not None:
            reject(tribute.id, code=refusal.code, reason=str(refusal), now=now)
            return
        tell(tribute, "requested", now=now)
        if origin in settings.ENVIRONMENT.allow_nodes:
            jobs.enqueue(ADMIT, key=tribute.id.hex, lane=f"admit:{tribute.id.hex}", now=now)
        # A stranger waits for the operator until the deadline.


def accept(tribute_id: UUID, *, now: datetime) -> Tribute:
    """Reserve agents and send the acceptance; rejects where too few agents are idle."""
    tribute = get_tribute(tribute_id)
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
                tribute_id,
                TributeStatus.ACCEPTED,
                now=now,
                reserved_until=until,
                answer_frame=row.frame,
                tx_hash=deal_hash(bytes(tribute.request_frame), bytes(row.frame)),
            )
    except DomainError as refusal:
        if refusal.code != "no_idle_agents":
            raise
        return reject(tribute_id, code=refusal.code, reason=str(refusal), now=now)


def reject(tribute_id: UUID, *, code: str, reason: str, now: datetime) -> Tribute:
    """Refuse a request with a typed reason."""
    with transaction.atomic():
        tribute = move_tribute(
            tribute_id, TributeStatus.REJECTED, now=now, reason_code=code, reason=reason[:500]
        )
        outbox.send_command(
            TributeReject,
            to_node_id=tribute.from_node_id,
            now=now,
            tribute_id=tribute.id.hex,
            code=code,
            reason=reason[:500],
        )
    return tribute


def accept_by_operator(tribute_id: UUID, *, now: datetime) -> Tribute:
    """Accept a waiting request as the operator; the remote is still tried first."""
    tribute = _waiting(tribute_id)
    with transaction.atomic():
        jobs.enqueue(ADMIT, key=tribute.id.hex, lane=f"admit:{tribute.id.hex}", now=now)
    return tribute


def reject_by_operator(tribute_id: UUID, *, reason: str, now: datetime) -> Tribute:
    """Reject a waiting request as the operator."""
    _waiting(tribute_id)
    return reject(tribute_id, code="refused", reason=reason or "refused by the operator", now=now)


def admit_assignment(command: TaskAssign, now: datetime) -> str:
    """Decide on a TASK_ASSIGN under a tribute; the first one makes the reservation last.

    DomainError `lapsed` or `not_allowed` is what the buyer will see.
    """
    tribute = Tribute.objects.filter(id=UUID(command.tribute_id)).first()
    if tribute is None or tribute.from_node_id != command.origin:
        raise DomainError("not_allowed", f"no tribute {command.tribute_id} of {command.origin[:8]}")
    if tribute.to_node_id != local_node().node_id or tribute.repository != command.task.repository:
        raise DomainError("not_allowed", "the task is not of the tribute's repository")
    if tribute.status != TributeStatus.ACCEPTED:
        raise DomainError("lapsed", f"tribute {tribute.id.hex[:8]} is {tribute.status}")
    _open_for_run(tribute, UUID(command.task.id), command.task.title, now)
    until = now + timedelta(seconds=WORK_LIMIT_S)
    prolong_reservation(reservation_of(tribute.id), until=until)
    Tribute.objects.filter(id=tribute.id).update(reserved_until=until)
    tell(get_tribute(tribute.id), "assigned", now=now)
    return reservation_of(tribute.id)


def take_verdict(
    tribute_id: UUID,
    task_id: UUID,
    *,
    buyer: str,
    verdict: str,
    commit: str,
    reason: str,
    now: datetime,
) -> None:
    """Note what the buyer's gate made of an execution; the payment comes by itself."""
    tribute = _tribute_of_buyer(tribute_id, buyer)
    execution = tribute.executions.filter(task_id=task_id).first()
    if execution is None:
        raise DomainError("not_allowed", f"task {task_id} is not of tribute {tribute_id}")
    with transaction.atomic():
        if verdict == "rework":
            Execution.objects.filter(id=execution.id, status=ExecutionStatus.OPEN).update(
                reason=reason[:500]
            )
        else:
            status = ExecutionStatus.ACCEPTED if verdict == "accepted" else ExecutionStatus.REFUSED
            if status == ExecutionStatus.REFUSED:
                cancel_open(task_id, assigner_node_id=buyer, reason=reason, now=now)
            Execution.objects.filter(id=execution.id, status=ExecutionStatus.OPEN).update(
                status=status, commit=commit, reason=reason[:500], closed_at=now
            )
        tell(tribute, f"verdict_{verdict}", now=now)
        settle_sale(tribute, now=now)


def take_cancel(tribute_id: UUID, *, buyer: str, released_count: int, now: datetime) -> None:
    """Take back executions that the buyer will not assign."""
    tribute = _tribute_of_buyer(tribute_id, buyer)
    with transaction.atomic():
        if tribute.status == TributeStatus.PENDING:
            move_tribute(
                tribute_id,
                TributeStatus.CANCELLED,
                now=now,
                reason_code="cancelled",
                reason="cancelled by the buyer",
            )
            return
        most = tribute.task_count - tribute.executions.count()
        # Each message names all so far: one that was overtaken takes nothing back.
        released = min(max(released_count, tribute.released_count), most)
        Tribute.objects.filter(id=tribute_id).update(released_count=released)
        settle_sale(tribute, now=now)


def settle_sale(tribute: Tribute, *, now: datetime) -> None:
    """Free the agents that the rest of a tribute cannot need, and end it when all is settled."""
    tribute = get_tribute(tribute.id)
    closed = tribute.executions.exclude(status=ExecutionStatus.OPEN).count()
    unpaid = tribute.executions.filter(status=ExecutionStatus.ACCEPTED, payment__isnull=True)
    left = max(0, tribute.task_count - tribute.released_count - closed)
    release_agents(reservation_of(tribute.id), keep=left, now=now)
    if not unpaid.exists():
        close_if_settled(tribute, now=now)


def lapse_reservations(now: datetime) -> int:
    """Free the agents of accepted tributes that were never assigned anything in time."""
    lapsed = Tribute.objects.filter(
        status=TributeStatus.ACCEPTED,
        to_node_id=local_node().node_id,
        reserved_until__lte=now,
        executions__isnull=True,  # what was assigned ends with the buyer's verdict, however late
    )
    rows = list(lapsed[:100])
    for tribute in rows:
        with transaction.atomic():
            release_agents(reservation_of(tribute.id), keep=0, now=now)
            move_tribute(
                tribute.id,
                TributeStatus.CANCELLED,
                now=now,
                reason_code="lapsed",
                reason="the reservation ran out",
            )
    return len(rows)


def note_acceptance_refused(tribute_id: UUID, *, code: str, detail: str, now: datetime) -> None:
    """Free the agents of an acceptance that the buyer did not take, or never answered."""
    with transaction.atomic():
        release_agents(reservation_of(tribute_id), keep=0, now=now)
        move_tribute(
            tribute_id,
            TributeStatus.CANCELLED,
            now=now,
            reason_code=code[:40],
            reason=f"the buyer did not take the acceptance: {detail}"[:500],
        )


def reservation_of(tribute_id: UUID) -> str:
    """Return the name under which a tribute reserves agents."""
    return f"tribute:{tribute_id.hex}"


def _open_for_run(tribute: Tribute, task_id: UUID, title: str, now: datetime) -> None:
    """Open the execution of a first run; a further run must still be covered by its price."""
    execution = tribute.executions.filter(task_id=task_id).first()
    if execution is None:
        if tribute.executions.count() + tribute.released_count >= tribute.task_count:
            raise DomainError("not_allowed", f"all {tribute.task_count} executions are assigned")
        Execution.objects.create(tribute=tribute, task_id=task_id, title=title, opened_at=now)
        return
    if execution.status != ExecutionStatus.OPEN:
        raise DomainError("not_allowed", f"task {task_id} is already {execution.status}")
    runs = Attempt.objects.filter(tribute_id=tribute.id, task_id=task_id).count()
    if runs >= ATTEMPTS_MAX_DEFAULT:
        raise DomainError(
            "not_allowed",
            f"task {task_id} had {runs} runs, its price covers {ATTEMPTS_MAX_DEFAULT}",
        )


def _check_waiting(body: TributeBody, now: datetime) -> None:
    """Bound what a buyer can leave here to be decided on, in number and in time."""
    waiting = Tribute.objects.filter(
        from_node_id=body.from_node_id,
        to_node_id=local_node().node_id,
        status=TributeStatus.PENDING,
    ).count()
    if waiting >= WAITING_MAX:
        raise DomainError(
            "too_many_requests",
            f"{waiting} requests of {body.from_node_id[:8]} wait, {WAITING_MAX} are allowed",
        )
    if from_timestamp(body.deadline_at) > now + timedelta(seconds=DEADLINE_MAX_S):
        raise DomainError(
            "bad_deadline", f"deadline {body.deadline_at} is more than {DEADLINE_MAX_S} s ahead"
        )


def _store(body: TributeBody, offering: Offering | None, frame: bytes, now: datetime) -> Tribute:
    if Tribute.objects.filter(id=UUID(body.id)).exists():
        raise DomainError("duplicate", f"tribute {body.id} exists already")
    if not 1 <= body.task_count <= TASK_COUNT_MAX:
        raise DomainError(
            "bad_count", f"task_count is {body.task_count}: 1 to {TASK_COUNT_MAX} is allowed"
        )
    if body.total_cost % body.task_count:
        raise DomainError(
            "bad_count", f"{body.task_count} tasks cannot cost {body.total_cost} VOID together"
        )
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


def _refusal(tribute: Tribute, offering: Offering | None, now: datetime) -> DomainError | None:
    """Return why a request cannot be accepted at all, or None."""
    if offering is None or offering.node_id != local_node().node_id:
        return DomainError("offering_gone", "there is no such offering")
    state = state_of(offering, now)
    if state != "live":
        return DomainError("offering_gone", f"the offering is {state}")
    if tribute.price_per_task != offering.price_per_task:
        return DomainError(
            "wrong_price",
            f"{tribute.price_per_task} VOID a task offered, the price is {offering.price_per_task}",
        )
    if tribute.task_count > offering.idle_agents:
        return DomainError(
            "no_idle_agents",
            f"{tribute.task_count} tasks wanted, {offering.idle_agents} agents are idle",
        )
    if tribute.deadline_at <= now:
        return DomainError("expired", "the deadline has passed")
    try:
        validate_url(tribute.repository)
    except DomainError as bad:
        return bad
    return None


def _waiting(tribute_id: UUID) -> Tribute:
    tribute = get_tribute(tribute_id)
    if tribute.to_node_id != local_node().node_id or tribute.status != TributeStatus.PENDING:
        raise DomainError("wrong_state", f"tribute {tribute_id} is not waiting for this node")
    return tribute


def _tribute_of_buyer(tribute_id: UUID, buyer: str) -> Tribute:
    tribute = get_tribute(tribute_id)
    if tribute.from_node_id != buyer or tribute.to_node_id != local_node().node_id:
        raise DomainError("not_allowed", f"tribute {tribute_id} is not of {buyer[:8]}")
    return tribute
