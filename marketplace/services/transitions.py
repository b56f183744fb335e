"""The one way a tribute moves: a conditional UPDATE from the table, with its news."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from marketplace.models import Tribute
from marketplace.queries import describe_tribute
from marketplace.states import TributeStatus, tribute_sources_of
from p2p import outbox
from p2p.doorbell import ring_on_commit
from swarm.errors import NotFound, WrongState


def move_tribute(
    tribute_id: UUID, target: TributeStatus, *, now: datetime, **columns: Any
) -> Tribute:
    """Move a tribute and set `columns` with it, or raise WrongState and change nothing."""
    with transaction.atomic():
        moved = Tribute.objects.filter(id=tribute_id, status__in=tribute_sources_of(target)).update(
            status=target, updated_at=now, **columns
        )
        tribute = get_tribute(tribute_id)
        if not moved:
            raise WrongState(f"tribute {tribute_id}", tribute.status, target)
        tell(tribute, str(target), now=now)
        ring_on_commit()
    return tribute


def get_tribute(tribute_id: UUID) -> Tribute:
    """Return a tribute, or raise NotFound."""
    tribute = Tribute.objects.filter(id=tribute_id).first()
    if tribute is None:
        raise NotFound("tribute", tribute_id)
    return tribute


def tell(tribute: Tribute, event: str, *, now: datetime) -> None:
    """Tell the browsers of a tribute."""
    outbox.publish_event("tribute_update", event, {"tribute": describe_tribute(tribute)}, now=now)
