"""Reads of the marketplace as plain data for API, events and pages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Sum

from marketplace.models import (
    Execution,
    LedgerEntry,
    Offering,
    OfferingEvent,
    OfferingKey,
    Partner,
    Payment,
    Refusal,
    SellingPolicy,
    Tribute,
    Wallet,
)
from marketplace.states import OfferingState

CURRENCY = "VOID"


def describe_offering(offering: Offering, now: datetime) -> dict[str, Any]:
    """Return an offering as JSON-ready data; `state` is live, withdrawn or expired."""
    return {
        "id": offering.id.hex,
        "node_id": offering.node_id,
        "swarm": offering.swarm,
        "addresses": offering.addresses,
        "idle_agents": offering.idle_agents,
        "capabilities": offering.capabilities,
        "price_per_task": offering.price_per_task,
        "currency": offering.currency,
        "policy": offering.policy,
        "isolation": offering.isolation,
        "api_keys": offering.api_keys,
        "state": state_of(offering, now),
        "created_at": _time(offering.created_at),
        "expires_at": _time(offering.expires_at),
        "withdrawn_at": _time(offering.withdrawn_at),
        "ended_at": _time(ended_at(offering, now)),
        "ended_reason": offering.ended_reason,
    }


def describe_offering_event(event: OfferingEvent) -> dict[str, Any]:
    """Return a change of an own offering as JSON-ready data."""
    return {
        "change": event.change,
        "reason": event.reason,
        "idle_agents": event.idle_agents,
        "price_per_task": event.price_per_task,
        "created_at": _time(event.created_at),
    }


def state_of(offering: Offering, now: datetime) -> OfferingState:
    """Return what an offering is now, whether or not anybody noted its end."""
    if offering.withdrawn_at is not None:
        return OfferingState.WITHDRAWN
    return OfferingState.LIVE if offering.expires_at > now else OfferingState.EXPIRED


def ended_at(offering: Offering, now: datetime) -> datetime | None:
    """Return when an offering ended, None while it is live."""
    if offering.withdrawn_at is not None:
        return offering.withdrawn_at
    return None if offering.expires_at > now else offering.expires_at


def describe_tribute(tribute: Tribute) -> dict[str, Any]:
    """Return a tribute as JSON-ready data, with its executions."""
    return {
        "id": tribute.id.hex,
        "offering_id": tribute.offering_id.hex,
        "from_node_id": tribute.from_node_id,
        "to_node_id": tribute.to_node_id,
        "goal_id": tribute.goal_id.hex if tribute.goal_id else None,
        "repository": tribute.repository,
        "ref": tribute.ref,
        "task_count": tribute.task_count,
        "released_count": tribute.released_count,
        "price_per_task": tribute.price_per_task,
        "total_cost": tribute.total_cost,
        "currency": tribute.currency,
        "policy": tribute.policy,
        "status": tribute.status,
        "reason_code": tribute.reason_code,
        "reason": tribute.reason,
        "tx_hash": tribute.tx_hash,
        "deadline_at": _time(tribute.deadline_at),
        "work_deadline_at": _time(tribute.work_deadline_at),
        "overflow": tribute.overflow,
        "reserved_until": _time(tribute.reserved_until),
        "created_at": _time(tribute.created_at),
        "updated_at": _time(tribute.updated_at),
        "executions": [describe_execution(each) for each in tribute.executions.all()],
    }


def describe_execution(execution: Execution) -> dict[str, Any]:
    """Return an execution as JSON-ready data, with its payment's status."""
    payment = Payment.objects.filter(execution=execution).first()
    return {
        "task_id": execution.task_id.hex,
        "run": execution.run,
        "title": execution.title,
        "status": execution.status,
        "commit": execution.commit,
        "reason": execution.reason,
        "payment": payment.status if payment else None,
        "opened_at": _time(execution.opened_at),
        "reported_at": _time(execution.reported_at),
        "closed_at": _time(execution.closed_at),
    }


def describe_wallet() -> dict[str, Any]:
    """Return balance, held, available and overdrawn VOID of this node."""
    wallet = Wallet.objects.filter(id=1).first() or Wallet()
    overdrawn = overdrawn_amount()
    return {
        "balance": wallet.balance,
        "held": wallet.held,
        "available": max(0, wallet.balance - wallet.held - overdrawn),
        "overdrawn": overdrawn,
        "currency": CURRENCY,
    }


def overdrawn_amount() -> int:
    """Return the VOID that this node has promised beyond what its wallet could give."""
    owed = Payment.objects.filter(uncovered__gt=0).aggregate(sum=Sum("uncovered"))
    return int(owed["sum"] or 0)


def describe_entry(entry: LedgerEntry) -> dict[str, Any]:
    """Return a ledger entry as JSON-ready data."""
    return {
        "id": entry.id,
        "kind": entry.kind,
        "reference": entry.reference,
        "tribute_id": entry.tribute_id.hex if entry.tribute_id else None,
        "counterparty_node_id": entry.counterparty_node_id,
        "amount": entry.amount,
        "balance_after": entry.balance_after,
        "held_after": entry.held_after,
        "note": entry.note,
        "created_at": _time(entry.created_at),
    }


def describe_selling_policy(policy: SellingPolicy) -> dict[str, Any]:
    """Return the owner's wish to sell as JSON-ready data."""
    return {
        "selling": policy.selling,
        "agents_max": policy.agents_max,
        "agents_kept": policy.agents_kept,
        "price_per_task": policy.price_per_task,
        "capabilities": policy.capabilities,
        "hours": policy.hours,
        "executions_per_buyer_max": policy.executions_per_buyer_max,
        "credit_limit": policy.credit_limit,
        "acceptance": policy.acceptance,
        "requeue": policy.requeue,
        "api_keys": policy.api_keys,
    }


def offerings_in(state: OfferingState | None, now: datetime) -> QuerySet[Offering]:
    """Return the offerings that are in a state now, or all of them."""
    if state is None:
        return Offering.objects.all()
    if state == OfferingState.WITHDRAWN:
        return Offering.objects.filter(withdrawn_at__isnull=False)
    standing = Offering.objects.filter(withdrawn_at__isnull=True)
    if state == OfferingState.LIVE:
        return standing.filter(expires_at__gt=now)
    return standing.filter(expires_at__lte=now)


def keys_of(capability: str, *, node_id: str, now: datetime) -> QuerySet[OfferingKey]:
    """Return the keys of live offerings that can do something, of one node if it is named.

    Either may be empty. Asked by an index of the keys alone: what is live is looked up for
    those rows only that a page shows.
    """
    live = offerings_in(OfferingState.LIVE, now).filter(id=OuterRef("offering_id"))
    rows = OfferingKey.objects.filter(capability=capability, is_open=True)
    return rows.filter(Exists(live.filter(node_id=node_id) if node_id else live))


def describe_partner(partner: Partner) -> dict[str, Any]:
    """Return what was decided about a node as JSON-ready data."""
    return {
        "node_id": partner.node_id,
        "standing": partner.standing,
        "credit_limit": partner.credit_limit,
        "note": partner.note,
        "decided_at": _time(partner.decided_at),
    }


def describe_refusal(refusal: Refusal) -> dict[str, Any]:
    """Return a refusal as JSON-ready data."""
    return {
        "id": refusal.id,
        "node_id": refusal.node_id,
        "subject": refusal.subject,
        "code": refusal.code,
        "reason": refusal.reason,
        "at": _time(refusal.at),
    }


def live_offerings(now: datetime) -> QuerySet[Offering]:
    """Return offerings that are neither withdrawn nor expired, cheapest first."""
    return offerings_in(OfferingState.LIVE, now).order_by("price_per_task", "-idle_agents", "id")


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
