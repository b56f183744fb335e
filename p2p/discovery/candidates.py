"""The passive view: nodes that somebody spoke of, and which of them is dialled when.

Hearsay only: nothing here is believed before its handshake. Without sockets or time of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from enum import Enum

from p2p.protocol import limits


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a node is said to listen."""

    node_id: str
    host: str
    port: int


class Kind(Enum):
    """How we heard of a node: each kind has room of its own, so that none can crowd another out."""

    KNOWN = (limits.CANDIDATES_KNOWN_MAX, limits.CANDIDATE_KNOWN_LIFE_S)
    PEX = (limits.CANDIDATES_PEX_MAX, limits.CANDIDATE_LIFE_S)
    UDP = (limits.CANDIDATES_UDP_MAX, limits.CANDIDATE_LIFE_S)

    @property
    def size_max(self) -> int:
        """The most candidates of this kind."""
        return self.value[0]

    @property
    def life_s(self) -> float:
        """How long a candidate is kept after it was last heard of."""
        return self.value[1]


@dataclass(slots=True)
class _Candidate:
    contact: Contact
    kind: Kind
    source: str
    heard_at: float
    dials: int = 0
    dialled_at: float = float("-inf")
    due_at: float = float("-inf")


class Candidates:
    """At most so many of each kind and source; every dial is followed by a longer wait."""

    def __init__(self, own_node_id: str, *, jitter: Callable[[], float]) -> None:
        """Take our node id, which is never a candidate, and random numbers from 0 to 1."""
        self._own_node_id = own_node_id
        self._jitter = jitter
        self._candidates: dict[Contact, _Candidate] = {}

    def __len__(self) -> int:
        return len(self._candidates)

    def contacts(self) -> list[Contact]:
        """Return all candidates, the one that was heard of first first."""
        return list(self._candidates)

    def add(self, kind: Kind, source: str, contacts: Iterable[Contact], now: float) -> int:
        """Take what a source says; return how many were new. Hearing again renews the life only.

        Beyond the limits the candidates that were dialled most often in vain go first, then
        those that were not heard of for longest.
        """
        new = 0
        for contact in contacts:
            if contact.node_id == self._own_node_id:
                continue
            known = self._candidates.get(contact)
            if known is not None:
                known.heard_at = now
                continue
            self._candidates[contact] = _Candidate(contact, kind, source, now)
            new += 1
            self._make_room(kind, source)
        return new

    def take(self, wanted: int, *, linked: Container[str], now: float) -> list[Contact]:
        """Return whom to dial now so that `wanted` more nodes may be linked.

        Counts what is under way; at most one address of a node; who was dialled least often
        comes first, otherwise by chance.
        """
        self._expire(now)
        under_way = {
            each.contact.node_id
            for each in self._candidates.values()
            if now - each.dialled_at < limits.DIAL_UNDER_WAY_S
        }
        free = [
            each
            for each in self._candidates.values()
            if each.due_at <= now
            and each.contact.node_id not in linked
            and each.contact.node_id not in under_way
        ]
        free.sort(key=lambda each: (each.dials, self._jitter()))
        by_node: dict[str, _Candidate] = {}
        for each in free:
            by_node.setdefault(each.contact.node_id, each)
        chosen = list(by_node.values())[: max(0, wanted - len(under_way))]
        for each in chosen:
            self._note_dial(each, now)
        return [each.contact for each in chosen]

    def forget(self, node_id: str) -> None:
        """Drop a node that needs no dialling any more."""
        for contact in [each for each in self._candidates if each.node_id == node_id]:
            del self._candidates[contact]

    def _note_dial(self, candidate: _Candidate, now: float) -> None:
        wait_s = min(
            limits.CANDIDATE_BACKOFF_MAX_S,
            limits.CANDIDATE_BACKOFF_MIN_S * 2.0 ** min(candidate.dials, 20),
        )
        candidate.dials += 1
        candidate.dialled_at = now
        candidate.due_at = now + wait_s * (0.75 + 0.5 * self._jitter())

    def _expire(self, now: float) -> None:
        for each in list(self._candidates.values()):
            if now - each.heard_at >= each.kind.life_s:
                del self._candidates[each.contact]

    def _make_room(self, kind: Kind, source: str) -> None:
        same_kind = [each for each in self._candidates.values() if each.kind is kind]
        same_source = [each for each in same_kind if each.source == source]
        if len(same_source) > limits.CANDIDATES_PER_SOURCE_MAX:
            self._drop_worst(same_source)
        elif len(same_kind) > kind.size_max:
            self._drop_worst(_largest_source(same_kind))

    def _drop_worst(self, among: list[_Candidate]) -> None:
        worst = max(among, key=lambda each: (each.dials, -each.heard_at))
        del self._candidates[worst.contact]


def _largest_source(candidates: list[_Candidate]) -> list[_Candidate]:
    by_source: dict[str, list[_Candidate]] = {}
    for each in candidates:
        by_source.setdefault(each.source, []).append(each)
    return max(by_source.values(), key=len)
