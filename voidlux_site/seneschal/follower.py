"""Who is emperor, by what was heard: no sockets and no clock of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from p2p.protocol.fields import Address
from p2p.protocol.limits import FLOODED_AGE_MAX_MS
from swarm.replication.messages import ElectionVictory, EmperorHeartbeat, Term
from swarm.replication.terms import TERM_JUMP_MAX

BELIEVED: Final = ""


@dataclass(frozen=True, slots=True)
class Emperor:
    """What the emperor said last, and when that was heard (seconds of the caller's clock)."""

    term: Term
    addresses: tuple[Address, ...]
    http_port: int
    said_ms: int
    heard_s: float
    abdicated: bool = False


class Follower:
    """Believes the highest term of its swarm, for as long as its emperor is heard."""

    def __init__(self, swarm: str, stale_s: float) -> None:
        """Take the swarm to follow and after how many silent seconds an emperor is gone."""
        self.refused: Counter[str] = Counter()
        self._swarm = swarm
        self._stale_s = stale_s
        self._highest: Emperor | None = None

    def heard(
        self, message: EmperorHeartbeat | ElectionVictory, *, now_s: float, now_ms: int
    ) -> str:
        """Take a message whose signature was verified; return why it is refused, else BELIEVED.

        `now_s` is a monotonic clock in seconds, `now_ms` the wall clock.
        """
        reason = self._fault(message, now_ms)
        if reason:
            self.refused[reason] += 1
            return reason
        self._highest = Emperor(
            term=message.term,
            addresses=tuple(message.addresses),
            http_port=message.http_port,
            said_ms=message.lamport_ts,
            heard_s=now_s,
            abdicated=isinstance(message, EmperorHeartbeat) and message.abdicated,
        )
        return BELIEVED

    def emperor(self, now_s: float) -> Emperor | None:
        """Return the emperor, None when it is silent for too long or gave its office up."""
        last = self._highest
        if last is None or last.abdicated or now_s - last.heard_s >= self._stale_s:
            return None
        return last

    @property
    def last(self) -> Emperor | None:
        """The highest emperor that was ever believed, whether it still reigns or not."""
        return self._highest

    def _fault(self, message: EmperorHeartbeat | ElectionVictory, now_ms: int) -> str:
        if message.swarm != self._swarm:
            return "other_swarm"
        if message.term.node_id != message.origin:
            return "not_own_term"
        if now_ms - message.lamport_ts > FLOODED_AGE_MAX_MS:
            return "too_old"
        return self._fault_of_term(message) if self._highest is not None else BELIEVED

    def _fault_of_term(self, message: EmperorHeartbeat | ElectionVictory) -> str:
        highest = self._highest
        assert highest is not None
        if message.term.rank < highest.term.rank:
            return "lower_term"
        if message.term.counter > highest.term.counter + TERM_JUMP_MAX:
            return "term_jump"
        if message.term == highest.term:
            if highest.abdicated:
                return "abdicated"
            if message.lamport_ts <= highest.said_ms:
                return "repeated"
        return BELIEVED
