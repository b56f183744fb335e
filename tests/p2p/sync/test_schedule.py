"""Whom a round of sync asks."""

from __future__ import annotations

import random

from p2p.protocol.limits import SYNC_INTERVAL_MAX_S
from p2p.sync.schedule import Schedule


def rounds(schedule: Schedule, count: int) -> list[list[str]]:
    """Return whom each of the next rounds asks."""
    return [schedule.due(10_000.0 + number * SYNC_INTERVAL_MAX_S) for number in range(count)]


def test_a_round_asks_one_peer() -> None:
    schedule = Schedule(random.Random(1), 0.0)
    for node_id in ("a", "b", "c"):
        schedule.peer_up(node_id, 0.0)
    schedule.due(0.0)

    asked = rounds(schedule, 20)

    assert {len(each) for each in asked} == {1}
    assert {node_id for each in asked for node_id in each} == {"a", "b", "c"}


def test_a_round_asks_a_member_too_among_many_strangers() -> None:
    schedule = Schedule(random.Random(1), 0.0)
    for node_id in ("a", "b", "c", "d"):
        schedule.peer_up(node_id, 0.0)
    schedule.peer_up("member", 0.0, is_member=True)
    schedule.due(0.0)

    asked = rounds(schedule, 20)

    assert all("member" in each for each in asked)
    assert {len(each) for each in asked} == {1, 2}
    schedule.peer_down("member")
    assert len(schedule.due(90_000.0)) == 1
