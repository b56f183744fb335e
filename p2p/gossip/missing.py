"""Records that this node knows of and does not have: whom to ask for them, and when."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from p2p.gossip.ids import RecordId
from p2p.gossip.settings import GossipLimits


@dataclass(slots=True)
class Missing:
    """One record that is waited for; `announcers` says of each who has it whether it was asked.

    `first` is the peer in whose count it stands.
    """

    first: str
    due_at: float
    announcers: dict[str, bool] = field(default_factory=dict)
    refusals: int = 0

    @property
    def was_asked_for(self) -> bool:
        """Whether anybody was asked."""
        return any(self.announcers.values())


class MissingTable:
    """What is missing, bounded for each peer that spoke of it first.

    Every announcer of a record is asked once, one after the other; then it is given up and left
    to the next announcement or to pull sync.
    """

    def __init__(self, limits: GossipLimits, jitter: Callable[[], float]) -> None:
        """Take the limits; `jitter()` returns a number from 0 to 1."""
        self._limits = limits
        self._jitter = jitter
        self._entries: dict[RecordId, Missing] = {}
        self._counts: Counter[str] = Counter()
        self._batches: list[tuple[float, int, Sequence[RecordId]]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def due_at(self) -> float | None:
        """When something is to be asked for next."""
        return self._batches[0][0] if self._batches else None

    def announced(self, ids: Iterable[RecordId], node_id: str, now: float) -> int:
        """Note that a peer has records; return how many found no room."""
        fresh, no_room = [], 0
        # Jittered, so that of many nodes behind a broken link one mends it for all.
        due_at = now + self._limits.graft_after_s * (1 + 0.5 * self._jitter())
        for record_id in ids:
            entry = self._entries.get(record_id)
            if entry is not None:
                entry.announcers.setdefault(node_id, False)
            elif self._start(record_id, node_id, due_at) is not None:
                fresh.append(record_id)
            else:
                no_room += 1
        if fresh:
            self._push(due_at, fresh)
        return no_room

    def refused(self, entry: Missing | None, record_id: RecordId, node_id: str, now: float) -> bool:
        """Wait for a record that came and found no room here; False when it is given up.

        `entry` is what `arrived` returned. The waits double: whoever is full stays so a while.
        """
        refusals = entry.refusals + 1 if entry else 1
        if refusals > self._limits.refusals_max:
            return False
        due_at = now + self._limits.want_again_s * 2.0 ** (refusals - 1)
        started = self._start(record_id, node_id, due_at)
        if started is None:
            return False
        started.refusals = refusals
        self._push(due_at, (record_id,))
        return True

    def arrived(self, record_id: RecordId) -> Missing | None:
        """Return and forget what was known of a record that is missing no longer."""
        entry = self._entries.pop(record_id, None)
        if entry is not None:
            self._uncount(entry.first)
        return entry

    def take_due(
        self, now: float, distance: Callable[[str], float | None]
    ) -> dict[str, list[RecordId]]:
        """Return whom to ask for what now: for each record the nearest that was not asked yet.

        `distance` returns None for a peer that is gone.
        """
        asks: dict[str, list[RecordId]] = {}
        while self._batches and self._batches[0][0] <= now:
            at, _, ids = heapq.heappop(self._batches)
            asked = []
            for record_id in ids:
                entry = self._entries.get(record_id)
                # What came, or came and was refused, since then has no time or another one.
                if entry is None or entry.due_at != at:
                    continue
                if self._ask(record_id, entry, asks, distance):
                    entry.due_at = now + self._limits.want_again_s
                    asked.append(record_id)
            if asked:
                self._push(now + self._limits.want_again_s, asked)
        return asks

    def _ask(
        self,
        record_id: RecordId,
        entry: Missing,
        asks: dict[str, list[RecordId]],
        distance: Callable[[str], float | None],
    ) -> bool:
        reachable = [
            (far, node_id)
            for node_id, was_asked in entry.announcers.items()
            if not was_asked and (far := distance(node_id)) is not None
        ]
        if not reachable:
            self.arrived(record_id)
            return False
        node_id = min(reachable, key=lambda each: each[0])[1]
        entry.announcers[node_id] = True
        asks.setdefault(node_id, []).append(record_id)
        return True

    def _start(self, record_id: RecordId, node_id: str, due_at: float) -> Missing | None:
        if self._counts[node_id] >= self._limits.missing_max:
            return None
        self._counts[node_id] += 1
        entry = self._entries[record_id] = Missing(node_id, due_at, {node_id: False})
        return entry

    def _uncount(self, node_id: str) -> None:
        self._counts[node_id] -= 1
        if not self._counts[node_id]:
            del self._counts[node_id]

    def _push(self, at: float, ids: Sequence[RecordId]) -> None:
        heapq.heappush(self._batches, (at, next(self._numbers), ids))
