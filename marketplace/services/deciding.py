"""Decisions of the operator: about requests that wait, and about the nodes that made them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from marketplace.models import Partner, Tribute
from marketplace.services.partners import (
    approve_partner,
    block_partner,
    limit_credit,
    meet_partner,
)
from marketplace.services.sales import ADMIT, reject
from marketplace.services.transitions import get_tribute
from marketplace.states import RejectCode, Standing, TributeStatus
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.models import Job

BLOCKED_REASON = "this node sells nothing to the buyer"


def waiting_requests() -> list[Tribute]:
    """Return the requests that nobody but the operator decides on, oldest first."""
    asked = Tribute.objects.filter(
        to_node_id=local_node().node_id, status=TributeStatus.PENDING
    ).order_by("created_at", "id")
    pending = list(asked)
    keys = [tribute.id.hex for tribute in pending]
    tried = set(Job.objects.filter(kind=ADMIT, key__in=keys).values_list("key", flat=True))
    return [tribute for tribute in pending if tribute.id.hex not in tried]


def decide_partner(
    node_id: str, *, standing: str, credit_limit: int | None, note: str, now: datetime
) -> Partner:
    """Set standing, credit limit (VOID; None for the policy's) and note of a node at once.

    Blocking it rejects what it waits for. DomainError `bad_node_id` or `bad_credit_limit`.
    """
    with transaction.atomic():
        limit_credit(node_id, credit_limit, now=now)
        if standing == Standing.BLOCKED:
            return block_buyer(node_id, note=note, now=now)
        meet = approve_partner if standing == Standing.APPROVED else meet_partner
        return meet(node_id, note=note, now=now)


def block_buyer(node_id: str, *, note: str = "", now: datetime) -> Partner:
    """Block a node, and reject those of its requests that are not decided yet."""
    with transaction.atomic():
        partner = block_partner(node_id, note=note, now=now)
        pending = Tribute.objects.filter(
            from_node_id=node_id, to_node_id=local_node().node_id, status=TributeStatus.PENDING
        )
        for tribute in pending:
            reject(tribute.id, code=RejectCode.NOT_ALLOWED, reason=BLOCKED_REASON, now=now)
    return partner


def block_buyer_of(tribute_id: UUID, *, now: datetime) -> Partner:
    """Block the node that requested a tribute of this one; DomainError `not_ours` otherwise."""
    tribute = get_tribute(tribute_id)
    if tribute.to_node_id != local_node().node_id:
        raise DomainError("not_ours", f"tribute {tribute_id} was not requested of this node", 403)
    return block_buyer(tribute.from_node_id, note="blocked with a tribute", now=now)
