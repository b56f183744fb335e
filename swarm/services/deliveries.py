"""Texts for agents: queued here, typed by the agent loop, and followed until acknowledged."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from p2p import outbox
from p2p.doorbell import ring_on_commit
from p2p.protocol.errors import DomainError
from swarm import hooks
from swarm.agents.adapters import tool_named
from swarm.agents.models import Delivery, DeliveryKind
from swarm.agents.texts import cleaned
from swarm.errors import NotFound
from swarm.models import Agent, Attempt
from swarm.states import DeliveryStatus

OPEN = (DeliveryStatus.QUEUED, DeliveryStatus.TYPED)
QUEUE_MAX = 20


def queue_delivery(
    agent: Agent,
    kind: DeliveryKind | str,
    text: str,
    now: datetime,
    *,
    attempt: Attempt | None = None,
) -> Delivery:
    """Queue a text for an agent; it is typed as soon as the agent can take it.

    Control characters are taken out and counted. A prompt is queued once per attempt. DomainError
    `bad_text`, `no_prompt` (the tool takes none) or `queue_full` (more than 20 wait).
    """
    if tool_named(agent.tool).deliver != "prompt":
        raise DomainError("no_prompt", f"the tool {agent.tool} runs blocks and takes no text", 422)
    plain, removed = cleaned(text)
    with transaction.atomic():
        waiting = Delivery.objects.filter(agent=agent, status__in=OPEN).count()
        if waiting >= QUEUE_MAX:
            raise DomainError("queue_full", f"{waiting} texts wait for {agent.name} already")
        fields = {"agent": agent, "text": plain, "removed_chars": removed, "queued_at": now}
        if kind == DeliveryKind.PROMPT:
            delivery, _ = Delivery.objects.get_or_create(
                attempt=attempt, kind=kind, defaults=fields
            )
        else:
            delivery = Delivery.objects.create(attempt=attempt, kind=kind, **fields)
        _tell(delivery, "queued", now)
    return delivery


def get_delivery(delivery_id: UUID) -> Delivery:
    """Return a delivery with its agent, or raise NotFound."""
    found = Delivery.objects.select_related("agent").filter(id=delivery_id).first()
    if found is None:
        raise NotFound("delivery", delivery_id)
    return found


def note_waiting(delivery_id: UUID, reason: str, *, stalled: bool, now: datetime) -> None:
    """Say why a text is not there yet; news only when the reason changed."""
    with transaction.atomic():
        open_rows = Delivery.objects.filter(id=delivery_id, status__in=OPEN)
        if stalled:
            open_rows.filter(stalled_at__isnull=True).update(stalled_at=now)
        changed = open_rows.exclude(reason=reason[:500]).update(reason=reason[:500])
        if changed:
            _tell(get_delivery(delivery_id), "stalled" if stalled else "waiting", now)


def note_try(delivery_id: UUID, *, typed: bool, reason: str, now: datetime) -> None:
    """Count a try; `typed` says that the text was seen in the input box and sent off."""
    with transaction.atomic():
        delivery = get_delivery(delivery_id)
        columns: dict[str, Any] = {"tries": delivery.tries + 1, "reason": reason[:500]}
        if typed:
            columns |= {"status": DeliveryStatus.TYPED, "typed_at": now}
        if Delivery.objects.filter(id=delivery_id, status__in=OPEN).update(**columns):
            _tell(get_delivery(delivery_id), "typed" if typed else "not_taken", now)


def note_acknowledged(delivery_id: UUID, reason: str, *, now: datetime) -> None:
    """End a delivery: the agent was seen to start on it, or said so."""
    _end(
        delivery_id, DeliveryStatus.ACKNOWLEDGED, reason, now, acknowledged_at=now, stalled_at=None
    )


def fail_delivery(delivery_id: UUID, reason: str, *, now: datetime) -> None:
    """End a delivery that cannot arrive any more."""
    _end(delivery_id, DeliveryStatus.FAILED, reason, now)


def try_again(delivery_id: UUID, *, now: datetime) -> Delivery:
    """Queue a stalled text anew, as the operator asks; DomainError `not_stalled` otherwise."""
    with transaction.atomic():
        moved = Delivery.objects.filter(
            id=delivery_id, status__in=OPEN, stalled_at__isnull=False
        ).update(
            status=DeliveryStatus.QUEUED, tries=0, stalled_at=None, reason="the operator asks again"
        )
        delivery = get_delivery(delivery_id)
        if not moved:
            raise DomainError("not_stalled", f"the delivery is {delivery.status} and not stalled")
        _tell(delivery, "queued", now)
    return delivery


def start_over(attempt_id: UUID, *, now: datetime) -> None:
    """Queue an attempt's prompt anew: its session was started again and knows nothing of it."""
    Delivery.objects.filter(attempt_id=attempt_id, kind=DeliveryKind.PROMPT).update(
        status=DeliveryStatus.QUEUED,
        tries=0,
        reason="",
        typed_at=None,
        acknowledged_at=None,
        stalled_at=None,
        ended_at=None,
    )
    ring_on_commit()


def drop_open(attempt_id: UUID, reason: str, *, now: datetime, **kinds: Any) -> None:
    """End what still waits for an agent: its run is over, or it knows the text (`kind=`)."""
    for delivery in Delivery.objects.filter(attempt_id=attempt_id, status__in=OPEN, **kinds):
        fail_delivery(delivery.id, reason, now=now)


def describe_delivery(delivery: Delivery) -> dict[str, Any]:
    """Return a delivery as JSON-ready data, without its text."""
    times = ("queued_at", "typed_at", "acknowledged_at", "stalled_at", "ended_at")
    return {
        "id": delivery.id.hex,
        "agent_id": delivery.agent_id.hex,
        "attempt_id": delivery.attempt_id.hex if delivery.attempt_id else None,
        "kind": delivery.kind,
        "status": delivery.status,
        "stalled": delivery.stalled_at is not None and delivery.status in OPEN,
        "tries": delivery.tries,
        "reason": delivery.reason,
        "chars": len(delivery.text),
        "removed_chars": delivery.removed_chars,
        **{name: _time(getattr(delivery, name)) for name in times},
    }


def _end(
    delivery_id: UUID, status: DeliveryStatus, reason: str, now: datetime, **columns: Any
) -> None:
    with transaction.atomic():
        ended = Delivery.objects.filter(id=delivery_id, status__in=OPEN).update(
            status=status, reason=reason[:500], ended_at=now, **columns
        )
        if ended:
            _tell(get_delivery(delivery_id), str(status), now)


def _tell(delivery: Delivery, event: str, now: datetime) -> None:
    for listener in hooks.delivery_listeners:
        listener(delivery, now)
    described = describe_delivery(delivery)
    outbox.publish_event("delivery_update", event, {"delivery": described}, now=now)
    ring_on_commit()


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
