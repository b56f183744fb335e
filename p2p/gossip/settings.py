"""The limits of one node's gossip; tests shorten the waits and shrink the tables."""

from __future__ import annotations

from dataclasses import dataclass

from p2p.protocol import limits


@dataclass(frozen=True, slots=True)
class GossipLimits:
    """Seconds, bytes and counts, as `p2p.protocol.limits` explains them."""

    seen_max: int = limits.SEEN_MAX
    origins_max: int = limits.GOSSIP_ORIGINS_MAX
    eager_max: int = limits.EAGER_MAX
    ihave_delay_s: float = limits.IHAVE_DELAY_S
    graft_after_s: float = limits.GRAFT_AFTER_S
    want_again_s: float = limits.WANT_AGAIN_S
    refusals_max: int = limits.REFUSALS_MAX
    missing_max: int = limits.MISSING_MAX
    prune_every_s: float = limits.PRUNE_EVERY_S
    wanted_ids_per_s: float = limits.WANTED_IDS_PER_S
    wanted_ids_burst: float = limits.WANTED_IDS_BURST
    wanted_bytes_per_s: float = limits.WANTED_BYTES_PER_S
    wanted_bytes_burst: float = limits.WANTED_BYTES_BURST
    cached_ids_max: int = limits.CACHED_IDS_MAX
    cached_bytes_max: int = limits.CACHED_BYTES_MAX
