"""Agents that a seller sets aside for an accepted tribute, until its first assignment."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from marketplace.messages import TributeCancel
from marketplace.models import Tribute
from marketplace.services.references import reservation_of
from marketplace.services.transitions import get_tribute, move_tribute
from marketplace.states import TributeStatus
from p2p import outbox
from p2p.local import local_node
from swarm.services.agents import release_agents


def lapse_reservations(now: datetime) -> int:
    """Free the agents of accepted tributes that were not assigned anything in time."""
    lapsed = Tribute.objects.filter(
        status=TributeStatus.ACCEPTED,
        to_node_id=local_node().node_id,
        reserved_until__lte=now,
        executions__isnull=True,
    )
    rows = list(lapsed[:100])
    for tribute in rows:
        end_unassigned(tribute, code="lapsed", reason="the reservation ran out", now=now)
    return len(rows)


def note_acceptance_refused(tribute_id: UUID, *, code: str, detail: str, now: datetime) -> None:
    """Free the agents of an acceptance that the buyer did not take, or never answered."""
    reason = f"the buyer did not take the acceptance: {detail}"
    end_unassigned(get_tribute(tribute_id), code=code[:40], reason=reason, now=now)


def end_unassigned(tribute: Tribute, *, code: str, reason: str, now: datetime) -> None:
    """End an accepted tribute that nothing was assigned under, and tell the buyer of it."""
    with transaction.atomic():
        release_agents(reservation_of(tribute.id), keep=0, now=now)
        move_tribute(tribute.id, TributeStatus.CANCELLED, now=now, reason_code=code, reason=reason)
        outbox.send_command(
            TributeCancel,
            to_node_id=tribute.from_node_id,
            now=now,
            expires_in_s=None,
            tribute_id=tribute.id.hex,
            released_count=tribute.task_count,
            task_ids=[],
            reason=reason[:500],
        )
