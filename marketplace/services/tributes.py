"""The buyer's side of a tribute: request, hold, answers, hiring and cancelling."""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F

from marketplace.messages import TributeBody, TributeCancel, TributeRequest
from marketplace.models import Offering, Tribute
from marketplace.queries import state_of
from marketplace.services import wallet
from marketplace.services.settlement import close_if_settled
from marketplace.services.transitions import get_tribute, move_tribute, tell
from marketplace.states import EntryKind, TributeStatus
from p2p import outbox
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from p2p.protocol.timestamps import to_timestamp
from swarm.errors import NotFound, WrongState
from swarm.hooks import TaskMoved
from swarm.models import Task
from swarm.states import TASK_TERMINAL, TaskStatus

ANSWER_DEADLINE_S = 120.0
WORK_DEADLINE_S = 86_400.0
TASK_COUNT_MAX = 50


def request_tribute(
    *,
    offering_id: UUID,
    task_count: int,
    goal_id: UUID,
    now: datetime,
    overflow: bool = False,
) -> Tribute:
    """Ask a seller for executions of a goal's subtasks and hold their price.

    DomainError: `offering_gone`, `no_idle_agents`, `bad_count`, `insufficient_funds`,
    `own_offering`, or `wrong_state` of the goal; nothing is held then.
    """
    with transaction.atomic():
        # Read in here: a goal that ends at this moment has given back what it bought until now.
        offering = _live_offering(offering_id, now)
        goal = _open_goal(goal_id)
        _check_count(task_count, offering)
        tribute = _create(offering, goal, task_count, overflow, now)
        _hold(tribute, now)
        _send_request(tribute, now)
        tell(tribute, "requested", now=now)
    return tribute


def note_accepted(
    tribute_id: UUID,
    *,
    seller: str,
    tx_hash: str,
    reserved_until: datetime,
    frame: bytes,
    now: datetime,
) -> None:
    """Take the seller's acceptance; refused when it names another request or comes too late."""
    tribute = tribute_with_seller(tribute_id, seller)
    if tx_hash != request_hash(bytes(tribute.request_frame)):
        raise DomainError("wrong_hash", f"tx_hash {tx_hash} is not of the request that was sent")
    if now > tribute.deadline_at:
        raise DomainError("expired", f"tribute {tribute_id} had to be answered before")
    move_tribute(
        tribute_id,
        TributeStatus.ACCEPTED,
        now=now,
        tx_hash=deal_hash(bytes(tribute.request_frame), frame),
        answer_frame=frame,
        reserved_until=reserved_until,
    )


def note_rejected(
    tribute_id: UUID, *, seller: str, code: str, reason: str, frame: bytes, now: datetime
) -> None:
    """Take the seller's refusal and give the held price back."""
    tribute_with_seller(tribute_id, seller)
    with transaction.atomic():
        tribute = move_tribute(
            tribute_id,
            TributeStatus.REJECTED,
            now=now,
            reason_code=code[:40],
            reason=reason[:500],
            answer_frame=frame,
        )
        release_all(tribute, note=f"rejected: {code}", now=now)


def cancel_tribute(tribute_id: UUID, *, reason: str, now: datetime) -> Tribute:
    """Give back every execution that was not assigned yet; those under way are still paid."""
    with transaction.atomic():
        tribute = get_tribute(tribute_id)
        if tribute.from_node_id != local_node().node_id:
            raise DomainError("not_ours", "only the buyer can cancel a tribute", 403)
        unused = tribute.task_count - tribute.released_count - tribute.executions.count()
        if tribute.status == TributeStatus.PENDING:
            tribute = move_tribute(
                tribute_id, TributeStatus.CANCELLED, now=now, reason_code="cancelled", reason=reason
            )
            release_all(tribute, note="cancelled", now=now)
        elif tribute.status == TributeStatus.ACCEPTED and unused > 0:
            _give_back(tribute, unused, reason, now)
        else:
            raise WrongState(f"tribute {tribute_id}", tribute.status, TributeStatus.CANCELLED)
        tribute = get_tribute(tribute_id)
        outbox.send_command(
            TributeCancel,
            to_node_id=tribute.to_node_id,
            now=now,
            expires_in_s=None,
            tribute_id=tribute.id.hex,
            released_count=tribute.released_count,
            task_ids=[],
            reason=reason[:500],
        )
    return tribute


def release_unused(goal_id: UUID, *, now: datetime) -> None:
    """Give back what an ended goal bought and did not use."""
    mine = Tribute.objects.filter(goal_id=goal_id, from_node_id=local_node().node_id)
    for tribute in mine.filter(status__in=[TributeStatus.PENDING, TributeStatus.ACCEPTED]):
        used = tribute.executions.count() + tribute.released_count
        if tribute.status == TributeStatus.PENDING or used < tribute.task_count:
            cancel_tribute(tribute.id, reason="the goal has ended", now=now)


def on_goal_moved(moved: TaskMoved) -> None:
    """Give back what a goal bought and did not use, when it ends."""
    if moved.task.parent_id is None and moved.target in TASK_TERMINAL:
        release_unused(moved.task.id, now=moved.now)


def expire_unanswered(now: datetime) -> int:
    """Expire the requests of both sides that nobody answered in time; returns how many."""
    late = list(Tribute.objects.filter(status=TributeStatus.PENDING, deadline_at__lte=now)[:100])
    for tribute in late:
        with transaction.atomic():
            expired = move_tribute(
                tribute.id,
                TributeStatus.EXPIRED,
                now=now,
                reason_code="expired",
                reason="no answer before the deadline",
            )
            if expired.from_node_id == local_node().node_id:
                release_all(expired, note="expired", now=now)
    return len(late)


def release_all(tribute: Tribute, *, note: str, now: datetime) -> None:
    """Give back the whole held price of a tribute that comes to nothing."""
    wallet.move(
        wallet.Movement(
            kind=EntryKind.RELEASE,
            reference=f"{tribute.id.hex}:all",
            amount=tribute.total_cost,
            tribute_id=tribute.id,
            counterparty_node_id=tribute.to_node_id,
            note=note,
        ),
        now=now,
    )


def tribute_with_seller(tribute_id: UUID, seller: str) -> Tribute:
    """Return a tribute that this node requested of `seller`; DomainError otherwise."""
    tribute = get_tribute(tribute_id)
    if tribute.from_node_id != local_node().node_id or tribute.to_node_id != seller:
        raise DomainError("not_allowed", f"tribute {tribute_id} was not requested of {seller[:8]}")
    return tribute


def request_hash(request_frame: bytes) -> str:
    """Return 0x and the SHA-256 of a TRIBUTE_REQUEST's payload: what the seller agrees to."""
    return "0x" + hashlib.sha256(request_frame).hexdigest()


def deal_hash(request_frame: bytes, accept_frame: bytes) -> str:
    """Return 0x and the SHA-256 of both signed frames: the agreement's own name."""
    return "0x" + hashlib.sha256(request_frame + accept_frame).hexdigest()


def _live_offering(offering_id: UUID, now: datetime) -> Offering:
    offering = Offering.objects.filter(id=offering_id).first()
    if offering is None:
        raise NotFound("offering", offering_id)
    if offering.node_id == local_node().node_id:
        raise DomainError("own_offering", "a node does not buy from itself", 422)
    state = state_of(offering, now)
    if state != "live":
        raise DomainError("offering_gone", f"offering {offering_id} is {state}")
    return offering


def _open_goal(goal_id: UUID) -> Task:
    goal = Task.objects.filter(id=goal_id, parent__isnull=True).first()
    if goal is None:
        raise NotFound("goal", goal_id)
    if goal.status not in (TaskStatus.IN_PROGRESS, TaskStatus.PLANNING):
        raise WrongState(f"goal {goal_id}", goal.status, "paid for")
    if not goal.base_branch:
        raise DomainError("not_planned", f"goal {goal_id} is still being planned: try again")
    return goal


def _check_count(task_count: int, offering: Offering) -> None:
    if not 1 <= task_count <= TASK_COUNT_MAX:
        raise DomainError(
            "bad_count", f"task_count is {task_count}: 1 to {TASK_COUNT_MAX} is allowed", 422
        )
    if task_count > offering.idle_agents:
        raise DomainError(
            "no_idle_agents",
            f"{task_count} tasks wanted, the offering has {offering.idle_agents} idle agents",
        )


def _create(
    offering: Offering, goal: Task, task_count: int, overflow: bool, now: datetime
) -> Tribute:
    return Tribute.objects.create(
        id=uuid.uuid4(),
        offering_id=offering.id,
        from_node_id=local_node().node_id,
        to_node_id=offering.node_id,
        goal_id=goal.id,
        repository=goal.repository,
        ref=goal.base_branch,
        task_count=task_count,
        capabilities=offering.capabilities,
        price_per_task=offering.price_per_task,
        total_cost=task_count * offering.price_per_task,
        policy=offering.policy,
        deadline_at=now + timedelta(seconds=ANSWER_DEADLINE_S),
        work_deadline_at=now + timedelta(seconds=WORK_DEADLINE_S),
        overflow=overflow,
        created_at=now,
        updated_at=now,
    )


def _hold(tribute: Tribute, now: datetime) -> None:
    wallet.move(
        wallet.Movement(
            kind=EntryKind.HOLD,
            reference=tribute.id.hex,
            amount=tribute.total_cost,
            tribute_id=tribute.id,
            counterparty_node_id=tribute.to_node_id,
            note=f"{_executions(tribute.task_count)} at {tribute.price_per_task}",
        ),
        now=now,
    )


def _send_request(tribute: Tribute, now: datetime) -> None:
    row = outbox.send_command(
        TributeRequest,
        to_node_id=tribute.to_node_id,
        now=now,
        expires_in_s=ANSWER_DEADLINE_S,
        tribute=TributeBody(
            id=tribute.id.hex,
            offering_id=tribute.offering_id.hex,
            from_node_id=tribute.from_node_id,
            to_node_id=tribute.to_node_id,
            task_count=tribute.task_count,
            total_cost=tribute.total_cost,
            currency="VOID",
            policy=tribute.policy,  # type: ignore[arg-type]  # its column has choices
            repository=tribute.repository,
            ref=tribute.ref,
            deadline_at=to_timestamp(tribute.deadline_at),
            work_deadline_at=to_timestamp(tribute.work_deadline_at),
        ),
    )
    Tribute.objects.filter(id=tribute.id).update(request_frame=row.frame)


def _give_back(tribute: Tribute, count: int, reason: str, now: datetime) -> None:
    released = tribute.released_count + count
    Tribute.objects.filter(id=tribute.id).update(released_count=F("released_count") + count)
    wallet.move(
        wallet.Movement(
            kind=EntryKind.RELEASE,
            reference=f"{tribute.id.hex}:unused:{released}",
            amount=count * tribute.price_per_task,
            tribute_id=tribute.id,
            counterparty_node_id=tribute.to_node_id,
            note=f"{_executions(count)} not used: {reason}",
        ),
        now=now,
    )
    tribute.refresh_from_db()
    tell(tribute, "released", now=now)
    close_if_settled(tribute, now=now)


def _executions(count: int) -> str:
    return "1 execution" if count == 1 else f"{count} executions"
