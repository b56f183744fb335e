"""What this node sells: announced, renewed by evidence, resized, withdrawn and expired."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from marketplace.messages import OfferingAnnounce, OfferingBody, OfferingWithdraw
from marketplace.models import Offering, OfferingEvent, SellingPolicy
from marketplace.queries import state_of
from marketplace.services.offering_rows import close_keys, mark_withdrawn, row_of, store, tell
from marketplace.services.selling import selling_policy, stock, write_policy
from marketplace.states import EndReason, OfferingChange, OfferingState
from p2p import outbox
from p2p.local import dial_addresses, local_node
from p2p.protocol.errors import DomainError
from p2p.protocol.fields import Address
from p2p.protocol.timestamps import from_timestamp, to_timestamp
from swarm.errors import NotFound
from swarm.models import Agent
from swarm.queries import agents_are_starting
from swarm.sandbox import isolation_of_sold_work

RENEW_FRACTION = 3  # renewed when a third of its life is left
EXPIRED_AT_ONCE = 200
_SHORT_OF_AGENTS = (EndReason.SOLD_OUT, EndReason.NO_IDLE_AGENTS)


def start_selling(*, agents_max: int, price_per_task: int, now: datetime) -> Offering:
    """Sell idle agents from now on; DomainError when too few are free or a number is bad.

    `outside_hours` and `no_idle_agents` say why nothing would be offered; all is as it was then.
    """
    with transaction.atomic():
        policy = write_policy(selling=True, agents_max=agents_max, price_per_task=price_per_task)
        found = stock(policy, now)
        if len(found.agents) < agents_max:
            raise _too_few(agents_max, len(found.agents), found.reason, found.text)
        refresh_offering(now)
        offering = own_live_offering(now)
        assert offering is not None, "agents for sale were just counted"
    return offering


def set_selling_policy(*, now: datetime, **changes: Any) -> SellingPolicy:
    """Change columns of the selling policy and make the offering true; DomainError as it says."""
    with transaction.atomic():
        policy = write_policy(**changes)
        refresh_offering(now)
    return policy


def withdraw_offering(offering_id: UUID, *, now: datetime) -> None:
    """Withdraw this node's offering and sell no more until told to."""
    offering = Offering.objects.filter(id=offering_id).first()
    if offering is None:
        raise NotFound("offering", offering_id)
    if offering.node_id != local_node().node_id:
        raise DomainError("not_ours", f"offering {offering_id} is of another node", 403)
    state = state_of(offering, now)
    if state != OfferingState.LIVE:
        raise DomainError(f"already_{state}", f"offering {offering_id} is {state}")
    stop_selling(now=now)


def stop_selling(*, now: datetime) -> None:
    """Sell no more until told to, whether or not an agent is idle now."""
    set_selling_policy(selling=False, now=now)


def sell_by_default(price_per_task: int) -> None:
    """Switch selling on at a price per task (VOID), as the node's environment asks for."""
    write_policy(selling=True, price_per_task=price_per_task)


def refresh_offering(now: datetime) -> None:
    """Make the offering true: announce, renew, resize or withdraw it as agents come and go."""
    with transaction.atomic():
        policy = selling_policy()
        current = _the_one_offering(now)
        found = stock(policy, now)
        if found.agents:
            _offer(current, found.agents, policy, now)
            return
        # After a restart the agents are looked at first: what is on offer stays until then.
        waits = found.reason in _SHORT_OF_AGENTS and agents_are_starting()
        if current is not None and found.reason is not None and not waits:
            _withdraw(current, found.reason, now)


def withdraw_own(now: datetime) -> None:
    """Withdraw this node's offering, if any: for its shutdown; selling goes on at its start."""
    with transaction.atomic():
        current = _the_one_offering(now)
        if current is not None:
            _withdraw(current, EndReason.SHUTDOWN, now)


def own_live_offering(now: datetime) -> Offering | None:
    """Return this node's offering while it is live."""
    return _own_live(now).first()


def expire_offerings(now: datetime) -> int:
    """Tell browsers of offerings that ran out, once; returns how many."""
    with transaction.atomic():
        ended = Offering.objects.filter(
            withdrawn_at__isnull=True, expired_at__isnull=True, expires_at__lte=now
        )
        rows = list(ended[:EXPIRED_AT_ONCE])
        ids = [offering.id for offering in rows]
        Offering.objects.filter(id__in=ids).update(expired_at=now, ended_reason=EndReason.EXPIRED)
        close_keys(ids)
        for offering in rows:
            offering.expired_at, offering.ended_reason = now, EndReason.EXPIRED
            if offering.node_id == local_node().node_id:
                _note(offering, OfferingChange.EXPIRED, now, EndReason.EXPIRED)
        tell([(offering, "expired") for offering in rows], now)
    return len(rows)


def _too_few(wanted: int, found: int, reason: EndReason | None, text: str) -> DomainError:
    if reason == EndReason.OUTSIDE_HOURS:
        return DomainError(reason, text)
    why = f": {text}" if text else ""
    return DomainError(
        "no_idle_agents", f"{wanted} agents wanted for sale, {found} can be offered{why}"
    )


def _own_live(now: datetime) -> Any:
    return Offering.objects.filter(
        node_id=local_node().node_id, withdrawn_at__isnull=True, expires_at__gt=now
    )


def _the_one_offering(now: datetime) -> Offering | None:
    """Return the newest live offering of this node and withdraw any other.

    After a backup was put back, peers return an offering that this node no longer knew of.
    """
    newest, *others = [*_own_live(now)] or [None]
    for each in others:
        _withdraw(each, EndReason.REPLACED, now)
    return newest


def _offer(
    current: Offering | None, agents: Sequence[Agent], policy: SellingPolicy, now: datetime
) -> None:
    """Announce the agents, unless the offering says so already and lasts."""
    body = _body(current, agents, policy, now)
    row = row_of(body, from_timestamp(body.expires_at))
    change = _change(current, row)
    if current is not None and change is None and _lasts(current, now):
        return
    outbox.publish_record(OfferingAnnounce, now=now, offering=body)
    store([row])
    if change is not None:
        _note(row, change, now)
    tell([(row, "renewed" if current else "announced")], now)


def _change(current: Offering | None, row: Offering) -> OfferingChange | None:
    """Return what is new in an offering beside its end, None for a plain renewal."""
    if current is None:
        return OfferingChange.ANNOUNCED
    said = ("swarm", "addresses", "capabilities", "price_per_task", "policy")
    if any(
        getattr(current, name) != getattr(row, name) for name in (*said, "isolation", "api_keys")
    ):
        return OfferingChange.CHANGED
    return OfferingChange.RESIZED if current.idle_agents != row.idle_agents else None


def _lasts(current: Offering, now: datetime) -> bool:
    """Tell whether an offering needs no renewal; a clock that was set back makes it too long."""
    ttl = timedelta(seconds=settings.ENVIRONMENT.offering_ttl_s)
    return ttl / RENEW_FRACTION < current.expires_at - now <= ttl


def _body(
    current: Offering | None, agents: Sequence[Agent], policy: SellingPolicy, now: datetime
) -> OfferingBody:
    node = local_node()
    return OfferingBody(
        id=(current.id if current else uuid.uuid4()).hex,
        node_id=node.node_id,
        swarm=node.swarm,
        addresses=[Address(host=host, port=port) for host, port in dial_addresses()],
        idle_agents=len(agents),
        capabilities=sorted(set.intersection(*(set(each.capabilities) for each in agents))),
        price_per_task=policy.price_per_task,
        currency="VOID",
        policy=policy.requeue,  # type: ignore[arg-type]  # its column has choices
        isolation=isolation_of_sold_work(),
        api_keys=policy.api_keys,
        expires_at=to_timestamp(now + timedelta(seconds=settings.ENVIRONMENT.offering_ttl_s)),
        # Never after now, where the clock was set back: others refuse what ends before it begins.
        created_at=to_timestamp(min(current.created_at, now) if current else now),
    )


def _withdraw(offering: Offering, reason: EndReason, now: datetime) -> None:
    outbox.publish_record(
        OfferingWithdraw, now=now, offering_id=offering.id.hex, node_id=offering.node_id
    )
    for row in mark_withdrawn([offering.id], now, reason=reason):
        _note(row, OfferingChange.WITHDRAWN, now, reason)
        tell([(row, "withdrawn")], now)


def _note(
    offering: Offering, change: OfferingChange, now: datetime, reason: EndReason | str = ""
) -> None:
    OfferingEvent.objects.create(
        offering_id=offering.id,
        change=change,
        reason=reason,
        idle_agents=offering.idle_agents,
        price_per_task=offering.price_per_task,
        created_at=now,
    )
