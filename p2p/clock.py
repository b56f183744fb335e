"""The node's clock, kept in the database so that it never runs backwards."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from p2p.local import incarnation, raise_incarnation_above
from p2p.models import NodeState, TopicSequence
from p2p.protocol.clock import HybridClock

log = logging.getLogger(__name__)

_KEY = "clock"


def now_utc() -> datetime:
    """Return the time, in UTC: read once at each entry and passed down from there."""
    return datetime.now(UTC)


def tick(now: datetime) -> int:
    """Advance the stored clock for a local event and return it; call inside a transaction."""
    return _advance(HybridClock.tick, now)


def witness(remote_lamport_ts: int, now: datetime) -> int:
    """Advance the stored clock past a remote value; call inside a transaction."""
    return _advance(lambda clock: clock.witness(remote_lamport_ts), now)


def _advance(move: Callable[[HybridClock], object], now: datetime) -> int:
    row, _ = NodeState.objects.select_for_update().get_or_create(key=_KEY, defaults={"value": "0"})
    clock = HybridClock(now_ms=lambda: int(now.timestamp() * 1000), value=int(row.value))
    move(clock)
    row.value = str(clock.value)
    row.save(update_fields=["value"])
    return clock.value


def next_seq(topic: str) -> tuple[int, int]:
    """Return (incarnation, seq) for this node's next record of a topic; inside a transaction."""
    current = incarnation()
    row, _ = TopicSequence.objects.select_for_update().get_or_create(
        topic=topic, defaults={"incarnation": current}
    )
    if row.incarnation != current:
        row.incarnation, row.seq = current, 0
    row.seq += 1
    row.save(update_fields=["incarnation", "seq"])
    return row.incarnation, row.seq


def note_own_record(topic: str, seen: tuple[int, int]) -> bool:
    """Begin a new incarnation when (incarnation, seq) of a record in our name is ahead of ours.

    Returns whether it was: then this node's home came from an old backup, and what it wrote
    under the old numbers would lose against what it wrote before.
    """
    current = incarnation()
    row = TopicSequence.objects.filter(topic=topic, incarnation=current).first()
    if seen <= (current, row.seq if row else 0):
        return False
    raised = raise_incarnation_above(seen[0])
    log.warning(
        "a peer holds record %d.%d of topic %s in our name, ours end at %d.%d: "
        "this home is an old copy, its records are numbered under incarnation %d from now on",
        *(*seen, topic, current, row.seq if row else 0, raised),
    )
    return True
