"""Offerings: what this node sells, renewed by evidence, and what others sell."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import transaction

from marketplace.messages import OfferingAnnounce, OfferingBody, OfferingWithdraw
from marketplace.models import Offering, SellingPolicy
from marketplace.queries import describe_offering
from p2p import outbox
from p2p.local import dial_addresses, local_node
from p2p.nodes import Heard, remember_addresses
from p2p.protocol.errors import DomainError
from p2p.protocol.fields import Address
from p2p.protocol.limits import AMOUNT_MAX
from p2p.protocol.messages import Record
from p2p.protocol.timestamps import from_timestamp, to_timestamp
from p2p.registration import Authority
from swarm.errors import NotFound
from swarm.models import Agent
from swarm.queries import agents_are_starting, sellable_agents

AGENTS_MAX = 50
TTL_MAX_S = 86_400  # an offering that claims to live longer is not believed
RENEW_FRACTION = 3  # renewed when a third of its life is left


def start_selling(*, agents_max: int, price_per_task: int, now: datetime) -> Offering:
    """Sell idle agents from now on; DomainError when none is idle or a number is out of range."""
    if not 1 <= agents_max <= AGENTS_MAX:
        raise DomainError(
            "bad_count", f"idle_agents is {agents_max}: 1 to {AGENTS_MAX} is allowed", 422
        )
    if not 0 <= price_per_task <= AMOUNT_MAX:
        raise DomainError(
            "bad_price", f"price_per_task is {price_per_task}: 0 to {AMOUNT_MAX} is allowed", 422
        )
    with transaction.atomic():
        idle = len(sellable_agents(now))
        if agents_max > idle:
            raise DomainError(
                "no_idle_agents", f"{agents_max} agents wanted for sale, {idle} are idle"
            )
        SellingPolicy.objects.update_or_create(
            id=1,
            defaults={
                "selling": True,
                "agents_max": agents_max,
                "price_per_task": price_per_task,
            },
        )
        refresh_offering(now)
        offering = own_live_offering(now)
        assert offering is not None, "idle agents were just counted"
    return offering


def withdraw_offering(offering_id: UUID, *, now: datetime) -> None:
    """Withdraw this node's offering and sell no more until told to."""
    offering = Offering.objects.filter(id=offering_id).first()
    if offering is None:
        raise NotFound("offering", offering_id)
    if offering.node_id != local_node().node_id:
        raise DomainError("not_ours", f"offering {offering_id} is of another node", 403)
    if offering.withdrawn_at is not None:
        raise DomainError("already_withdrawn", f"offering {offering_id} is withdrawn")
    stop_selling(now=now)


def stop_selling(*, now: datetime) -> None:
    """Sell no more until told to, whether or not an agent is idle now."""
    with transaction.atomic():
        SellingPolicy.objects.filter(id=1).update(selling=False)
        withdraw_own(now)


def sell_by_default(price_per_task: int) -> None:
    """Switch selling on at a price per task (VOID), as the node's environment asks for."""
    SellingPolicy.objects.update_or_create(
        id=1, defaults={"selling": True, "price_per_task": price_per_task}
    )


def refresh_offering(now: datetime) -> None:
    """Make the offering true: announce, renew, resize or withdraw it as agents come and go."""
    with transaction.atomic():
        policy = SellingPolicy.objects.filter(id=1).first()
        current = own_live_offering(now)
        agents = sellable_agents(now)[: policy.agents_max] if policy and policy.selling else []
        if not agents:
            # After a restart the agents are looked at first: what is on offer stays until then.
            if current is not None and not agents_are_starting():
                _withdraw(current, now)
            return
        assert policy is not None
        capabilities = _common_capabilities(agents)
        if current is not None and _still_true(current, agents, capabilities, policy, now):
            return
        _announce(current, len(agents), capabilities, policy, now)


def withdraw_own(now: datetime) -> None:
    """Withdraw this node's offering, if any: for its shutdown; selling goes on at its start."""
    with transaction.atomic():
        current = own_live_offering(now)
        if current is not None:
            _withdraw(current, now)


def own_live_offering(now: datetime) -> Offering | None:
    """Return this node's offering while it is live."""
    return Offering.objects.filter(
        node_id=local_node().node_id, withdrawn_at__isnull=True, expires_at__gt=now
    ).first()


def expire_offerings(now: datetime) -> int:
    """Tell browsers of offerings that ran out, once; returns how many."""
    with transaction.atomic():
        ended = Offering.objects.filter(
            withdrawn_at__isnull=True, expired_at__isnull=True, expires_at__lte=now
        )
        rows = list(ended[:200])
        for offering in rows:
            Offering.objects.filter(id=offering.id).update(expired_at=now)
            _tell(offering, "expired", now)
    return len(rows)


def authority_of(record: Record) -> Authority:
    """Only the seller writes its offering, and only for a believable time."""
    return authority_in([record])(record)


def authority_in(records: Sequence[Record]) -> Callable[[Record], Authority]:
    """Return that rule for a batch: whose the known offerings are is read once."""
    ids = [UUID(each.key()) for each in records]
    sellers = dict(Offering.objects.filter(id__in=ids).values_list("id", "node_id"))

    def rule(record: Record) -> Authority:
        same_seller = sellers.get(UUID(record.key()), record.origin) == record.origin
        return Authority.APPLY if same_seller and _is_sound(record) else Authority.NEVER

    return rule


def _is_sound(record: Record) -> bool:
    """Tell whether a record speaks of an offering of its own origin that does not end too soon."""
    if isinstance(record, OfferingWithdraw):
        return record.node_id == record.origin
    assert isinstance(record, OfferingAnnounce)
    body = record.offering
    lasts = from_timestamp(body.expires_at) - from_timestamp(body.created_at)
    return body.node_id == record.origin and lasts >= timedelta(0)


def expires_at_of(record: Record) -> datetime | None:
    """Return when an announcement stops to count, at most a day on; tombstones last 7 days."""
    written_at = datetime.fromtimestamp(record.lamport_ts / 1000, tz=UTC)
    if isinstance(record, OfferingAnnounce):
        # Every node keeps it and hands it on until then, whatever its seller claims.
        last_at = written_at + timedelta(seconds=TTL_MAX_S)
        return min(from_timestamp(record.offering.expires_at), last_at)
    return written_at + timedelta(days=7)


def apply_records(records: Sequence[Record], now: datetime) -> None:
    """Bring the offerings up to the records that won; the same queries for any number of them."""
    announced = [
        _row_of(each.offering, now) for each in records if isinstance(each, OfferingAnnounce)
    ]
    known = set(
        Offering.objects.filter(id__in=[row.id for row in announced]).values_list("id", flat=True)
    )
    _upsert(announced)
    remember_addresses({row.node_id: Heard(row.swarm, row.addresses) for row in announced}, now)
    withdrawn = [UUID(each.key()) for each in records if isinstance(each, OfferingWithdraw)]
    _tell_all(
        [
            *((row, "renewed" if row.id in known else "announced") for row in announced),
            *((row, "withdrawn") for row in _mark_withdrawn(withdrawn, now)),
        ],
        now,
    )


def _common_capabilities(agents: Sequence[Agent]) -> list[str]:
    return sorted(set.intersection(*(set(agent.capabilities) for agent in agents)))


def _still_true(
    current: Offering,
    agents: Sequence[Agent],
    capabilities: list[str],
    policy: SellingPolicy,
    now: datetime,
) -> bool:
    lasting = current.expires_at - now > timedelta(
        seconds=settings.ENVIRONMENT.offering_ttl_s / RENEW_FRACTION
    )
    return (
        lasting
        and current.idle_agents == len(agents)
        and current.capabilities == capabilities
        and current.price_per_task == policy.price_per_task
    )


def _announce(
    current: Offering | None,
    idle: int,
    capabilities: list[str],
    policy: SellingPolicy,
    now: datetime,
) -> None:
    node = local_node()
    body = OfferingBody(
        id=(current.id if current else uuid.uuid4()).hex,
        node_id=node.node_id,
        swarm=node.swarm,
        addresses=[Address(host=host, port=port) for host, port in dial_addresses()],
        idle_agents=idle,
        capabilities=capabilities,
        price_per_task=policy.price_per_task,
        currency="VOID",
        policy=policy.requeue,  # type: ignore[arg-type]  # its column has choices
        isolation="worktree",
        api_keys=policy.api_keys,
        expires_at=to_timestamp(now + timedelta(seconds=settings.ENVIRONMENT.offering_ttl_s)),
        created_at=to_timestamp(current.created_at if current else now),
    )
    outbox.publish_record(OfferingAnnounce, now=now, offering=body)
    row = _row_of(body, now)
    _upsert([row])
    _tell(row, "renewed" if current else "announced", now)


def _withdraw(offering: Offering, now: datetime) -> None:
    outbox.publish_record(
        OfferingWithdraw, now=now, offering_id=offering.id.hex, node_id=offering.node_id
    )
    _tell_all([(row, "withdrawn") for row in _mark_withdrawn([offering.id], now)], now)


def _mark_withdrawn(ids: Sequence[UUID], now: datetime) -> list[Offering]:
    """Withdraw those of the offerings that were not yet, and return them."""
    rows = list(Offering.objects.filter(id__in=ids, withdrawn_at__isnull=True))
    Offering.objects.filter(id__in=[row.id for row in rows]).update(withdrawn_at=now)
    for row in rows:
        row.withdrawn_at = now
    return rows


def _row_of(body: OfferingBody, now: datetime) -> Offering:
    expires_at = min(from_timestamp(body.expires_at), now + timedelta(seconds=TTL_MAX_S))
    return Offering(
        id=UUID(body.id),
        node_id=body.node_id,
        swarm=body.swarm,
        addresses=msgspec.to_builtins(body.addresses),
        idle_agents=min(body.idle_agents, 32_767),
        capabilities=list(body.capabilities),
        price_per_task=body.price_per_task,
        currency=body.currency,
        policy=body.policy,
        isolation=body.isolation,
        api_keys=body.api_keys,
        created_at=from_timestamp(body.created_at),
        expires_at=expires_at,
    )


def _upsert(rows: Sequence[Offering]) -> None:
    Offering.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=[
            "swarm",
            "addresses",
            "idle_agents",
            "capabilities",
            "price_per_task",
            "policy",
            "isolation",
            "api_keys",
            "expires_at",
            "expired_at",
            "withdrawn_at",
        ],
    )


def _tell(offering: Offering, event: str, now: datetime) -> None:
    _tell_all([(offering, event)], now)


def _tell_all(told: Iterable[tuple[Offering, str]], now: datetime) -> None:
    events = [(event, {"offering": describe_offering(row, now)}) for row, event in told]
    outbox.publish_events("offering_update", events, now=now)
