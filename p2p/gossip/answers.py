"""Answers to peers that ask for records: from the cache, at a bounded rate for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from p2p.gossip.frame_cache import FrameCache
from p2p.gossip.ids import RecordId
from p2p.gossip.settings import GossipLimits
from p2p.protocol.token_bucket import TokenBucket


@dataclass(slots=True)
class Answer:
    """What a peer gets; the store may have the `unknown`, `refused` are beyond its limits."""

    frames: list[bytes] = field(default_factory=list)
    unknown: list[RecordId] = field(default_factory=list)
    refused: int = 0


class Answers:
    """Serves frames out of the cache; ids and bytes are limited for each peer."""

    def __init__(self, cache: FrameCache, limits: GossipLimits) -> None:
        """Take the cache and the limits."""
        self._cache = cache
        self._limits = limits
        self._buckets: dict[str, tuple[TokenBucket, TokenBucket]] = {}

    def to(self, node_id: str, ids: Sequence[RecordId], now: float) -> Answer:
        """Return what to send to a peer that asked; a successor is sent once."""
        answer = Answer()
        sent: set[RecordId] = set()
        id_bucket, byte_bucket = self._buckets_of(node_id, now)
        for record_id in ids:
            # A bucket in debt means: no more for now, this one included.
            if id_bucket.take(0, now) or byte_bucket.take(0, now):
                answer.refused += 1
                continue
            id_bucket.take(1, now)
            found = self._cache.get(record_id)
            if found is None:
                answer.unknown.append(record_id)
            elif found[0] not in sent:
                sent.add(found[0])
                byte_bucket.take(len(found[1]), now)
                answer.frames.append(found[1])
        return answer

    def forget(self, node_id: str) -> None:
        """Forget a peer that is gone."""
        self._buckets.pop(node_id, None)

    def _buckets_of(self, node_id: str, now: float) -> tuple[TokenBucket, TokenBucket]:
        if node_id not in self._buckets:
            limits = self._limits
            self._buckets[node_id] = (
                TokenBucket(limits.wanted_ids_per_s, limits.wanted_ids_burst, now),
                TokenBucket(limits.wanted_bytes_per_s, limits.wanted_bytes_burst, now),
            )
        return self._buckets[node_id]
