"""The one way a tribute and its executions move: a conditional UPDATE from the table, with news."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from marketplace.models import Execution, Tribute
from marketplace.queries import describe_tribute
from marketplace.states import (
    EXECUTION_MOVES,
    EXECUTION_TERMINAL,
    TRIBUTE_MOVES,
    ExecutionStatus,
    Side,
    TributeStatus,
    sources_of,
)
from p2p import outbox
from p2p.doorbell import ring_on_commit
from p2p.local import local_node
from swarm.errors import NotFound, WrongState

REASON_CHARS_MAX = 500


def move_tribute(
    tribute_id: UUID, target: TributeStatus, *, now: datetime, **columns: Any
) -> Tribute:
    """Move a tribute and set `columns` with it, or raise WrongState and change nothing."""
    with transaction.atomic():
        sources = sources_of(TRIBUTE_MOVES, target, side_of(get_tribute(tribute_id)))
        moved = Tribute.objects.filter(id=tribute_id, status__in=sources).update(
            status=target, updated_at=now, **_cut(columns)
        )
        tribute = get_tribute(tribute_id)
        if not moved:
            raise WrongState(f"tribute {tribute_id}", tribute.status, target)
        tell(tribute, str(target), now=now)
        ring_on_commit()
    return tribute


def move_execution(
    execution: Execution, target: ExecutionStatus, *, now: datetime, **columns: Any
) -> Execution:
    """Move an execution and set `columns` with it, or raise WrongState and change nothing."""
    if target in EXECUTION_TERMINAL:
        columns.setdefault("closed_at", now)
    with transaction.atomic():
        sources = sources_of(EXECUTION_MOVES, target, side_of(execution.tribute))
        moved = Execution.objects.filter(id=execution.id, status__in=sources).update(
            status=target, **_cut(columns)
        )
        execution.refresh_from_db()
        if not moved:
            raise WrongState(f"execution of {execution.task_id}", execution.status, target)
        tell(execution.tribute, f"execution_{target}", now=now)
        ring_on_commit()
    return execution


def side_of(tribute: Tribute) -> Side:
    """Return on which side of a tribute this node is."""
    return Side.BUYER if tribute.from_node_id == local_node().node_id else Side.SELLER


def get_tribute(tribute_id: UUID) -> Tribute:
    """Return a tribute, or raise NotFound."""
    tribute = Tribute.objects.filter(id=tribute_id).first()
    if tribute is None:
        raise NotFound("tribute", tribute_id)
    return tribute


def tell(tribute: Tribute, event: str, *, now: datetime) -> None:
    """Tell the browsers of a tribute."""
    outbox.publish_event("tribute_update", event, {"tribute": describe_tribute(tribute)}, now=now)


def _cut(columns: dict[str, Any]) -> dict[str, Any]:
    if "reason" in columns:
        columns["reason"] = columns["reason"][:REASON_CHARS_MAX]
    return columns
