"""The rows of offerings, own and others': stored with their capabilities, ended and told of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from marketplace.messages import OfferingBody
from marketplace.models import Offering, OfferingKey
from marketplace.queries import describe_offering
from p2p import outbox
from p2p.protocol.timestamps import from_timestamp

IDLE_AGENTS_MAX = 32_767  # what the column holds
_RENEWED = (
    *("swarm", "addresses", "idle_agents", "capabilities", "price_per_task", "policy"),
    *("isolation", "api_keys", "created_at", "expires_at"),
    *("expired_at", "withdrawn_at", "ended_reason"),
)


def row_of(body: OfferingBody, expires_at: datetime) -> Offering:
    """Return the row of an announced offering that counts until `expires_at`; not saved yet."""
    return Offering(
        id=UUID(body.id),
        node_id=body.node_id,
        swarm=body.swarm,
        addresses=msgspec.to_builtins(body.addresses),
        idle_agents=min(body.idle_agents, IDLE_AGENTS_MAX),
        capabilities=list(body.capabilities),
        price_per_task=body.price_per_task,
        currency=body.currency,
        policy=body.policy,
        isolation=body.isolation,
        api_keys=body.api_keys,
        created_at=from_timestamp(body.created_at),
        expires_at=expires_at,
    )


def store(rows: Sequence[Offering]) -> set[UUID]:
    """Insert or renew offerings; returns the ids of those that were known.

    The same queries for any number of them; what did not change keeps its keys.
    """
    known = {row.id: row for row in Offering.objects.filter(id__in=[row.id for row in rows])}
    Offering.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["id"], update_fields=_RENEWED
    )
    moved = [row for row in rows if not _found_alike(known.get(row.id), row)]
    if moved:
        index_anew(moved)
    return set(known)


def index_anew(rows: Sequence[Offering]) -> None:
    """Let offerings be found by the capabilities and the price that they have now."""
    OfferingKey.objects.filter(offering__in=[row.id for row in rows]).delete()
    OfferingKey.objects.bulk_create(
        OfferingKey(offering_id=row.id, capability=capability, price_per_task=row.price_per_task)
        for row in rows
        for capability in ("", *sorted(set(row.capabilities)))
    )


def close_keys(ids: Sequence[UUID]) -> None:
    """Let offerings that ended be found among the live ones no more."""
    OfferingKey.objects.filter(offering__in=ids, is_open=True).update(is_open=False)


def mark_withdrawn(ids: Sequence[UUID], now: datetime, *, reason: str = "") -> list[Offering]:
    """Withdraw those of the offerings that were not yet, and return them."""
    rows = list(Offering.objects.filter(id__in=ids, withdrawn_at__isnull=True))
    Offering.objects.filter(id__in=[row.id for row in rows]).update(
        withdrawn_at=now, ended_reason=reason
    )
    close_keys([row.id for row in rows])
    for row in rows:
        row.withdrawn_at, row.ended_reason = now, reason
    return rows


def tell(told: Iterable[tuple[Offering, str]], now: datetime) -> None:
    """Tell browsers of offerings and what happened to each."""
    events = [(event, {"offering": describe_offering(row, now)}) for row, event in told]
    outbox.publish_events("offering_update", events, now=now)


def _found_alike(before: Offering | None, row: Offering) -> bool:
    return (
        before is not None
        and before.withdrawn_at is None
        and before.expired_at is None
        and before.capabilities == row.capabilities
        and before.price_per_task == row.price_per_task
    )
