"""The buyer's side of a tribute until it is accepted: request, hold and answers."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction

from marketplace.messages import TributeBody, TributeRequest
from marketplace.models import Offering, Tribute
from marketplace.queries import state_of
from marketplace.services import wallet
from marketplace.services.admission import TASK_COUNT_MAX
from marketplace.services.references import deal_hash, executions, request_hash
from marketplace.services.transitions import get_tribute, move_tribute, tell
from marketplace.states import EntryKind, TributeStatus
from p2p import outbox
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from p2p.protocol.timestamps import to_timestamp
from swarm.errors import NotFound, WrongState
from swarm.models import Task
from swarm.sandbox import can_test_strangers
from swarm.states import TaskStatus

ANSWER_DEADLINE_S = 120.0


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
    `own_offering`, `no_sandbox`, or `wrong_state` of the goal; nothing is held then.
    """
    with transaction.atomic():
        # Read in here: a goal that ends at this moment has given back what it bought until now.
        offering = _live_offering(offering_id, now)
        goal = _open_goal(goal_id)
        _check_count(task_count, offering)
        _check_testable(offering, goal)
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
    if now >= tribute.deadline_at:
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
            reason=reason,
            answer_frame=frame,
        )
        release_all(tribute, note=f"rejected: {code}", now=now)


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


def _check_testable(offering: Offering, goal: Task) -> None:
    """Refuse before anything is paid what could not be tested after the work is done."""
    if offering.node_id in settings.ENVIRONMENT.allow_nodes or not goal.test_command.strip():
        return
    obstacle = can_test_strangers()
    if obstacle is not None:
        raise obstacle


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
        work_deadline_at=now + timedelta(seconds=settings.ENVIRONMENT.work_deadline_s),
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
            note=f"{executions(tribute.task_count)} at {tribute.price_per_task}",
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
