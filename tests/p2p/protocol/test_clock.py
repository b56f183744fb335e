from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.protocol.clock import HybridClock


def test_a_tick_is_the_wall_clock_or_one_more_than_the_last() -> None:
    wall = [1_000]
    clock = HybridClock(lambda: wall[0])

    assert [clock.tick(), clock.tick()] == [1_000, 1_001]
    wall[0] = 2_000
    assert clock.tick() == 2_000
    wall[0] = 500
    assert clock.tick() == 2_001
    assert clock.value == 2_001


def test_a_witnessed_stamp_lies_before_the_next_tick() -> None:
    clock = HybridClock(lambda: 1_000)

    assert clock.witness(5_000)
    assert clock.value == 5_000
    assert clock.tick() == 5_001


def test_a_stamp_more_than_ten_minutes_ahead_moves_nothing() -> None:
    clock = HybridClock(lambda: 1_000)

    assert not clock.witness(601_001)
    assert clock.value == 0
    assert clock.witness(601_000)
    assert clock.value == 601_000


def test_a_clock_goes_on_from_its_persisted_value_and_ends_below_2_to_the_53() -> None:
    clock = HybridClock(lambda: 1, value=2**53 - 2)

    assert clock.tick() == 2**53 - 1
    with pytest.raises(OverflowError, match="9007199254740992 exceeds 9007199254740991"):
        clock.tick()


@given(st.lists(st.tuples(st.integers(0, 10**13), st.booleans(), st.integers(0, 10**13))))
def test_ticks_always_rise(steps: list[tuple[int, bool, int]]) -> None:
    wall = [0]
    clock = HybridClock(lambda: wall[0])
    last = -1
    for now, witnesses, remote in steps:
        wall[0] = now
        if witnesses:
            clock.witness(remote)
        else:
            stamp = clock.tick()
            assert stamp > last
            last = stamp
