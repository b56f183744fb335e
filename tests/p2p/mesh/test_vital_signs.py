"""The deadlines of a connection in a time of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from p2p.mesh.settings import MeshLimits
from p2p.mesh.vital_signs import VitalSigns
from p2p.protocol.errors import ProtocolError
from p2p.protocol.limits import DRAIN_MAX_S, DRAIN_S


class Timer:
    def __init__(self, at: float, action: Callable[[], None]) -> None:
        self.at = at
        self.action = action

    def cancel(self) -> None:
        self.at = float("inf")


class Time:
    """A loop's timers and clock, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + delay_s, action))
        return self.timers[-1]

    def run_to(self, end: float) -> None:
        while (due := min(self.timers, key=lambda each: each.at, default=None)) and due.at <= end:
            self.timers.remove(due)
            self.now = due.at
            due.action()
        self.now = end


class Watched:
    def __init__(self) -> None:
        self.closed: list[str] = []

    def write(self, payload: bytes) -> bool:
        return True

    def close(self, reason: str, detail: str = "") -> None:
        self.closed.append(reason)

    def fail(self, error: ProtocolError) -> None:
        self.closed.append(error.reason)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    return made


def test_a_losing_link_is_read_until_it_falls_silent(time: Time) -> None:
    watched = Watched()
    signs = VitalSigns(watched, MeshLimits(), lambda: time.now, "a" * 32)

    signs.drain()
    for _ in range(10):
        time.run_to(time.now + DRAIN_S - 0.5)
        signs.heard()
    assert watched.closed == []
    time.run_to(time.now + DRAIN_S)

    assert watched.closed == ["duplicate_link"]


def test_a_losing_link_that_never_falls_silent_is_closed_in_the_end(time: Time) -> None:
    watched = Watched()
    signs = VitalSigns(watched, MeshLimits(), lambda: time.now, "a" * 32)

    signs.drain()
    while not watched.closed:
        time.run_to(time.now + 1)
        signs.heard()

    assert watched.closed == ["duplicate_link"]
    assert DRAIN_MAX_S <= time.now - 100 <= DRAIN_MAX_S + DRAIN_S
