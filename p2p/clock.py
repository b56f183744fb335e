"""The node's clock, kept in the database so that it never runs backwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from p2p.local import incarnation
from p2p.models import NodeState, TopicSequence
from p2p.protocol.clock import HybridClock

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
