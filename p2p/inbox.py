"""Applies what the mesh delivers: batches on the database thread, one transaction each."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from p2p import clock, outbox
from p2p.models import InboxMessage, OutboxKind, OutboxMessage
from p2p.protocol.codec import Received
from p2p.protocol.errors import DomainError, ExternalError, ProtocolError
from p2p.protocol.messages import Ack, Command, Flooded, Record
from p2p.protocol.news import News
from p2p.records import apply_records
from p2p.registration import (
    answer_handler_of,
    flooded_handler_of,
    handler_of,
    number_of,
    refusal_listeners,
)

log = logging.getLogger(__name__)

_said = News(time.monotonic)

BATCH_MAX = 100  # stack notes: 100 keeps the loop's lag p99 at 4 ms, 500 makes it 60 ms


def apply_batch(batch: Sequence[Received[Any]], now: datetime) -> None:
    """Apply at most BATCH_MAX received messages in one transaction.

    Records are applied in bulk; answers and commands one by one, each command in a savepoint of
    its own, so that one that fails cannot undo its neighbours.
    """
    with transaction.atomic():
        if batch:
            clock.witness(max(received.message.lamport_ts for received in batch), now)
        _apply_records([each for each in batch if isinstance(each.message, Record)], now)
        for received in batch:
            if isinstance(received.message, Ack):
                _apply_answer(received.message, now)
            elif isinstance(received.message, Command):
                _apply_command(received, now)
            elif isinstance(received.message, Flooded):
                _apply_flooded(received, now)


def _apply_records(records: Sequence[Received[Record]], now: datetime) -> None:
    try:
        with transaction.atomic():
            apply_records(records, now)
    except Exception:
        # A bug of ours: records come again, and the commands beside them must not suffer.
        log.exception("%d records of a batch were not applied", len(records))


def _apply_flooded(received: Received[Flooded], now: datetime) -> None:
    handler = flooded_handler_of(received.message)
    if handler is None:
        return
    try:
        with transaction.atomic():
            handler(received, now)
    except DomainError as refusal:
        log.info("ignored %s: %s", type(received.message).__name__, refusal)
    except Exception:
        log.exception("%s was not applied", type(received.message).__name__)


def _apply_command(received: Received[Command], now: datetime) -> None:
    command = received.message
    earlier = InboxMessage.objects.filter(origin=command.origin, msg_id=command.msg_id).first()
    if earlier is not None:
        _answer_again(earlier, now)
        return
    try:
        code, detail = _handle(received, now)
    except ExternalError as not_yet:
        # Nothing is kept and nothing answered: the sender comes again, as long as it cares.
        log.info("%s waits for its sender's retry: %s", type(command).__name__, not_yet)
        return
    except Exception:
        # A bug of ours: nothing is kept, so that the sender's retry meets a mended node.
        log.exception("command %s from %s failed", type(command).__name__, command.origin[:8])
        return
    if code:
        for listener in refusal_listeners():
            listener(received, code, detail, now)
    answer = outbox.send_answer(
        to_node_id=command.origin,
        re=command.msg_id,
        accepted=not code,
        code=code,
        detail=detail,
        now=now,
    )
    InboxMessage.objects.create(
        origin=command.origin,
        msg_id=command.msg_id,
        number=number_of(type(command)),
        frame=received.raw,
        accepted=not code,
        code=code[:40],
        detail=detail[:500],
        answer=answer,
        received_at=now,
    )


def _handle(received: Received[Command], now: datetime) -> tuple[str, str]:
    """Run the handler in a savepoint; return ("", "") or the code and text of its refusal."""
    handler = handler_of(received.message)
    if handler is None:
        return "unsupported", f"{type(received.message).__name__} is not handled here"
    try:
        with transaction.atomic():
            handler(received, now)
    except DomainError as refusal:
        log.info("refused %s: %s", type(received.message).__name__, refusal)
        return refusal.code, str(refusal)
    except ProtocolError as broken:
        kind = type(received.message).__name__
        if _said.is_news(kind, broken.reason):
            log.warning("%s from %s: %s", kind, received.message.origin, broken)
        return broken.reason, broken.detail
    return "", ""


def _answer_again(earlier: InboxMessage, now: datetime) -> None:
    if earlier.answer_id is not None:
        OutboxMessage.objects.filter(id=earlier.answer_id).update(due_at=now, done_at=None)
        return
    # Sent answers are forgotten sooner than the commands that they answer.
    earlier.answer = outbox.send_answer(
        to_node_id=earlier.origin,
        re=earlier.msg_id,
        accepted=earlier.accepted,
        code=earlier.code,
        detail=earlier.detail,
        now=now,
    )
    earlier.save(update_fields=["answer"])


def _apply_answer(ack: Ack, now: datetime) -> None:
    settle_command(
        OutboxMessage.objects.filter(msg_id=ack.re, to_node_id=ack.origin).first(),
        accepted=ack.ok,
        code=ack.code,
        detail=ack.detail,
        now=now,
    )


def settle_command(
    row: OutboxMessage | None, *, accepted: bool, code: str, detail: str, now: datetime
) -> None:
    """Close a command of ours with its answer, once, and tell the layer that sent it."""
    if row is None or row.kind != OutboxKind.COMMAND:
        return
    moved = OutboxMessage.objects.filter(id=row.id, done_at__isnull=True).update(
        done_at=now, due_at=None, outcome="accepted" if accepted else code[:40], detail=detail[:500]
    )
    handler = answer_handler_of(row.number)
    if not moved or handler is None:
        return
    try:
        with transaction.atomic():
            handler(row, accepted, code, detail, now)
    except DomainError as refusal:
        log.info("answer to command %s changed nothing: %s", row.id, refusal)
