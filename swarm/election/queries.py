"""How the election stands at this node, as JSON-ready data."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings

from p2p.local import local_node
from swarm.election.machine import Standing
from swarm.election.state import read_state
from swarm.models import ElectionState, KnownTerm
from swarm.replication import terms
from swarm.replication.pulses import silences_s


def acting_emperor() -> KnownTerm | None:
    """Return who is emperor as far as this node hears, None while none is heard."""
    row = read_state()
    if row is None:
        return terms.highest_term()
    return KnownTerm.objects.filter(node_id=row.emperor_node_id).first()


def describe_standing(now: datetime) -> dict[str, Any]:
    """Return in a few words how the election stands.

    `vacant_s` is for how long no emperor was heard, in seconds; null where one is.
    """
    row = read_state()
    emperor = acting_emperor()
    vacant_s = None
    if emperor is None and row is not None:
        vacant_s = round(max(0.0, (now - (row.heard_at or row.since)).total_seconds()), 1)
    return {
        "standing": row.standing if row is not None else Standing.FOLLOWER.value,
        "since": _time(row.since if row is not None else None),
        "vacant_s": vacant_s,
        "emperor": _describe_emperor(emperor, row),
    }


def describe_election(now: datetime) -> dict[str, Any]:
    """Return everything that is known of the election: emperor, terms, timing, who was heard."""
    environment = settings.ENVIRONMENT
    row = read_state()
    return {
        **describe_standing(now),
        "node_id": local_node().node_id,
        "role": environment.role,
        "candidate": environment.candidate == "on",
        "abdicates": row is not None and row.abdication_asked_at is not None,
        "heard_at": _time(row.heard_at if row is not None else None),
        "timing": {
            "heartbeat_s": environment.emperor_heartbeat_s,
            "stale_s": environment.emperor_stale_s,
            "candidacy_s": environment.candidacy_s,
        },
        "known_terms": [_describe_term(each) for each in _by_rank()],
        "members": [
            {"node_id": node_id, "silent_s": round(silent_s, 1)}
            for node_id, silent_s in sorted(silences_s(now).items())
        ],
    }


def _describe_emperor(
    emperor: KnownTerm | None, state: ElectionState | None
) -> dict[str, Any] | None:
    if emperor is None:
        return None
    is_self = emperor.node_id == local_node().node_id
    heard_at = None if is_self or state is None else state.heard_at
    return {**_describe_term(emperor), "is_self": is_self, "heard_at": _time(heard_at)}


def _describe_term(row: KnownTerm) -> dict[str, Any]:
    return {
        "node_id": row.node_id,
        "term": row.counter,
        "address": terms.address_of(row),
        "since": _time(row.known_at),
    }


def _by_rank() -> list[KnownTerm]:
    rows = KnownTerm.objects.all()
    return sorted(rows, key=lambda row: terms.term_of(row).rank, reverse=True)


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
