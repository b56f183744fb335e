"""Carries outbox rows to the mesh and to the browsers, until they are answered or expired."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.db import transaction

from p2p import inbox
from p2p.clock import now_utc
from p2p.database_thread import DatabaseThread
from p2p.models import OutboxKind, OutboxMessage
from p2p.nodes import addresses_of
from p2p.pausing import rung_within
from p2p.protocol.errors import ProtocolError

log = logging.getLogger(__name__)

ROWS_MAX = 100
LOOK_EVERY_S = 1.0  # design section 2: the relay also looks every second
RETRY_FIRST_S = 2.0
RETRY_MAX_S = 60.0
UNREACHED_RETRY_S = 1.0
UNREACHED_RETRY_MAX_S = 30.0
PUBLISH_TIMEOUT_S = 2.0  # a channel layer that hangs must not keep commands from peers


class Sender(Protocol):
    """What the relay needs of the mesh."""

    def send(self, node_id: str, payload: bytes) -> bool: ...

    def publish(self, payload: bytes) -> int: ...

    def flood(self, payload: bytes) -> None: ...

    def dial_node(self, node_id: str, addresses: list[Any]) -> None: ...


class Relay:
    """Takes due rows in batches on the database thread and sends them from the loop."""

    def __init__(
        self,
        *,
        sender: Sender,
        database: DatabaseThread,
        publish: Callable[[dict[str, Any]], Awaitable[None]],
        rung: asyncio.Event,
    ) -> None:
        self._sender = sender
        self._database = database
        self._publish = publish
        self._rung = rung

    async def run(self) -> None:
        """Send what is due at every ring and every second, until cancelled."""
        while True:
            try:
                await self.flush()
            except Exception:
                log.exception("the relay failed and goes on")
            await rung_within(self._rung, LOOK_EVERY_S)
            self._rung.clear()

    async def flush(self) -> None:
        """Send everything that is due now."""
        while True:
            rows = await self._database.run(take_due, now_utc())
            sent = await self._send_all([row for row, _ in rows])
            unreached = [row.to_node_id for row, reached in sent if not reached]
            await self._database.run(note_sent, sent, now_utc())
            self._dial(dict.fromkeys(unreached), {row.to_node_id: a for row, a in rows})
            if len(rows) < ROWS_MAX:
                return

    async def _send_all(self, rows: list[OutboxMessage]) -> list[tuple[OutboxMessage, bool]]:
        """Send rows in order; when one event fails the others wait, and peers get theirs."""
        sent, can_publish = [], True
        for row in rows:
            if row.kind == OutboxKind.EVENT:
                can_publish = can_publish and await self._tell_browsers(row)
                sent.append((row, can_publish))
            else:
                sent.append((row, self._send(row)))
        return sent

    async def _tell_browsers(self, row: OutboxMessage) -> bool:
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                await self._publish({**(row.event or {}), "seq": row.id})
        except Exception as error:
            # Whatever a channel layer raises while its server is away.
            log.warning("event %d waits: %s", row.id, error or type(error).__name__)
            return False
        return True

    def _send(self, row: OutboxMessage) -> bool:
        if row.kind in (OutboxKind.RECORD, OutboxKind.FLOODED):
            self._tell_peers(row)
            return True
        return self._sender.send(row.to_node_id, bytes(row.frame))

    def _tell_peers(self, row: OutboxMessage) -> None:
        try:
            if row.kind == OutboxKind.RECORD:
                self._sender.publish(bytes(row.frame))
            else:
                self._sender.flood(bytes(row.frame))
        except ProtocolError as refused:
            # Sealed by an older version of this program: it must not hold up what comes after.
            log.warning("message of outbox row %s is not sent: %s", row.id, refused)

    def _dial(self, node_ids: dict[str, None], addresses: dict[str, list[Any]]) -> None:
        for node_id in node_ids:
            if addresses.get(node_id):
                self._sender.dial_node(node_id, addresses[node_id])


def take_due(now: datetime) -> list[tuple[OutboxMessage, list[Any]]]:
    """Return due rows, oldest first, with their receivers' addresses; expires what is over."""
    # Only commands expire, and an open one is always due some time: that has an index.
    expired = OutboxMessage.objects.filter(due_at__isnull=False, expires_at__lte=now)
    for row in expired[:ROWS_MAX]:
        with transaction.atomic():
            inbox.settle_command(
                row, accepted=False, code="expired", detail="no answer in time", now=now
            )
    rows = list(OutboxMessage.objects.filter(due_at__lte=now).order_by("id")[:ROWS_MAX])
    known = {
        node_id: addresses_of(node_id, now)
        for node_id in {row.to_node_id for row in rows if row.to_node_id}
    }
    return [(row, known.get(row.to_node_id, [])) for row in rows]


def note_sent(sent: list[tuple[OutboxMessage, bool]], now: datetime) -> None:
    """Close what needs no answer and schedule the next try of what does."""
    if not sent:
        return
    with transaction.atomic():
        waiting = [row.id for row, reached in sent if row.kind == OutboxKind.EVENT and not reached]
        again_at = now + timedelta(seconds=UNREACHED_RETRY_S)
        OutboxMessage.objects.filter(id__in=waiting).update(due_at=again_at)
        finished = {row.id for row, _ in sent if row.kind != OutboxKind.COMMAND} - set(waiting)
        OutboxMessage.objects.filter(id__in=finished).update(due_at=None, done_at=now)
        for row, reached in sent:
            if row.kind == OutboxKind.COMMAND:
                _schedule(row, reached, now)


def _schedule(row: OutboxMessage, reached: bool, now: datetime) -> None:
    attempts = row.attempts + (1 if reached else 0)
    delay_s = retry_delay_s(attempts) if reached else unreached_delay_s(row, now)
    # Conditional: the answer may have come while the row was being sent.
    OutboxMessage.objects.filter(id=row.id, done_at__isnull=True).update(
        attempts=attempts, due_at=now + timedelta(seconds=delay_s)
    )


def unreached_delay_s(row: OutboxMessage, now: datetime) -> float:
    """Return the wait (seconds) before a node that is not linked is tried again.

    A tenth of the command's age: what waits for a node that is gone for days costs little, and
    a link that comes up makes it due at once.
    """
    age_s = (now - row.created_at).total_seconds()
    return min(UNREACHED_RETRY_MAX_S, max(UNREACHED_RETRY_S, age_s / 10))


def retry_delay_s(attempts: int) -> float:
    """Return the jittered wait (seconds) before a command is sent again."""
    return min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** min(attempts - 1, 10)) * random.uniform(0.8, 1.2)
