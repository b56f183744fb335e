"""What is wanted of the Seneschal's figures."""

from __future__ import annotations

from benchmarks.goals import Goal
from benchmarks.seneschal.idle_sockets import ADDED, SOCKETS
from benchmarks.seneschal.through import ADDED_P50, DIRECT, THROUGH


def _requests(server: str) -> Goal:
    what = f"a request through it, {server}, times direct"
    return Goal(what, f"{server}: {THROUGH}", 2.5, f"{server}: {DIRECT}")


GOALS = (
    _requests("small"),
    _requests("node"),
    Goal("added to a request, small, p50 ms", f"small: {ADDED_P50}", 1.5),
    Goal("added to a request, node, p50 ms", f"node: {ADDED_P50}", 1.5),
    Goal(f"{SOCKETS} idle WebSockets, MB", ADDED.format(SOCKETS), 50),
)
