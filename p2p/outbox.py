"""The only road to the mesh and to the browsers: rows committed with the change they tell of."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from p2p import clock
from p2p.doorbell import ring_on_commit
from p2p.local import local_node
from p2p.models import OutboxKind, OutboxMessage
from p2p.protocol.messages import Ack, Command, Record
from p2p.protocol.signing import seal
from p2p.record_rows import store_own
from p2p.registration import number_of

COMMAND_EXPIRY_S = 3600.0

# Clock and row together, also for a caller without a transaction; PostgreSQL insists on one.
_whole = transaction.atomic(savepoint=False)


@_whole
def send_command(
    command: type[Command],
    *,
    to_node_id: str,
    now: datetime,
    expires_in_s: float | None = COMMAND_EXPIRY_S,
    **fields: Any,
) -> OutboxMessage:
    """Sign a command and keep it until it is answered or expired (None: it never expires)."""
    msg_id = uuid.uuid4().hex
    frame = _seal(command, now, to=to_node_id, msg_id=msg_id, **fields)
    return _add(
        OutboxKind.COMMAND,
        now,
        number=number_of(command),
        to_node_id=to_node_id,
        msg_id=msg_id,
        frame=frame,
        expires_at=now + timedelta(seconds=expires_in_s) if expires_in_s is not None else None,
    )


@_whole
def send_answer(
    *, to_node_id: str, re: str, accepted: bool, code: str, detail: str, now: datetime
) -> OutboxMessage:
    """Sign the ACK of a command: its effect, or its refusal, is committed with this row."""
    frame = _seal(Ack, now, to=to_node_id, re=re, ok=accepted, code=code[:40], detail=detail[:500])
    return _add(OutboxKind.ANSWER, now, number=number_of(Ack), to_node_id=to_node_id, frame=frame)


@_whole
def publish_record(record: type[Record], *, now: datetime, **fields: Any) -> OutboxMessage:
    """Sign the next version of a record of this node, store it and tell every peer."""
    incarnation, seq = clock.next_seq(record.topic)
    message = _build(record, now, incarnation=incarnation, seq=seq, **fields)
    frame = seal(message, local_node().identity, local_node().network)
    store_own(message, frame, now)
    return _add(OutboxKind.RECORD, now, number=number_of(record), frame=frame)


@_whole
def publish_event(type_: str, event: str, payload: dict[str, Any], *, now: datetime) -> None:
    """Tell the browsers of a transition: `{"type", "event", …}`; the relay adds `seq`."""
    publish_events(type_, [(event, payload)], now=now)


def publish_events(
    type_: str, events: Iterable[tuple[str, dict[str, Any]]], *, now: datetime
) -> None:
    """Tell the browsers of several transitions (event, payload), in this order; one INSERT."""
    rows = [
        OutboxMessage(
            kind=OutboxKind.EVENT,
            created_at=now,
            due_at=now,
            event={"type": type_, "event": event, **payload},
        )
        for event, payload in events
    ]
    if rows:
        OutboxMessage.objects.bulk_create(rows)
        ring_on_commit()


def _add(kind: OutboxKind, now: datetime, **columns: Any) -> OutboxMessage:
    row = OutboxMessage.objects.create(kind=kind, created_at=now, due_at=now, **columns)
    ring_on_commit()
    return row


def _seal(message_class: type[Any], now: datetime, **fields: Any) -> bytes:
    message = _build(message_class, now, **fields)
    return seal(message, local_node().identity, local_node().network)


def _build(message_class: type[Any], now: datetime, **fields: Any) -> Any:
    identity = local_node().identity
    return message_class(
        origin=identity.node_id,
        public_key=identity.public_key_text,
        lamport_ts=clock.tick(now),
        **fields,
    )
