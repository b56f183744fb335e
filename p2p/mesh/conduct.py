"""How others behave: a fault lowers a score, time without faults restores it, the worst are banned.

Scores are kept by node id once it is proved, and by host before that. Nodes behind one loopback
address share it, so such a host is never banned.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass

from p2p.protocol.limits import (
    BAN_MAX_S,
    BAN_MIN_S,
    BAN_SCORE,
    FAULT_POINTS,
    GRAVE_FAULT_POINTS,
    LIGHT_FAULT_POINTS,
    SCORE_KEPT_S,
    SCORE_PER_S,
    SCORES_MAX,
)
from p2p.protocol.news import News

log = logging.getLogger(__name__)

# Nobody's fault, or a mistake in the settings of one of both.
_HARMLESS = frozenset(
    {
        "banned",
        "idle",
        "rejected_by_peer",
        "self_connection",
        "stopping",
        "tls_mismatch",
        "too_many_connections",
        "wrong_network",
        "wrong_version",
    }
)
# A bad network does the same.
_LIGHT = frozenset({"handshake_timeout", "tls_failed"})
# Nothing but intent does this.
_GRAVE = frozenset(
    {"bad_signature", "certificate_mismatch", "identity_mismatch", "reflected_nonce", "unsigned"}
)


def points_of(reason: str) -> float:
    """Return by how much a fault lowers the score; an unknown reason counts as a common fault."""
    if reason in _HARMLESS:
        return 0.0
    if reason in _GRAVE:
        return GRAVE_FAULT_POINTS
    return LIGHT_FAULT_POINTS if reason in _LIGHT else FAULT_POINTS


def host_key(host: str) -> str:
    """Return under what a host is judged, empty when it never is: not an address, or loopback.

    Whoever has one IPv6 address has all of its /64, so that counts as one host.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return "" if address.is_loopback else str(ipaddress.ip_network((address, 64), False))
        address = address.ipv4_mapped
    return "" if address.is_loopback else str(address)


@dataclass(slots=True)
class _Record:
    score: float = 0.0
    faulted_at: float = 0.0
    bans: int = 0
    banned_until: float = 0.0


class Scores:
    """The scores of one kind of keys, 0 at best; the oldest faults are forgotten first."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Take a monotonic clock in seconds."""
        self._now = now
        self._records: dict[str, _Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def score(self, key: str) -> float:
        """Return the score now: 0 for who is unknown or has recovered."""
        record = self._records.get(key)
        return 0.0 if record is None else self._recovered(record)

    def banned_s(self, key: str) -> float:
        """Return how many seconds a ban still lasts, 0 for who is not banned."""
        record = self._records.get(key)
        return 0.0 if record is None else max(0.0, record.banned_until - self._now())

    def fault(self, key: str, points: float) -> float:
        """Lower a score; return the seconds of the ban that this begins, 0 for none."""
        now = self._now()
        record = self._records.pop(key, None)
        if record is None or now - record.faulted_at > SCORE_KEPT_S:
            record = _Record()
        self._records[key] = record
        if len(self._records) > SCORES_MAX:
            del self._records[next(iter(self._records))]
        record.score = self._recovered(record) - points
        record.faulted_at = now
        if record.score > BAN_SCORE or now < record.banned_until:
            return 0.0
        ban_s = min(BAN_MAX_S, BAN_MIN_S * 2.0**record.bans)
        record.bans += 1
        record.banned_until = now + ban_s
        record.score = BAN_SCORE / 2  # on probation afterwards
        return ban_s

    def _recovered(self, record: _Record) -> float:
        return min(0.0, record.score + (self._now() - record.faulted_at) * SCORE_PER_S)


class Conduct:
    """Judges nodes and hosts, and says what happened in the log, once."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Take a monotonic clock in seconds."""
        self._nodes = Scores(now)
        self._hosts = Scores(now)
        self._named = News(now)

    def score(self, node_id: str) -> float:
        """Return the score of a node, 0 at best."""
        return self._nodes.score(node_id)

    def banned_s(self, *, node_id: str = "", host: str = "") -> float:
        """Return how many seconds the ban of a node or a host still lasts, 0 for none."""
        return max(self._nodes.banned_s(node_id), self._hosts.banned_s(host_key(host)))

    def fault(self, reason: str, *, node_id: str, host: str) -> None:
        """Judge a fault of a proved node, or of a host when `node_id` is empty."""
        points = points_of(reason)
        scores, key = (self._nodes, node_id) if node_id else (self._hosts, host_key(host))
        if not points or not key:
            return
        ban_s = scores.fault(key, points)
        if ban_s:
            log.warning("%s is banned for %.0f s, the last fault was %s", key, ban_s, reason)

    def is_news(self, who: str, what: str) -> bool:
        """Tell whether this was not said in the last ten minutes; the log need not repeat it."""
        return self._named.is_news(who, what)
