"""When to sync with whom: at once on connect, now and then by the clock, and after learning."""

from __future__ import annotations

import random

from p2p.protocol.limits import SYNC_INTERVAL_MAX_S, SYNC_INTERVAL_MIN_S, SYNC_PAUSE_S


class Schedule:
    """Which peers are due; time and chance are given by the caller, times are in seconds.

    Whoever learned something from one peer asks all others at once: they ask back when they
    see that they are behind, so that after a partition the news runs through the whole network
    without waiting for anybody's clock.
    """

    def __init__(self, rng: random.Random, now: float) -> None:
        """Take the source of chance and the time; the first round comes after an interval."""
        self._rng = rng
        self._due: dict[str, float] = {}
        self._begun: dict[str, float] = {}
        self._next_round = now + self._interval()

    @property
    def next_at(self) -> float:
        """When `due` should be asked again at the latest."""
        return min([self._next_round, *self._due.values()])

    def peer_up(self, node_id: str, now: float) -> None:
        """Ask a new peer at once."""
        self._begun[node_id] = float("-inf")
        self._due[node_id] = now

    def peer_down(self, node_id: str) -> None:
        """Forget a peer."""
        self._begun.pop(node_id, None)
        self._due.pop(node_id, None)

    def ask_soon(self, node_id: str, now: float) -> None:
        """Ask a peer that seems to know more, at most once in SYNC_PAUSE_S."""
        if node_id in self._begun:
            at = max(now, self._begun[node_id] + SYNC_PAUSE_S)
            self._due[node_id] = min(at, self._due.get(node_id, at))

    def learned_from(self, node_id: str, now: float) -> None:
        """Ask everybody else: they may lack what was learned."""
        for other in self._begun:
            if other != node_id:
                self.ask_soon(other, now)

    def due(self, now: float) -> list[str]:
        """Return the peers to ask now; the round's one is chosen by chance."""
        if now >= self._next_round:
            self._next_round = now + self._interval()
            if self._begun:
                self._due[self._rng.choice(sorted(self._begun))] = now
        ready = sorted(node_id for node_id, at in self._due.items() if at <= now)
        for node_id in ready:
            del self._due[node_id]
            self._begun[node_id] = now
        return ready

    def _interval(self) -> float:
        return self._rng.uniform(SYNC_INTERVAL_MIN_S, SYNC_INTERVAL_MAX_S)
