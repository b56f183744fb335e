"""Whom the Seneschal believes, by every rule, without a network or a clock."""

from __future__ import annotations

from typing import Any

import pytest

from p2p.protocol.fields import Address
from swarm.replication.messages import ElectionVictory, EmperorHeartbeat, Term
from swarm.replication.terms import TERM_JUMP_MAX
from tests.support.wire import identity_number
from voidlux_site.seneschal.follower import Follower

STALE_S = 30.0
FIRST, SECOND = sorted((identity_number(1), identity_number(2)), key=lambda each: each.node_id)


def heartbeat(
    identity: Any = FIRST,
    *,
    counter: int = 5,
    said_ms: int = 100_000,
    kind: type[EmperorHeartbeat] | type[ElectionVictory] = EmperorHeartbeat,
    **changes: Any,
) -> Any:
    fields = {
        "origin": identity.node_id,
        "public_key": identity.public_key_text,
        "lamport_ts": said_ms,
        "swarm": "home",
        "term": Term(counter=counter, node_id=identity.node_id),
        "addresses": [Address(host="127.0.0.1", port=7101)],
        "http_port": 9091,
        **({"incarnation": 1, "seq": 1} if kind is ElectionVictory else {}),
    }
    return kind(**{**fields, **changes})


def followed(*messages: Any, now_s: float = 0.0, now_ms: int = 100_000) -> Follower:
    follower = Follower("home", STALE_S)
    for message in messages:
        assert follower.heard(message, now_s=now_s, now_ms=now_ms) == ""
    return follower


def emperor_of(follower: Follower, now_s: float = 0.0) -> tuple[str, int] | None:
    emperor = follower.emperor(now_s)
    return emperor and (emperor.term.node_id, emperor.term.counter)


@pytest.mark.parametrize("kind", [EmperorHeartbeat, ElectionVictory])
def test_who_is_heard_is_emperor(kind: Any) -> None:
    follower = followed(heartbeat(kind=kind))

    emperor = follower.emperor(0.0)

    assert emperor is not None
    assert emperor.term == Term(counter=5, node_id=FIRST.node_id)
    assert (emperor.addresses[0].host, emperor.http_port) == ("127.0.0.1", 9091)


def test_nobody_is_emperor_before_anything_was_heard() -> None:
    assert Follower("home", STALE_S).emperor(0.0) is None


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (heartbeat(swarm="other", counter=6), "other_swarm"),
        (heartbeat(term=Term(counter=6, node_id=SECOND.node_id)), "not_own_term"),
        (heartbeat(SECOND, counter=6, said_ms=69_999), "too_old"),
        (heartbeat(SECOND, counter=4), "lower_term"),
        (heartbeat(SECOND, counter=5), "lower_term"),
        (heartbeat(SECOND, counter=5 + TERM_JUMP_MAX + 1), "term_jump"),
        (heartbeat(), "repeated"),
        (heartbeat(said_ms=99_999), "repeated"),
        (heartbeat(kind=ElectionVictory, said_ms=99_999), "repeated"),
    ],
)
def test_what_is_refused_changes_nothing(message: Any, reason: str) -> None:
    follower = followed(heartbeat())

    assert follower.heard(message, now_s=29.0, now_ms=100_000) == reason

    assert follower.refused == {reason: 1}
    assert emperor_of(follower, STALE_S - 0.1) == (FIRST.node_id, 5)
    assert emperor_of(follower, STALE_S) is None


@pytest.mark.parametrize(
    "message",
    [
        heartbeat(SECOND, counter=6),
        heartbeat(SECOND, counter=6, kind=ElectionVictory),
        heartbeat(SECOND, counter=5 + TERM_JUMP_MAX),
        heartbeat(SECOND, counter=6, said_ms=70_000),
    ],
)
def test_a_higher_term_takes_over(message: Any) -> None:
    follower = followed(heartbeat(), message)

    assert emperor_of(follower) == (SECOND.node_id, message.term.counter)


def test_at_equal_counts_the_lower_node_id_is_higher() -> None:
    follower = followed(heartbeat(SECOND), heartbeat(FIRST))

    assert emperor_of(follower) == (FIRST.node_id, 5)


def test_every_heartbeat_counts_from_its_own_time_on() -> None:
    follower = followed(heartbeat())

    assert follower.heard(heartbeat(said_ms=110_000), now_s=10.0, now_ms=110_000) == ""

    assert emperor_of(follower, 39.9) == (FIRST.node_id, 5)
    assert emperor_of(follower, 40.0) is None


def test_a_stale_emperor_that_is_heard_again_is_emperor_again() -> None:
    follower = followed(heartbeat())
    assert emperor_of(follower, 100.0) is None

    assert follower.heard(heartbeat(said_ms=200_000), now_s=100.0, now_ms=200_000) == ""

    assert emperor_of(follower, 100.0) == (FIRST.node_id, 5)


def test_who_abdicates_is_no_emperor_any_more_whatever_comes_late() -> None:
    follower = followed(heartbeat(), heartbeat(said_ms=100_001, abdicated=True))
    assert emperor_of(follower) is None

    late = heartbeat(said_ms=100_002)

    assert follower.heard(late, now_s=0.0, now_ms=100_002) == "abdicated"
    assert emperor_of(follower) is None
    assert follower.heard(heartbeat(SECOND, counter=6), now_s=0.0, now_ms=100_002) == ""
    assert emperor_of(follower) == (SECOND.node_id, 6)


def test_silence_lowers_no_term() -> None:
    follower = followed(heartbeat())

    lower = heartbeat(SECOND, counter=4, said_ms=200_000)

    assert follower.heard(lower, now_s=100.0, now_ms=200_000) == "lower_term"
    assert emperor_of(follower, 100.0) is None
