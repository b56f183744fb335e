"""The hash over a topic's live records, remembered until they change or one of them expires.

Every write to a topic's records leaves a new random token in the database, in its transaction:
so what is remembered under a token is true in every process, after a rollback and after a crash.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from p2p.models import NodeState, Record
from p2p.protocol.limits import LIVE_HASH_KEPT_S, LIVE_HASHES_MAX

_TOKEN_BYTES = 16


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A hash and the time in which it holds, its end left out."""

    hash: str
    since: datetime
    until: datetime


_remembered: OrderedDict[str, _Remembered] = OrderedDict()


def note_change(topic: str) -> None:
    """Forget the topic's hash in every process; call inside the transaction of the change."""
    NodeState.objects.bulk_create(
        [NodeState(key=_key(topic), value=secrets.token_hex(_TOKEN_BYTES))],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["value"],
    )


def live_hash(topic: str, now: datetime, compute: Callable[[], str]) -> str:
    """Return the hash over the records that are live at `now`; `compute` reads all of them."""
    # The token comes first: what is written after it was read makes another one.
    token = NodeState.objects.filter(key=_key(topic)).values_list("value", flat=True).first()
    if token is None:
        return compute()
    known = _remembered.get(token)
    if known is not None and known.since <= now < known.until:
        return known.hash
    fresh = _Remembered(compute(), now, _end(topic, now))
    _remembered[token] = fresh
    while len(_remembered) > LIVE_HASHES_MAX:
        _remembered.popitem(last=False)
    return fresh.hash


def _end(topic: str, now: datetime) -> datetime:
    """Return when the next record expires; soon enough to notice rows that others changed."""
    latest = now + timedelta(seconds=LIVE_HASH_KEPT_S)
    ending = Record.objects.filter(topic=topic, expires_at__gt=now, expires_at__lt=latest)
    first = ending.order_by("expires_at").values_list("expires_at", flat=True).first()
    return first or latest


def _key(topic: str) -> str:
    return f"records {topic}"
