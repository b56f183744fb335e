"""What the operator decided about single partners, and what follows for their requests."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings

from marketplace.models import Partner
from marketplace.states import Standing
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from p2p.protocol.limits import AMOUNT_MAX
from swarm.errors import NotFound

NODE_ID_CHARS = 32


def approve_partner(node_id: str, *, note: str = "", now: datetime) -> Partner:
    """Accept a node's requests without asking from now on, where the policy is `auto`."""
    return _decide(node_id, now, standing=Standing.APPROVED, note=note[:200])


def block_partner(node_id: str, *, note: str = "", now: datetime) -> Partner:
    """Reject a node's requests at once from now on, whatever the policy is."""
    return _decide(node_id, now, standing=Standing.BLOCKED, note=note[:200])


def meet_partner(node_id: str, *, note: str = "", now: datetime) -> Partner:
    """Treat a node as a stranger again, and keep its credit limit."""
    return _decide(node_id, now, standing=Standing.STRANGER, note=note[:200])


def limit_credit(node_id: str, limit: int | None, *, now: datetime) -> Partner:
    """Set the VOID that a node may owe; None for the selling policy's limit again."""
    if limit is not None and not 0 <= limit <= AMOUNT_MAX:
        message = f"credit_limit is {limit}: 0 to {AMOUNT_MAX} is allowed"
        raise DomainError("bad_credit_limit", message, 422)
    return _decide(node_id, now, credit_limit=limit)


def forget_partner(node_id: str) -> None:
    """Treat a node as a stranger again; NotFound when nothing was decided about it."""
    deleted, _ = Partner.objects.filter(node_id=node_id).delete()
    if not deleted:
        raise NotFound("partner", node_id)


def get_partner(node_id: str) -> Partner:
    """Return what was decided about a node, or raise NotFound."""
    partner = Partner.objects.filter(node_id=node_id).first()
    if partner is None:
        raise NotFound("partner", node_id)
    return partner


def standing_of(node_id: str) -> Standing:
    """Return a node's standing; a node of the environment's allow-list counts as approved."""
    partner = Partner.objects.filter(node_id=node_id).first()
    standing = Standing(partner.standing) if partner else Standing.STRANGER
    if standing == Standing.STRANGER and node_id in settings.ENVIRONMENT.allow_nodes:
        return Standing.APPROVED
    return standing


def _decide(node_id: str, now: datetime, **columns: Any) -> Partner:
    well_formed = len(node_id) == NODE_ID_CHARS and set(node_id) <= set("0123456789abcdef")
    if not well_formed or node_id == local_node().node_id:
        message = f"{node_id[:40]!r} is not the id of another node"
        raise DomainError("bad_node_id", message, 422)
    partner, _ = Partner.objects.update_or_create(
        node_id=node_id,
        defaults={**columns, "decided_at": now},
    )
    return partner
