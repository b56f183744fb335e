"""Ids that wait to be told to lazy peers, all of them together now and then."""

from __future__ import annotations

from collections.abc import Callable

from p2p.gossip.ids import RecordId
from p2p.protocol.limits import GOSSIP_IDS_MAX


class Announcements:
    """The records that arrived since the last time, each with the peers who have it."""

    def __init__(self, delay_s: float, jitter: Callable[[], float]) -> None:
        """Take the mean wait in seconds; `jitter()` returns a number from 0 to 1."""
        self.due_at: float | None = None
        self._delay_s = delay_s
        self._jitter = jitter
        self._waiting: dict[RecordId, set[str]] = {}

    def add(self, record_id: RecordId, known_to: set[str], now: float) -> None:
        """Queue an id for all but those who have the record; a full frame is due at once."""
        self._waiting[record_id] = known_to
        if len(self._waiting) >= GOSSIP_IDS_MAX:
            self.due_at = now
        elif self.due_at is None:
            # Of two peers the later one learns what the earlier has, and need not tell it.
            self.due_at = now + self._delay_s * (0.5 + self._jitter())

    def is_known(self, record_id: RecordId, node_id: str) -> None:
        """Note that a peer has a record: it need not be told."""
        if (known_to := self._waiting.get(record_id)) is not None:
            known_to.add(node_id)

    def take_due(self, now: float) -> dict[RecordId, set[str]]:
        """Return and forget what is to be told, each with those who have it; empty before time."""
        if self.due_at is None or now < self.due_at:
            return {}
        self.due_at = None
        waiting, self._waiting = self._waiting, {}
        return waiting
