"""When to sync with whom: at once on connect, now and then by the clock, and after learning."""

from __future__ import annotations

import random
from collections.abc import Collection

from p2p.protocol.limits import SYNC_INTERVAL_MAX_S, SYNC_INTERVAL_MIN_S, SYNC_PAUSE_S


class Pace:
    """Lets a thing happen soon, and ever more rarely while it goes on happening.

    While much is written there is always something in flight that a sync finds missing: without
    growing pauses every finding would lead to the next.
    """

    def __init__(self, last: float = float("-inf")) -> None:
        """Take when it happened last."""
        self._last = last
        self._pause_s = SYNC_PAUSE_S

    def next_at(self, now: float) -> float:
        """Return when it may happen next; the pause doubles until there was quiet for long."""
        if self._last > now:
            return self._last
        if now - self._last > 2 * SYNC_INTERVAL_MAX_S:
            self._pause_s = SYNC_PAUSE_S
            self._last = now
        else:
            self._last = max(now, self._last + self._pause_s)
            self._pause_s = min(2 * self._pause_s, SYNC_INTERVAL_MAX_S)
        return self._last


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
        self._members: set[str] = set()
        self._paces: dict[str, Pace] = {}
        self._news = Pace()
        self._next_round = now + self._interval()

    @property
    def next_at(self) -> float:
        """When `due` should be asked again at the latest."""
        return min([self._next_round, *self._due.values()])

    def peer_up(self, node_id: str, now: float, *, is_member: bool = False) -> None:
        """Ask a new peer at once; a member of our swarm shares more topics than others."""
        if is_member:
            self._members.add(node_id)
        self._paces[node_id] = Pace(now)
        self._due[node_id] = now

    def peer_down(self, node_id: str) -> None:
        """Forget a peer."""
        self._paces.pop(node_id, None)
        self._due.pop(node_id, None)
        self._members.discard(node_id)

    def ask_soon(self, node_id: str, now: float) -> None:
        """Ask a peer that seems to know more."""
        if node_id in self._paces:
            self._at(node_id, self._paces[node_id].next_at(now))

    def learned_from(self, node_id: str, now: float) -> None:
        """Ask everybody else: they may lack what was learned."""
        at = self._news.next_at(now)
        for other in self._paces:
            if other != node_id:
                self._at(other, at)

    def due(self, now: float) -> list[str]:
        """Return the peers to ask now; the round's one is chosen by chance.

        When that is a stranger a member is asked too: among many strangers the topics of the
        swarm would hardly ever have their turn.
        """
        if now >= self._next_round:
            self._next_round = now + self._interval()
            chosen = self._one_of(self._paces)
            if chosen is not None:
                self._due[chosen] = now
            if chosen not in self._members and (member := self._one_of(self._members)) is not None:
                self._due[member] = now
        ready = sorted(node_id for node_id, at in self._due.items() if at <= now)
        for node_id in ready:
            del self._due[node_id]
        return ready

    def _one_of(self, node_ids: Collection[str]) -> str | None:
        return self._rng.choice(sorted(node_ids)) if node_ids else None

    def _at(self, node_id: str, at: float) -> None:
        self._due[node_id] = min(at, self._due.get(node_id, at))

    def _interval(self) -> float:
        return self._rng.uniform(SYNC_INTERVAL_MIN_S, SYNC_INTERVAL_MAX_S)
