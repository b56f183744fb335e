"""How long the members of a swarm wait for each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: between heartbeats, without one until a member stands, and from that to office."""

    heartbeat_s: float
    stale_s: float
    candidacy_s: float

    @property
    def yield_s(self) -> float:
        """How long a lower node id's candidacy is given until its victory must be known."""
        return 2 * self.candidacy_s

    @property
    def abstain_s(self) -> float:
        """How long who gave up the office leaves it to others."""
        return 2 * self.stale_s
